"""What the test run asks of a notebook: that its cells run, and that tagged outputs are true."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import ROOT

CHECKED = {"tags": ["nbval-check-output"]}
CELLS = {  # source, stored output, metadata
    "tagged_true": ("print(2 + 2)", "4\n", CHECKED),
    "tagged_false": ("print(2 + 2)", "5\n", CHECKED),
    "untagged": ("print(2 + 2)", "5\n", {}),
    "failing": ("assert 2 + 2 == 5", "", {}),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What pytest, as configured here, says of one notebook for each of the cells."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, (source, stored, metadata) in CELLS.items():
        result = new_output("stream", name="stdout", text=stored)
        cell = new_code_cell(source, outputs=[result], execution_count=1, metadata=metadata)
        nbformat.write(new_notebook(cells=[cell]), folder / f"{name}.ipynb")
    options = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider", "-rA")
    command = [sys.executable, "-m", "pytest", *options, folder]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("tagged_true", "PASSED"),
        ("tagged_false", "FAILED"),
        ("untagged", "PASSED"),
        ("failing", "FAILED"),
    ],
)
def test_a_notebook_is_run_and_its_tagged_outputs_are_compared(report, name, verdict):
    line = next(line for line in report.splitlines() if f"{name}.ipynb::Cell 0" in line)
    assert verdict in line


def test_a_failure_says_what_differs(report):
    assert "Cell outputs differ" in report
    assert "assert 2 + 2 == 5" in report
