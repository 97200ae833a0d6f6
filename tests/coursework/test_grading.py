"""Grading a class in which some notebooks do harm: theirs is the loss, and nobody else's."""

import csv
import shutil

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell

from tests.coursework import toy
from tools import grade
from tools.coursework.form import by_id
from tools.coursework.records import Limits
from tools.coursework.submissions import GradingError, collect, read_by_hand

# To import pyplot takes half a second of processor time on a slow machine, and two or three times
# that on a busy one: an honest cell's limit is far above it.
LIMITS = Limits(seconds=20, cell_seconds=2, gibibytes=0.75)
MARKER = "86399.5"  # seconds that a process left behind would sleep, to tell it from all others

# Answers to the first exercise of a notebook whose second is right.
HARM = {
    "crash": "import os\ndef double(x):\n    os._exit(0)",
    "fault": "import os, signal\ndef double(x):\n    os.kill(os.getpid(), signal.SIGSEGV)",
    "exit": "def double(x):\n    exit()",
    "sys-exit": "import sys\ndef double(x):\n    sys.exit(0)",
    "loop": """
def double(x):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass""",
    "loop-outside-python": "def double(x):\n    return sum(iter(int, 1))",
    "loop-at-once": "while True:\n    pass",
    "sleep": "import time\ndef double(x):\n    time.sleep(1e6)",
    "memory": "def double(x):\n    return bytearray(2**33)",
    "memory-bit-by-bit": """
kept = []
def double(x):
    while True:
        kept.append(bytearray(2**20))""",
    "memory-elsewhere": """
import subprocess, sys
def double(x):
    code = "kept = bytearray(b'x' * 2**28); import time; time.sleep(60)"
    for process in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]:
        process.wait()""",
    "removes": """
import os, shutil
def double(x):
    for place in (os.getcwd(), os.path.expanduser("~"), os.path.dirname(os.getcwd())):
        shutil.rmtree(place, ignore_errors=True)""",
    "prints": "def double(x):\n    print('<b>spam</b> ' * 1_000_000)",
    "closes": "import os\ndef double(x):\n    os.close(1), os.close(2)",
    "forks": "import os\ndef double(x):\n    return os.fork()",
    "syntax": "def double(x):\nreturn 2 * x",
    "fools-the-check": "def agree(*_):\n    return True\ndef double(x):\n    return 5",
    "forges": """
import json, os
def double(x):
    for pipe in range(3, 64):
        try:
            os.write(pipe, b'{"status": "passed"}' + bytes([10]))
        except OSError:
            pass
    os._exit(0)""",
}

# Cells of one's own, before two right answers; a blank line ends a cell.
OWN_CELLS = {
    "helper": "def helper(x):\n    return x + x",
    "magic": """\
import matplotlib

import matplotlib.font_manager

%matplotlib inline
import matplotlib.pyplot as plt

plt.plot([1])
plt.show()""",
    "await": "import asyncio\nawait asyncio.sleep(0)",
    "error": "1 / 0",
    "crash": "import os\nos._exit(1)",
    "name-of-ours": "agree = os = CHECK_SEED = None",
    "daemon": f"""
import subprocess
for _ in range(2):
    subprocess.Popen(["sleep", "{MARKER}"], start_new_session=True)
subprocess.run("setsid -f sleep {MARKER}", shell=True)""",
}


class Class:
    """A folder of submissions, graded."""

    def __init__(self, root, players):
        self.root, self.players = root, players
        self.assignment = toy.assignment(root)
        self.submissions = root / "submissions"

    def hand_in(self, student, notebook):
        path = self.submissions / student / toy.LESSON / "exercises.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(notebook, str):
            path.write_text(notebook)
        else:
            nbformat.write(notebook, path)

    def answers(self, double, square=toy.SQUARE, essay=""):
        return self.assignment.answered({"double": double, "square": square, "essay": essay})

    def grade(self, name="grades", **options):
        submissions = collect(self.submissions, toy.LESSON, self.root)
        output = self.root / name
        self.reports = grade.grade(submissions, self.players, output, LIMITS, **options)
        self.folder = output / toy.LESSON
        self.table = (self.folder / "grades.csv").read_bytes()
        rows = csv.DictReader(self.table.decode().splitlines())
        self.rows = {row["student"]: row for row in rows}

    def points(self, student):
        row = self.rows[student]
        return row["double"], row["square"], row["essay"]

    def page(self, student):
        return (self.folder / f"{student}.html").read_text()


