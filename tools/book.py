"""Build the book into ``_build/html``, from the outputs stored in the notebooks.

A warning is an error, and every build starts from nothing: pages kept from an earlier build would
hide their warnings. It is made aside, and the old book stays until the new one is whole.
"""

import fcntl
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
        Sphinx warned; it has printed of what. The old book, if there was one, still stands.
    """
    book = folder / "_build" / "html"
    aside = folder / "_build" / ".book"
    book.parent.mkdir(parents=True, exist_ok=True)
    with (book.parent / ".book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second build waits here
        shutil.rmtree(aside, ignore_errors=True)  # of a build that was killed
        command = [JUPYTER_BOOK, "build", ROOT, "--path-output", aside, *STRICT]
        try:
            # The builder has the lock too: should it outlive this process, it is not disturbed.
            subprocess.run(command, check=True, pass_fds=[lock.fileno()])
            new = (aside / "_build" / "html").rename(aside / "new")
            if book.exists():
                book.rename(aside / "old")
            new.rename(book)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return book


if __name__ == "__main__":
    try:
        print("The book stands in", build(ROOT).relative_to(ROOT) / "index.html")
    except subprocess.CalledProcessError:
        sys.exit("The book was not built: see the warnings above.")
