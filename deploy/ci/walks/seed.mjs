// The content of the seeded system: everything that the walks and the pages show.
import { until } from "./tools.mjs";

/** The customers whose text messages die because of a broken template. */
export const CUSTOMERS = Array.from({ length: 12 }, (_, number) => `customer-${number + 1}`);
/** A text without anything to send if the order has no link. The publish gate takes it, because orders with a link have a text. */
const ONLY_A_LINK = "{{#if tracking_url}}{{url tracking_url}}{{/if}}";
/** A type and a user of foreign and long text. */
const LONG = "u-with-a-very-long-id-0123456789-0123456789-0123456789-0123456789";
const HEBREW = "משתמש-שלום";

const shipped = (number) => ({ order_id: String(number), carrier: "DHL" });
const unpaid = (number) => ({
  order_id: String(number), amount: "49.00", currency: "EUR", payment_url: `https://shop.example/pay/${number}`,
});

export async function seed(house) {
  await users(house);
  await outcomes(house);
  await deadLetters(house);
  await waiting(house);
  await house.makeKey("old integration", "operator");
}

async function users(house) {
  const put = (id, user) => house.do("PUT", `/v1/users/${encodeURIComponent(id)}`, user);
  await put("ada", { email: "ada@shop.example", phone: "+15145550142", locale: "en", devices: [{ platform: "android", token: "token-of-ada-0001" }] });
  await put("greta", { email: "greta@shop.example", phone: "+4915112345678", locale: "de-DE", timezone: "Europe/Berlin" });
  await put("sam", { email: "sam@shop.example", locale: "en-GB" });
  await put("nobody", { locale: "en" });
  await put(LONG, { email: `${"a".repeat(60)}@${"long-domain.".repeat(8)}example`, locale: "en" });
  await put(HEBREW, { email: "shalom@shop.example", locale: "he" });
  for (const [number, id] of CUSTOMERS.entries()) {
    await put(id, { phone: `+1514555${String(2000 + number)}`, locale: "en" });
  }
  // Greta has opted out of mails, and Sam's address was reported by hand.
  await house.do("PUT", "/v1/users/greta/preferences", { global: { email: false } });
  await house.do("PUT", "/v1/suppressions/email/sam@shop.example", { note: "asked us by phone" });
  await house.do("PUT", `/v1/suppressions/push/token-of-ada-0001`, { note: "a lost phone" });
}

async function outcomes(house) {
  await house.send("OrderShipped", "order-2001", ["ada"], { ...shipped(2001), tracking_url: "https://track.example/2001" });
  await house.send("OrderShipped", "order-2002", ["greta", "sam"], shipped(2002));
  await house.send("OrderShipped", "order-2003", ["guest@shop.example", "nobody"], shipped(2003));
  await house.send("PriceDrop", "drop-1", ["ada", "greta"], {
    product: "Teapot", product_url: "https://shop.example/teapot", old_price: "30.00", new_price: "20.00", currency: "EUR",
  });
  await house.send("OrderShipped", `order-${"long-".repeat(20)}1`, [LONG, HEBREW], shipped("1".repeat(80)));
  await house.send("PasswordReset", "reset-1", ["ada"], { reset_url: "https://shop.example/reset/secret", valid_minutes: 30 });
  await house.ended("order-2001", 2);
  await house.ended("reset-1", 1);
}

async function deadLetters(house) {
  await house.publish("OrderShipped/sms", { text: ONLY_A_LINK });
  await house.publish("PaymentFailed/email", {
    subject: "{{#if reserved_until}}Payment{{/if}}", text: "{{#if reserved_until}}Your payment has failed.{{/if}}",
  });
  for (const [number, id] of CUSTOMERS.entries()) {
    await house.send("OrderShipped", `broken-${number + 1}`, [id], shipped(3001 + number));
  }
  for (const number of [1, 2, 3]) {
    await house.send("PaymentFailed", `unpaid-${number}`, ["ada"], unpaid(4000 + number));
  }
  // Their text messages, and the mails of failed payments. Greta's text message has come before the template broke.
  await house.lettersOf("OrderShipped", CUSTOMERS.length);
  await house.lettersOf("PaymentFailed", 3);
}

async function waiting(house) {
  const tomorrow = new Date(Date.now() + 24 * 3600 * 1000).toISOString();
  for (const number of [1, 2]) {
    await house.send("OrderShipped", `later-${number}`, ["ada"], shipped(5000 + number), { sendat: tomorrow });
  }
  await until("scheduled events", async () => (await house.get("/v1/events/later-2")).status === "scheduled");
}