@pytest.fixture(scope="module")
def school(tmp_path_factory, players):
    """A class with every kind of harm in it, and honest students in between."""
    school = Class(tmp_path_factory.mktemp("school"), players)
    for name, double in HARM.items():
        school.hand_in(f"harm-{name}", school.answers(double))
        school.hand_in(f"harm-{name}-neighbour", school.answers(toy.DOUBLE))
    for name, source in OWN_CELLS.items():
        notebook = school.answers(
            "def double(x):\n    return helper(x)" if name == "helper" else toy.DOUBLE
        )
        notebook.cells[2:2] = [new_code_cell(cell) for cell in source.split("\n\n")]
        school.hand_in(f"own-{name}", notebook)
    school.hand_in(
        "kills", school.answers("import os\ndef double(x):\n    os.kill(os.getppid(), 9)")
    )
    school.hand_in("killed-neighbour", school.answers(toy.DOUBLE))
    school.hand_in("broken", '{"cells": [')
    school.hand_in("untouched", school.assignment.released())
    school.hand_in("written", school.answers(toy.DOUBLE, essay="Because."))
    school.hand_in("wrong", school.answers("def double(x):\n    return 3 * x"))
    school.hand_in("raises", school.answers("def double(x):\n    y = x\n    return y / 0"))
    cheat = school.answers("def double(x):\n    return 5")
    by_id(cheat)["double-visible"].source = "pass"
    by_id(cheat)["double-visible"].metadata["nbgrader"]["points"] = 50
    by_id(cheat)["set-up"].source = "CHECK_SEED = 0\ndef agree(*_):\n    return True"
    cheat.cells.remove(by_id(cheat)["double-hidden"])
    school.hand_in("cheat", cheat)
    (school.submissions / "absent").mkdir()
    (school.submissions / "notes.txt").write_text("not a student")
    shutil.copytree(school.submissions, school.root / "copy")
    school.grade()
    return school


@pytest.mark.parametrize("name", HARM)
def test_harm_costs_its_own_exercise_and_nothing_else(school, name):
    assert school.points(f"harm-{name}") == ("0", "3", "0")
    assert school.points(f"harm-{name}-neighbour") == ("3", "3", "0")


@pytest.mark.parametrize("name", OWN_CELLS)
def test_a_students_own_cells_cost_nothing(school, name):
    assert school.points(f"own-{name}")[:2] == ("3", "3")


def test_who_ends_the_player_ends_only_their_own(school, isolation):
    square = "3" if isolation.kind == "user" else "0"  # where the player is somebody else's
    assert school.points("kills") == ("0", square, "0")
    assert school.points("killed-neighbour") == ("3", "3", "0")


def test_nothing_that_was_handed_in_is_changed_or_lost(school):
    def content(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}

    assert content(school.submissions) == content(school.root / "copy")


def test_no_process_outlives_its_notebook(school):
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if MARKER in line]


def test_the_table_is_for_a_learning_management_system(school):
    names = ["student", "lesson", "points", "max", "needs_manual_grading", "remark"]
    assert list(school.rows["wrong"]) == [*names, "double", "square", "essay"]
    assert list(school.rows["wrong"].values()) == [
        "wrong",
        toy.LESSON,
        "3",
        "10",
        "no",
        "",
        "0",
        "3",
        "0",
    ]
    assert list(school.rows) == sorted(school.rows) and len(school.rows) == len(school.reports)
    remarks = {
        name: school.rows[name]["remark"] for name in ("harm-crash", "harm-loop", "own-crash")
    }
    assert set(remarks.values()) == {"stopped"}


