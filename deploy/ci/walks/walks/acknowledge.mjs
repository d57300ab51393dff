// A person notes that a recipient has seen a message.
import { expect } from "../tools.mjs";

export const name = "acknowledge a delivery";

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  const { items } = await house.get("/v1/deliveries?status=sent&channel=email&user=ada&limit=1");
  await page.goto(`/deliveries/${items[0].id}`);
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("status").filter({ hasText: "the recipient has seen it" }).waitFor();
  expect((await house.audit("acknowledge")).length === 1, "the audit log has no entry");
}
