"""What docker-compose.yml promises, check by check. Each takes the project and raises `Failed` where it does not hold."""

import json
import os
import signal
import subprocess
import time

import readme
import shop
from shell import Failed, require, say, until

HEADING = "Run it on Kafka, PostgreSQL and Redis"
WORKERS = ("worker-push", "worker-email", "worker-sms")
ROLES = ("gateway", "router", *WORKERS, "templates", "tracker")
STORES = ("kafka", "postgres", "redis")
# Services that end when their work is done.
ONCE = ("secrets", "setup")


class Project:
    """The compose project of the repository's root."""

    def __init__(self, engine, root):
        self.engine, self.root = engine, root
        self.key = None

    def compose(self, *arguments, **options):
        return self.engine.docker("compose", *arguments, cwd=self.root, **options)

    def containers(self, service, everything=False):
        return self.compose("ps", "--quiet", *(["--all"] if everything else []), service).split()

    def unwell(self):
        """The services that should run and do not, or are not healthy."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        found = [(c["Service"], c["State"], c["Health"]) for c in map(json.loads, lines)]
        return [f for f in found if f[0] not in ONCE and (f[1] != "running" or f[2] not in ("healthy", ""))]

    def settle(self):
        until("every container is healthy", 180, lambda: not self.unwell(), self.unwell)
        until("the gateway is ready", 60, lambda: shop.ask("GET", f"{shop.GATEWAY}/readyz")[0] == 200)

    def pid(self, container):
        """The container's first process; 0 if it does not run."""
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", container))

    def readiness(self, role):
        """What the role says of its parts."""
        return self.compose("exec", "-T", role, "curl", "--silent", "http://127.0.0.1:8080/readyz", check=False)

    def volumes(self):
        return self.engine.docker("volume", "ls", "--quiet").split()


