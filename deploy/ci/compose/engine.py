"""A Docker engine of this check's own, with Compose, and the restored state of the machine afterwards."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import network
from shell import Failed, Unavailable, run, say, until

# Compose contains the builder; without the buildx plug-in it uses that one.
COMPOSE = ("github.com/docker/compose/v2", "v2.40.3", "./cmd", "docker-compose")
PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "iptables": "iptables"}
DEBIAN_MIRROR = "http://deb.debian.org/debian"


def obtained(what, *command, **options):
    """Runs a command that fetches something. If it fails, the check is unavailable."""
    try:
        return run(*command, **options)
    except (Failed, OSError) as error:
        raise Unavailable(f"{what} cannot be obtained: {error}") from None


def is_debian_reachable():
    try:
        with urllib.request.urlopen(f"{DEBIAN_MIRROR}/dists/bookworm/Release", timeout=20) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def install_packages():
    missing = {command: package for command, package in PACKAGES.items() if shutil.which(command) is None}
    if not missing:
        return
    if os.geteuid() != 0:
        raise Unavailable("dockerd needs root")
    say(f"installing {', '.join(missing.values())}")
    # RUNLEVEL keeps the package from starting a dockerd. The lock: another apt-get may be at work.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")
    obtained("a package manager", *apt, "update", check=False, env=env)
    obtained("Debian's packages", *apt, "install", "-y", "--no-install-recommends", *missing.values(), env=env)
    absent = [command for command in missing if shutil.which(command) is None]
    if absent:
        raise Unavailable(f"there is no {', '.join(absent)}")


def go_program(cache, module, version, package, name):
    """A program from the Go module proxy. `go install` refuses modules whose go.mod excludes versions, so it is built in
    its module's folder."""
    program = cache / f"{name}-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    # A stage of .ci/run may want it while the preparation builds it.
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            build_go_program(cache, module, version, package, name, program)
    return program


def build_go_program(cache, module, version, package, name, program):
    say(f"building {name} {version}")
    module_folder = json.loads(obtained(module, "go", "mod", "download", "-json", f"{module}@{version}", cwd="/"))["Dir"]
    source = cache / f"source-{name}"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(module_folder, source)
    run("chmod", "-R", "u+w", str(source))
    obtained(f"what {module} depends on", "go", "mod", "download", cwd=source)
    # Everything is fetched. Later failures have other causes than the network.
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOPROXY": "off"}
    partial = program.with_suffix(".partial")
    flags = f"-s -w -X {module}/internal.Version={version}"
    run("go", "build", "-trimpath", "-ldflags", flags, "-o", str(partial), package, cwd=source, env=env, timeout=1500)
    partial.rename(program)
    shutil.rmtree(source)


class Engine:
    """dockerd with its data in the cache folder: images are made once, volumes and containers go at the end."""

    def __init__(self, cache, work):
        self.cache, self.work = cache, work
        self.socket = work / "docker.sock"
        self.daemon = None
        self.network = None
        self.config = work / "client"
        # Settings of the caller's own installation would change the checked installation.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CARILLON_", "COMPOSE_", "DOCKER_"))}
        self.env = {**own, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.config), "DOCKER_BUILDKIT": "1"}

    def lock(self):
        """One run at a time on this machine: dockerds share its network, and their data in the cache."""
        if os.geteuid() != 0:
            raise Unavailable("dockerd needs root")
        Path("/run/lock").mkdir(exist_ok=True)
        self.locked = open("/run/lock/carillon-compose-check", "w")
        try:
            fcntl.flock(self.locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run, or for the preparation")
            fcntl.flock(self.locked, fcntl.LOCK_EX)

    def prepare(self):
        install_packages()
        if shutil.which("docker") is None:
            raise Unavailable("there is no docker client")
        plugins = self.config / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / COMPOSE[3]).symlink_to(go_program(self.cache, *COMPOSE))

    def start(self):
        self.network = network.state()
        path = self.work / "dockerd.log"
        with open(path, "w") as log:
            self.daemon = subprocess.Popen(
                ["dockerd", "--data-root", str(self.cache / "docker"), "--exec-root", str(self.work / "exec"),
                 "--pidfile", str(self.work / "dockerd.pid"), "--host", f"unix://{self.socket}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )
        try:
            until("dockerd answers", 90, lambda: self.daemon.poll() is not None or self.answers())
            ended = self.daemon.poll() is not None
        except Failed:
            ended = True
        if ended:
            said = path.read_text().strip().splitlines() or ["nothing"]
            self.stop()
            raise Unavailable(f"dockerd does not start; it says last: {said[-1]}")

    def answers(self):
        return subprocess.run(["docker", "info"], env=self.env, capture_output=True).returncode == 0

    def docker(self, *arguments, env=None, **options):
        return run("docker", *arguments, env={**self.env, **(env or {})}, **options)

    def inspect(self, *names):
        return json.loads(self.docker("inspect", *names)) if names else []

    def prune(self):
        """Deletes images of earlier binaries and the builder's cache of them, which the next run does not need."""
        self.docker("image", "prune", "--force", check=False)
        self.docker("builder", "prune", "--force", "--keep-storage", "2GB", check=False)

    def stop(self):
        """Ends dockerd and returns what it left behind: processes, mounts, parts of the network."""
        left = []
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(60)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait(20)
            self.daemon = None
            try:
                until("the engine's processes have ended", 20, lambda: not processes_of(self.work))
            except Failed:
                left += processes_of(self.work)
            left += [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()
                     if line.split()[1].startswith((str(self.work), str(self.cache)))]
        if self.network is not None:
            left += [f"the network's {part}" for part in network.restore(self.network)]
            self.network = None
        return left


def processes_of(folder):
    """Command lines of processes that were started with the folder as an argument, such as containerd's shims."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and path.parent.name != str(os.getpid()):
            found.append(line[:200])
    return found
