"""Build the book into ``_build/html``, from the outputs stored in the notebooks.

A warning is an error, and every build starts from nothing: pages kept from an earlier build would
hide their warnings.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tools import ROOT

JUPYTER_BOOK = Path(sys.executable).with_name("jupyter-book")
STRICT = ("--nitpick", "--warningiserror", "--keep-going", "--quiet")


def build(folder: Path) -> Path:
    """Build the book into ``folder/_build/html``, and return that.

    Raises
    ------
    subprocess.CalledProcessError
        Sphinx warned; it has printed of what.
    """
    for part in ("html", ".doctrees"):  # what else lies in _build is not the book's
        shutil.rmtree(folder / "_build" / part, ignore_errors=True)
    command = [JUPYTER_BOOK, "build", ROOT, "--path-output", folder, *STRICT]
    subprocess.run(command, check=True)
    return folder / "_build" / "html"


if __name__ == "__main__":
    try:
        print("The book stands in", build(ROOT).relative_to(ROOT) / "index.html")
    except subprocess.CalledProcessError:
        sys.exit("The book was not built: see the warnings above.")
