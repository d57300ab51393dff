"""Webhooks against the official package of Standard Webhooks: it verifies Carillon's signatures, and Carillon's
simulator verifies the package's."""

import datetime
import json
import time
import urllib.error
import urllib.request

from mailers_receipts import Receiver

PACKAGES = ["standardwebhooks==1.1.0"]
PATIENCE = 60  # seconds
# Of the simulator's endpoints (docs/webhooks.md).
SIMULATORS_SECRET = "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def put(carillon, path, body):
    headers = {"authorization": f"Bearer {carillon.key}", "content-type": "application/json"}
    request = urllib.request.Request(carillon.url + path, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def post(url, headers, body):
    """The status of the simulator's answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def verifies(secret, body, headers):
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    try:
        return Webhook(secret).verify(body.decode(), headers)
    except WebhookVerificationError:
        return None


def check_requests(carillon, require):
    """The package verifies Carillon's requests, with each of two secrets while they are replaced, and no others."""
    receiver = Receiver()
    put(carillon, "/v1/users/warehouse", {})
    endpoint = "/v1/users/warehouse/webhooks/check"
    own = put(carillon, endpoint, {"url": f"{receiver.url}/hook"})["secret"]
    for number, secrets in enumerate([None, [OTHER, own], [OTHER]]):
        if secrets:
            put(carillon, endpoint, {"url": f"{receiver.url}/hook", "secrets": secrets})
        data = {"sku": "oak-desk", "product": "Grüße \"& mehr\" \u2028", "left": number}
        event = {"id": f"stock-{number}", "source": "/check", "type": "StockLow", "time": "2026-11-24T09:00:00Z",
                 "recipients": [{"user_id": "warehouse"}], "data": data}
        carillon.call("/v1/events", event)
        path, headers, body = receiver.next()
        headers = {name.lower(): value for name, value in headers.items()}
        require(path == "/hook", f"the webhook went to {path}")
        expected = {"type": "StockLow", "id": event["id"], "source": "/check", "timestamp": event["time"], "data": data}
        for secret in secrets or [own]:
            taken = verifies(secret, body, headers)
            require(taken == expected, f"standardwebhooks reads {taken} instead of {expected}")
        wrong = own if secrets == [OTHER] else "whsec_" + "A" * 32
        require(verifies(wrong, body, headers) is None, "standardwebhooks takes another secret's signature")
        require(verifies((secrets or [own])[0], body + b" ", headers) is None, "standardwebhooks takes another body")
        old = headers | {"webhook-timestamp": str(int(time.time()) - 600)}
        require(verifies((secrets or [own])[0], body, old) is None, "standardwebhooks takes another time")


def check_simulator(carillon, require):
    """The simulator takes requests that the package signs, and no others."""
    from standardwebhooks.webhooks import Webhook

    url, body = f"{carillon.simulator}/webhooks/check", json.dumps({"type": "StockLow", "id": "python", "data": {}})
    now = datetime.datetime.now(datetime.timezone.utc)

    def headers(secret, at):
        signature = Webhook(secret).sign("msg_python", at, body)
        return {"content-type": "application/json", "webhook-id": "msg_python", "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": signature}

    require(post(url, headers(SIMULATORS_SECRET, now), body.encode()) == 204, "the simulator refuses what standardwebhooks signs")
    (shown,) = carillon.messages("channel=webhook&delivery_id=msg_python")
    require(shown["event_id"] == "python", f"the simulator shows {shown}")
    require(post(url, headers(OTHER, now), body.encode()) == 401, "the simulator takes another secret's signature")
    old = now - datetime.timedelta(minutes=10)
    require(post(url, headers(SIMULATORS_SECRET, old), body.encode()) == 401, "the simulator takes an old request")


def check(start, require):
    """`start(name, settings, simulator)` starts Carillon with settings and the address of its simulator."""
    account = {"PROVIDERS__MAILS__KIND": "sendgrid", "PROVIDERS__MAILS__API_KEY": "SG.simulator-api-key",
               "PROVIDERS__MAILS__FROM": "Shop <shop@example.com>"}
    with start("webhooks", account, "127.0.0.1:0") as carillon:
        check_requests(carillon, require)
        check_simulator(carillon, require)
