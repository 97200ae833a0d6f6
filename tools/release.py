"""Make the students' versions of the exercises, in ``_build/release``.

A folder for each lesson: the exercises without solutions and hidden tests, ready to be handed out,
and the lesson that they follow. A notebook that could not be graded fairly is not released.
"""

import argparse
import shutil
import sys
from pathlib import Path

import nbformat

from genlib.core.files import atomic_write
from tools import ROOT
from tools.coursework.assignment import SOURCE, Assignment, AssignmentError, assignments

RELEASE = ROOT / "_build" / "release"
LESSON = "lesson.ipynb"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("lesson", nargs="?", default="", help="number of one lesson, such as 03")
    arguments = parser.parse_args()
    try:
        found = assignments(arguments.lesson)
        if not found:
            sys.exit(f"There is no {SOURCE} in lessons/{arguments.lesson}*/.")
        for assignment in found.values():
            path = release(assignment, RELEASE)
            print(f"{path.relative_to(ROOT)}  {assignment.points:g} points")
    except AssignmentError as error:
        sys.exit(f"Not released.\n{error}")


def release(assignment: Assignment, folder: Path) -> Path:
    """Write what students need for one assignment, and return the path of its notebook."""
    target = folder / assignment.lesson
    target.mkdir(parents=True, exist_ok=True)
    with atomic_write(target / SOURCE) as temporary:
        nbformat.write(assignment.released(), temporary)
    lesson = assignment.path.with_name(LESSON)
    if lesson.is_file():
        with atomic_write(target / LESSON) as temporary:
            shutil.copyfile(lesson, temporary)
    return target / SOURCE


if __name__ == "__main__":
    main()
