"""Every lesson's exercises grade fairly: wrong answers lose their own points, right ones none.

No exercise needs the answer to another, which is tested. So one notebook holds an answer to each of
them, wrong and right ones side by side: a third of the notebooks that single answers would take.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import zip_longest

import pytest

from tools import ROOT
from tools.coursework.answers import wrong_and_right
from tools.coursework.assignment import Assignment
from tools.coursework.marking import check_seed, graded
from tools.coursework.records import Limits

LESSONS = sorted(path.parent for path in ROOT.glob("lessons/*/exercises.ipynb"))
SEEDS = ("", "one", "another")
SOLUTION = ("solution", "")


class Course:
    """A lesson's assignment, and what became of the answers to it.

    ``untouched`` and ``solved`` are reports by seed; ``alone`` those on each solution with nothing
    else answered; ``mixed`` pairs what was answered, by exercise, with its report.
    """

    def __init__(self, folder, players):
        self.assignment = Assignment(folder / "exercises.ipynb")
        self.wrong, self.right = wrong_and_right(self.assignment)
        solutions = self.assignment.solutions()
        answers = {(exercise, *SOLUTION): source for exercise, source in solutions.items()}
        for kind, given in (("wrong", self.wrong), ("right", self.right)):
            for exercise, sources in given.items():
                answers |= {(exercise, kind, name): text for name, text in sources.items()}
        mixtures = list(mixed(self.wrong, self.right))
        work = [({}, seed) for seed in SEEDS]
        work += [(solutions, seed) for seed in SEEDS]
        work += [({exercise: source}, "") for exercise, source in solutions.items()]
        work += [({e: answers[e, *key] for e, key in mixture.items()}, "") for mixture in mixtures]
        with ThreadPoolExecutor(len(players.players)) as pool:
            reports = pool.map(partial(self.report, players), work)
            self.untouched = {seed: next(reports) for seed in SEEDS}
            self.solved = {seed: next(reports) for seed in SEEDS}
            self.alone = {exercise: next(reports) for exercise in solutions}
            self.mixed = list(zip(mixtures, reports, strict=True))

    def report(self, players, work):
        answers, word = work
        seed = check_seed(self.assignment.lesson, word)
        play = partial(players.play, seed=seed, limits=Limits())
        return graded("", self.assignment, self.assignment.answered(answers), play)


def mixed(wrong, right):
    """One answer to every exercise, as often as it takes to have all of them: by kind and name.

    Every other exercise has its right answers last, so that they stand beside wrong ones.
    """
    columns = []
    for number, exercise in enumerate(wrong):
        kinds = [("right", right), ("wrong", wrong)][:: 1 if number % 2 else -1]
        columns.append([(kind, name) for kind, given in kinds for name in given[exercise]])
    for row in zip_longest(*columns, fillvalue=SOLUTION):
        yield dict(zip(wrong, row, strict=True))


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


def test_no_exercise_needs_the_answer_to_another(course):
    others = {e: set(course.wrong) - {e} for e in course.wrong}
    assert {exercise: lost(report) for exercise, report in course.alone.items()} == others


def test_solutions_get_full_marks_whatever_the_seed(course):
    assert {seed: lost(report) for seed, report in course.solved.items()} == {
        seed: set() for seed in SEEDS
    }


def test_right_answers_written_otherwise_get_full_marks(course):
    assert [answer for answer in answers(course, "right") if answer[2]] == []


def test_wrong_answers_lose_marks(course):
    assert [answer for answer in answers(course, "wrong") if not answer[2]] == []


def test_an_answer_costs_nothing_on_other_exercises(course):
    for answered, report in course.mixed:
        assert lost(report) <= {e for e, (kind, _) in answered.items() if kind == "wrong"}


def test_wrong_answers_fail_by_assertions_and_not_by_accidents(course):
    accidents = {
        (marks.exercise.name, name, check.outcome.error)
        for answered, report in course.mixed
        for marks in report.marks
        for kind, name in [answered.get(marks.exercise.name, SOLUTION)]
        for check in marks.checks
        if kind == "wrong" and check.outcome.error not in ("", "AssertionError")
    }
    assert accidents == set()


def test_the_released_notebook_untouched_gets_nothing(course):
    for report in course.untouched.values():
        assert report.points == 0 and not report.needs_reading
        assert not any(marks.answered for marks in report.marks)


def test_every_answer_was_graded(course):
    graded = {
        (e, name) for answered, _ in course.mixed for e, (_, name) in answered.items() if name
    }
    written = {(e, n) for table in (course.wrong, course.right) for e in table for n in table[e]}
    assert graded == written


def answers(course, kind):
    """The answers of a kind, with the exercise and whether marks were lost on it."""
    for answered, report in course.mixed:
        for exercise, (this, name) in answered.items():
            if this == kind:
                yield exercise, name, exercise in lost(report)
