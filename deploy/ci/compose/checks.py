"""What docker-compose.yml promises while nothing fails. Each check takes the project and raises `Failed` where it does not
hold."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import readme
import shop
from project import ROLES, SERVING, STORES
from shell import require, say, until

HEADING = "Run it on Kafka, PostgreSQL and Redis"
MEGABYTE = 1_000_000
# The image without its binary: Debian's libraries, and the sample shop.
BASE_SIZE = 40 * MEGABYTE
# The user of the image, by number.
USER = "10001:10001"


def check_readme(project):
    """The README's block starts it and delivers three messages, word for word, in one shell, with the output it shows."""
    commands = readme.commands((project.root / "README.md").read_text(), HEADING)
    turn, give_turn = os.pipe()
    # After each command the script prints the present key, and waits until it may go on.
    after = f"""printf '\\n@@@%s\\n' "${{CARILLON_API_KEY:-}}"\nread -r -u {turn}\n"""
    script = "set -euo pipefail\n" + "".join(f"{command}\n{after}" for command, _ in commands)
    errors = project.engine.work / "readme.log"
    with open(errors, "w") as stderr:
        shell = subprocess.Popen(["bash", "-c", script], cwd=project.root, env=project.engine.env, text=True, pass_fds=[turn],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
    try:
        for command, shown in commands:
            output = ""
            while not (line := next_line(shell, command, errors)).startswith("@@@"):
                output += line
            project.key = line.strip().removeprefix("@@@")
            say("\n".join([f"  $ {command.splitlines()[0]}", *output.strip().splitlines()[-3:]]))
            if shown:
                expected, seen = readme.comparable(shown), readme.comparable(output)
                require(seen == expected, f"the README shows for `{command}`:\n{shown}\nand this comes:\n{output}")
            if output.startswith('{"event_id"'):
                # About the time for which a reader of the README looks at the answer.
                event_id = json.loads(output)["event_id"]
                deliveries = until("three messages are sent", 120, lambda: shop.ended_deliveries(project.key, event_id))
            os.write(give_turn, b"\n")
        require(shell.wait(30) == 0 and project.key, "the README's commands leave no CARILLON_API_KEY")
    finally:
        shell.kill()
        os.close(turn)
        os.close(give_turn)
    require({d["status"] for d in deliveries} == {"sent"}, f"not all are sent: {deliveries}")
    ids = {message["delivery_id"] for message in shop.listed(f"{shop.SIMULATOR}/v1/messages?limit=500")}
    require({d["id"] for d in deliveries} == ids, f"the simulator received the deliveries {ids}, not those of {deliveries}")


def next_line(shell, command, errors):
    line = shell.stdout.readline()
    require(line, f"the README's `{command}` fails:\n{errors.read_text()[-3000:]}")
    return line


def newest(project):
    """The newest deliveries, as the API shows them."""
    answer = shop.asked(f"{shop.GATEWAY}/v1/deliveries?limit=20", project.key)
    require(answer["items"], "there are no deliveries")
    return answer


def check_bounds(project):
    """Every container runs with bounded logs, processes and privileges, and every role serves its operations."""
    for container in project.containers():
        service, host = container.service, container.host
        require(host["LogConfig"]["Config"].get("max-size"), f"{service}: its logs are not bounded")
        require(host["PidsLimit"], f"{service}: its processes are not bounded")
        require("no-new-privileges:true" in (host["SecurityOpt"] or []), f"{service}: it may gain privileges")
        if service in SERVING:
            for path in ("/healthz", "/readyz", "/metrics"):
                shop.asked(container.url(path))


def check_image(project):
    """The image holds little besides the binary, and runs as an unprivileged user."""
    (image,) = project.engine.inspect("carillon:local")
    (gateway,) = project.containers("gateway")
    binary = (root_of(gateway) / "usr/local/bin/carillon").stat().st_size
    say(f"  {image['Size'] / MEGABYTE:.0f} MB, {binary / MEGABYTE:.0f} of them the binary")
    require(image["Size"] - binary <= BASE_SIZE, f"the image without its binary has {(image['Size'] - binary) / MEGABYTE:.0f} MB")
    require(image["Config"]["User"] == USER, f"the image's user is '{image['Config']['User']}'")


def root_of(container):
    """The container's file system as its processes see it. Carillon's image has no shell with which to look."""
    return Path(f"/proc/{container.pid}/root")


def check_secrets(project):
    """Each container sees its own audience's secrets only."""
    audiences = {
        "carillon": ("address_key", "database_url", "internal_token"),
        "providers": ("apns_authority.pem", "apns_key.p8", "fcm_service_account.json", "twilio_auth_token"),
        "simulator": ("apns_certificate.pem", "apns_certificate_key.pem", "apns_public_key.pem", "fcm_public_key.pem", "twilio_auth_token"),
        "postgres": ("password",),
    }
    sees = {service: ["carillon"] for service in ROLES}
    sees |= {service: ["carillon", "providers"] for service in ROLES if service.startswith("worker-")}
    sees |= {"simulator": ["simulator"], "postgres": ["postgres"], "redis": [], "kafka": []}
    for container in project.containers():
        run = root_of(container) / "run"
        found = {str(path.relative_to(run)) for audience in audiences for path in (run / audience).glob("*")}
        expected = {f"{audience}/{file}" for audience in sees[container.service] for file in audiences[audience]}
        if container.service == "gateway":
            # The gateway checks Twilio's receipts. The workers have all secrets of the providers; it has a volume with this one.
            expected.add("providers/twilio_auth_token")
        require(found == expected, f"{container.service} sees the secrets {sorted(found)}, expected {sorted(expected)}")


def check_cli(project):
    """`docker compose run --rm cli` alone is `doctor`, which finds nothing wrong; without a key, it says what is missing."""
    said = project.compose("run", "--rm", "cli")
    require("WRONG" not in said and len(re.findall("(is|are) configured", said)) == 4, f"`docker compose run --rm cli`:\n{said}")
    findings = json.loads(project.compose("run", "--rm", "-T", "cli", "doctor", "--json"))
    wrong = [finding for finding in findings if finding["ok"] is False]
    require(not wrong, f"doctor: {wrong}")
    refused = subprocess.run(["docker", "compose", "run", "--rm", "-T", "cli", "deliveries", "list"], cwd=project.root,
                             env=project.engine.env, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    require(refused.returncode != 0 and "CARILLON_API_KEY" in refused.stderr, f"`deliveries list` without a key says: {refused.stderr}")


def check_scale(project):
    """The routers and e-mail workers that the README's last command adds share the load."""
    counts = [len(project.containers(service)) for service in ("router", "worker-email")]
    require(counts == [2, 3], f"expected 2 routers and 3 e-mail workers, not {counts}")
    shop.put_users(project.key)
    project.wait_for(shop.Load(project.key, "scale", per_second=50).send(100))
    for service, metric in (("router", "carillon_events_routed_total"), ("worker-email", "carillon_deliveries_total")):
        worked = [metric in shop.asked(container.url("/metrics")) for container in project.containers(service)]
        require(sum(worked) > 1, f"one of {len(worked)} containers of {service} does all the work")
    project.compose("up", "--detach", "--wait")


def check_down_and_up(project):
    """`down` leaves no nameless volume, and `up` has everything again."""
    before = newest(project)
    project.compose("down", timeout=300)
    volumes = project.engine.docker("volume", "ls", "--quiet").split()
    nameless = [volume for volume in volumes if not volume.startswith("carillon_")]
    require(not nameless, f"`down` leaves nameless volumes: {nameless}")
    # As the head of docker-compose.yml says it, without Grafana, whose image cannot be made here.
    traced = {"CARILLON_TELEMETRY__OTLP_ENDPOINT": "http://otel-collector:4318", "CARILLON_TELEMETRY__TRACE_RATIO": "1"}
    project.compose("--profile", "observability", "up", "--detach", "prometheus", "otel-collector")
    project.compose("up", "--detach", "--wait", env=traced)
    require(newest(project) == before, "the newest deliveries changed over down and up")


def check_traces(project):
    """One trace leads from the gateway over the router, workers and templates to the tracker, under each role's name and without SQL."""
    load = shop.Load(project.key, "traced")
    load.post("traced")
    project.wait_for(load)
    (collector,) = project.containers("otel-collector")
    expected = {f"carillon-{role}" for role in ("gateway", "router", "worker-push", "worker-email", "worker-sms", "templates", "tracker")}

    def traces():
        found = {}
        for span in shop.asked(collector.url("/spans", 4318)):
            found.setdefault(span["trace"], set()).add(span["service"])
        return found

    until("a trace has spans of every role", 60, lambda: expected in traces().values(), lambda: [sorted(t) for t in traces().values()])
    spans = json.dumps(shop.asked(collector.url("/spans", 4318)))
    for foreign in ("SELECT ", "INSERT INTO", "sqlx", "hyper", "reqwest"):
        require(foreign not in spans, f"{foreign} is exported in a span")


def check_alerts(project):
    """Prometheus reaches every role, and at rest no alert is firing or pending."""
    api = "http://127.0.0.1:9090/api/v1"

    def targets():
        found = {t["labels"].get("role"): t["health"] for t in shop.asked(f"{api}/targets?state=active")["data"]["activeTargets"]}
        return set(found) >= set(SERVING) and set(found.values()) == {"up"}

    def raised():
        # A pending alert has met its condition, and fires when its time has passed.
        return {a["labels"]["alertname"]: a["state"] for a in shop.asked(f"{api}/alerts")["data"]["alerts"]}

    def evaluations():
        return [group["lastEvaluation"] for group in shop.asked(f"{api}/rules")["data"]["groups"]]

    until("Prometheus reaches every role", 120, targets)
    clean, deadline = 0, time.monotonic() + 240
    while clean < 2:
        last = max(evaluations())
        until("every rule is evaluated", 60, lambda last=last: min(evaluations()) > last)
        seen = raised()
        clean = 0 if seen else clean + 1
        require("firing" not in seen.values() and time.monotonic() < deadline, f"alerts at rest: {seen}")
