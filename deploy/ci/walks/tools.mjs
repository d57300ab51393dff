// The packages of the walks, which lie in a cache folder outside of the repository.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CARILLON_WALKS_MODULES}/`);

export const { chromium } = require("playwright-core");
/** The source of axe-core, which is run in each page. */
export const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Waits for a condition, and returns what it gave. */
export async function until(what, condition, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function expect(holds, what) {
  if (!holds) throw new Error(what);
}
