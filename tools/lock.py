"""Write ``requirements.lock``: every package that the course installs, at one version each.

pip resolves the dependencies of ``pyproject.toml`` without installing anything; what it would
install is the lock.
"""

import json
import subprocess
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import ROOT

LOCK = ROOT / "requirements.lock"

# torch's CUDA build demands one triton exactly, and its CPU build asks for none. The lock serves
# both, so the pair is chosen here and moves together.
CHOSEN = ("torch==2.13.0", "triton==3.7.1")

# Parts of torch's CUDA build: pip adds them where it takes that build, and nobody else needs them.
LEFT_OUT = ("nvidia-", "cuda-")

# Resolved for the oldest Python that the course accepts, so that the versions suit every newer one.
PYTHON = ("--python-version", "3.11.0", "--only-binary", ":all:", "--target", "unused")

HEADER = """\
# Every package of the environment, pinned. Written by `make lock` from pyproject.toml: do not edit.
"""


def main():
    direct = direct_requirements()
    markers = {canonicalize_name(r.name): f" ; {r.marker}" for r in direct if r.marker}
    lines = [
        f"{name}=={version}{markers.get(name, '')}\n"
        for name, version in sorted(resolve(direct))
        if not name.startswith(LEFT_OUT)
    ]
    LOCK.write_text(HEADER + "".join(lines))
    print(f"{LOCK.name}: {len(lines)} packages")


def direct_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, extras and the build's own needs included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    requirements = project["project"]["dependencies"] + project["build-system"]["requires"]
    return [Requirement(r) for r in (*requirements, *(r for extra in extras for r in extra))]


def resolve(requirements: list[Requirement]) -> list[tuple[str, str]]:
    """Names and public versions (without a local part such as +cpu) of what pip would install."""
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed"]
    wanted = [*map(str, requirements), *CHOSEN]
    command = [*pip, *PYTHON, "--report", "-", *wanted]
    report = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    packages = [package["metadata"] for package in json.loads(report)["install"]]
    return [(canonicalize_name(p["name"]), Version(p["version"]).public) for p in packages]


if __name__ == "__main__":
    main()
