"""What the overrides of deploy/compose promise. Each check runs after the README's block, which has started the installation
with the override."""

import socket
import ssl
import struct

import shop
from project import STORES
from shell import Failed, require, say, until

BROKERS = ("kafka", "kafka-2", "kafka-3")


def check_tls(project):
    """Each store shows a certificate of the authority for its name, and refuses connections without TLS."""
    authority = str(project.root / "deploy/compose/certificates/ca.crt")
    for container in project.containers(*STORES):
        name = container.service
        port = {"postgres": 5432, "redis": 6379, "kafka": 9092}[name]
        with socket.create_connection((container.address, port), 10) as plain:
            if name == "postgres":
                # SSLRequest, which is answered by one byte before the handshake.
                plain.sendall(struct.pack("!II", 8, 80877103))
                require(plain.recv(1) == b"S", "postgres offers no TLS")
            with ssl.create_default_context(cafile=authority).wrap_socket(plain, server_hostname=name) as secured:
                say(f"  {name}: {secured.version()}")
    refused = {
        "postgres": ["psql", "host=postgres user=carillon dbname=carillon password=x sslmode=disable", "-c", "SELECT 1"],
        "redis": ["redis-cli", "-h", "redis", "ping"],
    }
    for name, command in refused.items():
        (container,) = project.containers(name)
        try:
            said = project.engine.docker("exec", container.id, *command, timeout=30)
        except Failed as error:
            said = str(error)
        # redis-cli ends with 0 after an error.
        require("PONG" not in said and "(1 row)" not in said, f"{name} takes a connection without TLS: {said}")
        say(f"  {name} without TLS: {said.strip().splitlines()[-1]}")
    (kafka,) = project.containers("kafka")
    with socket.create_connection((kafka.address, 9092), 10) as plain:
        # ApiVersions, version 0: size, key, version, correlation, client id.
        plain.sendall(struct.pack("!IHHIh", 10, 18, 0, 7, -1))
        plain.settimeout(10)
        try:
            answer = plain.recv(8)
        except OSError:
            answer = b""
        require(struct.pack("!I", 7) not in answer, "kafka answers a request without TLS")
    shop.put_users(project.key)
    project.wait_for(shop.Load(project.key, "tls").send(50))


def check_three_brokers(project):
    """Each topic is on three brokers. With one stopped, posts wait briefly; with two, they are answered 503; nothing is lost."""
    shop.put_users(project.key)
    brokers = {container.service: container for container in project.containers(*BROKERS)}
    require(len(brokers) == 3, f"expected three brokers, found {sorted(brokers)}")
    load = shop.Load(project.key, "brokers")
    load.start()

    def accepted(count):
        enough = len(load.acknowledged) + count
        until(f"{count} more events are accepted", 90, lambda: len(load.acknowledged) >= enough)

    accepted(40)
    for name in ("kafka-3", "kafka-2"):
        project.engine.docker("stop", brokers[name].id, timeout=120)
        before = load.refused
        accepted(100)
        say(f"  {name} stopped: 100 events accepted, {load.refused - before} posts repeated")
        project.engine.docker("start", brokers[name].id)
        until(f"{name} is back", 90, lambda name=name: project.is_ready(project.containers(name)[0]))
    accepted(100)
    project.engine.docker("stop", brokers["kafka-2"].id, brokers["kafka-3"].id, timeout=120)
    status = until("a post is refused", 60, lambda: refusal(project))
    say(f"  two stopped: {status}")
    project.engine.docker("start", brokers["kafka-2"].id, brokers["kafka-3"].id)
    accepted(40)
    project.settle()
    project.wait_for(load.finish())
    say(f"  {len(load.acknowledged)} events, each with three messages; {load.refused} posts repeated")


def refusal(project):
    """The status of a refused post; `None` if the post is accepted."""
    status, _ = shop.ask("POST", f"{shop.GATEWAY}/v1/events", project.key, shop.event("two-brokers-stopped"), timeout=60)
    return status if status not in (200, 202) else None


CHECKS = {"tls": check_tls, "three-brokers": check_three_brokers}
