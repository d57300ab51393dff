"""`deploy/ci/compose-check`."""

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import checks
import faults
import overrides
import project
from engine import Engine, install_packages
from images import Images
from shell import Failed, Unavailable, run, say, warn

ROOT = Path(__file__).resolve().parents[3]
ALL = [
    checks.check_readme, checks.check_bounds, checks.check_image, checks.check_secrets, checks.check_cli, checks.check_scale, faults.check_upgrade,
    faults.check_faults, faults.check_broker_away, faults.check_postgres_late, faults.check_logs,
    checks.check_down_and_up, checks.check_traces, checks.check_alerts,
]
NAMES = {check.__name__.removeprefix("check_").replace("_", "-"): check for check in ALL}
# Checks that use the containers of the check before them.
NEEDS = {"traces": "down-and-up", "alerts": "down-and-up", "logs": "postgres-late"}


def arguments():
    parser = argparse.ArgumentParser(prog="compose-check")
    parser.add_argument("--binary", type=Path, help="the carillon to put into the image (default: target/release/carillon, built if missing)")
    parser.add_argument("--previous", type=Path, help="a carillon of the release before: everything starts with it and is upgraded")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES, help="checks to run after the README's block")
    parser.add_argument("--with", dest="override", choices=overrides.CHECKS, help="an override of deploy/compose, with its own check in the place of the others")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--list", action="store_true", help="name the checks and end")
    parser.add_argument("--packages", action="store_true", help="only install what is needed from Debian's packages")
    parser.add_argument("--prepare", action="store_true", help="only make what does not depend on the binary, into the cache")
    return parser.parse_args()


def chosen(options):
    if options.override:
        return {"readme": checks.check_readme, options.override: overrides.CHECKS[options.override]}
    names = set(options.only or NAMES)
    names |= {"readme", *(NEEDS[name] for name in names if name in NEEDS)}
    return {name: check for name, check in NAMES.items() if name in names and (name != "upgrade" or options.previous)}


def binary(given):
    if given:
        return given.resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not (target / "release/carillon").exists():
        say("building carillon")
        run("cargo", "build", "--locked", "--release", "--package", "carillon", cwd=ROOT, timeout=3000)
    return target / "release/carillon"


def kafka_libs():
    """Kafka's jars, fetched as `deploy/ci/services` does."""
    done = run(str(ROOT / "deploy/ci/services"), "kafka-libs", timeout=900, unavailable=69)
    return Path(done.strip())


def check_ports():
    """The files publish these ports on loopback."""
    for port in (8080, 8081, 9090, 29092, 29093, 29094):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Failed(f"127.0.0.1:{port}, a port of the compose files, is in use") from None


class Clock:
    """Seconds of each part, for the report at the end."""

    def __init__(self):
        self.parts, self.began = [], time.monotonic()

    def part(self, name):
        now = time.monotonic()
        self.parts.append((name, now - self.began))
        self.began = now

    def report(self):
        for name, seconds in self.parts:
            print(f"  {name:14} {seconds:6.1f} s", flush=True)


def check(options, engine, installation, clock):
    engine.prepare()
    clock.part("programs")
    engine.start()
    images = Images(engine, engine.work)
    images.make(kafka_libs())
    clock.part("base images")
    if options.prepare:
        return
    check_ports()
    if options.override:
        installation.override(options.override)
    installation.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
    carillon = binary(options.binary)
    images.rust(options.previous.resolve() if options.previous else carillon, ROOT)
    installation.build_next = lambda: images.rust(carillon, ROOT)
    clock.part("build image")
    for name, run_check in chosen(options).items():
        say(f"{name}: {run_check.__doc__.splitlines()[0]}")
        run_check(installation)
        clock.part(name)


def tear_down(engine, installation, options):
    """Ends everything; remains are a failure."""
    if engine.daemon and not options.prepare:
        # No data is kept, so the containers need not end in order.
        installation.compose("--profile", "*", "kill", check=False, timeout=120)
        installation.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False, timeout=300)
        engine.prune()
    installation.clean()
    left = engine.stop()
    shutil.rmtree(engine.work, ignore_errors=True)
    return left


def main():
    options = arguments()
    if options.list:
        for name, described in NAMES.items():
            print(f"{name:14} {described.__doc__.splitlines()[0]}")
        return 0
    cache = Path(os.environ.get("CARILLON_CI_CACHE", Path.home() / ".cache/carillon-ci")) / "compose"
    cache.mkdir(parents=True, exist_ok=True)
    engine = Engine(cache, Path(tempfile.mkdtemp(prefix="carillon-compose.")))
    installation = project.Project(engine, ROOT)
    clock = Clock()
    # A requested end also has to stop the containers and restore the network.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = 1
    try:
        if options.packages:
            install_packages()
        else:
            engine.lock()
            check(options, engine, installation, clock)
        code = 0
    except Unavailable as error:
        warn(f"containers cannot run here: {' '.join(str(error).split())[:500]}")
        code = 69
    except Failed as error:
        warn(f"FAILED: {error}")
        if engine.daemon:
            logs = cache / "failure.log"
            logs.write_text(installation.compose("--profile", "*", "logs", "--no-color", "--timestamps", check=False, timeout=120))
            warn(f"all logs are in {logs}")
    finally:
        if options.keep and engine.daemon:
            say(f"kept: DOCKER_HOST=unix://{engine.socket}; end it with kill {engine.daemon.pid}")
        else:
            left = tear_down(engine, installation, options)
            if left and code == 0:
                warn(f"FAILED: left behind: {left}")
                code = 1
            clock.part("tear down")
    if code != 69 and not options.packages:
        clock.report()
    if code == 0:
        say("compose-check: passed" if not (options.prepare or options.packages) else "compose-check: prepared")
    return code


sys.exit(main())
