"""Sphinx extension: ``<!-- output FOLDER CELL -->`` shows what a cell of a lesson has put out.

``FOLDER`` is the lesson's, and ``CELL`` the id of a cell that has drawn a picture or an interactive
figure. The page thereby shows what the lesson shows, and nothing that no code has drawn.
"""

import base64
import html
import json
import re
from pathlib import Path

from figures import INTERACTIVE
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PLACEHOLDER = re.compile(r"<!-- output (\w+) ([\w-]+) -->")
PICTURES = ("image/svg+xml", "image/jpeg", "image/png")


def shown(root: Path, folder: str, cell_id: str) -> str:
    """The picture or figure that a cell has put out, as HTML, with a link to its lesson.

    Raises
    ------
    ExtensionError
        There is no such cell, or it has put out neither.
    """
    notebook = json.loads((root / "lessons" / folder / "lesson.ipynb").read_text("utf-8"))
    cell = next((cell for cell in notebook["cells"] if cell["id"] == cell_id), {})
    link = f'<a href="lessons/{folder}/lesson.html">Lesson {int(folder[:2])}</a>'
    for output in cell.get("outputs", ()):
        data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
        if INTERACTIVE in data.get("text/html", ""):
            return f"{data['text/html']}\n<p>{link}</p>"
        for kind in PICTURES:
            if kind in data:
                alt = html.escape(cell["metadata"]["mystnb"]["image"]["alt"])
                return (
                    f'<figure class="borrowed"><img src="{address(kind, data[kind])}" alt="{alt}" '
                    f'loading="lazy" /><figcaption>{link}. {alt}</figcaption></figure>'
                )
    raise ExtensionError(f"lessons/{folder}: expected a picture or figure of the cell {cell_id!r}.")


def address(kind: str, data: str) -> str:
    """A picture as an address that holds it."""
    if kind == "image/svg+xml":
        data = base64.b64encode(data.encode()).decode()
    return f"data:{kind};base64,{''.join(data.split())}"


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = PLACEHOLDER.sub(
        lambda found: f"```{{raw}} html\n{shown(Path(app.srcdir), *found.groups())}\n```", source[0]
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
