"""The installation as its users see it: API, simulator, and a load that keeps account of what it posted."""

import json
import threading
import time
import urllib.error
import urllib.request

from shell import require, until

GATEWAY = "http://127.0.0.1:8080"
SIMULATOR = "http://127.0.0.1:8081"


def ask(method, url, key=None, body=None, timeout=15):
    """Status and JSON of an answer; a refused connection is an OSError."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        text = error.read()
        try:
            return error.code, json.loads(text)
        except ValueError:
            return error.code, text.decode(errors="replace")


def event(event_id):
    return {"id": event_id, "type": "OrderShipped", "recipients": [{"user_id": "u-42"}], "data": {"order_id": event_id, "carrier": "DHL"}}


class Load(threading.Thread):
    """Posts single events at a steady pace and repeats each, under the same id, until it is acknowledged."""

    def __init__(self, key, name, per_second=20):
        super().__init__(daemon=True)
        self.key, self.prefix, self.pause = key, name, 1 / per_second
        self.acknowledged, self.refused = [], 0
        self.ended = threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            self.post(f"{self.prefix}-{number}")
            time.sleep(self.pause)

    def post(self, event_id):
        while True:
            try:
                status, _ = ask("POST", f"{GATEWAY}/v1/events", self.key, event(event_id))
                if status in (200, 202):
                    self.acknowledged.append(event_id)
                    return
            except (OSError, ValueError):
                pass
            self.refused += 1
            if self.ended.is_set() and self.refused > 10_000:
                return
            time.sleep(0.2)

    def finish(self):
        self.ended.set()
        self.join(120)
        require(not self.is_alive(), "the load's last post was not acknowledged within 120 s")
        return self.acknowledged


def differences(key):
    status, stats = ask("GET", f"{GATEWAY}/v1/stats", key)
    require(status == 200, f"/v1/stats: {status}")
    return stats["events_difference"], stats["deliveries_difference"]


def balanced(key):
    until("both differences are 0", 180, lambda: differences(key) == (0, 0))


def delivered(key, event_id, channels=3):
    """The event's deliveries once all have ended; None before."""
    status, found = ask("GET", f"{GATEWAY}/v1/events/{event_id}", key)
    if status != 200:
        return None
    deliveries = found["deliveries"]
    ended = {"sent", "delivered", "failed", "expired", "dead_lettered"}
    return deliveries if len(deliveries) == channels and all(d["status"] in ended for d in deliveries) else None


def check_doubles(key):
    """Each delivery that the simulator received twice has `uncertain` in its timeline."""
    _, doubles = ask("GET", f"{SIMULATOR}/v1/duplicates?limit=500")
    items = doubles["items"]
    require(doubles["next_cursor"] is None, "over 500 deliveries went out twice")
    for double in items:
        _, delivery = ask("GET", f"{GATEWAY}/v1/deliveries/{double['delivery_id']}", key)
        said = [step["status"] for step in delivery["timeline"]]
        require("uncertain" in said, f"delivery {double['delivery_id']} went out twice, and its timeline does not say so: {said}")
    return len(items)
