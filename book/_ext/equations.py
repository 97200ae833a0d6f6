"""Sphinx extension: equations are counted in each lesson, as its figures are: (5.1), (5.2), …"""

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


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", number)
    return {"parallel_read_safe": True}
