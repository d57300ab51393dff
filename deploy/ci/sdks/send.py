"""Sends events.json with the CloudEvents SDK for Python: over HTTP, or to Kafka with confluent-kafka.

Usage: send.py http|kafka; the rest stands in the environment (see check.py).
"""

import json
import os
import sys
import urllib.request

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

FORMAT = JSONFormat()


def events(transport, mode):
    with open(os.environ["EVENTS"], encoding="utf-8") as file:
        for event in json.load(file):
            attributes = {
                "id": f"python {transport} {mode} {event['id']}",
                "source": f"/sdk/python/{os.environ['RUN']}",
                "type": os.environ["EVENT_TYPE"],
                "recipient": os.environ["RECIPIENT"],
                "datacontenttype": "application/json",
            }
            if "subject" in event:
                attributes["subject"] = event["subject"]
            data = event["data"]
            if event.get("bytes"):
                data = json.dumps(data, ensure_ascii=False).encode()
            yield CloudEvent(attributes, data)


def post(headers, body):
    headers = {**headers, "authorization": f"Bearer {os.environ['KEY']}"}
    request = urllib.request.Request(f"{os.environ['URL']}/v1/events", body, headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202, answer.status


def over_http():
    for mode, serialise in [("structured", http.to_structured_event), ("binary", http.to_binary_event)]:
        for event in events("http", mode):
            message = serialise(event)
            post(message.headers, message.body)
    batch = b",".join(FORMAT.write(event) for event in events("http", "batch"))
    post({"content-type": "application/cloudevents-batch+json"}, b"[" + batch + b"]")


def to_kafka():
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": os.environ["BROKERS"], "compression.type": "zstd"})
    failures = []
    for mode, serialise in [("structured", kafka.to_structured_event), ("binary", kafka.to_binary_event)]:
        for event in events("kafka", mode):
            message = serialise(event)
            producer.produce(
                os.environ["TOPIC"],
                key=message.key,
                value=message.value,
                headers=list(message.headers.items()),
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
    assert producer.flush(30) == 0 and not failures, failures


{"http": over_http, "kafka": to_kafka}[sys.argv[1]]()
