"""`deploy/ci/compose-check`."""

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

import checks
from engine import Engine
from images import Images
from shell import Failed, Unavailable, run, say, warn

ROOT = Path(__file__).resolve().parents[3]


def arguments():
    parser = argparse.ArgumentParser(prog="compose-check")
    parser.add_argument("--binary", type=Path, help="the carillon to put into the image (default: target/release/carillon, built if missing)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=checks.NAMES, help="checks to run after the README's block")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--list", action="store_true", help="name the checks and end")
    return parser.parse_args()


def binary(given):
    if given:
        return given.resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not (target / "release/carillon").exists():
        say("building carillon")
        run("cargo", "build", "--locked", "--release", "--package", "carillon", cwd=ROOT, timeout=3000)
    return target / "release/carillon"


def kafka_libs(cache):
    """Kafka's jars, fetched as `deploy/ci/services` does."""
    (folder,) = [line for line in run(str(ROOT / "deploy/ci/services"), "kafka-libs", timeout=700).split()]
    return Path(folder)


def free_ports():
    """The file publishes these ports on loopback."""
    for port in (8080, 8081, 9090, 29092):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Failed(f"127.0.0.1:{port}, a port of docker-compose.yml, is in use") from None


def main():
    options = arguments()
    if options.list:
        for name, check in checks.NAMES.items():
            print(f"{name:16} {check.__doc__.splitlines()[0]}")
        return 0
    cache = Path(os.environ.get("CARILLON_CI_CACHE", Path.home() / ".cache/carillon-ci")) / "compose"
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="carillon-compose."))
    engine = Engine(cache, work)
    project = checks.Project(engine, ROOT)
    # So that an asked end also stops what runs, and restores the network.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        free_ports()
        engine.prepare()
        engine.start()
        project.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
        Images(engine, work, kafka_libs(cache), binary(options.binary)).make()
        for name, check in checks.NAMES.items():
            if options.only and name != "readme" and name not in options.only:
                continue
            say(f"{name}: {check.__doc__.splitlines()[0]}")
            check(project)
        say("compose-check: passed")
        return 0
    except Unavailable as error:
        warn(f"containers cannot run here: {error}")
        return 69
    except Failed as error:
        warn(f"FAILED: {error}")
        if engine.daemon:
            logs = cache / "failure.log"
            logs.write_text(project.compose("--profile", "*", "logs", "--no-color", "--timestamps", check=False, timeout=120))
            warn(f"not well: {project.unwell()}; all logs are in {logs}")
        return 1
    finally:
        if options.keep and engine.daemon:
            say(f"kept: DOCKER_HOST=unix://{engine.socket}; end it with kill {engine.daemon.pid}")
        else:
            if engine.daemon:
                project.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False, timeout=300)
                engine.prune()
            engine.stop()
            shutil.rmtree(work, ignore_errors=True)


sys.exit(main())
