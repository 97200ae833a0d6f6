"""A small assignment, written as the lessons' are, for tests of what is done with any of them."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.coursework.assignment import Assignment

LESSON = "90_toy"
DOUBLE = "def double(x):\n    return 2 * x"
SQUARE = "def square(x):\n    return x * x"

SET_UP = """\
import os

CHECK_SEED = int(os.environ.get("GENLIB_CHECK_SEED", 0))


def agree(found, expected):
    return found == expected"""


def metadata(name: str, **settings: object) -> dict[str, object]:
    """nbgrader's metadata for a cell."""
    default = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"nbgrader": default | {"grade_id": name, "schema_version": 3} | settings}


def answer(name: str, parameter: str, value: str) -> NotebookNode:
    """A cell with a solution."""
    body = f"    ### BEGIN SOLUTION\n    return {value}\n    ### END SOLUTION"
    source = f"def {name}({parameter}):\n{body}"
    return new_code_cell(source, metadata=metadata(name, solution=True))


def check(name: str, points: int, source: str) -> NotebookNode:
    """A cell with checks."""
    return new_code_cell(source, metadata=metadata(name, grade=True, locked=True, points=points))


def hidden(source: str) -> str:
    """The source of hidden checks."""
    return f"### BEGIN HIDDEN TESTS\n{source}\n### END HIDDEN TESTS"


def cells() -> list[NotebookNode]:
    """Two exercises for code, and one for a person."""
    return [
        new_code_cell(SET_UP, metadata=metadata("set-up", locked=True)),
        new_markdown_cell("## Double · 3 points · about 5 minutes\n\nWrite `double`."),
        answer("double", "x", "2 * x"),
        check("double-visible", 1, 'assert agree(double(2), 4), "twice two is four"'),
        check(
            "double-hidden",
            2,
            hidden('assert agree(double(CHECK_SEED), 2 * CHECK_SEED), "not twice"'),
        ),
        new_markdown_cell("## Square · 3 points · about 5 minutes\n\nWrite `square`."),
        answer("square", "x", "x**2"),
        check("square-visible", 1, 'assert agree(square(3), 9), "three squared is nine"'),
        check(
            "square-hidden", 2, hidden('secret = -7\nassert agree(square(secret), 49), "the sign"')
        ),
        new_markdown_cell("## Essay · 4 points, read by a person · about 5 minutes\n\nWhy?"),
        new_markdown_cell("", metadata=metadata("essay", grade=True, solution=True, points=4)),
    ]


def write(root: Path, cells: list[NotebookNode]) -> Path:
    """Write the notebook where a course in ``root`` has it."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = root / "lessons" / LESSON / "exercises.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def assignment(root: Path) -> Assignment:
    """The assignment of a course in ``root``."""
    return Assignment(write(root, cells()))
