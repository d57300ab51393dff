// Browsers of people: a window that is signed in, and everything that goes wrong in it.
import { chromium } from "./tools.mjs";

export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export async function launch() {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A window, and what went wrong in it: console errors with violations of the content security policy, scripts that threw,
 * and requests that failed. */
export class Window {
  static async open(browser, house, { viewport = WIDE, scripts = true } = {}) {
    const context = await browser.newContext({ viewport, javaScriptEnabled: scripts, baseURL: house.url, locale: "en-GB",
      // Colours change at once, so that axe sees those of the scheme.
      reducedMotion: "reduce",
    });
    return new Window(context, await context.newPage(), house);
  }

  constructor(context, page, house) {
    this.context = context;
    this.page = page;
    this.house = house;
    this.wrong = [];
    /** Paths whose answers are expected to be errors. */
    this.refusals = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !this.isExpected(message.location().url)) {
        this.wrong.push(`console ${message.type()}: ${message.text()}`);
      }
    });
    page.on("pageerror", (error) => this.wrong.push(`script: ${error}`));
    page.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText;
      // A page that is left ends its stream, and its frames.
      if (reason !== "net::ERR_ABORTED") this.wrong.push(`request: ${request.url()} ${reason}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400 && !this.isExpected(response.url())) {
        this.wrong.push(`answer: ${response.status()} ${response.url()}`);
      }
    });
  }

  isExpected(url) {
    return this.refusals.some((path) => url.startsWith(this.house.url + path));
  }

  async signIn(key = this.house.key) {
    await this.page.goto("/sign-in");
    await this.page.getByLabel("API key").fill(key);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.waitForURL("/");
    return this;
  }

  async close() {
    await this.context.close();
  }

  /** Fails if something went wrong in the window. */
  check() {
    if (this.wrong.length > 0) throw new Error([...new Set(this.wrong)].join("\n    "));
  }
}
