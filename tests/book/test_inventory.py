"""The page that says what is taught where: read from tags and markers, on a toy tree and ours."""

import json
import re
from textwrap import dedent
from types import SimpleNamespace

import pytest

from book._ext.inventory import document, expand, read
from tools import ROOT

INVENTORY = """
- part: Part I · Toys
  rows:
    - {id: F10, what: 'likelihood', documents: U, lesson: '03'}
    - {id: F11, what: 'counting', documents: H C, lesson: '03'}
    - {id: F12, what: 'windows', lesson: '03'}
    - {id: F13, what: 'neighbours', lesson: '04'}
"""
TESTS = """
import pytest

@pytest.mark.slow
@pytest.mark.covers("F10", "F12")
def test_likelihood():
    @pytest.mark.parametrize("x", [1])
    def inner(): ...

class TestBoth:
    @pytest.mark.covers("F10")
    def test_again(self): ...

def test_nothing():
    "covers('F11')"
"""


@pytest.fixture
def tree(tmp_path):
    """A toy course: F10 taught and checked, F11 taught, F12 checked, F13 planned."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "inventory.yml").write_text(INVENTORY)
    (tmp_path / "tests" / "models").mkdir(parents=True)
    (tmp_path / "tests" / "models" / "test_toy.py").write_text(TESTS)
    notebook(tmp_path, ["covers-F10", "nbval-check-output"], ["covers-F11", "covers-F10"], [])
    return tmp_path


def notebook(tree, *tags):
    path = tree / "lessons" / "03_toys" / "lesson.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [{"metadata": {"tags": list(t)}} for t in tags]}))


def test_a_row_counts_when_it_is_taught_and_checked(tree):
    rows = {row.id: row for part in read(tree) for row in part.rows}
    assert {id: row.state for id, row in rows.items()} == {
        "F10": "done",
        "F11": "taught, not yet checked",
        "F12": "checked, not yet taught",
        "F13": "planned",
    }
    names = ["test_likelihood", "TestBoth::test_again"]
    assert rows["F10"].checked == [f"tests/models/test_toy.py::{name}" for name in names]
    assert [path.as_posix() for path in rows["F10"].taught] == ["lessons/03_toys/lesson.ipynb"]


def test_the_page_is_made_of_the_rows(tree):
    assert document(read(tree), tree) == dedent("""\
        **1 of 4 rows are taught in a lesson and checked by a test today.**

        ## Part I · Toys

        :::{list-table}
        :header-rows: 1
        :widths: auto
        :class: inventory

        * - Row
          - What
          - Source
          - Lesson
          - State
        * - F10
          - likelihood
          - U
          - [03](/lessons/03_toys/lesson.ipynb)
          - done, 2 tests
        * - F11
          - counting
          - H C
          - [03](/lessons/03_toys/lesson.ipynb)
          - taught, not yet checked
        * - F12
          - windows
          - ★
          - [03](/lessons/03_toys/lesson.ipynb)
          - checked, not yet taught, 1 test
        * - F13
          - neighbours
          - ★
          - 04
          - planned
        :::""")


def test_an_unknown_row_in_a_notebook_is_an_error(tree):
    notebook(tree, ["covers-F99"])
    with pytest.raises(ValueError, match=r"lessons/03_toys/lesson\.ipynb covers 'F99'"):
        read(tree)


def test_an_unknown_row_in_a_test_is_an_error(tree):
    (tree / "tests" / "test_more.py").write_text(TESTS.replace("F12", "X99"))
    with pytest.raises(ValueError, match=r"tests/test_more\.py::test_likelihood covers 'X99'"):
        read(tree)


def test_a_repeated_row_is_an_error(tree):
    file = tree / "book" / "inventory.yml"
    file.write_text(file.read_text().replace("F13", "F12"))
    with pytest.raises(ValueError, match="two rows of the same id"):
        read(tree)


def test_the_course_covers_only_rows_that_exist():
    assert sum(len(part.rows) for part in read(ROOT)) == 105


def test_the_page_of_the_notes_says_how_much_of_them_is_done():
    text = ["<!-- inventory: done --> <!-- errata: count -->"]
    expand(SimpleNamespace(srcdir=ROOT), "book/documents", text)
    rows = [row for part in read(ROOT) for row in part.rows]
    done = [row for row in rows if row.taught and row.checked]
    entries = re.findall(r"^### ", (ROOT / "book" / "errata.md").read_text(), re.MULTILINE)
    assert text[0].startswith(f"{len(done)} of {len(rows)} rows")
    assert text[0].endswith(f" {len(entries)}")
