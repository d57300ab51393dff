"""Running commands, and saying what is done."""

import subprocess
import sys
import time

BEGAN = time.monotonic()


class Failed(Exception):
    """A check that does not hold, or a step that could not be made."""


class Unavailable(Exception):
    """Containers cannot run on this machine."""


def say(text):
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {text}", flush=True)


def run(*command, cwd=None, env=None, stdin=None, timeout=600, check=True, unavailable=None):
    """Runs a command and returns its standard output; the end of all its output stands in the error if it fails.
    `unavailable` is the command's exit code for something that cannot be fetched."""
    source = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, cwd=cwd, env=env, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **source)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} has not ended within {timeout} s") from None
    except FileNotFoundError:
        raise Failed(f"there is no program {command[0]}") from None
    if done.returncode == unavailable:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def until(what, seconds, condition, seen=None):
    """Waits until the condition returns something true, and returns that. `seen` says what the error shows instead."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (Failed, OSError, ValueError) as error:
            last = error
        time.sleep(0.5)
    raise Failed(f"{what}: not within {seconds} s (last seen: {seen() if seen else last})")


def require(holds, what):
    if not holds:
        raise Failed(what)


def warn(text):
    print(f"compose-check: {text}", file=sys.stderr, flush=True)
