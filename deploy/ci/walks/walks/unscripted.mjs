// Everything but live views works without script: the pages, and a form that changes something.
import { expect } from "../tools.mjs";

export const name = "work without script";

export async function walk({ house, open }) {
  const { page } = await (await open({ scripts: false })).signIn();
  for (const path of ["/", "/activity", "/deliveries", "/dlq"]) {
    await page.goto(path);
    expect(!(await page.locator(".live").isVisible()), `${path} shows a live view that cannot work`);
  }
  const cause = encodeURIComponent(await house.causeOf("PaymentFailed"));
  await page.goto(`/dlq/groups/${cause}`);
  await page.getByLabel("Owner").fill("payments team");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  expect((await house.get(`/v1/dlq/groups/${cause}`)).owner === "payments team", "the owner was not stored");
}
