"""A Docker engine of this check's own, with Compose and buildx, and the network as it was afterwards."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from shell import Failed, Unavailable, run, say, until

COMPOSE = ("github.com/docker/compose/v2", "v2.40.3", "./cmd", "docker-compose")
BUILDX = ("github.com/docker/buildx", "v0.30.1", "./cmd/buildx", "docker-buildx")
FRONTEND = ("github.com/moby/buildkit", "v0.26.3", "./frontend/dockerfile/cmd/dockerfile-frontend", "dockerfile-frontend")
PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "iptables": "iptables"}


def obtained(what, *command, **options):
    """Runs a command that fetches something; without it nothing can be checked."""
    try:
        return run(*command, **options)
    except (Failed, OSError) as error:
        raise Unavailable(f"{what} cannot be obtained: {error}") from None


def install_packages():
    if os.geteuid() != 0:
        raise Unavailable("dockerd needs root")
    missing = [package for command, package in PACKAGES.items() if shutil.which(command) is None]
    if not missing:
        return
    say(f"installing {', '.join(missing)}")
    run("apt-get", "update", "-qq", check=False)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    obtained("Debian's packages", "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=env)


def go_program(cache, module, version, package, name):
    """A program from the Go module proxy. `go install` refuses modules whose go.mod excludes versions, so it is built in
    its module's folder."""
    program = cache / f"{name}-{version}"
    if program.exists():
        return program
    say(f"building {name} {version}")
    module_folder = json.loads(obtained(module, "go", "mod", "download", "-json", f"{module}@{version}", cwd="/"))["Dir"]
    source = cache / f"source-{name}"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(module_folder, source)
    run("chmod", "-R", "u+w", str(source))
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    flags = f"-s -w -X {module}/internal.Version={version} -X {module}/version.Version={version}"
    partial = program.with_suffix(".partial")
    obtained(name, "go", "build", "-trimpath", "-ldflags", flags, "-o", str(partial), package, cwd=source, env=env, timeout=1500)
    partial.rename(program)
    shutil.rmtree(source)
    return program


class Engine:
    """dockerd with its data in the cache folder: images are made once, volumes and containers go at the end."""

    def __init__(self, cache, work):
        self.cache, self.work = cache, work
        self.socket = work / "docker.sock"
        self.daemon = None
        self.config = work / "client"
        # What the caller has set for his own installation would change the one that is checked.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CARILLON_", "COMPOSE_", "DOCKER_"))}
        self.env = {**own, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.config), "DOCKER_BUILDKIT": "1"}

    def prepare(self):
        install_packages()
        plugins = self.config / "cli-plugins"
        plugins.mkdir(parents=True)
        for module, version, package, name in (COMPOSE, BUILDX):
            (plugins / name).symlink_to(go_program(self.cache, module, version, package, name))
        self.frontend = go_program(self.cache, *FRONTEND)
        # The client that the machine has, or Debian's; both speak to the daemon.
        if shutil.which("docker") is None:
            raise Unavailable("there is no docker client")

    def start(self):
        self.network = network_state()
        log = open(self.work / "dockerd.log", "w")
        self.daemon = subprocess.Popen(
            ["dockerd", "--data-root", str(self.cache / "docker"), "--exec-root", str(self.work / "exec"),
             "--pidfile", str(self.work / "dockerd.pid"), "--host", f"unix://{self.socket}"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )
        try:
            until("dockerd answers", 60, lambda: self.daemon.poll() is None and self.answers())
        except Failed as error:
            text = (self.work / "dockerd.log").read_text()[-2000:]
            self.stop()
            raise Unavailable(f"dockerd does not start here: {error}\n{text}") from None

    def answers(self):
        return subprocess.run(["docker", "info"], env=self.env, capture_output=True).returncode == 0

    def docker(self, *arguments, **options):
        return run("docker", *arguments, env=self.env, **options)

    def prune(self):
        """Drops what the next run does not need: images of earlier binaries, and the builder's cache of them."""
        self.docker("image", "prune", "--force", check=False)
        self.docker("builder", "prune", "--force", "--keep-storage", "2GB", check=False)

    def stop(self):
        if self.daemon is None:
            return
        self.daemon.send_signal(signal.SIGTERM)
        try:
            self.daemon.wait(60)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait(20)
        self.daemon = None
        restore_network(self.network)


def interfaces():
    return {link["ifname"] for link in json.loads(run("ip", "-json", "link"))}


def network_state():
    return {
        "interfaces": interfaces(),
        "tables": {command: run(f"{command}-save") for command in ("iptables", "ip6tables") if shutil.which(f"{command}-save")},
        "forward": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }


def restore_network(before):
    """Takes away the bridges and rules that dockerd leaves behind."""
    for name in interfaces() - before["interfaces"]:
        run("ip", "link", "delete", name, check=False)
    for command, rules in before["tables"].items():
        tables = rules or ""
        # A table that was empty is not in the dump: it is flushed by name.
        for table in ("filter", "nat"):
            if f"*{table}" not in tables:
                policies = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}[table]
                tables += f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in policies) + "COMMIT\n"
        run(f"{command}-restore", stdin=tables, check=False)
    Path("/proc/sys/net/ipv4/ip_forward").write_text(before["forward"])
