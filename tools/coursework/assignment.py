"""One lesson's exercises: given out to students, and put together again from what comes back.

All that concerns nbgrader's format is done by nbgrader's own preprocessors. Its gradebook, a
database that its commands write every step into, is left out: it would make marks depend on what
was graded before, and what it is for (the true checks, points and checksums) stands in the source
notebook, which is read anew each time.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from nbgrader.utils import is_locked, is_solution

from tools import ROOT
from tools.coursework.form import (
    HIDDEN,
    answers_of,
    by_id,
    checks_of,
    faults_of,
    grade_id,
    leaks,
    points_of,
)

SOURCE = "exercises.ipynb"
HIDDEN_NOTE = "# Hidden checks take this place when the notebook is graded."

# The steps of nbgrader's `generate_assignment`, without its database, up to what is graded; then to
# what is given out, where `released` does the rest of its work before the cells are signed.
TO_GRADE = (LockCells, ClearSolutions, ClearOutput, ComputeChecksums)
TO_GIVE_OUT = (ClearHiddenTests, ClearMarkScheme)
TO_SIGN = (ComputeChecksums, CheckCellMetadata)


class AssignmentError(ValueError):
    """An exercises notebook that cannot be graded fairly; the message lists what is wrong."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: ``name`` is the id of its answer, ``checks`` those of its checks."""

    name: str
    title: str
    points: float
    checks: tuple[str, ...]

    @property
    def by_hand(self) -> bool:
        """Whether a person gives the points."""
        return self.checks == (self.name,)


class Assignment:
    """The exercises of one lesson.

    Parameters
    ----------
    path
        The source notebook, with solutions and hidden tests. Its folder gives the lesson's name.

    Raises
    ------
    AssignmentError
        If the notebook breaks a rule. The rules are nbgrader's own, and: every answer that code
        checks has a solution between marks, visible checks, and hidden ones; every assertion has a
        message; every heading states the exercise's points and an expected time; at least one
        exercise is read by a person.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lesson = path.parent.name
        self.source = nbformat.read(path, as_version=4)
        if faults := list(faults_of(self.source)):
            raise AssignmentError(f"{self.lesson}/{path.name}:\n  " + "\n  ".join(faults))
        self.graded = processed(self.source, TO_GRADE)
        cells = by_id(self.source)
        self.exercises = tuple(
            Exercise(
                name=grade_id(answer),
                title=heading["title"],
                points=sum(points_of(cells[check]) for check in checks_of(answer)),
                checks=checks_of(answer),
            )
            for answer, heading in answers_of(self.source)
        )

    @property
    def points(self) -> float:
        """The most that can be had."""
        return sum(exercise.points for exercise in self.exercises)

    def released(self) -> NotebookNode:
        """The notebook that students get: without solutions, hidden tests, outputs, and tags."""
        notebook = processed(self.graded, TO_GIVE_OUT)
        for cell in notebook.cells:
            cell.metadata.pop("tags", None)  # they are about the book's pages
            if grade_id(cell).endswith(HIDDEN):
                cell.source = f"{HIDDEN_NOTE}\n{cell.source}".strip()
        if leaked := leaks(self.source, notebook):
            raise AssignmentError(f"{self.lesson}: students would be given {leaked}")
        return processed(notebook, TO_SIGN)

    def answered(self, answers: dict[str, str]) -> NotebookNode:
        """The released notebook with these answers, by exercise, as a student would hand it in."""
        notebook = self.released()
        for cell in notebook.cells:
            cell.source = answers.get(grade_id(cell), cell.source)
        return notebook

    def solutions(self) -> dict[str, str]:
        """The source's own answers to the exercises that code checks."""
        cells = by_id(self.source)
        return {e.name: cells[e.name].source for e in self.exercises if not e.by_hand}

    def own_cells(self, submitted: NotebookNode) -> list[NotebookNode]:
        """The cells that a student has added, to the released notebook or its reader's edition."""
        ours = by_id(self.graded).keys()
        text = {cell.source for cell in self.graded.cells}
        added = [c for c in submitted.cells if grade_id(c) not in ours and c.source not in text]
        return [c for c in added if c.source.strip() and not (grade_id(c) and is_locked(c))]

    def composed(self, submitted: NotebookNode) -> list[NotebookNode]:
        """The cells to grade: answers from a student's notebook, all else from the source.

        They come in the source's order, whatever was edited, deleted, copied or moved. The
        student's own code cells stay behind the cell that they stood behind. Of copies of an
        answer the last counts, and the others are the student's own cells.
        """
        known, handed_in = by_id(self.graded), by_id(submitted)
        own: dict[str, list[NotebookNode]] = {}
        place = ""
        for cell in submitted.cells:
            name = grade_id(cell)
            if name in known and handed_in[name] is cell:
                place = name
            elif cell.cell_type == "code":
                own.setdefault(place, []).append(nbformat.v4.new_code_cell(cell.source))
        cells = own.get("", [])
        for name, cell in known.items():
            cell = copy.deepcopy(cell)
            if is_solution(cell) and name in handed_in:
                cell.source = handed_in[name].source
            cells = [*cells, cell, *own.get(name, [])]
        return cells


def assignments(lesson: str = "", root: Path = ROOT) -> dict[str, Assignment]:
    """The assignments of all lessons, or of those whose names begin so, by name."""
    paths = sorted(root.glob(f"lessons/{lesson}*/{SOURCE}"))
    return {path.parent.name: Assignment(path) for path in paths}


def processed(notebook: NotebookNode, preprocessors: Iterable[type]) -> NotebookNode:
    """What nbgrader's preprocessors make of a notebook, which itself stays as it is."""
    notebook = copy.deepcopy(notebook)
    for preprocessor in preprocessors:
        notebook, _ = preprocessor().preprocess(notebook, {})
    return notebook
