"""Sphinx extension: the index that Sphinx makes stands in the side bar, last in its part.

The table of contents cannot name a page that has no source.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PART = "Reference"


def add_index(app: Sphinx, doctree: nodes.document) -> None:
    if app.env.docname == app.config.root_doc:
        parts = {tree["caption"]: tree for tree in doctree.findall(addnodes.toctree)}
        if PART not in parts:
            raise ExtensionError(f"The index stands in the part {PART!r}, which _toc.yml lacks.")
        parts[PART]["entries"].append((None, "genindex"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", add_index, priority=200)  # after the table of contents is laid in
    return {"parallel_read_safe": True}
