"""From a submitted notebook to marks.

A check gives all its points or none, as nbgrader reads it from the cell's outputs. An exercise that
a person reads has no points until that person gives them, or zero if it was left as it was.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade, is_solution

from tools.coursework.assignment import Assignment, Exercise
from tools.coursework.form import by_id, grade_id, points_of
from tools.coursework.records import Cell, Outcome

NOTEBOOK_BYTES = 20 * 2**20

Play = Callable[[list[Cell]], list[Outcome]]


class UnreadableError(ValueError):
    """A file that is not a notebook; the message is for the student."""


@dataclass(frozen=True)
class Check:
    """What became of one check, and the points that it gave: None if a person has to say."""

    name: str
    maximum: float
    points: float | None
    outcome: Outcome | None = None  # None if no code ran


@dataclass(frozen=True)
class Marks:
    """What one exercise gave. ``answer`` is what became of the answer's own cell."""

    exercise: Exercise
    checks: tuple[Check, ...]
    answered: bool = False
    answer: Outcome | None = None
    comment: str = ""

    @property
    def points(self) -> float | None:
        """The points, or None if a person has to say."""
        points = [check.points for check in self.checks]
        return None if None in points else sum(points)


@dataclass(frozen=True)
class Report:
    """What one student is to be told about one assignment.

    ``problem`` says why nothing was graded; ``incidents`` are cells of the student's own that did
    not come to an end.
    """

    student: str
    assignment: Assignment
    marks: tuple[Marks, ...]
    problem: str = ""
    incidents: tuple[Outcome, ...] = ()

    @property
    def points(self) -> float:
        """The points so far."""
        return sum(marks.points or 0 for marks in self.marks)

    @property
    def needs_reading(self) -> bool:
        """Whether a person has to give points still."""
        return any(marks.points is None for marks in self.marks)


def check_seed(lesson: str, word: str = "") -> int:
    """The seed of the checks' inputs: one for all students, and never 0, which is their own."""
    digest = hashlib.sha256(f"{lesson}:{word}".encode()).digest()
    return 1 + int.from_bytes(digest[:4], "big") % 1_000_000_000


def read(path: Path) -> NotebookNode:
    """A notebook that anybody may have written.

    Raises
    ------
    UnreadableError
        If the file is too large, or is no notebook.
    """
    if path.stat().st_size > NOTEBOOK_BYTES:
        raise UnreadableError(
            f"The file is larger than {NOTEBOOK_BYTES >> 20} MB and was not opened. Clear the "
            "outputs of its cells before you hand it in."
        )
    try:
        notebook = nbformat.reader.reads(path.read_text(encoding="utf-8"))
        if notebook.nbformat != 4:
            notebook = nbformat.convert(notebook, 4)
        usable = all(
            isinstance(cell.source, str) and isinstance(cell.metadata, dict)
            for cell in notebook.cells
        )
    except Exception as error:  # of many kinds: not text, not JSON, not a notebook, too deep
        raise UnreadableError(
            f"The file is not a notebook that can be read ({type(error).__name__}). Open it in "
            "Jupyter, see that it runs, and hand it in again."
        ) from error
    if not usable:
        raise UnreadableError("The file is not a notebook that can be read: a cell has no source.")
    return notebook


def graded(student: str, assignment: Assignment, submitted: NotebookNode, play: Play) -> Report:
    """Play a submission, and give the points that code can give."""
    cells = assignment.composed(submitted)
    code = [cell for cell in cells if cell.cell_type == "code"]
    played = play([playable(cell, number) for number, cell in enumerate(code)])
    outcomes, incidents = {}, []
    for cell, outcome in zip(code, played, strict=True):
        if grade_id(cell):
            outcomes[grade_id(cell)] = outcome
        elif not outcome.ended:
            incidents.append(outcome)
    handed_in, given_out = {grade_id(cell): cell for cell in cells}, by_id(assignment.graded)
    marks = []
    for exercise in assignment.exercises:
        name = exercise.name
        blank = ("", given_out[name].source.strip())
        answered = handed_in[name].source.strip() not in blank
        if exercise.by_hand and assignment.own_cells(submitted):
            answered = True  # perhaps there: a person will see
        checks = [
            check_of(handed_in[check], outcomes.get(check), answered) for check in exercise.checks
        ]
        marks.append(Marks(exercise, tuple(checks), answered, outcomes.get(name)))
    return Report(student, assignment, tuple(marks), incidents=tuple(incidents))


def check_of(cell: NotebookNode, outcome: Outcome | None, answered: bool) -> Check:
    """The points for a check: those that nbgrader reads from the outputs, where code decides."""
    if is_solution(cell):
        return Check(grade_id(cell), points_of(cell), None if answered else 0.0, outcome)
    if outcome is not None and outcome.status != "passed":
        error = outcome.error or outcome.status
        cell.outputs = [nbformat.v4.new_output("error", ename=error, evalue=outcome.message)]
    points, maximum = determine_grade(cell)
    return Check(grade_id(cell), maximum, points, outcome)


def playable(cell: NotebookNode, number: int) -> Cell:
    """A cell as the player takes it."""
    name = grade_id(cell)
    return Cell(
        name or f"your cell {number}",
        cell.source,
        locked=bool(name) and not is_solution(cell),
        check=is_grade(cell),
    )


def ungraded(student: str, assignment: Assignment, problem: str) -> Report:
    """The report for a submission that is not there, or cannot be graded."""
    cells = by_id(assignment.graded)
    marks = tuple(
        Marks(e, tuple(Check(name, points_of(cells[name]), 0.0) for name in e.checks))
        for e in assignment.exercises
    )
    return Report(student, assignment, marks, problem)


def with_reading(report: Report, given: dict[str, tuple[float, str]]) -> Report:
    """The report with the points and comments that a person gave, by exercise."""
    marks = []
    for one in report.marks:
        if one.exercise.name in given:
            score, comment = given[one.exercise.name]
            checks = (replace(one.checks[0], points=score),)
            one = replace(one, checks=checks, comment=comment)
        marks.append(one)
    return replace(report, marks=tuple(marks))
