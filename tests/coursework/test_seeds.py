"""The course's own solutions pass the hidden checks, whatever word their inputs are drawn from."""

import ast

import nbformat
import pytest

import genlib as gl
from tools import ROOT
from tools.coursework.form import HIDDEN, VISIBLE, grade_id
from tools.coursework.marking import check_seed

LESSONS = sorted(path.parent.name for path in ROOT.glob("lessons/*/exercises.ipynb"))
WORDS = 60
WORDS_OF_SLOW = 12
SLOW = {  # as long as all the others together
    "04_maximum_likelihood",
    "05_autoregressive_networks",
    "06_sequence_models",
    "07_pixel_models",
}


def code_cells(lesson):
    notebook = nbformat.read(ROOT / "lessons" / lesson / "exercises.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_solutions_pass_hidden_checks_under_many_words(lesson):
    """In one process, the hidden checks of each exercise again and again: this takes a minute."""
    names, failures = {"__name__": lesson}, []
    for cell in code_cells(lesson):
        code = compile(cell.source, f"{lesson}, {cell.id}", "exec")
        if not grade_id(cell).endswith(HIDDEN):
            exec(code, names)
            continue
        assert "draws(" in cell.source and "CHECK_SEED" in names
        for word in map(str, range(WORDS_OF_SLOW if lesson in SLOW else WORDS)):
            names["CHECK_SEED"] = check_seed(lesson, word)
            gl.seed(names["CHECK_SEED"])
            try:
                exec(code, names)
            except Exception as error:
                failures.append((word, grade_id(cell), repr(error)))
    assert failures == []


def stored(statements):
    """The names that statements bind at the top of a cell."""
    found = set()
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in statement.names}
        else:
            found |= {
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return found


@pytest.mark.parametrize("lesson", ["16_deep_autoencoders"])
def test_checks_leave_no_names_that_answers_may_use(lesson):
    """Or a function could take its inputs from them, and helpers of that name would be lost."""
    for cell in code_cells(lesson):
        if grade_id(cell).endswith((VISIBLE, HIDDEN, "-tools", "-rankings")):
            names = stored(ast.parse(cell.source).body)
            assert not [name for name in names if not name.startswith("_")], cell.id
