"""Sphinx extension: equations are counted in each lesson, as its figures are: (5.1), (5.2), …; and
the full stop after a formula in a line stays on that line.
"""

import re

from crossrefs import LESSON
from docutils import nodes
from sphinx.application import Sphinx


def number(app: Sphinx, doctree: nodes.document) -> None:
    """Give each labelled equation of a page its number, for itself and for what refers to it."""
    page = app.env.docname
    known = app.env.get_domain("math").equations
    labelled = [node for node in doctree.findall(nodes.math_block) if node.get("label") in known]
    lesson = LESSON.fullmatch(page)
    for i, equation in enumerate(labelled, 1):
        equation["number"] = f"{int(lesson[1])}.{i}" if lesson else f"{i}"
        known[equation["label"]] = page, equation["number"]


def keep_together(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Join each formula in a line with the punctuation after it.

    A browser takes a formula that may scroll for a box, and breaks lines even before a full stop.
    """
    if app.builder.format != "html":
        return
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        marks = re.match(r"[.,;:!?)’”]+", after) if isinstance(after, nodes.Text) else None
        if marks:
            joined = nodes.inline(classes=["unbroken"])
            after.parent.replace(after, nodes.Text(after[marks.end() :]))
            formula.replace_self(joined)
            joined += [formula, nodes.Text(marks[0])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", number)
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True}
