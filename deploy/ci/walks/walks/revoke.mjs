// An admin revokes a key that is not used any more.
import { expect } from "../tools.mjs";

export const name = "revoke a key";

export async function walk({ house, open }) {
  const { secret } = await house.makeKey("leaked key", "operator");
  expect((await house.ask("GET", "/v1/stats", undefined, { key: secret })).status === 200, "the key does not work");
  const { page } = await (await open()).signIn();
  await page.getByRole("link", { name: "Keys" }).click();
  const row = page.locator("tbody tr").filter({ hasText: "leaked key" });
  await row.getByText("Revoke", { exact: true }).click();
  await row.getByRole("button", { name: "Revoke leaked key" }).click();
  await page.getByRole("status").filter({ hasText: "is revoked" }).waitFor();
  expect((await house.ask("GET", "/v1/stats", undefined, { key: secret })).status === 401, "the key still works");
  await page.locator("tbody tr").filter({ hasText: "leaked key" }).getByText("revoked", { exact: true }).waitFor();
  expect((await house.audit("revoke")).length === 1, "the audit log has no entry");
}
