// A viewer reads everything and is offered nothing that the role may not do.
import { expect } from "../tools.mjs";

export const name = "read as a viewer";

export async function walk({ house, open }) {
  const { secret } = await house.makeKey("a viewer", "viewer");
  const window = await (await open()).signIn(secret);
  const { page } = window;
  const [letter] = await house.openLetters("OrderShipped");
  const buttons = /^(Cancel|Acknowledge|Lift the suppression|Save|Save draft|Ignore|Plan|Replay|Discard|Revoke|Edit and send again)$/;
  for (const path of [
    "/", "/dlq", `/dlq/${letter.id}`, `/dlq/groups/${encodeURIComponent(letter.fingerprint)}`, "/events/later-2",
    `/deliveries/${letter.delivery_id}`, "/users/ada", "/templates/OrderShipped/sms",
  ]) {
    await page.goto(path);
    for (const role of ["button", "link"]) {
      const offered = await page.getByRole(role, { name: buttons }).allTextContents();
      expect(offered.length === 0, `${path} offers a viewer ${offered.join(", ")}`);
    }
  }
  expect((await page.getByRole("link", { name: "Keys" }).count()) === 0, "a viewer is led to the keys");
  window.refusals.push("/keys");
  const answer = await page.goto("/keys");
  expect(answer.status() === 403, "a viewer sees the keys");
}
