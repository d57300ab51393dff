"""Checks that each event that an SDK has sent was delivered exactly as it was sent.

Usage: check.py prepare | check.py TRANSPORT MODE... . The environment: URL and KEY of the gateway, SIMULATOR, EVENTS (the
file of events), EVENT_TYPE (a type that only `match` in the catalog knows), RECIPIENT (the CloudEvents extension); for
Kafka also BROKERS and TOPIC. RUN tells the events of one run from those of others.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SDKS = ["python", "javascript", "java"]
PATIENCE = 60  # seconds


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {os.environ['KEY']}", "content-type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def quoted(text):
    return urllib.parse.quote(text, safe="")


def wait_ready(url):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz"):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise SystemExit(f"{url} did not get ready: {error}") from error
        time.sleep(0.2)


def prepare():
    """The shop's OrderShipped also matches the type of the SDKs' events; their reader exists."""
    url = os.environ["URL"]
    wait_ready(url)
    catalog = call("GET", f"{url}/v1/catalog")
    catalog["types"]["OrderShipped"]["match"] = [os.environ["EVENT_TYPE"]]
    call("PUT", f"{url}/v1/catalog", catalog)
    (reader,) = json.loads(os.environ["RECIPIENT"])
    call("PUT", f"{url}/v1/users/{quoted(reader)}", {"email": "sdk@example.com", "locale": "en"})


def shown(event_id, source):
    """The event, after it was decided and its mail was sent."""
    url = f"{os.environ['URL']}/v1/events/{quoted(event_id)}?source={quoted(source)}"
    end = time.monotonic() + PATIENCE
    while True:
        try:
            document = call("GET", url)
        except urllib.error.HTTPError as error:
            document = {"status": error.code}
        mails = [one for one in document.get("deliveries", []) if one["channel"] == "email"]
        if document["status"] == "rejected" or (mails and all(mail["status"] == "sent" for mail in mails)):
            return document, mails
        if time.monotonic() > end:
            raise SystemExit(f"{event_id!r} was not delivered: {json.dumps(document)[:2000]}")
        time.sleep(0.2)


def check(transport, modes):
    with open(os.environ["EVENTS"], encoding="utf-8") as file:
        events = json.load(file)
    count = 0
    for sdk in SDKS:
        for mode in modes:
            for event in events:
                sent = {
                    "id": f"{sdk} {transport} {mode} {event['id']}",
                    "source": f"/sdk/{sdk}/{os.environ['RUN']}",
                    "type": os.environ["EVENT_TYPE"],
                    "subject": event.get("subject"),
                    "data": event["data"],
                }
                document, mails = shown(sent["id"], sent["source"])
                assert document["status"] == "routed", document
                arrived = {name: document["event"].get(name) for name in sent}
                assert arrived == sent, f"sent {sent}, arrived {arrived}"
                assert len(mails) == 1, mails
                query = f"{os.environ['SIMULATOR']}/v1/messages?delivery_id={mails[0]['id']}"
                answer = call("GET", query)
                messages = answer["items"] if isinstance(answer, dict) else answer
                assert len(messages) == 1, messages
                assert event["data"]["order_id"] in messages[0]["text"], messages[0]
                count += 1
    print(f"{count} events over {transport} ({', '.join(modes)}) were delivered as they were sent")


if sys.argv[1] == "prepare":
    prepare()
else:
    check(sys.argv[1], sys.argv[2:])
