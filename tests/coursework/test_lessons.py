"""Every lesson's exercises grade fairly: wrong answers lose their own points, right ones none."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tools import ROOT
from tools.coursework.answers import wrong_and_right
from tools.coursework.assignment import Assignment
from tools.coursework.marking import check_seed, graded
from tools.coursework.records import Limits

LESSONS = sorted(path.parent for path in ROOT.glob("lessons/*/exercises.ipynb"))
SEEDS = ("", "one", "another")


class Course:
    """A lesson's assignment, and what became of the answers to it."""

    def __init__(self, folder, players):
        self.assignment = Assignment(folder / "exercises.ipynb")
        self.wrong, self.right = wrong_and_right(self.assignment)
        solutions = self.assignment.solutions()
        work = {("nothing", "", word): {} for word in SEEDS}
        work |= {("solution", "", word): solutions for word in SEEDS}
        for kind, answers in (("wrong", self.wrong), ("right", self.right)):
            for exercise, sources in answers.items():
                for name, source in sources.items():  # one answer at a time: the others are right
                    work[kind, exercise, name] = solutions | {exercise: source}
        with ThreadPoolExecutor(len(players.players)) as pool:
            reports = pool.map(partial(self.report, players), work.items())
            self.reports = dict(zip(work, reports, strict=True))

    def report(self, players, item):
        (kind, _, name), answers = item
        seed = check_seed(self.assignment.lesson, name if kind in ("nothing", "solution") else "")
        play = partial(players.play, seed=seed, limits=Limits())
        return graded("", self.assignment, self.assignment.answered(answers), play)

    def of(self, kind):
        return {key[1:]: report for key, report in self.reports.items() if key[0] == kind}


@pytest.fixture(scope="module", params=LESSONS, ids=[folder.name for folder in LESSONS])
def course(request, players):
    return Course(request.param, players)


def lost(report):
    """The exercises for code that did not get full marks."""
    marks = [marks for marks in report.marks if not marks.exercise.by_hand]
    return {m.exercise.name for m in marks if m.points != m.exercise.points}


def test_every_exercise_has_two_wrong_answers_and_a_right_one(course):
    exercises = {e.name for e in course.assignment.exercises if not e.by_hand}
    assert set(course.wrong) == set(course.right) == exercises
    assert all(len(answers) >= 2 for answers in course.wrong.values())


def test_solutions_get_full_marks_whatever_the_seed(course):
    assert {word: lost(report) for (_, word), report in course.of("solution").items()} == {
        word: set() for word in SEEDS
    }


def test_right_answers_written_otherwise_get_full_marks(course):
    assert {key for key, report in course.of("right").items() if lost(report)} == set()


def test_wrong_answers_lose_marks_on_their_own_exercise_only(course):
    losses = {key: lost(report) for key, report in course.of("wrong").items()}
    assert losses == {key: {key[0]} for key in losses}


def test_wrong_answers_fail_by_assertions_and_not_by_accidents(course):
    accidents = {
        key: (check.name, check.outcome)
        for key, report in course.of("wrong").items()
        for marks in report.marks
        for check in marks.checks
        if check.outcome is not None and check.outcome.error not in ("", "AssertionError")
    }
    assert accidents == {}


def test_the_released_notebook_untouched_gets_nothing(course):
    for report in course.of("nothing").values():
        assert report.points == 0 and not report.needs_reading
        assert not any(marks.answered for marks in report.marks)
