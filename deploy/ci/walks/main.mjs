// Looks at every page of an empty system and of a seeded one, and takes the walks.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { launch, Window } from "./browser.mjs";
import { House } from "./house.mjs";
import { look } from "./pages.mjs";
import { seed } from "./seed.mjs";
import * as acknowledge from "./walks/acknowledge.mjs";
import * as cancel from "./walks/cancel.mjs";
import * as cause from "./walks/cause.mjs";
import * as edit from "./walks/edit.mjs";
import * as end from "./walks/end.mjs";
import * as lift from "./walks/lift.mjs";
import * as live from "./walks/live.mjs";
import * as plan from "./walks/plan.mjs";
import * as quiet from "./walks/quiet.mjs";
import * as replay from "./walks/replay.mjs";
import * as revoke from "./walks/revoke.mjs";
import * as unscripted from "./walks/unscripted.mjs";
import * as viewer from "./walks/viewer.mjs";

/** The walks, in an order: the template is fixed after what needs its dead letters. */
const WALKS = [quiet, lift, cancel, acknowledge, unscripted, viewer, cause, edit, plan, replay, revoke, live];

const { values: options } = parseArgs({
  options: {
    ready: { type: "string" },
    process: { type: "string" },
    work: { type: "string" },
    only: { type: "string" },
    screenshots: { type: "string" },
  },
});
const house = new House(options.ready);
house.process = Number(options.process);
if (options.screenshots) mkdirSync(options.screenshots, { recursive: true });

const failures = [];
const began = Date.now();
const isWanted = (name) => options.only === undefined || name.includes(options.only);

/** Runs a part, and says how it went. */
async function part(name, work) {
  const start = Date.now();
  try {
    const said = await work();
    console.log(`walks-check: ${name}: ${said ?? "walked"} (${Date.now() - start} ms)`);
  } catch (error) {
    failures.push(name);
    console.log(`walks-check: ${name}: FAILED\n    ${error.stack ?? error}`);
  }
}

async function pages(browser, state) {
  const { wrong, count } = await look(browser, house, { state, screenshots: options.screenshots });
  if (wrong.length > 0) throw wrong.join("\n    ");
  return `${count} views without a fault`;
}

async function take({ name, walk }) {
  if (!isWanted(name)) return;
  await part(name, async () => {
    const windows = [];
    const open = async (more) => {
      const window = await Window.open(browser, house, more);
      windows.push(window);
      return window;
    };
    try {
      await walk({ house, open });
      windows.forEach((window) => window.check());
    } catch (error) {
      for (const [number, window] of windows.entries()) {
        const path = join(options.work, `${name.replaceAll(" ", "-")}-${number}.png`);
        await window.page.screenshot({ path, fullPage: true }).catch(() => {});
      }
      throw error;
    } finally {
      for (const window of windows) await window.close();
    }
  });
}

const browser = await launch();
if (isWanted("pages")) await part("pages without rows", () => pages(browser, "empty"));
await part("seed", () => seed(house));
if (isWanted("pages")) await part("pages with rows", () => pages(browser, "seeded"));
for (const walk of WALKS) await take(walk);
if (isWanted("pages")) await part("pages of jobs", () => pages(browser, "jobs"));
await take(end);
await browser.close();
const seconds = Math.round((Date.now() - began) / 1000);
console.log(`walks-check: ${failures.length === 0 ? "passed" : `FAILED: ${failures.join("; ")}`} in ${seconds} s`);
process.exit(failures.length === 0 ? 0 : 1);
