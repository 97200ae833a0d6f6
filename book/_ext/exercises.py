"""Sphinx extension: pages of exercises, with solutions folded away and hidden tests left out.

With ``SOLUTIONS=0`` in the environment solutions are left out as well.
"""

import os
import re
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
WORTH = re.compile(r"^(## Exercise .+?) · (\d+ points?\b.+)$", re.MULTILINE)
HOW = "Each answer goes where a cell says `# YOUR CODE HERE`, or *Your answer here*."
HOW_ON_A_PAGE = (
    "To answer, take the notebook (the download button above): it has a cell for each answer."
)
MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")


def shown(path: Path, solutions: bool) -> NotebookNode:
    """The notebook that stands in the book: a solution last in its exercise, after the checks, and
    what an exercise is worth below its heading.
    """
    assignment = Assignment(path)
    if solutions:
        notebook = nbformat.from_dict(assignment.source)
        notebook.cells = [cell for cell in notebook.cells if not grade_id(cell).endswith(HIDDEN)]
        put_solutions_last(notebook.cells)
    else:
        notebook = assignment.released()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = WORTH.sub(r"\1\n\n*\2*", cell.source).replace(HOW, HOW_ON_A_PAGE)
    return notebook


def put_solutions_last(cells: list[NotebookNode]) -> None:
    """Fold each solution, without its marks, and move it behind the code cell that checks it."""
    for i, cell in enumerate(list(cells)):
        lines = cell.source.splitlines()
        cell.source = "\n".join(line for line in lines if line.strip() not in MARKS)
        if len(lines) > len(cell.source.splitlines()):
            cell.metadata["mystnb"] = PROMPTS
            if i + 1 < len(cells) and cells[i + 1].cell_type == "code":
                cells[i], cells[i + 1] = cells[i + 1], cells[i]


def replace_source(app: Sphinx, name: str, source: list[str]) -> None:
    if Path(name).name == NAME:
        solutions = os.environ.get("SOLUTIONS") != "0"
        source[0] = nbformat.writes(shown(Path(app.env.doc2path(name)), solutions))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", replace_source)
    return {"parallel_read_safe": True}
