// The story of an incident: a template is broken, a person fixes it, and replays its dead letters with a dry run and a canary.
import { expect, until } from "../tools.mjs";

export const name = "fix a template and replay its group";

export async function walk({ house, open }) {
  const window = await (await open()).signIn();
  const { page } = window;
  const open_letters = await house.openLetters("OrderShipped");
  const cause = `/dlq/groups/${encodeURIComponent(open_letters[0].fingerprint)}`;

  await page.goto("/templates");
  await page.getByRole("link", { name: "OrderShipped/sms" }).click();
  const text = page.getByLabel("text");
  // A draft with a mistake can be saved, and not be published.
  await text.fill("Order {{order_id}} is on its way with {{#if carrier}}.");
  await page.getByRole("button", { name: "Save draft" }).click();
  await page.getByRole("alert").getByText("/parts/text").first().waitFor();
  window.refusals.push("/templates/OrderShipped/sms/publish");
  await page.getByRole("button", { name: "Publish the saved draft" }).click();
  await page.getByRole("alert").getByText("/parts/text").first().waitFor();
  await text.fill("Order {{order_id}} is on its way with {{carrier}}.");
  await page.getByRole("button", { name: "Save draft" }).click();
  await page.getByRole("button", { name: "Publish the saved draft" }).click();
  await page.getByRole("status").filter({ hasText: "Published" }).waitFor();
  expect((await house.audit("publish")).some(({ route }) => route.includes("OrderShipped/sms")), "the audit log has no entry");

  await page.goto(cause);
  await page.getByRole("link", { name: "Replay", exact: true }).click();
  await page.getByText("this is a dry run").waitFor();
  const tile = page.locator(".tiles div").filter({ hasText: "Put back" }).locator("dd");
  expect((await tile.textContent()) === String(open_letters.length), "the dry run counts other letters");
  expect((await house.openLetters("OrderShipped")).length === open_letters.length, "the dry run has changed something");
  await page.getByLabel("Note").fill("the text is back");
  await page.getByLabel("Canary").fill("3");
  await page.getByLabel("May fail").fill("0");
  await page.getByRole("button", { name: `Replay ${open_letters.length}` }).click();
  await page.waitForURL(/\/dlq\/jobs\//);
  await until("the end of the replay", async () => {
    // The page of a running job loads itself again.
    const pill = page.locator("h1 .pill");
    return (await pill.textContent().catch(() => "")) === "done";
  }, 30);
  await page.getByText("passed", { exact: true }).waitFor();
  await house.lettersOf("OrderShipped", 0);
  for (const { delivery_id } of open_letters) {
    await until(`the text message ${delivery_id}`, async () => {
      const delivery = await house.get(`/v1/deliveries/${delivery_id}`);
      return ["sent", "delivered"].includes(delivery.status) && delivery.generation === 1;
    });
  }
  await page.goto(cause);
  await page.getByText("settled", { exact: true }).waitFor();
}
