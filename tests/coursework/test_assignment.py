"""What is given out, what is refused, and how a submission is put together again."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.coursework import toy
from tools import release
from tools.coursework.assignment import HIDDEN_NOTE, AssignmentError
from tools.coursework.form import by_id, grade_id, leaks
from tools.coursework.marking import UnreadableError, check_seed, read


@pytest.fixture
def assignment(tmp_path):
    return toy.assignment(tmp_path)


def composed(assignment, notebook):
    return [(grade_id(cell), cell.source) for cell in assignment.composed(notebook)]


def test_the_exercises_are_known(assignment):
    found = [(e.name, e.title, e.points, e.by_hand) for e in assignment.exercises]
    assert found == [
        ("double", "Double", 3, False),
        ("square", "Square", 3, False),
        ("essay", "Essay", 4, True),
    ]
    assert assignment.points == 10


def test_the_released_notebook_holds_no_solution_and_no_hidden_test(assignment):
    text = nbformat.writes(assignment.released())
    assert "2 * x" not in text and "secret" not in text and "BEGIN" not in text
    cells = by_id(assignment.released())
    assert cells["double"].source.endswith("# YOUR CODE HERE\n    raise NotImplementedError()")
    assert cells["double-hidden"].source == HIDDEN_NOTE
    assert "twice two is four" in cells["double-visible"].source
    assert cells["double-visible"].metadata["editable"] is False


def test_a_leak_is_noticed(assignment):
    given_out = assignment.released()
    by_id(given_out)["essay"].source = "Mind that secret = -7:\nsecret = -7"
    by_id(given_out)["double"].source += "\n    ### END SOLUTION"
    assert leaks(assignment.source, given_out) == ["END SOLUTION", "secret = -7"]


def without(name):
    return [cell for cell in toy.cells() if grade_id(cell) != name]


def altered(name, **changes):
    cells = toy.cells()
    cell = next(cell for cell in cells if grade_id(cell) == name)
    cell.source = changes.pop("source", cell.source)
    cell.metadata["nbgrader"] |= changes
    return cells


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (without("double-hidden"), "double: there is no check double-hidden"),
        (without("essay"), "no exercise is read by a person"),
        (without("double"), "double-visible: the check belongs to no exercise"),
        (altered("double-visible", points=2), "the heading says 3 points, the checks give 4"),
        (altered("double-visible", points=0), "every check should be worth something"),
        (altered("double-visible", grade_id="double"), "Duplicate grade id: double"),
        (altered("double-visible", source="double(2)"), "it checks nothing"),
        (altered("double-visible", source="x = 1\nassert x"), "line 2 can fail without a word"),
        (altered("double-hidden", source="assert double(1), 'no'"), "expected regions"),
        (altered("double-hidden", source=toy.hidden("")), "expected regions"),
        (altered("square", source="def square(x):\n    return x**2"), "expected regions"),
        (toy.cells()[:1] + toy.cells()[2:], "double: its heading should end in"),
        (toy.cells()[:3] + toy.cells()[4:2:-1] + toy.cells()[5:], "then visible checks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unfair_notebooks_are_refused(tmp_path, cells, message):
    path = toy.write(tmp_path, cells)
    with pytest.raises(AssignmentError, match=message):
        toy.Assignment(path)


def test_a_submission_is_graded_as_it_stands(assignment):
    notebook = assignment.answered({"double": toy.DOUBLE, "essay": "Because."})
    sources = dict(composed(assignment, notebook))
    assert sources["double"] == toy.DOUBLE and sources["essay"] == "Because."
    assert "NotImplementedError" in sources["square"]
    assert "secret" in sources["square-hidden"]


def test_checks_that_a_student_edits_moves_or_deletes_are_as_they_were(assignment):
    honest = composed(assignment, assignment.answered({"double": "pass"}))
    notebook = assignment.answered({"double": "pass"})
    cells = by_id(notebook)
    cells["set-up"].source = "def agree(*_):\n    return True"
    cells["double-visible"].source = ""
    cells["double-visible"].metadata["nbgrader"] |= {"points": 100, "locked": False}
    cells["square-visible"].cell_type = "markdown"
    notebook.cells.remove(cells["double-hidden"])
    notebook.cells.insert(0, notebook.cells.pop())
    assert composed(assignment, notebook) == honest
    points = {grade_id(c): c.metadata.nbgrader.get("points") for c in assignment.composed(notebook)}
    assert points["double-visible"] == 1


def test_a_students_own_cells_stay_where_they_are(assignment):
    notebook = assignment.answered({"double": toy.DOUBLE})
    notebook.cells.insert(0, new_code_cell("first"))
    notebook.cells.insert(3, new_code_cell("helper"))  # before double, behind the set-up
    notebook.cells.append(new_code_cell("last"))
    notebook.cells.append(new_markdown_cell("text"))
    order = [name or source for name, source in composed(assignment, notebook)]
    assert order[:4] == ["first", "set-up", "helper", "double"]
    assert order[-2:] == ["essay", "last"]
    assert [cell.source for cell in assignment.own_cells(notebook)] == [
        "first",
        "helper",
        "last",
        "text",
    ]


def test_of_copies_of_an_answer_the_last_counts(assignment):
    notebook = assignment.answered({"double": "second = 1"})
    copy = new_code_cell("first = 1", metadata=toy.metadata("double", solution=True))
    notebook.cells.insert(2, copy)
    found = composed(assignment, notebook)
    assert found.index(("", "first = 1")) < found.index(("double", "second = 1"))


def test_a_deleted_answer_is_no_answer(assignment):
    notebook = assignment.answered({})
    notebook.cells.remove(by_id(notebook)["double"])
    assert "NotImplementedError" in dict(composed(assignment, notebook))["double"]


@pytest.mark.parametrize("nbgrader", [None, [], "x", {}, {"grade_id": None}, {"grade_id": ["x"]}])
def test_damaged_metadata_do_no_harm(assignment, nbgrader):
    notebook = assignment.answered({})
    notebook.cells.append(new_code_cell("own", metadata={"nbgrader": nbgrader}))
    assert composed(assignment, notebook)[-1] == ("", "own")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"cells": []}',
        b"[" * 100_000,
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}).encode(),
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    ],
    ids=["empty", "cut", "not text", "no object", "no version", "too deep", "no cell", "no source"],
)
def test_what_is_no_notebook_is_unreadable(tmp_path, content):
    path = tmp_path / "exercises.ipynb"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="not a notebook that can be read"):
        read(path)


def test_a_huge_file_is_not_opened(tmp_path):
    path = tmp_path / "exercises.ipynb"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(UnreadableError, match="larger than 20 MB"):
        read(path)


def test_an_old_notebook_is_read(tmp_path):
    cell = {"cell_type": "code", "input": ["x = 1\n", "y"], "outputs": [], "language": "python"}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell]}]}
    path = tmp_path / "exercises.ipynb"
    path.write_text(json.dumps(old))
    assert read(path).cells[0].source == "x = 1\ny"


def test_the_seed_of_the_checks_is_never_the_students():
    seeds = {check_seed(lesson, word) for lesson in ("03", "04") for word in ("", "a", "b")}
    assert len(seeds) == 6 and 0 not in seeds
    assert check_seed("03", "a") == check_seed("03", "a")


def test_release_writes_the_exercises_beside_their_lesson(assignment, tmp_path):
    assignment.path.with_name("lesson.ipynb").write_text("the lesson")
    path = release.release(assignment, tmp_path / "release")
    assert path == tmp_path / "release" / toy.LESSON / "exercises.ipynb"
    assert path.with_name("lesson.ipynb").read_text() == "the lesson"
    assert nbformat.read(path, as_version=4) == assignment.released()
    assert len(list(path.parent.iterdir())) == 2
