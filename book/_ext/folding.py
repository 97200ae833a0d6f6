"""Sphinx extension: what sets up, draws or checks is folded away, under a line that says what.

The first line of such a cell is a comment: ``# Set-up: …``, ``# Figure: …`` or ``# Check: …``. On
the page it is all one sees of the cell, beside what the cell puts out; a click shows the rest.
"""

import ast
import json
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NAME = "lesson"
MARK = re.compile(r"# (Set-up|Figure|Check): (.+)")
LINES = {"Set-up": "Set-up: {}", "Figure": "Code of the figure: {}", "Check": "✓ Checked: {}"}


def fold(notebook: str, page: str) -> str:
    """The notebook, as JSON, with its marked cells folded.

    Raises
    ------
    ExtensionError
        A cell has a mark and nothing else, or a mark of another kind of cell.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and (mark := MARK.match(source)):
            if fault := fault_of(mark[1], source):
                raise ExtensionError(f"{page}: the cell {mark[0]!r} {fault}.")
            line = LINES[mark[1]].format(mark[2])
            metadata = cell["metadata"]
            metadata["tags"] = [*metadata.get("tags", []), "hide-input"]
            prompts = {"code_prompt_show": line, "code_prompt_hide": line}
            metadata["mystnb"] = metadata.get("mystnb", {}) | prompts
            cell["source"] = source.partition("\n")[2].lstrip("\n")
    return json.dumps(content)


def fault_of(kind: str, source: str) -> str:
    """What is wrong with a marked cell; nothing, if it is what its mark says."""
    nodes = list(ast.walk(ast.parse(source)))
    checks = any(map(is_check, nodes))
    if not ast.parse(source).body:
        return "has a mark and no code"
    if kind == "Check" and not checks:
        return "checks nothing"
    if kind != "Check" and checks:
        return "checks something; the check needs a cell of its own"
    return ""


def is_check(node: ast.AST) -> bool:
    """Whether a statement can fail because a claim is false."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return "assert_" in called or called.startswith("gl.verify.")


def fold_lessons(app: Sphinx, page: str, source: list[str]) -> None:
    if Path(page).name == NAME and Path(app.env.doc2path(page)).suffix == ".ipynb":
        source[0] = fold(source[0], page)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fold_lessons)
    return {"parallel_read_safe": True}
