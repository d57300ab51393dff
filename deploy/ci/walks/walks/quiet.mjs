// A support person finds out why users have heard nothing: from an address to the sentence in at most three clicks.
import { expect } from "../tools.mjs";

export const name = "find why a user heard nothing";

export async function walk({ open }) {
  for (const [address, sentence] of [
    ["greta@shop.example", "the user turned off email"],
    ["sam@shop.example", "suppression list"],
    ["nobody", "no address for"],
  ]) {
    const window = await (await open()).signIn();
    const { page } = window;
    let clicks = 0;
    const click = async (target) => {
      clicks += 1;
      await target.click({ timeout: 5000 });
    };
    await click(page.getByRole("link", { name: "Activity" }));
    await page.getByLabel("Search").fill(address);
    await click(page.getByRole("button", { name: "Search" }));
    // The list has the sentence about the first message that was not sent, the event has all.
    await click(page.locator("tbody tr").filter({ hasText: "OrderShipped" }).locator("td[data-label=Event] a").first());
    const decision = page.locator(".decisions li").filter({ hasText: sentence }).first();
    await decision.waitFor({ timeout: 5000 });
    expect(clicks <= 3, `${clicks} clicks from ${address} to the sentence`);
    await decision.locator("summary").click();
    await decision.locator(".steps li").first().waitFor();
  }
}
