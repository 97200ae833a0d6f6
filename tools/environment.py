"""Make ``.venv`` what the lock says it should be. Nothing happens when it already is.

Run by every target of the Makefile, with whatever Python 3 the machine has, so it needs only the
standard library.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "stamp"  # written last: an environment without it is half-made
LOCK = ROOT / "requirements.lock"

BASE = getattr(sys, "_base_executable", sys.executable)  # not .venv's own, were it active

OLDEST = (3, 11)
NEWER_NAMES = ("python3.14", "python3.13", "python3.12", "python3.11")


def main():
    require_python()
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make, in another terminal, waits here
        if not is_current():
            rebuild()


def require_python():
    """Go on in a newer Python where this one is too old, or say what is missing."""
    if sys.version_info < OLDEST:
        newer = next(filter(None, map(shutil.which, NEWER_NAMES)), None)
        if newer is None:
            version = ".".join(map(str, sys.version_info[:3]))
            sys.exit(
                f"This course needs Python 3.11 or newer; {sys.executable} is Python {version}. "
                "Install a newer one, or name it: make PYTHON=/path/to/python3.11"
            )
        os.execv(newer, [newer, *sys.argv])
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} comes without ensurepip, which puts pip into a new environment. "
            "On Debian and Ubuntu: apt install python3-venv. Then run make again."
        )


def is_current():
    """Whether the environment was finished, from these files, in this place, and still runs."""
    try:
        return STAMP.read_text() == fingerprint() and run(PYTHON, "-c", "import pip") == 0
    except OSError:
        return False


def fingerprint():
    """A digest of all that decides the environment's content."""
    import tomllib  # in Python since 3.11, which `require_python` has seen to

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project.pop("tool", None)  # settings of pytest and ruff do not matter here
    place = str(ENVIRONMENT)  # which scripts name as their interpreter's
    content = [place, LOCK.read_text(), json.dumps(project), Path(__file__).read_text()]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def rebuild():
    print("Setting up .venv from requirements.lock; this takes a few minutes, once.", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-qq")
    steps = {
        "Python could not create the environment": (BASE, "-m", "venv", ENVIRONMENT),
        "pip could not install requirements.lock": (*pip, "-r", LOCK),
        "pip could not add genlib to the environment": (
            *pip,
            "--no-deps",
            "--no-build-isolation",
            "--editable",
            ROOT,
        ),
    }
    for failure, command in steps.items():
        if run(*command) != 0:
            sys.exit(f"{failure}: see above. Mend the cause and run make again; it starts afresh.")
    STAMP.write_text(fingerprint())


def run(*command):
    return subprocess.call([os.fspath(part) for part in command], cwd=ROOT)


if __name__ == "__main__":
    main()
