// A person plans a replay for after the fix; once the template is published, it begins by itself.
import { expect, until } from "../tools.mjs";

export const name = "plan a replay";

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  await page.goto(`/dlq/groups/${encodeURIComponent(await house.causeOf("PaymentFailed"))}`);
  const form = page.locator("form").filter({ has: page.getByLabel("Version above") });
  await form.getByLabel("Canary").fill("1");
  await form.getByLabel("Note").fill("after the new mail");
  await form.getByRole("button", { name: "Plan" }).click();
  await page.getByText("waiting", { exact: true }).waitFor();

  await page.goto("/templates/PaymentFailed/email");
  await page.getByLabel("subject").fill("Your payment of order {{order_id}}");
  await page.getByLabel("text").fill("It has failed. Pay here: {{url payment_url}}");
  await page.getByRole("button", { name: "Save draft" }).click();
  await page.getByRole("button", { name: "Publish the saved draft" }).click();
  await page.getByRole("status").filter({ hasText: "Published" }).waitFor();

  await house.lettersOf("PaymentFailed", 0);
  await page.goto("/dlq/jobs");
  await page.locator("tbody tr").filter({ hasText: "after the new mail" }).getByRole("link").click();
  await until("the end of the planned replay", async () => {
    await page.reload();
    return (await page.locator("h1 .pill").textContent()) === "done";
  });
  expect((await page.getByText("passed", { exact: true }).count()) === 1, "the canary has not passed");
}
