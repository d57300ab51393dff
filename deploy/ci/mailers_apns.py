"""APNs against an HTTP/2 server of another stack: `h2` from PyPI, over Python's TLS. The server bounds the streams of a connection, answers
late so that streams overlap, and says GOAWAY in the middle; every push has to be answered exactly once."""

import base64
import datetime
import json
import socket
import ssl
import threading
import time

from mailers_webhooks import put

PACKAGES = ["h2==4.3.0"]
PATIENCE = 60  # seconds
STREAMS = 4
DEVICES = 40
TOPIC, TEAM, KEY_ID = "dev.carillon.shop", "CHECKTEAM1", "CHECKKEY01"


def identity(folder):
    """A certificate for localhost that is its own authority, and the key of provider tokens, as PEM files; and that key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def pem(key):
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    key, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, issuer, public, by, is_authority):
        named = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
        made = x509.CertificateBuilder(named[1], named[0], public, x509.random_serial_number(),
                                       now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        if not is_authority:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return made.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority = ec.generate_private_key(ec.SECP256R1())
    files = {"authority": certificate("check", "check", authority.public_key(), authority, True),
             "certificate": certificate("localhost", "check", key.public_key(), authority, False),
             "key": pem(key), "signer": pem(signer)}
    for name, text in files.items():
        (folder / f"{name}.pem").write_bytes(text)
    return signer


class Apns:
    """The server."""

    def __init__(self, folder, signer):
        self.signer = signer.public_key()
        self.lock = threading.Lock()
        self.answered, self.tokens, self.faults, self.most = [], set(), [], 0
        self.connections = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        context.set_alpn_protocols(["h2"])
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            plain, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def serve(self, plain):
        try:
            self.talk(self.context.wrap_socket(plain, server_side=True))
        except (OSError, ssl.SSLError):
            pass  # the client has gone
        except Exception as error:  # h2's errors are faults of the client
            self.fault(f"{type(error).__name__}: {error}")

    def talk(self, link):
        import h2.config
        import h2.connection
        import h2.events
        import h2.settings

        if link.selected_alpn_protocol() != "h2":
            self.fault(f"the protocol is {link.selected_alpn_protocol()}")
        with self.lock:
            self.connections += 1
            is_first = self.connections == 1
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 65536,
        })
        conn.initiate_connection()
        link.sendall(conn.data_to_send())
        requests, waiting, count, last = {}, [], 0, 0
        # The server answers once no request has come for a while, so the client's streams overlap.
        link.settimeout(0.1)
        while True:
            try:
                data = link.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                for stream in waiting:
                    self.answer(conn, stream, *requests.pop(stream))
                    last = max(last, stream)
                count += len(waiting)
                waiting = []
                if is_first and count >= DEVICES // 3:
                    # Requests that the client has sent meanwhile are not handled. It has to repeat them on another connection.
                    conn.close_connection(0, b'{"reason":"Shutdown"}', last)
                    link.sendall(conn.data_to_send())
                    link.settimeout(5)
                    while link.recv(65536):
                        pass
                    return
                link.sendall(conn.data_to_send())
                continue
            if not data:
                return
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    requests[event.stream_id] = (dict(event.headers), bytearray())
                elif isinstance(event, h2.events.DataReceived):
                    requests[event.stream_id][1].extend(event.data)
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    waiting.append(event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    requests.pop(event.stream_id, None)
                    self.fault(f"stream {event.stream_id} was reset by {event.error_code}")
            with self.lock:
                self.most = max(self.most, len(requests))
            link.sendall(conn.data_to_send())

    def answer(self, conn, stream, headers, body):
        wrong = self.mistakes(headers, bytes(body))
        with self.lock:
            self.faults += wrong
            self.tokens.add(headers.get("authorization"))
            self.answered.append(headers[":path"].removeprefix("/3/device/"))
        conn.send_headers(stream, [(":status", "200"), ("apns-id", headers.get("apns-id", ""))], end_stream=True)

    def mistakes(self, headers, body):
        """The faults of a request, by Apple's documentation."""
        wrong = [f"{name} is {headers.get(name)!r}" for name, expected in
                 ((":method", "POST"), (":scheme", "https"), ("apns-topic", TOPIC), ("apns-push-type", "alert"))
                 if headers.get(name) != expected]
        if headers.get(":authority") != f"localhost:{self.port}":
            wrong.append(f":authority is {headers.get(':authority')!r}")
        if headers.get("apns-priority") not in ("5", "10"):
            wrong.append(f"apns-priority is {headers.get('apns-priority')!r}")
        if len(headers.get("apns-id", "")) != 36 or len(headers.get("apns-collapse-id", "")) > 64:
            wrong.append(f"the ids are {headers}")
        alert = json.loads(body).get("aps", {}).get("alert")
        if len(body) > 4096 or not alert:
            wrong.append(f"the payload is {body[:200]!r}")
        try:
            self.verify(headers["authorization"])
        except Exception as error:
            wrong.append(f"the provider token does not verify: {type(error).__name__} {error}")
        return wrong

    def verify(self, authorization):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        kind, _, token = authorization.partition(" ")
        head, claims, signature = token.split(".")

        def decoded(part):
            return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

        raw = decoded(signature)
        numbers = [int.from_bytes(half, "big") for half in (raw[:32], raw[32:])]
        self.signer.verify(utils.encode_dss_signature(*numbers), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        head, claims = json.loads(decoded(head)), json.loads(decoded(claims))
        age = time.time() - claims["iat"]
        if (kind.lower(), head["alg"], head["kid"], claims["iss"]) != ("bearer", "ES256", KEY_ID, TEAM) or not 0 <= age < 3600:
            raise ValueError(f"{kind} {head} {claims}, {age:.0f} s old")


def check(start, require, folder):
    folder = folder / "apns-identity"
    folder.mkdir()
    apns = Apns(folder, identity(folder))
    settings = {"PROVIDERS__APNS__KIND": "apns", "PROVIDERS__APNS__TEAM_ID": TEAM, "PROVIDERS__APNS__KEY_ID": KEY_ID,
                "PROVIDERS__APNS__KEY_PATH": str(folder / "signer.pem"), "PROVIDERS__APNS__TOPIC": TOPIC,
                "PROVIDERS__APNS__BASE_URL": f"https://localhost:{apns.port}",
                "PROVIDERS__APNS__ROOT_CERTIFICATES_PATH": str(folder / "authority.pem"),
                "PROVIDERS__APNS__MAX_CONNECTIONS": "1"}
    devices = [f"{number:064x}" for number in range(1, DEVICES + 1)]
    with start("apns", settings, "127.0.0.1:0") as carillon:
        for number, device in enumerate(devices):
            put(carillon, f"/v1/users/phone-{number}", {"devices": [{"platform": "ios", "token": device}]})
        events = [{"id": f"push-{number}", "source": "/check", "type": "OrderShipped", "channels": ["push"],
                   "recipients": [{"user_id": f"phone-{number}"}], "data": {"order_id": str(number), "carrier": "DHL"}}
                  for number in range(DEVICES)]
        carillon.call("/v1/events", events)
        end, states = time.monotonic() + PATIENCE, []
        while time.monotonic() < end:
            states = [delivery["status"] for delivery in carillon.call("/v1/deliveries?limit=500")["items"]]
            if len(states) == DEVICES and set(states) == {"sent"}:
                break
            time.sleep(0.1)
        require(states == ["sent"] * DEVICES, f"the pushes to the h2 server are {states}; {apns.faults[:3]}")
    with apns.lock:
        require(not apns.faults, f"the h2 server complains: {apns.faults[:3]}")
        require(sorted(apns.answered) == devices, f"{len(apns.answered)} pushes were answered, of {len(set(apns.answered))} devices")
        require(apns.connections >= 2, f"{apns.connections} connections, although the first one ended with GOAWAY")
        require(1 < apns.most <= STREAMS, f"{apns.most} streams at a time, and {STREAMS} are allowed")
        require(len(apns.tokens) == 1, f"{len(apns.tokens)} provider tokens of one team")