def test_who_hands_in_nothing_gets_nothing(school):
    assert school.points("untouched") == school.points("absent") == ("0", "0", "0")
    assert school.rows["untouched"]["needs_manual_grading"] == "no"
    assert "Not answered" in school.page("untouched")
    assert f"No notebook was found: expected {toy.LESSON}/exercises.ipynb." in school.page("absent")


def test_what_is_no_notebook_gets_a_page_that_says_so(school):
    assert school.points("broken") == ("0", "0", "0")
    assert "not a notebook that can be read" in school.page("broken")


def test_edited_and_deleted_checks_gain_nothing(school):
    assert school.points("cheat") == ("0", "3", "0")
    assert school.rows["cheat"]["max"] == "10"


def test_what_a_person_reads_waits_for_that_person(school):
    assert school.points("written") == ("3", "3", "")
    assert school.rows["written"]["needs_manual_grading"] == "yes"
    assert "a person has yet to read" in school.page("written")
    # Cells of one's own may be the answer: a person looks.
    assert school.rows["own-magic"]["needs_manual_grading"] == "yes"


def test_pages_say_what_happened(school):
    page = school.page("wrong")
    assert "twice two is four" in page and "not twice" in page
    assert "Visible checks failed (1 point)" in page and "Hidden checks passed (2 points)" in page
    assert "ZeroDivisionError: division by zero" in school.page("raises")
    assert "line 3: return y / 0" in school.page("raises")
    assert "did not end within 2 s" in school.page("harm-loop")
    assert "more than 0.75 GiB of memory" in school.page("harm-memory")
    assert "It ended itself with exit status 0." in school.page("harm-crash")
    assert "Signal SIGSEGV ended it." in school.page("harm-fault")
    assert "SystemExit" in school.page("harm-exit")
    assert "IndentationError" in school.page("harm-syntax")
    assert "In a cell of your own: This ended the notebook&#39;s process." in school.page(
        "own-crash"
    )


def test_pages_show_what_was_printed_but_not_all_of_it(school):
    page = school.page("harm-prints")
    assert "&lt;b&gt;spam" in page and "<b>spam" not in page
    assert "12,000,001 bytes, of which the beginning" in page
    assert len(page) < 50_000


def test_pages_hold_nothing_of_hidden_checks_and_need_no_network(school):
    for path in school.folder.glob("*.html"):
        page = path.read_text()
        assert "secret" not in page and "HIDDEN TESTS" not in page
        assert "http" not in page and "<script" not in page and str(school.root) not in page


def test_regrading_gives_the_same_table(school):
    first = school.table
    school.grade("again")
    assert school.table == first


def test_the_pages_of_those_who_left_are_removed(tmp_path, players):
    school = Class(tmp_path, players)
    for student in ("stays", "leaves"):
        school.hand_in(student, school.answers(toy.DOUBLE))
    school.grade()
    shutil.rmtree(school.submissions / "leaves")
    school.grade()
    assert {path.name for path in school.folder.iterdir()} == {"grades.csv", "stays.html"}


