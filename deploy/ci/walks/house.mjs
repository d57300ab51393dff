// A running Carillon: its API with the key of an admin, and its simulator.
import { readFileSync } from "node:fs";

import { until } from "./tools.mjs";

export class House {
  constructor(ready) {
    const { url, api_key, simulator_url } = JSON.parse(readFileSync(ready, "utf8"));
    this.url = url;
    this.key = api_key;
    this.simulator = simulator_url;
  }

  /** Sends a request, and returns the status and the document of the answer. */
  async ask(method, path, body, { key = this.key, headers = {} } = {}) {
    const answer = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, document: text === "" ? null : JSON.parse(text), etag: answer.headers.get("etag") };
  }

  /** Sends a request that has to succeed. */
  async do(method, path, body, options) {
    const { status, document } = await this.ask(method, path, body, options);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(document)}`);
    return document;
  }

  get(path) {
    return this.do("GET", path);
  }

  /** Makes an API key. */
  makeKey(name, role) {
    return this.do("POST", "/v1/keys", { name, role });
  }

  /** Posts an event to users. */
  send(type, id, users, data, more = {}) {
    const recipients = users.map((user) => (user.includes("@") ? { email: user } : { user_id: user }));
    return this.do("POST", "/v1/events", { id, source: "/shop/orders", type, recipients, data, ...more });
  }

  /** Publishes a version of a template. */
  async publish(id, parts) {
    await this.do("PUT", `/v1/templates/${id}`, { parts });
    await this.do("POST", `/v1/templates/${id}/publish`);
  }

  /** The open dead letters of a type. */
  async openLetters(type) {
    const { items } = await this.get(`/v1/dlq?state=open&type=${type}&limit=500`);
    return items;
  }

  /** The cause of the dead letters of a template's channel and type. */
  async causeOf(type) {
    const [letter] = await this.openLetters(type);
    return letter.fingerprint;
  }

  /** Waits until a type has this many open dead letters. */
  lettersOf(type, count) {
    return until(`${count} dead letters of ${type}`, async () => (await this.openLetters(type)).length === count);
  }

  /** Waits until every delivery of an event has ended. */
  ended(id, deliveries) {
    return until(`the end of ${id}`, async () => {
      const { document } = await this.ask("GET", `/v1/events/${id}`);
      const open = ["accepted", "deferred", "queued", "sending", "retrying", "uncertain"];
      return document.deliveries?.length === deliveries && document.deliveries.every((one) => !open.includes(one.status));
    });
  }

  /** The entries of the audit log with an action. */
  async audit(action) {
    const { items } = await this.get("/v1/audit?limit=500");
    return items.filter((entry) => entry.action === action);
  }
}
