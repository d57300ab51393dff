// Live views: rows stay where they are, a link says how many are new, and a person can pause it.
import { expect } from "../tools.mjs";

export const name = "live views";

const order = (number) => ({ order_id: String(number), carrier: "DHL" });

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  const bar = page.locator(".live");
  const news = bar.getByRole("link");
  const isLive = () => bar.getByText("Live", { exact: true }).waitFor();

  await page.goto("/deliveries?channel=email");
  await isLive();
  const rows = await page.locator("tbody tr").count();
  const first = await page.locator("tbody tr").first().innerHTML();
  for (const number of [7001, 7002]) await house.send("OrderShipped", `live-${number}`, ["guest@shop.example"], order(number));
  await bar.getByRole("link", { name: "2 new deliveries" }).waitFor();
  expect((await page.locator("tbody tr").count()) === rows, "rows have moved");
  expect((await page.locator("tbody tr").first().innerHTML()) === first, "the first row has changed");
  await news.click();
  await isLive();
  expect(page.url().endsWith("/deliveries?channel=email"), `the link leads to ${page.url()}`);
  expect(!(await news.isVisible()), "the loaded rows are still called new");

  // A filter that the new rows do not match tells of none; what matches it is told.
  await page.goto("/deliveries?channel=sms");
  await isLive();
  await house.send("OrderShipped", "live-7003", ["guest@shop.example"], order(7003));
  await house.ended("live-7003", 1);
  await house.send("OrderShipped", "live-7004", ["customer-1"], order(7004));
  await bar.getByRole("link", { name: "1 new delivery" }).waitFor();

  await page.goto("/activity");
  await isLive();
  await house.send("OrderShipped", "live-7005", ["guest@shop.example"], order(7005));
  await bar.getByRole("link", { name: "1 new event" }).waitFor();

  // Paused: nothing is told, on the next page neither, until the person goes live again.
  await page.goto("/");
  await isLive();
  await bar.getByRole("button", { name: "Pause" }).click();
  await bar.getByText("Paused").waitFor();
  await page.reload();
  await bar.getByText("Paused").waitFor();
  await house.send("OrderShipped", "live-7006", ["guest@shop.example"], order(7006));
  await house.ended("live-7006", 1);
  expect(!(await news.isVisible()), "a paused page tells news");
  await bar.getByRole("button", { name: "Go live" }).click();
  await bar.getByRole("link", { name: "1 new delivery" }).waitFor();

  // New dead letters, on the overview and the list of causes.
  await house.publish("PriceDrop/email", { subject: "{{#if (eq product \"Cup\")}}Cup{{/if}}", text: "Look" });
  const causes = await open();
  await causes.signIn();
  await causes.page.goto("/dlq");
  await causes.page.locator(".live").getByText("Live", { exact: true }).waitFor();
  await house.do("PUT", "/v1/users/sam/preferences", { categories: { marketing: { email: true } } });
  await house.send("PriceDrop", "live-drop", ["sam"], {
    product: "Teapot", product_url: "https://shop.example/teapot", old_price: "30.00", new_price: "20.00", currency: "EUR",
  });
  await causes.page.locator(".live").getByRole("link", { name: "1 new dead letter" }).waitFor();
  await bar.getByRole("link", { name: /1 new dead letter/ }).waitFor();

  // A session whose key is revoked has no news any more.
  const { id, secret } = await house.makeKey("a temp", "viewer");
  const temp = await (await open()).signIn(secret);
  await temp.page.goto("/deliveries");
  await temp.page.locator(".live").getByText("Live", { exact: true }).waitFor();
  await house.do("DELETE", `/v1/keys/${id}`);
  await temp.page.locator(".live").getByText("You are signed out.").waitFor();
}
