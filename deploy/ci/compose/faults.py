"""What docker-compose.yml promises while containers fail."""

import json
import time

import shop
from checks import newest
from project import ROLES, SERVING, STORES
from shell import require, say, until

# The longest that a post waits for a broker that is away, in seconds.
REFUSAL = 10
# Renders templates from the database alone.
WITHOUT_BROKER = {"templates"}
# Lines that one role may log while its broker is away: some at once, then these per second.
LINES_AT_ONCE, LINES_PER_SECOND = 60, 5


def check_faults(project):
    """Each container is restarted and killed in turn under load: nothing is lost, and doubled messages are marked."""
    shop.put_users(project.key)
    shop.delay_answers(400)
    load = shop.Load(project.key, "faults")
    load.start()
    for service in (*SERVING, *STORES):
        began = time.monotonic()
        for container in project.containers(service):
            project.restart(container)
            # In the middle of its work. The load has no webhooks.
            if service != "worker-webhook":
                project.work(service)
            project.kill(container)
        say(f"  {service}: restarted and killed in {time.monotonic() - began:.1f} s")
    project.settle()
    project.wait_for(load.finish())
    doubles = shop.check_doubles(project.key)
    require(doubles, "no message went out twice: the workers were killed while they had none in flight")
    say(f"  {len(load.acknowledged)} events, {load.refused} posts repeated, {doubles} doubles, each `uncertain`")


def check_broker_away(project):
    """Without its broker the gateway answers 503 within seconds, no role floods its log, and all recovers afterwards."""
    (kafka,) = project.containers("kafka")
    since = time.time()
    project.engine.docker("stop", kafka.id)
    began = time.monotonic()
    status, _ = shop.ask("POST", f"{shop.GATEWAY}/v1/events", project.key, shop.event("broker-away"), timeout=90)
    took = time.monotonic() - began
    require(status == 503, f"a post without the broker is answered {status}")
    require(took < REFUSAL, f"a post without the broker is answered after {took:.1f} s")
    dependent = [role for role in ROLES if role not in WITHOUT_BROKER]
    until("every role says that it is not ready", 60, lambda: len(project.unready(*dependent)) == len(dependent), lambda: project.unready(*dependent))
    seconds = time.time() - since
    for role in ROLES:
        lines = len(project.logged(role, since))
        require(lines <= LINES_AT_ONCE + LINES_PER_SECOND * seconds, f"{role} logged {lines} lines in {seconds:.0f} s without its broker")
    project.engine.docker("start", kafka.id)
    project.settle()
    load = shop.Load(project.key, "healed")
    load.post("broker-away")
    project.wait_for(load)
    say(f"  503 after {took:.1f} s")


def check_postgres_late(project):
    """After a power failure every container starts at once and PostgreSQL last: the roles wait, and no data is lost."""
    before = newest(project)
    containers = project.containers()
    project.engine.docker("kill", *(c.id for c in containers))
    # As the engine does at a boot: it knows no `depends_on`.
    project.engine.docker("start", *(c.id for c in containers if c.service != "postgres"))
    until("every role has missed PostgreSQL", 120, lambda: missed(project), lambda: [(c.service, c.status, c.restarts) for c in project.containers(*ROLES)])
    project.engine.docker("start", *(c.id for c in containers if c.service == "postgres"))
    project.settle()
    require(newest(project) == before, "the newest deliveries changed over a power failure")


def missed(project):
    """Whether each role has ended at least once because it had no database, or waits for it."""
    return all(c.restarts > 0 or not project.is_ready(c) for c in project.containers(*ROLES)) and any(
        c.restarts > 0 for c in project.containers(*ROLES)
    )


def check_logs(project):
    """Every line that a role has logged, its last words included, is one JSON object."""
    last_words = 0
    for service in SERVING:
        for line in project.logged(service, 0):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            require(isinstance(entry, dict) and "level" in entry, f"{service} logs a line that is no JSON: {line[:300]}")
            last_words += entry["level"] == "ERROR" and entry["fields"].get("message") == "carillon ends"
    require(last_words, "no role has said why it ended for want of PostgreSQL")


def check_upgrade(project):
    """`up --build` with a newer binary, under load: roles of both releases work on the newer schema."""
    load = shop.Load(project.key, "upgrade")
    load.start()
    project.build_next()
    before = {c.id for c in project.containers(*ROLES)}
    project.compose("up", "--build", "--detach", "--wait", timeout=900)
    require(not before & {c.id for c in project.containers(*ROLES)}, "containers of the former release still run")
    project.wait_for(load.finish())
    shop.check_doubles(project.key)
