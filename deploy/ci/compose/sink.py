"""An OTLP/HTTP sink that keeps the received spans: POST /v1/traces takes them, GET /spans shows them as JSON."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 4318
# The newest spans that are kept.
KEPT = 50_000
spans = []


def fields(data):
    """The fields of a protobuf message: (number, value), where a value is an integer or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif kind == 5:
            value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def every(data, number):
    return [value for found, value in fields(data) if found == number]


def text(data, number):
    return next((value.decode() for value in every(data, number)), "")


def attributes(data, number):
    """KeyValue: key = 1, value = 2; AnyValue: string_value = 1. Other values stand as empty texts."""
    pairs = every(data, number)
    return {text(pair, 1): next((text(value, 1) for value in every(pair, 2)), "") for pair in pairs}


def decode(body):
    """The spans of an ExportTraceServiceRequest (opentelemetry/proto/trace/v1/trace.proto)."""
    found = []
    for resource_spans in every(body, 1):
        resource = next(iter(every(resource_spans, 1)), b"")
        service = attributes(resource, 1).get("service.name", "")
        for scope_spans in every(resource_spans, 2):
            for span in every(scope_spans, 2):
                events = [{"name": text(event, 2), "attributes": attributes(event, 3)} for event in every(span, 11)]
                trace = next(iter(every(span, 1)), b"").hex()
                found.append({"service": service, "trace": trace, "name": text(span, 5), "attributes": attributes(span, 9), "events": events})
    return found


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            if self.path != "/v1/traces":
                raise ValueError(self.path)
            spans.extend(decode(body))
            del spans[:-KEPT]
            self.answer(200, b"", "application/x-protobuf")
        except (ValueError, IndexError) as error:
            self.answer(400, str(error).encode(), "text/plain")

    def do_GET(self):
        self.answer(200, json.dumps(spans).encode(), "application/json")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
