"""Sphinx extension: what sets up, draws, lists or checks is folded away, under a line that says so.

The first line of such a cell is a comment: ``# Set-up: …``, ``# Figure: …``, ``# Table: …`` or
``# Check: …``. On the page it is all one sees of the cell, beside what the cell puts out; a click
shows the rest.
"""

import ast
import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NAME = "lesson"
LINES = {
    "Set-up": "Set-up: {}",
    "Figure": "Code of the figure: {}",
    "Table": "Code of the table: {}",
    "Check": "✓ Checked: {}",
}
MARK = re.compile(rf"# ({'|'.join(LINES)}): (\S.*)")
COMMENT = re.compile(r"\s*#+\s*([\w-]+)(\s*:)?")
BY_NAME = (ast.FunctionDef, ast.AsyncFunctionDef)  # run only if something names them
NEVER_EMPTY = (ast.Tuple, ast.List, ast.Set, ast.Dict)
ALWAYS_TRUE = (ast.GeneratorExp, ast.Lambda)


def fold(notebook: str, page: str) -> str:
    """The notebook, as JSON, with its marked cells folded.

    Raises
    ------
    ExtensionError
        A mark is misspelt or not in the first line of its cell, or its cell is not what it says.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if fault := fault_of(source):
            first = source.strip().partition("\n")[0]
            raise ExtensionError(f"{page}: the cell {cell['id']!r}, {first!r}, {fault}.")
        if mark := MARK.match(source):
            line = LINES[mark[1]].format(mark[2].replace("`", ""))  # a summary is plain text
            metadata = cell["metadata"]
            metadata["tags"] = [*metadata.get("tags", []), "hide-input"]
            prompts = {"code_prompt_show": line, "code_prompt_hide": line}
            metadata["mystnb"] = metadata.get("mystnb", {}) | prompts
            cell["source"] = source.partition("\n")[2].lstrip("\n")
    return json.dumps(content)


def fault_of(source: str) -> str:
    """What is wrong with the marks of a cell; nothing, if they are in place and true."""
    mark = MARK.match(source)
    for number, line in enumerate(source.splitlines()):
        if is_like_a_mark(line) and not (mark and number == 0):
            return (
                f"has {line.strip()!r}, which is like a mark; a mark is the first line of its cell "
                "and begins with '# Set-up: ', '# Figure: ', '# Table: ' or '# Check: '"
            )
    if not mark:
        return ""
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError as error:
        return f"is no Python: {error}"
    if not tree.body:
        return "has a mark and no code"
    if mark[1] == "Check" and not any(map(can_fail, run(tree, names(tree)))):
        return "checks nothing: it runs no assertion that can fail"
    if mark[1] != "Check" and any(map(is_check, ast.walk(tree))):
        return "checks something; the check needs a cell of its own"
    return ""


def is_like_a_mark(line: str) -> bool:
    """Whether a line is a comment that begins as a mark does, or nearly so."""
    if not (comment := COMMENT.match(line)):
        return False
    known, word = [name.lower() for name in LINES], comment[1].lower()
    near = difflib.get_close_matches(word, known, cutoff=0.7) if comment[2] else ()
    return word in known or bool(near)


def names(tree: ast.AST) -> set[str]:
    """Every name and attribute that code uses."""
    nodes = list(ast.walk(tree))
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    return used | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def run(node: ast.AST, used: set[str]) -> Iterator[ast.AST]:
    """``node`` and what is in it, without functions that are not used and branches never taken."""
    yield node
    children: Iterator[ast.AST] | list[ast.stmt] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If | ast.While) and isinstance(node.test, ast.Constant):
        children = node.body if node.test.value else node.orelse
    for child in children:
        if not (isinstance(child, BY_NAME) and child.name not in used):
            yield from run(child, used)


def is_check(node: ast.AST) -> bool:
    """Whether a statement says that a claim is true."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return "assert_" in called or called.startswith(("gl.verify.", "genlib.verify.", "verify."))


def can_fail(node: ast.AST) -> bool:
    """Whether a check depends on anything: ``assert True`` and ``assert (x, "words")`` do not."""
    if not isinstance(node, ast.Assert):
        return is_check(node)
    if isinstance(node.test, NEVER_EMPTY):
        return not list(ast.iter_child_nodes(node.test))
    return not isinstance(node.test, ALWAYS_TRUE) and bool(names(node.test))


def fold_lessons(app: Sphinx, page: str, source: list[str]) -> None:
    if Path(page).name == NAME and Path(app.env.doc2path(page)).suffix == ".ipynb":
        source[0] = fold(source[0], page)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fold_lessons)
    return {"parallel_read_safe": True}
