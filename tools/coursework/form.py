"""The form of an exercises notebook, in nbgrader's metadata and our own rules.

An *answer* is a cell that students write in. Where code checks it, it is followed by a cell of
visible checks and one of hidden checks, whose ids are the answer's with an ending; where a person
reads it, it is its own check.
"""

import ast
import re
from collections.abc import Iterator

from jsonschema import ValidationError
from nbformat import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.nbgraderformat.common import SchemaMismatchError
from nbgrader.utils import is_grade, is_solution

VISIBLE, HIDDEN = "-visible", "-hidden"
HEADING = re.compile(
    r"^## (?P<title>.+?) · (?P<points>\d+) points?\b.* · about \d+ minutes$", re.MULTILINE
)
REGION = re.compile(
    r"^[^\n]*### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)^[^\n]*### END \1", re.DOTALL | re.MULTILINE
)


def grade_id(cell: NotebookNode) -> str:
    """A cell's id in nbgrader's metadata, where a student's notebook may hold anything."""
    metadata = cell.metadata.get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def by_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that have an id, in order; of several with the same, the last."""
    return {grade_id(cell): cell for cell in notebook.cells if grade_id(cell)}


def answers_of(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, re.Match[str] | None]]:
    """The cells for answers, each with the heading of its exercise if that has the right form."""
    heading = None
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            heading = HEADING.search(cell.source)
        if is_solution(cell):
            yield cell, heading


def checks_of(answer: NotebookNode) -> tuple[str, ...]:
    """The ids of an answer's checks."""
    name = grade_id(answer)
    return (name,) if is_grade(answer) else (name + VISIBLE, name + HIDDEN)


def points_of(cell: NotebookNode) -> float:
    """What a check is worth."""
    return float(cell.metadata.nbgrader.points)


def faults_of(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with a source notebook, a sentence each."""
    try:
        MetadataValidator().validate_nb(notebook)
    except (ValidationError, SchemaMismatchError) as error:
        yield f"nbgrader does not accept it: {getattr(error, 'message', error)}"
        return
    cells = by_id(notebook)
    answers = list(answers_of(notebook))
    for answer, heading in answers:
        yield from faults_of_exercise(answer, heading, cells)
    if not any(is_grade(answer) for answer, _ in answers):
        yield "no exercise is read by a person"
    named = {name for answer, _ in answers for name in checks_of(answer)}
    for name, cell in cells.items():
        if is_grade(cell) and name not in named:
            yield f"{name}: the check belongs to no exercise"


def faults_of_exercise(
    answer: NotebookNode, heading: re.Match[str] | None, cells: dict[str, NotebookNode]
) -> Iterator[str]:
    name, checks = grade_id(answer), checks_of(answer)
    if missing := [check for check in checks if not is_grade(cells.get(check, answer))]:
        yield f"{name}: there is no check {' and no '.join(missing)}"
        return
    if heading is None:
        yield f"{name}: its heading should end in '· N points · about M minutes'"
    elif int(heading["points"]) != (total := sum(points_of(cells[check]) for check in checks)):
        yield f"{name}: the heading says {heading['points']} points, the checks give {total:g}"
    if any(points_of(cells[check]) <= 0 for check in checks):
        yield f"{name}: every check should be worth something"
    if not is_grade(answer):
        order = list(cells)
        if not order.index(name) < order.index(name + VISIBLE) < order.index(name + HIDDEN):
            yield f"{name}: expected the answer, then visible checks, then hidden ones"
        yield from faults_of_marks(answer, ["SOLUTION"])
        yield from faults_of_check(cells[name + VISIBLE], [])
        yield from faults_of_check(cells[name + HIDDEN], ["HIDDEN TESTS"])


def faults_of_marks(cell: NotebookNode, expected: list[str]) -> Iterator[str]:
    found = [kind for kind, region in REGION.findall(cell.source) if region.strip()]
    if found != expected:
        yield f"{grade_id(cell)}: expected regions {expected} with something in them, found {found}"


def faults_of_check(cell: NotebookNode, marks: list[str]) -> Iterator[str]:
    yield from faults_of_marks(cell, marks)
    assertions = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assert)]
    if not assertions:
        yield f"{grade_id(cell)}: it checks nothing"
    for assertion in assertions:
        if assertion.msg is None:
            yield f"{grade_id(cell)}: line {assertion.lineno} can fail without a word"


def leaks(source: NotebookNode, given_out: NotebookNode) -> list[str]:
    """What of solutions and hidden tests is in the notebook given out, and public nowhere."""
    public: set[str] = set()
    secret: set[str] = set()
    for cell in source.cells:
        public |= lines(REGION.sub("", cell.source))
        for _, region in REGION.findall(cell.source):
            secret |= lines(region)
    leaked = {line for cell in given_out.cells for line in lines(cell.source)} & (secret - public)
    marks = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS")
    marked = {mark for mark in marks for cell in given_out.cells if mark in cell.source}
    outputs = {"outputs"} if any(cell.get("outputs") for cell in given_out.cells) else set()
    return sorted(leaked | marked | outputs)


def lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.strip()}
