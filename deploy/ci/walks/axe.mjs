// axe-core on the page that a window shows.
import { axeSource } from "./tools.mjs";

/** The violations of every rule, best practices included, or of some rules; one line each. */
export async function violations(page, rules) {
  await page.evaluate(axeSource);
  // A message's frame runs no script, so axe cannot look into it; it holds a foreign mail.
  const options = { iframes: false, resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) };
  const found = await page.evaluate((chosen) => window.axe.run(document, chosen), options);
  return found.violations.flatMap(({ id, help, nodes }) =>
    nodes.slice(0, 4).map((node) => `${id} (${help}): ${node.html.slice(0, 160)} [${node.failureSummary?.split("\n")[1]?.trim()}]`),
  );
}

/** Whether the page is wider than the window: a person would have to scroll sideways. */
export function overflow(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return null;
    const wide = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > width + 1);
    return wide.slice(-1).map((element) => element.outerHTML.slice(0, 160))[0] ?? "the page";
  });
}
