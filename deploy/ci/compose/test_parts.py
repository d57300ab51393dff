"""Tests of compose-check's parts that need no containers: the reason why it cannot run here, the README, spans and metrics."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import project
import readme
import sink
from engine import COMPOSE, PACKAGES

CHECK = Path(__file__).resolve().parents[1] / "compose-check"
TOOLS = ("bash", "env", "dirname", "python3", "ip", "cat", "uname")


class WhereContainersCannotRun(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        # Compose is built already.
        built = self.folder / "cache/compose" / f"{COMPOSE[3]}-{COMPOSE[1]}"
        built.parent.mkdir(parents=True)
        built.touch()

    def program(self, name, script):
        (self.bin / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.bin / name).chmod(0o755)

    def outcome(self):
        env = {**os.environ, "PATH": str(self.bin), "CARILLON_CI_CACHE": str(self.folder / "cache"), "TMPDIR": str(self.folder)}
        return subprocess.run([CHECK, "--binary", "/bin/true"], env=env, text=True, capture_output=True, timeout=120)

    def assert_skipped(self, reason):
        done = self.outcome()
        self.assertEqual(done.returncode, 69, done)
        (line,) = done.stderr.splitlines()
        self.assertIn("containers cannot run here", line)
        self.assertIn(reason, line)

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_a_dockerd_that_does_not_start_is_told_in_one_line(self):
        for command in (*PACKAGES, "docker"):
            self.program(command, "exit 1")
        self.program("dockerd", "echo 'starting up' >&2; echo 'failed to start daemon: iptables: Permission denied' >&2; exit 1")
        self.assert_skipped("failed to start daemon: iptables: Permission denied")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_packages_that_cannot_be_installed_are_told_in_one_line(self):
        self.program("apt-get", "echo 'E: Unable to locate package docker.io' >&2; exit 100")
        self.assert_skipped("E: Unable to locate package docker.io")

    def test_a_machine_without_a_package_manager_is_told_in_one_line(self):
        self.assert_skipped("there is no program apt-get" if os.geteuid() == 0 else "dockerd needs root")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_without_a_network_compose_cannot_be_fetched(self):
        for command in (*PACKAGES, "docker"):
            self.program(command, "exit 1")
        self.program("go", "echo 'dial tcp: lookup proxy.golang.org: no such host' >&2; exit 1")
        (self.folder / "cache/compose" / f"{COMPOSE[3]}-{COMPOSE[1]}").unlink()
        self.assert_skipped("no such host")


class Readme(unittest.TestCase):
    TEXT = "## A\n```console\n$ one \\\n    more\nshown\n$ two\n```\nprose\n```console\n$ three\n```\n## B\n```console\n$ other\n```\n"

    def test_commands_stand_with_the_output_that_is_shown_below_them(self):
        self.assertEqual(readme.commands(self.TEXT, "A"), [("one \\\n    more", "shown"), ("two", ""), ("three", "")])

    def test_only_ids_times_and_the_order_of_lines_may_differ(self):
        shown = "x 01a21801-1c15-760b-b583-358e76813d89 2026-11-26T13:17:35.714Z\ny"
        self.assertEqual(readme.comparable(shown), readme.comparable("y\nx 01a2180e-5a7b-765b-9449-a272c050400a 2026-11-27T00:00:00.1Z"))
        self.assertNotEqual(readme.comparable(shown), readme.comparable("y"))


class Evidence(unittest.TestCase):
    def test_it_has_the_metrics_that_show_where_records_wait_and_no_zeros(self):
        lines = ['carillon_consumer_lag{group="g"} 230', 'carillon_consumer_lag{group="g"} 0', "carillon_deliveries_total 7"]
        self.assertEqual([line for line in lines if project.is_telling(line)], lines[:1])


class Spans(unittest.TestCase):
    @staticmethod
    def field(number, value):
        return bytes([number << 3 | 2, len(value)]) + value

    def test_a_span_has_its_service_trace_name_attributes_and_events(self):
        f = self.field
        pair = lambda key, value: f(1, key) + f(2, f(1, value))
        event = f(2, b"claimed") + f(3, pair(b"k", b"v"))
        span = f(1, b"\x0a\x0b") + f(5, b"route") + bytes([6 << 3, 3]) + bytes([7 << 3 | 1]) + bytes(8) + f(9, pair(b"topic", b"t")) + f(11, event)
        body = f(1, f(1, f(1, pair(b"service.name", b"carillon-router"))) + f(2, f(1, f(1, b"scope")) + f(2, span)))
        self.assertEqual(sink.decode(body), [{
            "service": "carillon-router", "trace": "0a0b", "name": "route", "attributes": {"topic": "t"},
            "events": [{"name": "claimed", "attributes": {"k": "v"}}],
        }])


if __name__ == "__main__":
    unittest.main()