def check_readme(project):
    """The README's block starts it and delivers three messages, word for word, in one shell."""
    commands = readme.commands((project.root / "README.md").read_text(), HEADING)
    script = "set -euo pipefail\n" + "".join(f"{command}\nprintf '\\n@@@\\n'\n" for command in commands) + 'echo "$CARILLON_API_KEY"\n'
    done = subprocess.run(["bash", "-c", script], cwd=project.root, env=project.engine.env, text=True, capture_output=True, timeout=900)
    require(done.returncode == 0, f"the README's commands end with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    outputs = done.stdout.split("@@@\n")
    project.key = outputs.pop().strip()
    require(project.key, "the README's commands leave no CARILLON_API_KEY")
    for command, output in zip(commands, outputs):
        # A build says more than anybody reads.
        say("\n".join([f"  $ {command.splitlines()[0]}", *output.strip().splitlines()[-12:]]))
    posted = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"event_id"')]
    require(posted and posted[0]["status"] == "accepted", "the README posts no event that is accepted")
    event_id = posted[0]["event_id"]
    deliveries = until("three messages are sent", 60, lambda: shop.delivered(project.key, event_id))
    require({d["status"] for d in deliveries} == {"sent"}, f"not all are sent: {deliveries}")
    _, received = shop.ask("GET", f"{shop.SIMULATOR}/v1/messages")
    ids = {message["delivery_id"] for message in received["items"]}
    require({d["id"] for d in deliveries} <= ids, "a message reached the simulator without its delivery id")


def newest(project):
    """The newest deliveries, as the API shows them."""
    status, answer = shop.ask("GET", f"{shop.GATEWAY}/v1/deliveries?limit=20", project.key)
    require(status == 200 and answer["items"], f"/v1/deliveries: {status} {answer}")
    return answer


def check_health(project):
    """Every role serves /healthz, /readyz and /metrics, and runs with bounded logs, processes and privileges."""
    for service in (*ROLES, "simulator"):
        for path in ("healthz", "readyz", "metrics"):
            project.compose("exec", "-T", service, "curl", "--fail", "--silent", "--output", "/dev/null", f"http://127.0.0.1:8080/{path}")
    for service in (*ROLES, *STORES, "simulator"):
        for settings in json.loads(project.engine.docker("inspect", *project.containers(service))):
            host = settings["HostConfig"]
            require(host["LogConfig"]["Config"].get("max-size"), f"{service}: its logs are not bounded")
            require(host["PidsLimit"], f"{service}: its processes are not bounded")
            require("no-new-privileges:true" in (host["SecurityOpt"] or []), f"{service}: it may gain privileges")


def check_secrets(project):
    """Each container sees its own audience's secrets only."""
    def files(service, folder):
        return set(project.compose("exec", "-T", service, "sh", "-c", f"ls {folder} 2>/dev/null || true").split())

    require(files("postgres", "/run/postgres") == {"password"}, "PostgreSQL sees other secrets than its own")
    require(files("simulator", "/run/simulator") == {"fcm_public_key.pem", "twilio_auth_token"}, "the simulator's secrets")
    for service in ("gateway", "router", "tracker", "templates"):
        require(not files(service, "/run/providers"), f"{service} sees the providers' accounts")
    for service in ("postgres", "simulator", "redis", "kafka"):
        require(not files(service, "/run/carillon"), f"{service} sees Carillon's secrets")


def check_doctor(project):
    """`doctor` finds nothing wrong."""
    findings = json.loads(project.compose("run", "--rm", "-T", "cli", "doctor", "--json"))
    wrong = [finding for finding in findings if not finding["ok"]]
    require(not wrong, f"doctor: {wrong}")


def check_scale(project):
    """The routers and e-mail workers that the README's last command adds share the load."""
    counts = [len(project.containers(service)) for service in ("router", "worker-email")]
    require(counts == [2, 3], f"expected 2 routers and 3 e-mail workers, not {counts}")
    load = shop.Load(project.key, "scale")
    load.start()
    time.sleep(5)
    acknowledged = load.finish()
    wait_for(project, acknowledged)
    project.compose("up", "--detach", "--wait")


def wait_for(project, acknowledged):
    """Waits for every acknowledged event, in order: that one has ended says that those before have had the time to."""
    for event in acknowledged:
        try:
            until(f"{event} ends", 120, lambda event=event: shop.delivered(project.key, event))
        except Failed as error:
            state = shop.ask("GET", f"{shop.GATEWAY}/v1/events/{event}", project.key)
            ready = {role: project.readiness(role) for role in ROLES}
            raise Failed(f"{error}, of {len(acknowledged)} acknowledged events: {state}; {ready}") from None
    shop.balanced(project.key)


def check_faults(project):
    """Each container is restarted and killed in turn under load: nothing is lost, and what went out twice says so."""
    load = shop.Load(project.key, "faults")
    load.start()
    for service in (*ROLES, "simulator", *STORES):
        say(f"  {service}: restart, then SIGKILL")
        project.compose("restart", "--timeout", "20", service)
        project.settle()
        for container in project.containers(service):
            # Docker takes a kill by its own command for the user's wish, and does not restart the container.
            killed = project.pid(container)
            os.kill(killed, signal.SIGKILL)
            until(f"{service} is started again", 120, lambda: project.pid(container) not in (0, killed))
        project.settle()
    acknowledged = load.finish()
    wait_for(project, acknowledged)
    doubles = shop.check_doubles(project.key)
    say(f"  {len(acknowledged)} events, {load.refused} posts repeated, {doubles} doubles, each `uncertain`")


def check_broker_away(project):
    """Without its broker the gateway answers 503 within seconds, and all heals when the broker is back."""
    project.compose("stop", "kafka")
    began = time.monotonic()
    status, _ = shop.ask("POST", f"{shop.GATEWAY}/v1/events", project.key, shop.event("broker-away"), timeout=60)
    took = time.monotonic() - began
    require(status == 503, f"a post without the broker is answered {status}")
    require(took < 10, f"a post without the broker is answered after {took:.1f} s")
    project.compose("start", "kafka")
    project.settle()
    load = shop.Load(project.key, "healed")
    load.post("broker-away")
    wait_for(project, load.acknowledged)


def check_postgres_late(project):
    """After a reboot every container starts at once and PostgreSQL last: the roles wait for it, and keep what they had."""
    before = newest(project)
    project.compose("stop", timeout=300)
    # As the engine does at a boot: it knows no `depends_on`.
    for service in (*ROLES, "simulator", "kafka", "redis"):
        project.engine.docker("start", *project.containers(service, everything=True))
    time.sleep(20)
    project.compose("start", "postgres")
    project.settle()
    require(newest(project) == before, "the newest deliveries changed over a stop")


def check_down_and_up(project):
    """`down` and `up` keep everything, and leave no nameless volume."""
    before = newest(project)
    project.compose("down", timeout=300)
    nameless = [volume for volume in project.volumes() if not volume.startswith("carillon_")]
    require(not nameless, f"`down` leaves nameless volumes: {nameless}")
    project.compose("up", "--detach", "--wait")
    require(newest(project) == before, "the newest deliveries changed over down and up")


def check_alerts(project):
    """Prometheus reaches every role, and no alert fires at rest."""
    project.compose("--profile", "observability", "up", "--detach", "prometheus")

    def targets():
        _, answer = shop.ask("GET", "http://127.0.0.1:9090/api/v1/targets?state=active")
        found = {target["labels"].get("role"): target["health"] for target in answer["data"]["activeTargets"]}
        return set(found) >= {*ROLES, "simulator"} and set(found.values()) == {"up"}

    until("Prometheus reaches every role", 90, targets)
    # Two evaluations, and the shortest `for`.
    time.sleep(75)
    _, answer = shop.ask("GET", "http://127.0.0.1:9090/api/v1/alerts")
    firing = [alert["labels"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"]
    require(not firing, f"alerts fire at rest: {firing}")


CHECKS = [
    check_readme, check_health, check_secrets, check_doctor, check_scale, check_faults, check_broker_away,
    check_postgres_late, check_down_and_up, check_alerts,
]
NAMES = {check.__name__.removeprefix("check_").replace("_", "-"): check for check in CHECKS}
