"""What a lesson defines, without running the lesson, and what its code is put to in tests."""

import ast

import nbformat
import torch

from tools import ROOT


def definitions(lesson, name="lesson"):
    """What ``lessons/<lesson>/<name>.ipynb`` imports and defines, as a dictionary by name.

    Only imports, functions, classes and constants (words in capitals) at the top of a cell are
    run, in the notebook's order, so that a test can put to a lesson's code what the lesson itself
    has no time for.
    """
    notebook = nbformat.read(ROOT / "lessons" / lesson / f"{name}.ipynb", as_version=4)
    namespace = {"__name__": lesson}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            tree.body = [statement for statement in tree.body if _defines(statement)]
            exec(compile(tree, f"{lesson}, {cell.id}", "exec"), namespace)
    return namespace


def run_cell(lesson, cell_id, namespace, name="lesson"):
    """Run one cell of a lesson in ``namespace``, which holds what the cell takes from others."""
    notebook = nbformat.read(ROOT / "lessons" / lesson / f"{name}.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.id == cell_id]
    exec(compile(source, f"{lesson}, {cell_id}", "exec"), namespace)


def rates(schedule, lr, steps):
    """The rates at which steps are taken under a ``gl.Schedule``, and the one after the last."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    moving, found = schedule.make(optimiser), [lr]
    for _ in range(steps):
        optimiser.step()
        moving.step()
        found.append(optimiser.param_groups[0]["lr"])
    return found


def _defines(statement):
    if isinstance(statement, ast.Assign):
        parts = [part for target in statement.targets for part in ast.walk(target)]
        stored = [p.id for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)]
        return bool(stored) and all(name.isupper() and len(name) > 1 for name in stored)
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
