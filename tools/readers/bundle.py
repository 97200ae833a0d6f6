"""All notebooks of the reader's edition in one archive: a download, and the branch for Binder."""

import tomllib
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement

from tools import ROOT
from tools.readers.notebook import Source

EPOCH = (2000, 1, 1, 0, 0, 0)  # the same notebooks give the same archive
EXECUTABLE = 0o755 << 16
PLAIN = 0o644 << 16

README = """\
# Generative Models: the notebooks

The lessons and exercises of the course, each complete in itself. Open `lessons/` in Jupyter; the
first cell of each notebook says how genlib, the library of the course, gets there. Solutions and
the tests that grade the exercises are not here.
"""
MADE = """
Made from [the course]({address}), at commit {commit}: to change something, change it there.
"""
ENVIRONMENT = """\
# For Binder. PyTorch is the build for CPUs; postBuild adds genlib itself.
name: genlib-course
channels: [conda-forge]
dependencies:
  - python=3.12
  - pip
{packages}
"""
POST_BUILD = """\
#!/bin/sh
exec python -m pip install --no-deps "{requirement}"
"""
CONDA_NAMES = {"torch": "pytorch-cpu"}
ONLY_ON_GPU = {"triton"}


def archive(path: Path, notebooks: dict[str, NotebookNode], source: Source | None) -> None:
    """Write notebooks, by name, and what runs them into a zip file."""
    files = {f"{name}.ipynb": nbformat.writes(book) + "\n" for name, book in notebooks.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in (files | surroundings(source)).items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = EXECUTABLE if name == "postBuild" else PLAIN
            bundle.writestr(entry, text)


def surroundings(source: Source | None) -> dict[str, str]:
    """The files beside the notebooks: a word on them and, with a source, what Binder needs."""
    if source is None:
        return {"README.md": README}
    packages = "\n".join(f"  - {package}" for package in conda_packages())
    return {
        "README.md": README + MADE.format(**vars(source)),
        "environment.yml": ENVIRONMENT.format(packages=packages),
        "postBuild": POST_BUILD.format(requirement=source.requirement),
    }


def conda_packages() -> list[str]:
    """What genlib needs, from pyproject.toml, as conda names it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needs = map(Requirement, project["dependencies"])
    return [
        f"{CONDA_NAMES.get(need.name, need.name)}{need.specifier}"
        for need in needs
        if need.name not in ONLY_ON_GPU
    ]
