"""Grade what students have handed in, and write the marks into ``_build/grades``.

The submissions lie in a folder, with a folder for each student::

    SUBMISSIONS/<student>/<lesson>/exercises.ipynb       any number of lessons
    SUBMISSIONS/<student>/exercises.ipynb                if only one lesson is graded

A notebook that is alone in its folder may have another name. The marks come as a table and a folder
of pages for each lesson. The same submissions and the same seed give the same table, byte for byte.

Before anybody's work the course's own solution is graded, in the same place and within the same
limits. If that does not get full marks the fault is the grader's, and nobody is graded.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tools import ROOT
from tools.coursework.assignment import SOURCE, Assignment, AssignmentError
from tools.coursework.feedback import lines, number, remark, write_page, write_table
from tools.coursework.marking import (
    Report,
    UnreadableError,
    check_seed,
    graded,
    read,
    ungraded,
    with_reading,
)
from tools.coursework.records import Limits
from tools.coursework.sandbox import PlayerError, Players, strongest_isolation
from tools.coursework.submissions import (
    ByHand,
    GradingError,
    Submission,
    collect,
    read_by_hand,
)

GRADES = ROOT / "_build" / "grades"
AT_ONCE = 2
GRADER_FAILED = "The grader failed on this notebook, which says nothing about the notebook."


def main() -> None:
    default = Limits()
    parser = argparse.ArgumentParser(prog="make grade")
    parser.add_argument("submissions", help="the folder with a folder for each student")
    parser.add_argument("--lesson", default="", help="number of the only lesson to grade")
    parser.add_argument("--seed", default="", help="a word from which the checks' inputs are drawn")
    parser.add_argument("--by-hand", type=Path, help="table of points that a person has given")
    parser.add_argument("--output", type=Path, default=GRADES, help="folder for the marks")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="for a notebook")
    parser.add_argument("--cell-seconds", type=float, default=default.cell_seconds)
    parser.add_argument("--gibibytes", type=float, default=default.gibibytes, help="of memory")
    chosen = parser.parse_args()
    if not chosen.submissions:
        parser.error("say where the submissions lie: make grade SUBMISSIONS=folder")
    folder = Path(chosen.submissions)
    limits = Limits(chosen.seconds, chosen.cell_seconds, chosen.gibibytes)
    hidden = [ROOT / "_build", folder, chosen.output]
    try:
        submissions = collect(folder, chosen.lesson)
        by_hand = read_by_hand(chosen.by_hand, submissions) if chosen.by_hand else {}
        isolation = strongest_isolation()
        print(f"Notebooks run {isolation.meaning}.", flush=True)
        with Players(isolation, AT_ONCE, hidden) as players:
            reports = grade(submissions, players, chosen.output, limits, chosen.seed, by_hand)
    except (AssignmentError, GradingError, PlayerError) as error:
        sys.exit(f"Not graded. {error}")
    if failed := [report.student for report in reports if report.problem == GRADER_FAILED]:
        sys.exit(f"The grader itself failed on the work of {', '.join(failed)}: see above.")


def grade(
    submissions: list[Submission],
    players: Players,
    output: Path,
    limits: Limits,
    word: str = "",
    by_hand: ByHand | None = None,
) -> list[Report]:
    """Grade submissions, and write pages and tables into ``output``.

    Raises
    ------
    GradingError
        If an assignment's own solution does not get full marks here.
    """
    by_lesson: dict[str, list[Report]] = {}
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for assignment in {s.assignment.lesson: s.assignment for s in submissions}.values():
            prove(assignment, players, limits, word)
        for report in pool.map(partial(report_on, players, limits, word), submissions):
            lesson = report.assignment.lesson
            report = with_reading(report, (by_hand or {}).get((report.student, lesson), {}))
            write_page(report, limits, output)
            by_lesson.setdefault(lesson, []).append(report)
            print(summary(report), flush=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an interrupt, at once
    for reports in by_lesson.values():
        print("Marks in", write_table(reports, output))
    return [report for reports in by_lesson.values() for report in reports]


def prove(assignment: Assignment, players: Players, limits: Limits, word: str) -> None:
    """Raise `GradingError` unless the solution gets full marks."""
    solved = assignment.answered(assignment.solutions())
    seed = check_seed(assignment.lesson, word)
    report = graded("", assignment, solved, partial(players.play, seed=seed, limits=limits))
    for marks in report.marks:
        if not marks.exercise.by_hand and marks.points != marks.exercise.points:
            said = "; ".join(f"{line.label}: {line.message}" for line in lines(marks, limits))
            raise GradingError(
                f"{assignment.lesson}: the solution of {marks.exercise.name} gets only "
                f"{marks.points:g} of {marks.exercise.points:g} points here ({said})."
            )


def report_on(players: Players, limits: Limits, word: str, submission: Submission) -> Report:
    """Grade one submission, whatever it is."""
    student, assignment, path = submission.student, submission.assignment, submission.notebook
    if path is None:
        problem = f"No notebook was found: expected {assignment.lesson}/{SOURCE}."
        return ungraded(student, assignment, problem)
    seed = check_seed(assignment.lesson, word)
    play = partial(players.play, seed=seed, limits=limits, files=path.parent)
    try:
        return graded(student, assignment, read(path), play)
    except UnreadableError as error:
        return ungraded(student, assignment, str(error))
    except PlayerError as error:
        print(f"{student}: {error}", file=sys.stderr, flush=True)
        return ungraded(student, assignment, GRADER_FAILED)


def summary(report: Report) -> str:
    """One line about a student's work."""
    points = f"{number(report.points)} / {number(report.assignment.points)}"
    reading = "to be read" if report.needs_reading else ""
    remarks = ", ".join(filter(None, (reading, remark(report))))
    return f"{report.assignment.lesson}  {report.student}  {points}  {remarks}".rstrip()


if __name__ == "__main__":
    main()
