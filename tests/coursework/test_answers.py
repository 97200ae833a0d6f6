"""Changes to a notebook's own solutions become cells, or an error says which does not fit."""

import re

import pytest

from tests.coursework import toy
from tools.coursework.answers import TABLES, AnswersError, changed, wrong_and_right

SOLUTION = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def tables(tmp_path):
    """Writes the tables beside a small notebook, and reads them."""
    assignment = toy.assignment(tmp_path)

    def read(wrong, right=None):
        path = assignment.path.with_name(TABLES)
        path.write_text(f"WRONG = {wrong!r}\nRIGHT = {right or {}!r}\n", encoding="utf-8")
        return wrong_and_right(assignment)

    return read


@pytest.mark.parametrize(
    ("change", "source"),
    [
        (("2 * x", "x"), "def double(x):\n    return x\n"),
        (
            ("    return", "    x = -x\n    return"),
            "def double(x):\n    x = -x\n    return 2 * x\n",
        ),
        (("    return 2 * x\n", ""), "def double(x):\n"),
        ([("2", "x"), (" x", " 2")], "def double(x):\n    return x * 2\n"),
        ([(" x", " 2"), ("2", "x")], "def double(x):\n    return x * 2\n"),
        ([("2 ", "3 "), ("* x", "* x * x")], "def double(x):\n    return 3 * x * x\n"),
        ("double = abs", "double = abs"),
    ],
)
def test_places_are_changed_all_at_once_and_a_whole_cell_stands_for_itself(change, source):
    assert changed(SOLUTION, change) == source


def test_the_tables_beside_a_notebook_become_the_cells_of_its_answers(tables):
    wrong, right = tables(
        {"double": {"adds": ("2 *", "2 +"), "once": toy.DOUBLE}, "square": {"cubes": ("2", "3")}},
        {"square": {"a product": ("x**2", "x * x")}},
    )
    assert wrong["double"]["adds"] == (
        "def double(x):\n    ### BEGIN SOLUTION\n    return 2 + x\n    ### END SOLUTION"
    )
    assert wrong["double"]["once"] == toy.DOUBLE
    assert "return x**3" in wrong["square"]["cubes"]
    assert "return x * x\n" in right["square"]["a product"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("3 * x", "x"), "'3 * x' should stand once in the solution, found 0 times"),
        (("SOLUTION", ""), "'SOLUTION' should stand once in the solution, found 2 times"),
        (("##", "#"), "'##' should stand once in the solution, found 4 times"),  # two in each ###
        (("", "x"), "'' should stand once in the solution, found 75 times"),
        ([("2 *", "3 *"), ("* x", "+ x")], "'* x' begins inside another place that is changed"),
        ([("2 *", "3 *"), ("2 *", "4 *")], "'2 *' begins inside another place that is changed"),
        (("2 * x", "2 * x"), "it is the solution, unchanged"),
        ([], "it is the solution, unchanged"),
        (("2 *", "3 *", "4 *"), "not ('2 *', '3 *', '4 *')"),
        (("2 *", 3), "not ('2 *', 3)"),
        (["2*"], "not '2*'"),
        (None, "not None"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_with_its_place_and_the_reason(
    tables, change, message
):
    where = f"{toy.LESSON}, exercise 'double', answer 'doubles badly': "
    with pytest.raises(AnswersError, match=f"^{re.escape(where)}.*{re.escape(message)}$"):
        tables({"double": {"doubles badly": change}})


@pytest.mark.parametrize("exercise", ["treble", "essay"])
def test_an_exercise_that_code_does_not_check_is_refused(tables, exercise):
    message = f"{toy.LESSON}: code checks no exercise '{exercise}', but ['double', 'square']"
    with pytest.raises(AnswersError, match=f"^{re.escape(message)}$"):
        tables({exercise: {"name": "x = 1"}})
