"""The installation as its users see it: API, simulator, and a load that records its posts."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

from shell import Failed, require

GATEWAY = "http://127.0.0.1:8080"
SIMULATOR = "http://127.0.0.1:8081"
# One user's messages on a channel are sent one after the other: the load goes to many.
USERS = 60
CHANNELS = 3
ENDED = {"sent", "delivered", "failed", "expired", "dead_lettered"}


def ask(method, url, key=None, body=None, timeout=15):
    """Status and JSON of an answer; a refused connection is an OSError."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json_or_text(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json_or_text(error.read())


def json_or_text(body):
    try:
        return json.loads(body or b"null")
    except ValueError:
        return body.decode(errors="replace")


def asked(url, key=None):
    """The JSON of an answer that has to be 200."""
    status, answer = ask("GET", url, key)
    require(status == 200, f"GET {url}: {status} {answer}")
    return answer


def listed(url, key=None):
    """Every item of a paged list."""
    items, cursor = [], None
    while True:
        page = asked(url + (f"&cursor={cursor}" if cursor else ""), key)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def put_users(key):
    for number in range(USERS):
        user = {
            "email": f"load-{number}@example.com", "phone": f"+1514555{1000 + number}", "locale": "en", "timezone": "UTC",
            "devices": [{"platform": "android", "token": f"load-token-{number}"}],
        }
        status, answer = ask("PUT", f"{GATEWAY}/v1/users/load-{number}", key, user)
        require(status in (200, 201, 204), f"PUT /v1/users/load-{number}: {status} {answer}")


def event(event_id, user="u-42"):
    return {"id": event_id, "type": "OrderShipped", "recipients": [{"user_id": user}], "data": {"order_id": event_id, "carrier": "DHL"}}


def delay_answers(milliseconds):
    """The providers take a message at once and answer after this time: so a killed worker leaves messages whose fate
    is unknown. A restart of the simulator forgets it."""
    rule = {"provider": "*", "delay_ms": milliseconds, "recorded": True}
    status, answer = ask("PUT", f"{SIMULATOR}/v1/faults", body=[rule])
    require(status == 200, f"PUT /v1/faults: {status} {answer}")


class Load:
    """Posts single events at a steady pace and repeats each, under the same id, until it is acknowledged."""

    THREADS = 4

    def __init__(self, key, name, per_second=20):
        self.key, self.prefix, self.pause = key, name, self.THREADS / per_second
        self.acknowledged, self.refused, self.error = [], 0, None
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(first,), daemon=True) for first in range(self.THREADS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def run(self, number):
        while not self.ended.is_set():
            try:
                self.post(f"{self.prefix}-{number}", f"load-{number % USERS}")
            except Failed as error:
                self.error = error
                return
            number += self.THREADS
            self.ended.wait(self.pause)

    def post(self, event_id, user="u-42"):
        while True:
            try:
                status, answer = ask("POST", f"{GATEWAY}/v1/events", self.key, event(event_id, user))
            except OSError:
                status = None
            if status in (200, 202):
                self.acknowledged.append(event_id)
                return
            # 409: the gateway still works on the earlier post, whose answer was lost.
            if status is not None and status < 500 and status not in (409, 429):
                raise Failed(f"event {event_id} is answered {status}: {answer}")
            self.refused += 1
            time.sleep(0.2)

    def send(self, count):
        """Posts this number of events and ends."""
        self.start()
        while len(self.acknowledged) < count and not self.error:
            time.sleep(0.1)
        return self.finish()

    def finish(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(180)
            require(not thread.is_alive(), "the load's last post was not acknowledged within 180 s")
        if self.error:
            raise self.error
        return self

    def check(self, key):
        """Each acknowledged event has become one message on each channel, and each has ended."""
        deliveries = listed(f"{GATEWAY}/v1/deliveries?type=OrderShipped&limit=500", key)
        ended = Counter(d["event_id"] for d in deliveries if d["status"] in ENDED)
        wrong = {event: ended[event] for event in self.acknowledged if ended[event] != CHANNELS}
        require(not wrong, f"{len(wrong)} of {len(self.acknowledged)} acknowledged events have not {CHANNELS} ended deliveries, such as {list(wrong.items())[:3]}")


def stats(key):
    return asked(f"{GATEWAY}/v1/stats", key)


def ended_deliveries(key, event_id):
    """The event's deliveries once all have ended; None before."""
    status, found = ask("GET", f"{GATEWAY}/v1/events/{event_id}", key)
    deliveries = found["deliveries"] if status == 200 else []
    return deliveries if len(deliveries) == CHANNELS and all(d["status"] in ENDED for d in deliveries) else None


def check_doubles(key):
    """Each delivery that the simulator received twice has `uncertain` in its timeline. Returns their number."""
    items = listed(f"{SIMULATOR}/v1/duplicates?limit=500")
    for double in items:
        said = [step["status"] for step in asked(f"{GATEWAY}/v1/deliveries/{double['delivery_id']}", key)["timeline"]]
        require("uncertain" in said, f"delivery {double['delivery_id']} went out twice, and its timeline does not say so: {said}")
    return len(items)
