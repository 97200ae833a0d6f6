"""What was handed in, and the points that a person gave for it."""

import csv
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT
from tools.coursework.assignment import SOURCE, Assignment, assignments

ByHand = dict[tuple[str, str], dict[str, tuple[float, str]]]


class GradingError(RuntimeError):
    """Nobody can be graded; the message says why."""


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lesson: a notebook, or nothing."""

    student: str
    assignment: Assignment
    notebook: Path | None


def collect(folder: Path, lesson: str = "", root: Path = ROOT) -> list[Submission]:
    """Find what was handed in, by lesson and student; lessons that nobody handed in are left out.

    Raises
    ------
    GradingError
        If there is no student's folder, or it is not clear which lesson they are about.
    """
    if not folder.is_dir():
        raise GradingError(f"There is no folder {folder}.")
    students = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."]
    if not students:
        raise GradingError(f"{folder} is empty: expected {folder}/STUDENT/LESSON/{SOURCE}.")
    known = list(assignments(lesson, root).values())
    chosen = [a for a in known if any((student / a.lesson).is_dir() for student in students)]
    if not chosen and len(known) == 1:
        chosen = known
    if not chosen:
        raise GradingError(
            f"Which lesson is it? No folder in {folder}/*/ has the name of a lesson with "
            "exercises, such as 03_density_estimation. Give its number: LESSON=03"
        )
    flat = len(chosen) == 1
    found = [Submission(s.name, a, find(s, a.lesson, flat)) for a in chosen for s in students]
    if not any(submission.notebook for submission in found):
        raise GradingError(f"No notebook was found in {folder}/STUDENT/{chosen[0].lesson}/.")
    return found


def find(student: Path, lesson: str, flat: bool) -> Path | None:
    """A student's notebook for a lesson: by its name, or because there is no other."""
    folder = student / lesson
    if flat and not folder.is_dir():
        folder = student
    notebooks = [] if folder.is_symlink() else sorted(folder.glob("*.ipynb"))
    notebooks = [path for path in notebooks if path.is_file() and not path.is_symlink()]
    named = [path for path in notebooks if path.name == SOURCE]
    return next(iter(named or (notebooks if len(notebooks) == 1 else [])), None)


def read_by_hand(path: Path, submissions: list[Submission]) -> ByHand:
    """Points and comments by student and lesson, then by exercise.

    The columns of the table are student, lesson, exercise, points and, if wanted, comment.

    Raises
    ------
    GradingError
        If a line names somebody or something unknown, or gives points that are not to be had.
    """
    most = {
        (submission.student, submission.assignment.lesson, exercise.name): exercise.points
        for submission in submissions
        for exercise in submission.assignment.exercises
        if exercise.by_hand
    }
    given: ByHand = {}
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets may write a BOM
        for line, row in enumerate(csv.DictReader(file), start=2):
            student, lesson, exercise = (
                row.get(n) or "" for n in ("student", "lesson", "exercise")
            )
            if (student, lesson, exercise) not in most:
                raise GradingError(
                    f"{path}, line {line}: {student!r} has no exercise {exercise!r} in {lesson!r} "
                    "that a person reads."
                )
            points = points_from(row.get("points"), most[student, lesson, exercise])
            if points is None:
                raise GradingError(
                    f"{path}, line {line}: expected 0 to {most[student, lesson, exercise]:g} "
                    f"points, found {row.get('points')!r}."
                )
            given.setdefault((student, lesson), {})[exercise] = points, row.get("comment") or ""
    return given


def points_from(text: str | None, most: float) -> float | None:
    """A number from 0 to ``most``, or None if the text is something else."""
    try:
        points = float(text or "")
    except ValueError:
        return None
    return points if 0 <= points <= most else None
