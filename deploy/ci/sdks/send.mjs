// Sends events.json with the CloudEvents SDK for JavaScript: over HTTP, or to Kafka with kafkajs.
//
// Usage: send.mjs http|kafka; the rest stands in the environment (see check.py).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The packages are in a cache folder, not beside this file.
const require = createRequire(`${process.env.MODULES}/`);
const { CloudEvent, HTTP, Kafka } = require("cloudevents");

const { URL: url, KEY, EVENTS, EVENT_TYPE, RECIPIENT, BROKERS, TOPIC, RUN } = process.env;

function events(transport, mode) {
  return JSON.parse(readFileSync(EVENTS, "utf8")).map((event) => {
    const attributes = {
      id: `javascript ${transport} ${mode} ${event.id}`,
      source: `/sdk/javascript/${RUN}`,
      type: EVENT_TYPE,
      recipient: RECIPIENT,
      datacontenttype: "application/json",
      data: event.bytes ? new TextEncoder().encode(JSON.stringify(event.data)) : event.data,
    };
    if (event.subject) attributes.subject = event.subject;
    return new CloudEvent(attributes);
  });
}

async function post({ headers, body }) {
  return fetch(`${url}/v1/events`, {
    method: "POST",
    headers: { ...headers, authorization: `Bearer ${KEY}` },
    body,
  });
}

async function accepted(answer) {
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
}

// The binding demands that attributes are encoded in headers (§3.1.3.2). The SDK does not do it, so its users
// must.
function encoded(headers) {
  const encode = ([name, value]) => [name, name.startsWith("ce-") ? encodeURIComponent(value) : value];
  return Object.fromEntries(Object.entries(headers).map(encode));
}

async function overHttp() {
  for (const event of events("http", "structured")) await accepted(await post(HTTP.structured(event)));
  for (const event of events("http", "binary")) {
    const { headers, body } = HTTP.binary(event);
    await accepted(await post({ headers: encoded(headers), body }));
  }
  const unencoded = HTTP.binary(new CloudEvent({ id: "50% %zz", source: "/", type: EVENT_TYPE, data: {} }));
  const answer = await post(unencoded);
  const problem = await answer.text();
  if (answer.status !== 400 || !problem.includes("ce-id")) {
    throw new Error(`an unencoded header has to be named, not read as another: ${answer.status} ${problem}`);
  }
  const body = `[${events("http", "batch").map((event) => HTTP.structured(event).body).join(",")}]`;
  await accepted(await post({ headers: { "content-type": "application/cloudevents-batch+json" }, body }));
}

async function toKafka() {
  const { Kafka: Client, logLevel } = require("kafkajs");
  const producer = new Client({ brokers: [BROKERS], logLevel: logLevel.ERROR }).producer();
  await producer.connect();
  const messages = [];
  for (const event of events("kafka", "structured")) messages.push(Kafka.structured(event));
  for (const event of events("kafka", "binary")) {
    const message = Kafka.binary(event);
    const { value } = message;
    // The SDK does not serialise data that is an object, but the client accepts only bytes and texts.
    messages.push({ ...message, value: value instanceof Uint8Array ? Buffer.from(value) : JSON.stringify(value) });
  }
  await producer.send({
    topic: TOPIC,
    // The SDK passes undefined attributes too, which the client does not accept.
    messages: messages.map(({ headers, key, value }) => ({
      headers: Object.fromEntries(Object.entries(headers).filter(([, text]) => text !== undefined)),
      key,
      value,
    })),
  });
  await producer.disconnect();
}

await { http: overHttp, kafka: toKafka }[process.argv[2]]();
