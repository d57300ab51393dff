// A person lifts a suppression that was a mistake, and messages go out again.
import { expect, until } from "../tools.mjs";

export const name = "lift a suppression";

export async function walk({ house, open }) {
  const { page } = await (await open()).signIn();
  await page.goto("/users/sam");
  const row = page.locator("tr").filter({ hasText: "asked us by phone" });
  await row.getByText("Lift", { exact: true }).click();
  await row.getByRole("button", { name: "Lift the suppression" }).click();
  await page.getByRole("status").filter({ hasText: "takes messages again" }).waitFor();
  expect((await page.getByText("asked us by phone").count()) === 0, "the entry is still there");
  const [entry] = await house.audit("lift");
  expect(entry?.key_name === "carillon dev", "the audit log does not name who lifted it");
  await house.send("OrderShipped", "after-the-lift", ["sam"], { order_id: "6001", carrier: "DHL" });
  await until("a mail to Sam", async () => {
    const { items } = await house.get("/v1/deliveries?user=sam&status=sent&status=delivered");
    return items.some((delivery) => delivery.event_id === "after-the-lift");
  });

  // The page is older than the change: the form says so, and lifts nothing.
  await page.goto("/users/ada");
  const phone = page.locator("tr").filter({ hasText: "a lost phone" });
  await phone.getByText("Lift", { exact: true }).click();
  await house.do("PUT", "/v1/users/ada", { email: "ada@shop.example", phone: "+15145550142", locale: "en", devices: [] });
  await phone.getByRole("button", { name: "Lift the suppression" }).click();
  await page.getByRole("status").filter({ hasText: "Nothing was lifted" }).waitFor();
  await house.do("PUT", "/v1/users/ada", { email: "ada@shop.example", phone: "+15145550142", locale: "en" });
}
