"""Sphinx extension: pages of exercises, with solutions folded away and hidden tests left out.

With ``SOLUTIONS=0`` in the environment solutions are left out as well.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the course's own tools

from tools.coursework.assignment import Assignment
from tools.coursework.form import HIDDEN, grade_id

NAME = "exercises"
PROMPTS = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")


def shown(path: Path, solutions: bool) -> NotebookNode:
    """The notebook that stands in the book."""
    assignment = Assignment(path)
    if not solutions:
        return assignment.released()
    notebook = nbformat.from_dict(assignment.source)
    notebook.cells = [cell for cell in notebook.cells if not grade_id(cell).endswith(HIDDEN)]
    for cell in notebook.cells:
        lines = cell.source.splitlines()
        cell.source = "\n".join(line for line in lines if line.strip() not in MARKS)
        if len(lines) > len(cell.source.splitlines()):
            cell.metadata["mystnb"] = PROMPTS
    return notebook


def replace_source(app: Sphinx, name: str, source: list[str]) -> None:
    if Path(name).name == NAME:
        solutions = os.environ.get("SOLUTIONS") != "0"
        source[0] = nbformat.writes(shown(Path(app.env.doc2path(name)), solutions))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", replace_source)
    return {"parallel_read_safe": True}