def test_points_given_by_hand_are_added(tmp_path, players):
    school = Class(tmp_path, players)
    school.hand_in("ada", school.answers(toy.DOUBLE, essay="Because."))
    table = tmp_path / "by_hand.csv"
    table.write_text(
        f"student,lesson,exercise,points,comment\nada,{toy.LESSON},essay,2.5,Well put\n"
    )
    submissions = collect(school.submissions, toy.LESSON, tmp_path)
    school.grade(by_hand=read_by_hand(table, submissions))
    assert school.points("ada") == ("3", "3", "2.5")
    assert school.rows["ada"]["points"] == "8.5"
    assert school.rows["ada"]["needs_manual_grading"] == "no"
    assert "Well put" in school.page("ada")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bob,{},essay,2", "'bob' has no exercise 'essay'"),
        ("ada,{},double,2", "'ada' has no exercise 'double'"),
        ("ada,{},essay,5", "expected 0 to 4 points, found '5'"),
        ("ada,{},essay,nan", "expected 0 to 4 points, found 'nan'"),
        ("ada,{},essay,", "expected 0 to 4 points, found ''"),
    ],
)
def test_points_that_nobody_can_have_are_refused(tmp_path, line, message):
    school = Class(tmp_path, players=None)
    school.hand_in("ada", school.answers(toy.DOUBLE))
    table = tmp_path / "by_hand.csv"
    table.write_text("student,lesson,exercise,points\n" + line.format(toy.LESSON) + "\n")
    with pytest.raises(GradingError, match=message):
        read_by_hand(table, collect(school.submissions, toy.LESSON, tmp_path))


def test_nobody_is_graded_if_the_solution_fails(tmp_path, players):
    cells = toy.cells()
    cells[3].source = 'assert double(2) == 5, "twice two is five"'
    toy.write(tmp_path, cells)
    school = Class.__new__(Class)
    school.root, school.players, school.submissions = tmp_path, players, tmp_path / "submissions"
    school.hand_in("ada", nbformat.v4.new_notebook())
    with pytest.raises(GradingError, match=r"solution of double gets only 2 of 3 .*is five"):
        school.grade()
    assert not (tmp_path / "grades").exists()


@pytest.fixture
def course(tmp_path):
    toy.assignment(tmp_path)
    return tmp_path


def submissions(course, *names):
    for name in names:
        path = course / "submissions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return course / "submissions"


def found(course, *names):
    collected = collect(submissions(course, *names), root=course)
    return {s.student: s.notebook and s.notebook.name for s in collected}


@pytest.mark.parametrize(
    ("names", "notebook"),
    [
        (["ada/90_toy/exercises.ipynb"], "exercises.ipynb"),
        (["ada/exercises.ipynb"], "exercises.ipynb"),
        (["ada/90_toy/ada final (2).ipynb"], "ada final (2).ipynb"),
        (["ada/90_toy/exercises.ipynb", "ada/90_toy/lesson.ipynb"], "exercises.ipynb"),
        (["ada/90_toy/a.ipynb", "ada/90_toy/b.ipynb", "bob/90_toy/a.ipynb"], None),
    ],
    ids=["as asked", "flat", "other name", "with the lesson", "which one?"],
)
def test_notebooks_are_found(course, names, notebook):
    assert found(course, *names)["ada"] == notebook


def test_links_are_not_followed(course):
    folder = submissions(course, "ada/90_toy/exercises.ipynb")
    (folder / "bob" / "90_toy").mkdir(parents=True)
    (folder / "bob" / "90_toy" / "exercises.ipynb").symlink_to(
        folder / "ada/90_toy/exercises.ipynb"
    )
    (folder / "eve").mkdir()
    (folder / "eve" / "90_toy").symlink_to(folder / "ada" / "90_toy")
    assert found(course) == {"ada": "exercises.ipynb", "bob": None, "eve": None}


def test_it_has_to_be_clear_what_to_grade(course):
    with pytest.raises(GradingError, match="There is no folder"):
        collect(course / "nowhere", root=course)
    (course / "submissions").mkdir()
    with pytest.raises(GradingError, match="is empty: expected"):
        collect(course / "submissions", root=course)
    with pytest.raises(GradingError, match="No notebook was found"):
        collect(submissions(course, "ada/notes.txt"), root=course)
    toy.write(course, toy.cells()).parent.rename(course / "lessons" / "91_other")
    toy.assignment(course)
    with pytest.raises(GradingError, match="Which lesson is it"):
        collect(submissions(course, "ada/exercises.ipynb"), root=course)
    assert len(collect(course / "submissions", "91", course)) == 1
