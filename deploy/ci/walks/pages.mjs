// Every page, held against axe-core: light and dark, wide and on a phone.
import { overflow, violations } from "./axe.mjs";
import { PHONE, WIDE, Window } from "./browser.mjs";

/** The pages that need no rows. */
const ALWAYS = [
  ["overview", "/"],
  ["activity", "/activity"],
  ["deliveries", "/deliveries"],
  ["dead letters", "/dlq"],
  ["jobs", "/dlq/jobs"],
  ["templates", "/templates"],
  ["template", "/templates/OrderShipped/sms"],
  ["keys", "/keys"],
  ["api", "/docs"],
  ["missing", "/deliveries/6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10", 404],
  ["unknown", "/nothing-here", 404],
];

/** The pages of single things. */
async function ofThings(house) {
  const [text] = await house.openLetters("OrderShipped");
  const { items: sent } = await house.get("/v1/deliveries?status=sent&channel=email&limit=1");
  const cause = encodeURIComponent(await house.causeOf("PaymentFailed"));
  const letter = text ?? (await house.openLetters("PaymentFailed"))[0];
  return [
    ["activity, not sent", "/activity?outcome=not_sent"],
    ["activity, nothing found", "/activity?q=no-such-thing"],
    ["delivery", `/deliveries/${sent[0].id}`],
    ["delivery, dead", `/deliveries/${letter.delivery_id}`],
    ["event", `/events/${encodeURIComponent(sent[0].event_id)}`],
    ["event, scheduled", "/events/later-2"],
    ["user", "/users/ada"],
    ["user, long", `/users/${encodeURIComponent("u-with-a-very-long-id-0123456789-0123456789-0123456789-0123456789")}`],
    ["user, right to left", `/users/${encodeURIComponent("משתמש-שלום")}`],
    ["user, no address", "/users/nobody"],
    ["dead letters of a cause", `/dlq?fingerprint=${cause}`],
    ["dead letters, discarded", "/dlq?state=discarded"],
    ["dead letter", `/dlq/${letter.id}`],
    ["dead letter, edit", `/dlq/${letter.id}/edit`],
    ["cause", `/dlq/groups/${cause}`],
    ["replay, dry run", `/dlq/replay?fingerprint=${cause}`],
    ["discard, dry run", `/dlq/discard?fingerprint=${cause}`],
  ];
}

/** The pages that have rows once the walks have replayed something. */
async function ofJobs(house) {
  const { items } = await house.get("/v1/dlq/jobs?limit=50");
  const edit = items.find((job) => job.edit);
  const canary = items.find((job) => job.canary);
  const { items: replayed } = await house.get("/v1/dlq?state=replayed&type=OrderShipped&limit=50");
  const edited = replayed.find((letter) => letter.verdict?.edited) ?? replayed[0];
  const cause = encodeURIComponent(edited.fingerprint);
  return [
    ["jobs", "/dlq/jobs"],
    ["job with a canary", `/dlq/jobs/${canary.id}`],
    ["job of an edit", `/dlq/jobs/${edit.id}`],
    ["dead letter, edited", `/dlq/${edited.id}`],
    ["cause, settled", `/dlq/groups/${cause}`],
    ["dead letters, replayed", "/dlq?state=replayed"],
    ["keys, one revoked", "/keys"],
    ["replay of nothing", `/dlq/replay?fingerprint=${cause}`],
  ];
}

/** The pages of each state of the system. */
const PAGES = {
  empty: async () => ALWAYS,
  seeded: async (house) => [...ALWAYS, ...(await ofThings(house))],
  jobs: ofJobs,
};

/** Looks at each page in each form. Returns what is wrong, one line for each page and fault. */
export async function look(browser, house, { state, screenshots }) {
  const pages = await PAGES[state](house);
  const wrong = [];
  let count = 0;
  for (const [form, viewport] of [["wide", WIDE], ["phone", PHONE]]) {
    const window = await Window.open(browser, house, { viewport });
    const { page } = window;
    const see = async (name, path, status = 200) => {
      if (status !== 200) window.refusals.push(path);
      const answer = await page.goto(path);
      const at = `${name} (${state}, ${form})`;
      if (answer.status() !== status) wrong.push(`${at}: ${answer.status()} ${path}`);
      const wide = await overflow(page);
      if (wide) wrong.push(`${at}: wider than the window: ${wide}`);
      // The schemes differ in nothing but colours.
      for (const [colorScheme, rules] of [["light", undefined], ["dark", ["color-contrast"]]]) {
        await page.emulateMedia({ colorScheme });
        for (const violation of await violations(page, rules)) wrong.push(`${at}, ${colorScheme}: ${violation}`);
        if (screenshots) {
          const file = `${state}-${name}-${form}-${colorScheme}`.replaceAll(/[^a-z-]+/g, "-");
          await page.screenshot({ path: `${screenshots}/${file}.png`, fullPage: true });
        }
        count += 1;
      }
    };
    await see("sign-in", "/sign-in");
    await window.signIn();
    for (const [name, path, status] of pages) await see(name, path, status);
    wrong.push(...new Set(window.wrong.map((what) => `${state}, ${form}: ${what}`)));
    await window.close();
  }
  return { wrong, count };
}
