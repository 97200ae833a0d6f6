"""What the test run asks of a notebook: that its cells run, and that tagged outputs are true."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import ROOT


def verdict(folder, source, stored, tags=()):
    """Run pytest, as configured here, on a notebook of one cell; return what it prints."""
    result = new_output("stream", name="stdout", text=stored)
    cell = new_code_cell(source, outputs=[result], execution_count=1, metadata={"tags": list(tags)})
    nbformat.write(new_notebook(cells=[cell]), folder / "lesson.ipynb")
    options = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, folder / "lesson.ipynb"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("source", "stored", "tags", "expected"),
    [
        ("print(2 + 2)", "4\n", ["nbval-check-output"], "1 passed"),
        ("print(2 + 2)", "5\n", ["nbval-check-output"], "Cell outputs differ"),
        ("print(2 + 2)", "5\n", [], "1 passed"),
        ("assert 2 + 2 == 5", "", [], "1 failed"),
    ],
    ids=["tagged and true", "tagged and false", "untagged", "failing"],
)
def test_notebooks_are_checked(tmp_path, source, stored, tags, expected):
    assert expected in verdict(tmp_path, source, stored, tags)
