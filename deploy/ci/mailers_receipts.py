"""Receipts against validators that others wrote: they accept the signatures of Carillon's simulator, and Carillon's
gateway accepts theirs.

- Twilio: RequestValidator of the official package;
- SendGrid: EventWebhook of the official package, which only verifies; the counterpart signs with the package `cryptography`;
- SNS: aws-sns-message-validator, which knows version 1 of the signature.
"""

import base64
import http.server
import json
import queue
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PACKAGES = ["twilio==9.13.0", "aws-sns-message-validator==0.0.5", "cryptography==48.0.0"]
PATIENCE = 60  # seconds
TOKEN = "0123456789abcdef0123456789abcdef"
TOPIC = "arn:aws:sns:eu-central-1:000000000000:receipts"
# Of the simulator's event webhook (docs/receipts.md).
SIMULATORS_KEY = ("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyKRVIiN/VbUw0ergYWh/2ZVy/JmoPaaBs9j3PQ7f0wugvBW04/e3lVdGtiaoFMm1JbeGjdf3PFfVXbC+"
                  "8re4Wg==")


class Receiver:
    """Takes the calls of providers in the place of a gateway, and keeps them."""

    def __init__(self):
        taken = self.taken = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                taken.put((self.path, dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def next(self):
        return self.taken.get(timeout=PATIENCE)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def post(url, headers, body):
    """The status of the gateway's answer."""
    kept = {name: value for name, value in headers.items()
            if name.lower().startswith("x-") or name.lower() == "content-type"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, kept), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def reaches(carillon, require, event, status):
    end = time.monotonic() + PATIENCE
    delivery = None
    while time.monotonic() < end:
        listed = carillon.call(f"/v1/events/{event}")["deliveries"][0]["id"]
        delivery = carillon.call(f"/v1/deliveries/{listed}")
        if delivery["status"] == status:
            return delivery
        time.sleep(0.1)
    require(False, f"{event} is not {status}: {delivery}")


def check_twilio(carillon, receiver, require):
    from twilio.request_validator import RequestValidator

    validator = RequestValidator(TOKEN)
    carillon.call("/v1/events", {"id": "text", "source": "/check", "type": "OrderShipped", "channels": ["sms"],
                                 "recipients": [{"phone": "+4915112345678"}], "data": {"order_id": "1001", "carrier": "DHL"}})
    for status in ("sent", "delivered"):
        path, headers, body = receiver.next()
        parameters = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        signature = headers["x-twilio-signature"]
        require(parameters["MessageStatus"] == status, f"Twilio's callback is {parameters}")
        require(validator.validate(receiver.url + path, parameters, signature), "Twilio's validator refuses the simulator's signature")
        changed = parameters | {"MessageStatus": "failed"}
        require(not validator.validate(receiver.url + path, changed, signature), "Twilio's validator takes another content")
        # A proxy passes the call on under another address.
        require(post(carillon.url + path, headers, body) == 204, "the gateway refuses the simulator's callback")
        require(post(carillon.url + path, headers, urllib.parse.urlencode(changed).encode()) == 401, "the gateway takes another content")
    reaches(carillon, require, "text", "delivered")
    computed = parameters | {"MessageStatus": "read", "Grüße": "a b&c=d +", "Empty": ""}
    headers["x-twilio-signature"] = validator.compute_signature(receiver.url + path, computed)
    require(post(carillon.url + path, headers, urllib.parse.urlencode(computed).encode()) == 204,
            "the gateway refuses what Twilio's validator computes")
    reaches(carillon, require, "text", "opened")
    body = json.dumps({"MessageSid": "SM1", "MessageStatus": "delivered"})
    path += f"&bodySHA256={validator.compute_hash(body)}"
    signature = validator.compute_signature(receiver.url + path, {})
    require(validator.validate(receiver.url + path, body, signature), "Twilio's validator refuses its own signature of JSON")
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    require(post(carillon.url + path, headers, body.encode()) == 204, "the gateway refuses Twilio's signature of JSON")


def check_sendgrid(carillon, receiver, require, key):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

    def is_genuine(public_key, headers, body):
        webhook = EventWebhook(public_key)
        signature, timestamp = (headers[name.lower()] for name in (EventWebhookHeader.SIGNATURE, EventWebhookHeader.TIMESTAMP))
        return webhook.verify_signature(body.decode(), signature, timestamp)

    carillon.send("mail")
    for event in ("processed", "delivered"):
        _, headers, body = receiver.next()
        require(json.loads(body)[0]["event"] == event, f"SendGrid's event is {body}")
        require(is_genuine(SIMULATORS_KEY, headers, body), "SendGrid's validator refuses the simulator's signature")
        require(not is_genuine(SIMULATORS_KEY, headers, body + b" "), "SendGrid's validator takes another content")
    timestamp = str(int(time.time()))
    body = body.replace(b'"delivered"', b'"click"') + b"\r\n"
    signature = base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {"content-type": "application/json", "x-twilio-email-event-webhook-signature": signature,
               "x-twilio-email-event-webhook-timestamp": timestamp}
    require(is_genuine(public_key_of(key), headers, body), "SendGrid's validator refuses the signature of cryptography")
    url = f"{carillon.url}/v1/receipts/mails"
    require(post(url, headers, body) == 204, "the gateway refuses a signature that SendGrid's validator takes")
    require(post(url, headers, body + b" ") == 401, "the gateway takes another content")
    reaches(carillon, require, "mail", "clicked")


def public_key_of(key):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def check_sns(carillon, receiver, require, simulator):
    from sns_message_validator import SNSMessageValidator
    from sns_message_validator.exceptions import SignatureVerificationFailureException

    validator = SNSMessageValidator(cert_url_regex=f"^{simulator}/")

    def genuine(body):
        message = json.loads(body)
        validator.validate_message(message)
        try:
            validator.validate_message(message | {"Message": message["Message"] + " "})
            require(False, "the SNS validator takes another content")
        except SignatureVerificationFailureException:
            return message

    url = f"{carillon.url}/v1/receipts/mails"
    _, headers, body = receiver.next()
    confirmation = genuine(body)
    require(confirmation["Type"] == "SubscriptionConfirmation", f"SNS's first message is {confirmation}")
    # The gateway confirms it, and only then notifications come.
    require(post(url, headers, body) == 204, "the gateway refuses SNS's confirmation")
    carillon.send("mail")
    for kind in ("Send", "Delivery"):
        _, headers, body = receiver.next()
        message = genuine(body)
        require(json.loads(message["Message"])["eventType"] == kind, f"the event of SES is {message}")
        require(post(url, headers, body) == 204, "the gateway refuses what the SNS validator takes")
        changed = json.dumps(message | {"Timestamp": "2020-01-01T00:00:00.000Z"}).encode()
        require(post(url, headers, changed) == 401, "the gateway takes another content")
    reaches(carillon, require, "mail", "delivered")


def check(start, require):
    """`start(name, settings, simulator)` starts Carillon with settings and the address of its simulator."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    receiver, simulator = Receiver(), f"127.0.0.1:{free_port()}"
    common = {"SIMULATOR__RECEIPTS_AFTER": "100ms", "PROVIDERS__MAILS__FROM": "Shop <shop@example.com>",
              "PROVIDERS__MAILS__BASE_URL": f"http://{simulator}"}
    settings = common | {
        "SIMULATOR__SENDGRID_WEBHOOK_URL": receiver.url,
        "PROVIDERS__MAILS__KIND": "sendgrid", "PROVIDERS__MAILS__API_KEY": "SG.simulator-api-key",
        "PROVIDERS__MAILS__WEBHOOK_KEY": public_key_of(key),
        "PROVIDERS__TEXTS__KIND": "twilio", "PROVIDERS__TEXTS__ACCOUNT_SID": "AC00000000000000000000000000000000",
        "PROVIDERS__TEXTS__AUTH_TOKEN": TOKEN, "PROVIDERS__TEXTS__FROM": '"+15550001111"',
        "PROVIDERS__TEXTS__BASE_URL": f"http://{simulator}", "PROVIDERS__TEXTS__CALLBACK_URL": receiver.url,
    }
    with start("receipts", settings, simulator) as carillon:
        check_twilio(carillon, receiver, require)
        check_sendgrid(carillon, receiver, require, key)

    receiver, simulator = Receiver(), f"127.0.0.1:{free_port()}"
    settings = common | {
        "PROVIDERS__MAILS__BASE_URL": f"http://{simulator}", "PROVIDERS__MAILS__SNS_ENDPOINT": f"http://{simulator}",
        "PROVIDERS__MAILS__KIND": "ses", "PROVIDERS__MAILS__REGION": "eu-central-1",
        "PROVIDERS__MAILS__ACCESS_KEY_ID": "AKIASIMULATOR0000000",
        "PROVIDERS__MAILS__SECRET_ACCESS_KEY": "simulator-secret-access-key",
        "PROVIDERS__MAILS__CONFIGURATION_SET": "receipts", "PROVIDERS__MAILS__RECEIPTS_TOPIC": TOPIC,
        "SIMULATOR__SNS_SUBSCRIBER_URL": receiver.url, "SIMULATOR__SNS_SIGNATURE_VERSION": "1",
    }
    with start("sns", settings, simulator) as carillon:
        check_sns(carillon, receiver, require, f"http://{simulator}")
