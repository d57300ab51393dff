// A team takes over a cause of dead letters, and ignores another for a while.
import { expect } from "../tools.mjs";

export const name = "note, owner and ignore of a cause";

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  await page.getByRole("link", { name: "Dead letters" }).click();
  const row = page.locator("tbody tr").filter({ has: page.locator("td[data-label=Queue]", { hasText: "sms" }) });
  await row.first().locator("td[data-label=Cause] a").click();
  await page.getByLabel("Owner").fill("messaging team");
  await page.locator("#handling").locator("..").getByLabel("Note").fill("a template without a text");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  await page.getByRole("button", { name: "Ignore" }).click();
  await page.getByRole("button", { name: "Stop ignoring" }).waitFor();
  await page.getByRole("link", { name: "Dead letters" }).first().click();
  const hint = page.getByText("is not listed");
  await hint.waitFor();
  await hint.getByRole("link").click();
  await page.getByText("messaging team").waitFor();
  await page.locator("tbody tr").filter({ hasText: "messaging team" }).locator("td[data-label=Cause] a").click();
  await page.getByRole("button", { name: "Stop ignoring" }).click();
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  for (const action of ["annotate", "ignore", "unignore"]) {
    expect((await house.audit(action)).length > 0, `the audit log has no ${action}`);
  }
}
