"""Building the book: the old one stays until the new one is whole, whatever happens to a builder.

The builder here writes three pages of an edition, waiting for a line of input before each.
"""

import os
import signal
import subprocess
import sys

import pytest

from tools import ROOT, book

BUILDER = """#!{python}
import os, sys
from pathlib import Path
html = Path(sys.argv[sys.argv.index("--path-output") + 1], "_build", "html")
html.mkdir(parents=True)
for page in range(3):
    print("ready", flush=True)
    sys.stdin.readline()
    (html / f"{{page}}.html").write_text(os.environ["EDITION"])
sys.exit(os.environ["EDITION"] == "bad")
"""

START = """
import sys
from pathlib import Path
from tools import book
book.JUPYTER_BOOK = sys.argv[1]
book.build(Path(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder in which the first edition stands, and something that is not the book's."""
    builder = tmp_path / "jupyter-book"
    builder.write_text(BUILDER.format(python=sys.executable))
    builder.chmod(0o755)
    assert finished(start(tmp_path, "first")) == 0
    (tmp_path / "_build" / "grades").mkdir()
    return tmp_path


def start(folder, edition):
    return subprocess.Popen(
        [sys.executable, "-c", START, folder / "jupyter-book", folder],
        cwd=ROOT,
        env=os.environ | {"EDITION": edition, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finished(build):
    """Let a build go on to its end, and return its exit status."""
    build.communicate("\n\n\n", timeout=60)
    return build.returncode


def assert_whole(folder, edition):
    pages = {page.name: page.read_text() for page in (folder / "_build" / "html").iterdir()}
    assert pages == {f"{i}.html": edition for i in range(3)}


def test_a_new_book_takes_the_old_ones_place_and_nothing_else_remains(folder):
    (folder / "_build" / "html" / "withdrawn.html").touch()
    assert finished(start(folder, "second")) == 0
    assert_whole(folder, "second")
    assert sorted(os.listdir(folder / "_build")) == [".book.lock", "grades", "html"]


def test_a_book_with_warnings_leaves_the_old_one(folder):
    assert finished(start(folder, "bad")) == 1
    assert_whole(folder, "first")
    assert sorted(os.listdir(folder / "_build")) == [".book.lock", "grades", "html"]


def test_a_builder_that_writes_nothing_leaves_the_old_book(folder, monkeypatch):
    monkeypatch.setattr(book, "JUPYTER_BOOK", "true")
    with pytest.raises(FileNotFoundError):
        book.build(folder)
    assert_whole(folder, "first")


def test_a_killed_build_leaves_the_old_book_and_the_next_waits_for_its_builder(folder):
    with start(folder, "second") as killed:
        assert killed.stdout.readline() == "ready\n"
        killed.stdin.write("\n")
        killed.stdin.flush()
        assert killed.stdout.readline() == "ready\n"  # a page is written
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert_whole(folder, "first")
        following = start(folder, "third")
        with pytest.raises(subprocess.TimeoutExpired):  # what was killed had a builder, which lives
            following.wait(1)
        assert_whole(folder, "first")
    # The builder's input is at its end.
    assert finished(following) == 0
    assert_whole(folder, "third")


def test_of_two_builds_at_once_the_second_waits_and_both_end_well(folder):
    with start(folder, "second") as one:
        assert one.stdout.readline() == "ready\n"
        other = start(folder, "third")
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1)
        assert_whole(folder, "first")
        assert finished(one) == 0
    assert finished(other) == 0
    assert_whole(folder, "third")
