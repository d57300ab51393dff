// The process ends at once although live views are open.
import { readFileSync } from "node:fs";

import { expect, until } from "../tools.mjs";

export const name = "end with open live views";

const MOST_SECONDS = 5;

/** Whether a process has ended. Its parent has not asked for its status yet. */
function hasEnded(id) {
  try {
    return readFileSync(`/proc/${id}/stat`, "utf8").split(") ")[1].startsWith("Z");
  } catch {
    return true;
  }
}

export async function walk({ house, open }) {
  const windows = [];
  for (const path of ["/", "/deliveries", "/activity"]) {
    const window = await (await open()).signIn();
    await window.page.goto(path);
    await window.page.locator(".live").getByText("Live", { exact: true }).waitFor();
    windows.push(window);
  }
  const began = Date.now();
  process.kill(house.process, "SIGTERM");
  await until("the end of the process", () => hasEnded(house.process), MOST_SECONDS);
  expect(Date.now() - began < MOST_SECONDS * 1000, "the process waits for live views");
  await windows[0].page.locator(".live").getByText("Connecting…").waitFor();
  // Browsers note in the console that a server is away.
  for (const window of windows) window.wrong.length = 0;
}
