"""The compose project of the repository's root: its containers, and whether they are ready."""

import json
import os
import shutil
import signal
import time

import shop
from shell import Failed, require, run, until

WORKERS = ("worker-push", "worker-email", "worker-sms", "worker-webhook")
ROLES = ("gateway", "router", *WORKERS, "templates", "tracker", "scheduler")
STORES = ("kafka", "postgres", "redis")
# The services that serve /healthz, /readyz and /metrics.
SERVING = (*ROLES, "simulator")
# Bounds of waits, in seconds. They end a check that is stuck; a slow machine stays far below.
READY = 240
PROGRESS = 180


# Prefixes of the metrics that show the waiting records and the reasons.
TELLING = (
    "carillon_consumer_lag", "carillon_consumer_stuck_seconds", "carillon_queue_age_seconds", "carillon_bus_rejoins_total",
    "carillon_bus_poll_errors_total", "carillon_bus_dropped_total", "carillon_provider_",
)


def is_telling(line):
    """Whether a line of /metrics has one of these metrics with a value other than 0."""
    return line.startswith(TELLING) and line.rsplit(" ", 1)[-1] not in ("0", "0.0")


class Container:
    """A container as `docker inspect` shows it."""

    def __init__(self, seen):
        self.id, state = seen["Id"], seen["State"]
        self.service = seen["Config"]["Labels"]["com.docker.compose.service"]
        self.pid, self.status = state["Pid"], state["Status"]
        self.restarts = seen["RestartCount"]
        self.probe = (seen["Config"].get("Healthcheck") or {}).get("Test")
        self.host = seen["HostConfig"]
        networks = seen["NetworkSettings"]["Networks"]
        self.address = next((network["IPAddress"] for network in networks.values()), "")

    def url(self, path, port=8080):
        return f"http://{self.address}:{port}{path}"


class Project:
    def __init__(self, engine, root):
        self.engine, self.root = engine, root
        self.key = None
        self.certificates = None

    def override(self, name):
        """Adds an override to every command, the README's included, as a user does with COMPOSE_FILE."""
        if name == "tls":
            folder = self.root / "deploy/compose/certificates"
            if not folder.exists():
                self.certificates = folder
            run(str(self.root / "deploy/compose/make-certificates"), str(folder))
        self.engine.env["COMPOSE_FILE"] = f"docker-compose.yml:deploy/compose/{name}.yml"

    def clean(self):
        """Removes the certificates that were made for this run."""
        if self.certificates:
            shutil.rmtree(self.certificates, ignore_errors=True)

    def compose(self, *arguments, **options):
        return self.engine.docker("compose", *arguments, cwd=self.root, **options)

    def containers(self, *services):
        """Containers of these services, running or not; without names, of all that should be running."""
        filters = ["--filter", "label=com.docker.compose.project=carillon", "--filter", "label=com.docker.compose.oneoff=False"]
        found = self.engine.inspect(*self.engine.docker("ps", "--all", "--quiet", *filters).split())
        wanted = services or (*SERVING, *STORES)
        return sorted((c for c in map(Container, found) if c.service in wanted), key=lambda c: wanted.index(c.service))

    def is_ready(self, container):
        """Asks the container itself, since Docker's own probes come every few seconds: /readyz of a role, the command of
        the health check of a store."""
        if container.status != "running" or not container.address:
            return False
        if container.service in SERVING:
            try:
                return shop.ask("GET", container.url("/readyz"), timeout=5)[0] == 200
            except (OSError, ValueError):
                return False
        require(container.probe and container.probe[0] == "CMD", f"{container.service} has no health check")
        try:
            self.engine.docker("exec", container.id, *container.probe[1:], timeout=30)
        except Failed:
            return False
        return True

    def unready(self, *services):
        return [(c.service, c.status) for c in self.containers(*services) if not self.is_ready(c)]

    def settle(self, *services):
        """Waits until every container of these services, or of all, is ready."""
        until("every container is ready", READY, lambda: not self.unready(*services), lambda: self.unready(*services))

    def restart(self, container):
        self.engine.docker("restart", "-t", "30", container.id)
        self.settle(container.service)

    def work(self, service):
        """Waits until the service has done work from now on: a worker has sent on its channel; for other services,
        messages have ended."""
        channel = f"&channel={service.removeprefix('worker-')}" if service in WORKERS else ""

        def newest():
            return shop.asked(f"{shop.GATEWAY}/v1/deliveries?status=sent&limit=1{channel}", self.key)["items"]

        before = newest()
        until(f"{service} works", READY, lambda: newest() != before)

    def kill(self, container):
        """SIGKILL from outside. Docker does not restart a container that was killed by its own command."""
        (before,) = [c for c in self.containers(container.service) if c.id == container.id]
        os.kill(before.pid, signal.SIGKILL)

        def is_back():
            return any(c.id == container.id and c.pid not in (0, before.pid) for c in self.containers(container.service))

        until(f"{container.service} is started again", READY, is_back)
        self.settle(container.service)

    def logged(self, service, since):
        """Lines that a service's containers logged since a time (`time.time()`)."""
        return self.compose("logs", "--no-color", "--no-log-prefix", "--since", f"{since:.0f}", service).splitlines()

    def evidence(self):
        """The readiness of each role and its metrics that show where records wait, for a check without progress."""
        lines = []
        for container in self.containers(*ROLES):
            for path, chosen in (("/readyz", lambda line: True), ("/metrics", is_telling)):
                try:
                    _, answer = shop.ask("GET", container.url(path), timeout=5)
                except (OSError, ValueError) as error:
                    answer = str(error)
                text = answer if isinstance(answer, str) else json.dumps(answer)
                lines += [f"  {container.service}: {line}" for line in text.splitlines() if chosen(line)]
        return "\n".join(lines)

    def wait_for(self, load):
        """Waits until every delivery has ended and the books balance, for as long as there is progress, and requires that
        each acknowledged event has become three messages that ended."""
        seen, since = None, time.monotonic()
        while True:
            stats = shop.stats(self.key)
            rest = stats["events_difference"], stats["deliveries_difference"], stats["pending"]
            if rest == (0, 0, 0):
                break
            if stats != seen:
                seen, since = stats, time.monotonic()
            if time.monotonic() - since >= PROGRESS:
                raise Failed(f"no progress for {PROGRESS} s: {stats}\n{self.evidence()}")
            time.sleep(0.5)
        load.check(self.key)
