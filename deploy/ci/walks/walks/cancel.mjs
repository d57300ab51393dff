// A person cancels an event that waits for its time.
import { expect, until } from "../tools.mjs";

export const name = "cancel a scheduled event";

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  await page.getByRole("link", { name: "Activity" }).click();
  await page.getByLabel("Search").fill("later-1");
  await page.getByRole("button", { name: "Search" }).click();
  const row = page.locator("tbody tr").filter({ hasText: "later-1" });
  await row.getByText("scheduled", { exact: true }).waitFor();
  await row.getByRole("link").first().click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("status").filter({ hasText: "no message is sent" }).waitFor();
  await until("the cancelled event", async () => (await house.get("/v1/events/later-1")).status === "cancelled");
  expect((await house.get("/v1/events/later-2")).status === "scheduled", "another event is not scheduled any more");
  expect((await house.audit("cancel")).some((entry) => entry.route.includes("later-1")), "the audit log has no entry");
  expect((await page.getByRole("button", { name: "Cancel" }).count()) === 0, "a cancelled event can be cancelled again");
}
