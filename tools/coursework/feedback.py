"""What students and teachers get to see: a page for each student, a table for each lesson.

Of a hidden check that failed, the page gives the message and nothing else: not its code, and not
what the answer printed while it ran, which might be the check's inputs.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from genlib.core.files import atomic_write
from tools.coursework.form import HIDDEN
from tools.coursework.marking import Check, Marks, Report
from tools.coursework.records import PATIENCE, Limits, Outcome

TABLE = "grades.csv"
HIDDEN_MESSAGE = 300  # characters shown of a hidden check's message: it may hold what it should not


@dataclass(frozen=True)
class Line:
    """What is said of one cell: in green or red, in a word, at length, and where."""

    good: bool
    label: str
    message: str = ""
    place: str = ""


@dataclass(frozen=True)
class Printed:
    """What a cell printed, or the beginning of it."""

    label: str
    text: str


def page(report: Report, limits: Limits) -> str:
    """The feedback page of one student, complete in itself."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("feedback.html").render(
        report=report,
        number=number,
        incidents=["In a cell of your own: " + sentence(o, limits) for o in report.incidents],
        exercises=[
            {
                "title": marks.exercise.title,
                "points": score(marks),
                "lines": [] if report.problem else list(lines(marks, limits)),
                "comment": marks.comment,
                "outputs": list(outputs(marks)),
            }
            for marks in report.marks
        ],
    )


def score(marks: Marks) -> str:
    """Points and maximum of an exercise."""
    points = "to be read" if marks.points is None else number(marks.points)
    return f"{points} / {number(marks.exercise.points)}"


def lines(marks: Marks, limits: Limits) -> Iterable[Line]:
    """What is said of an exercise's cells."""
    if not marks.answered:
        yield Line(False, "Not answered")
        return
    if marks.answer is not None and marks.answer.status != "passed":
        yield Line(False, "Your cell", sentence(marks.answer, limits), marks.answer.place)
    if not marks.exercise.by_hand:
        for check in marks.checks:
            yield line(check, limits)


def line(check: Check, limits: Limits) -> Line:
    """What is said of one check."""
    hidden = check.name.endswith(HIDDEN)
    label = "Hidden checks" if hidden else "Visible checks"
    worth = f"{number(check.maximum)} point{'s' if check.maximum != 1 else ''}"
    if check.points:
        return Line(True, f"{label} passed ({worth})")
    message = sentence(check.outcome, limits)
    if hidden and len(message) > HIDDEN_MESSAGE:
        message = message[:HIDDEN_MESSAGE] + " …"
    return Line(False, f"{label} failed ({worth})", message, check.outcome.place)


def outputs(marks: Marks) -> Iterable[Printed]:
    """What the cells printed that the student can see."""
    seen = [("your cell", marks.answer)]
    seen += [("the visible checks", c.outcome) for c in marks.checks if not c.name.endswith(HIDDEN)]
    for label, outcome in seen:
        if outcome is not None and outcome.printed:
            cut = outcome.printed > len(outcome.output.encode())
            size = f"{outcome.printed:,} bytes{', of which the beginning' if cut else ''}"
            yield Printed(f"Printed by {label}: {size}", outcome.output)


def sentence(outcome: Outcome, limits: Limits) -> str:
    """What happened, in a sentence for the student."""
    if outcome.status == "raised" and outcome.error == "AssertionError":
        return outcome.message
    if outcome.status == "raised":
        return f"{outcome.error}: {outcome.message}" if outcome.message else outcome.error
    seconds = f"{number(limits.cell_seconds)} s"
    return {
        "time": f"This did not end within {seconds} of processor time (or {PATIENCE} times as long "
        "on the clock). Is there a loop without an end? The other cells were graded without it.",
        "memory": f"This asked for more than {number(limits.gibibytes)} GiB of memory. The other "
        "cells were graded without it.",
        "died": f"This ended the notebook's process. {outcome.message}",
        "skipped": "This was not run: the notebook had used up all of its time, "
        f"{number(limits.seconds)} s.",
    }[outcome.status]


def table(reports: Iterable[Report]) -> list[list[str]]:
    """The marks of one lesson as rows, the first of them the names of the columns."""
    reports = sorted(reports, key=lambda report: report.student)
    assignment = reports[0].assignment
    names = [exercise.name for exercise in assignment.exercises]
    rows = [["student", "lesson", "points", "max", "needs_manual_grading", "remark", *names]]
    for report in reports:
        own = ["" if marks.points is None else number(marks.points) for marks in report.marks]
        row = [report.student, assignment.lesson, number(report.points), number(assignment.points)]
        rows.append([*row, "yes" if report.needs_reading else "no", remark(report), *own])
    return rows


def remark(report: Report) -> str:
    """In a few words, what a teacher may want to look into.

    Not why something was stopped: out of time or out of memory can be a matter of chance, and the
    table is to be the same every time.
    """
    if report.problem:
        return report.problem
    ran = [marks.answer for marks in report.marks]
    ran += [check.outcome for marks in report.marks for check in marks.checks]
    ran += report.incidents
    return "stopped" if any(outcome and not outcome.ended for outcome in ran) else ""


def number(value: float) -> str:
    """A number of points without needless zeros."""
    return f"{value:.10g}"


def write_page(report: Report, limits: Limits, folder: Path) -> None:
    """Write a student's page as ``folder/LESSON/STUDENT.html``."""
    lesson = folder / report.assignment.lesson
    lesson.mkdir(parents=True, exist_ok=True)
    with atomic_write(lesson / f"{report.student}.html") as temporary:
        temporary.write_text(page(report, limits), encoding="utf-8")


def write_table(reports: list[Report], folder: Path) -> Path:
    """Write a lesson's table, and remove the pages of students who are not in it."""
    lesson = folder / reports[0].assignment.lesson
    path = lesson / TABLE
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table(reports))
    students = {report.student for report in reports}
    for old in lesson.glob("*.html"):
        if old.stem not in students:
            old.unlink()
    return path
