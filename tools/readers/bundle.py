"""All notebooks of the reader's edition in one archive: a download, and the branch for Binder."""

import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement

from tools.readers.notebook import Source
from tools.readers.wheel import NAME, PROJECT, build

EPOCH = (2000, 1, 1, 0, 0, 0)  # the same notebooks give the same archive
EXECUTABLE = 0o755 << 16
PLAIN = 0o644 << 16

README = """\
# Generative Models: the notebooks

The lessons and exercises of the course, each complete in itself. They need Python 3.11 or newer:

    python -m pip install jupyterlab
    python -m jupyter lab

Open a notebook in `lessons/` and run it from the top: where genlib, the library of the course, is
missing, the first cell installs it with what it needs. On Linux that is a download of about 2.4 GB,
nearly all of it PyTorch for GPUs; if you install PyTorch's build for CPUs beforehand, it is a tenth
of that. Nothing more is downloaded afterwards.

Solutions and the tests that grade the exercises are not here.
"""
FILE = """
genlib is the file {wheel} beside this one. Leave it there: the first cell
of a notebook looks for it in the notebook's folder and in those above.
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
    files: dict[str, str | bytes] = {
        f"{name}.ipynb": nbformat.writes(book) + "\n" for name, book in notebooks.items()
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in (files | surroundings(source)).items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = EXECUTABLE if name == "postBuild" else PLAIN
            bundle.writestr(entry, text)


def surroundings(source: Source | None) -> dict[str, str | bytes]:
    """The files beside the notebooks: a word on them and, with a source, what Binder needs; without
    one, genlib itself.
    """
    if source is None:
        with tempfile.TemporaryDirectory() as folder:
            wheel = build(Path(folder)).read_bytes()
        return {"README.md": README + FILE.format(wheel=NAME), NAME: wheel}
    packages = "\n".join(f"  - {package}" for package in conda_packages())
    return {
        "README.md": README + MADE.format(**vars(source)),
        "environment.yml": ENVIRONMENT.format(packages=packages),
        "postBuild": POST_BUILD.format(requirement=source.requirement),
    }


def conda_packages() -> list[str]:
    """What genlib needs, from pyproject.toml, as conda names it."""
    needs = map(Requirement, PROJECT["dependencies"])
    return [
        f"{CONDA_NAMES.get(need.name, need.name)}{need.specifier}"
        for need in needs
        if need.name not in ONLY_ON_GPU
    ]
