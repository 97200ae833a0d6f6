"""genlib as one file that pip installs, for readers who have no repository to install it from."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tools import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}-py3-none-any.whl"
SOURCES = ("genlib", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"])
EPOCH = "946684800"  # the first second of 2000: the same sources give the same file
BUILD = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"


def build(folder: Path) -> Path:
    """Write the wheel into a folder, without network, and return its path.

    Raises
    ------
    RuntimeError
        It could not be built; the message is setuptools' own.
    """
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as copy:  # setuptools writes beside what it builds from
        for name in SOURCES:
            if (source := ROOT / name).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, Path(copy, name), ignore=unwanted)
            else:
                shutil.copy(source, copy)
        command = [sys.executable, "-c", BUILD, folder.resolve()]
        epoch = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
        built = subprocess.run(command, cwd=copy, env=epoch, capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"{NAME} could not be built: {built.stderr.strip()}")
    return folder / NAME
