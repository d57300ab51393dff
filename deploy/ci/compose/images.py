"""Making the stand-ins of recipes.py, each once."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import recipes
from engine import DEBIAN_MIRROR, is_debian_reachable, obtained
from shell import Failed, Unavailable, run, say

# The label with the digest of an image's sources.
RECIPE = "carillon.recipe"


class Images:
    def __init__(self, engine, work):
        self.engine, self.work = engine, work

    def make(self, kafka_libs):
        """Makes all images that do not depend on Carillon's binary."""
        self.debian()
        for name, dockerfile, files in recipes.stand_ins(kafka_libs):
            try:
                self.build(name, dockerfile, files)
            except Failed:
                if name == recipes.PACKAGED and not is_debian_reachable():
                    raise Unavailable("Debian's packages cannot be fetched") from None
                raise

    def rust(self, binary, root):
        """The build image, which holds the binary, and the names of the files that it was built from."""
        stripped = self.work / "carillon"
        run("strip", "-o", str(stripped), str(binary))
        files = {"cargo": recipes.CARGO, "carillon": stripped, "sources": "\n".join(sources_of(binary, root)) + "\n"}
        self.build("rust:1.95-trixie", recipes.RUST, files)

    def is_made(self, name, digest):
        """Whether the image was made from the same content."""
        made = self.engine.docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{RECIPE}"}}}}', name, check=False)
        return made.strip() == digest

    def debian(self):
        digest = hashlib.sha256(json.dumps([recipes.DEBIAN_FILES, recipes.DEBIAN_WITHOUT]).encode()).hexdigest()
        if self.is_made(recipes.DEBIAN, digest):
            return
        say(f"making {recipes.DEBIAN}")
        root = self.work / "debian"
        obtained(recipes.DEBIAN, "debootstrap", "--variant=minbase", "bookworm", str(root), DEBIAN_MIRROR)
        for folder in recipes.DEBIAN_WITHOUT:
            shutil.rmtree(root / folder, ignore_errors=True)
        for path, content in recipes.DEBIAN_FILES.items():
            (root / path).write_text(content)
        # The proxy of this machine, if it needs one to reach Debian's packages.
        for file in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
            shutil.copy(file, root / "etc/apt/apt.conf.d")
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        imported = ["docker", "import", "--change", f"LABEL {RECIPE}={digest}", "-", recipes.DEBIAN]
        subprocess.run(imported, stdin=tar.stdout, env=self.engine.env, check=True, stdout=subprocess.DEVNULL)
        tar.wait()
        shutil.rmtree(root)

    def build(self, name, dockerfile, files):
        digest = hashlib.sha256(json.dumps([dockerfile, {path: fingerprint(content) for path, content in files.items()}]).encode()).hexdigest()
        if self.is_made(name, digest):
            return
        context = self.work / "context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile)
        for path, content in files.items():
            target = context / path
            if isinstance(content, str):
                target.write_text(content)
                target.chmod(0o755)
            elif content.is_dir():
                shutil.copytree(content, target)
            else:
                shutil.copy2(content, target)
        say(f"making {name}")
        # The engine's own builder: the client's needs the buildx plug-in.
        self.engine.docker("build", "--quiet", "--label", f"{RECIPE}={digest}", "--tag", name, str(context),
                           env={"DOCKER_BUILDKIT": "0"}, timeout=900)
        shutil.rmtree(context)


def sources_of(binary, root):
    """The repository's files that cargo read for this binary, as it noted beside it, and every manifest. For a
    binary that was moved, none are known."""
    noted = binary.with_suffix(".d")
    if not noted.exists():
        return []
    paths = noted.read_text().split(": ", 1)[1].replace("\\ ", "\0").split()
    paths = [Path(os.path.normpath(path.replace("\0", " "))) for path in paths]
    manifests = [root / path for path in run("git", "ls-files", "Cargo.lock", "*Cargo.toml", cwd=root).split()]
    names = {str(path.relative_to(root)) for path in paths + manifests if path.is_relative_to(root)}
    return sorted(name for name in names if not name.startswith(".git/"))


def fingerprint(content):
    """The contribution of a text, a file or a folder to an image's digest. Jars contribute names and sizes."""
    if isinstance(content, str):
        return content
    if content.is_dir():
        return sorted((path.name, path.stat().st_size) for path in content.iterdir())
    return hashlib.sha256(content.read_bytes()).hexdigest()
