// A person gives an order the link that its text message needs, and sends that one again.
import { expect, until } from "../tools.mjs";

export const name = "edit a dead letter";

export async function walk({ house, open }) {
  const window = await (await open()).signIn();
  const { page } = window;
  const letter = (await house.openLetters("OrderShipped")).at(-1);
  await page.goto(`/dlq/${letter.id}`);
  await page.getByRole("link", { name: "Edit and send again" }).click();
  const field = page.getByLabel("JSON");
  const { data } = JSON.parse(await field.inputValue());

  // An edit that does not fit the type is refused with its place.
  window.refusals.push(`/dlq/${letter.id}/edit`);
  await field.fill(JSON.stringify({ data: { ...data, tracking_url: 7 } }));
  await page.getByRole("button", { name: "Show the changes" }).click();
  await page.getByRole("alert").getByText("tracking_url").first().waitFor();

  await field.fill(JSON.stringify({ data: { ...data, tracking_url: "https://track.example/mended" } }, null, 2));
  await page.getByRole("button", { name: "Show the changes" }).click();
  await page.locator("ins").filter({ hasText: "https://track.example/mended" }).waitFor();
  await page.getByRole("button", { name: "Send it with these changes" }).click();
  await page.waitForURL(/\/dlq\/jobs\//);
  await until("the edited text message", async () => {
    const delivery = await house.get(`/v1/deliveries/${letter.delivery_id}`);
    return ["sent", "delivered"].includes(delivery.status) && delivery.generation === 1;
  });
  expect((await house.audit("edit")).length === 1, "the audit log has no entry");
}
