"""Sphinx extension: ``<!-- output FOLDER CELL -->`` shows what a cell of a lesson has put out.

``FOLDER`` is the lesson's, and ``CELL`` the id of a cell that has drawn a picture or an interactive
figure. The page, at the root of the book, thereby shows what the lesson shows, and nothing that no
code has drawn.
"""

import base64
import html
import json
import re
from pathlib import Path

from figures import INTERACTIVE, WORDS, size
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PLACEHOLDER = re.compile(r"<!-- output (\w+) ([\w-]+) -->")
LIKE_ONE = re.compile(r"<!--\s*outputs?\b.*", re.IGNORECASE)  # would be an invisible comment
PICTURES = {"image/svg+xml": "svg", "image/jpeg": "jpg", "image/png": "png"}
IMAGES = "_images"  # Sphinx's folder of pictures


def shown(root: Path, book: Path, folder: str, cell_id: str) -> str:
    """The picture or figure that a cell has put out, as HTML, with a link to its lesson. A picture
    becomes a file of the ``book``.

    Raises
    ------
    ExtensionError
        There is no such cell, it has put out neither, or its picture has no alternative text.
    """
    path = root / "lessons" / folder / "lesson.ipynb"
    if not path.is_file():
        raise ExtensionError(
            f"There is no lesson 'lessons/{folder}', of which a page shows a figure."
        )
    notebook = json.loads(path.read_text("utf-8"))
    cell = next((cell for cell in notebook["cells"] if cell["id"] == cell_id), {})
    link = f'<a href="lessons/{folder}/lesson.html">Lesson {int(folder[:2])}</a>'
    for output in cell.get("outputs", ()):
        data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
        if INTERACTIVE in data.get("text/html", ""):
            return f"{data['text/html']}\n<p>{link}</p>"
        for kind in filter(data.get, PICTURES):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            if not WORDS.search(alt):
                raise ExtensionError(
                    f"lessons/{folder}: expected alternative text of the picture of the cell "
                    f"{cell_id!r} (mystnb.image.alt in its metadata), got {alt!r}."
                )
            alt = html.escape(alt)
            path = book / IMAGES / f"{folder}-{cell_id}.{PICTURES[kind]}"
            path.parent.mkdir(exist_ok=True)
            text = kind == "image/svg+xml"
            path.write_bytes(data[kind].encode() if text else base64.b64decode(data[kind]))
            width, height = size(path)
            return (
                f'<figure class="borrowed"><img src="{IMAGES}/{path.name}" alt="{alt}" '
                f'width="{width}" height="{height}" loading="lazy" />'
                f"<figcaption>{link}. {alt}</figcaption></figure>"
            )
    raise ExtensionError(f"lessons/{folder}: expected a picture or figure of the cell {cell_id!r}.")


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    def raw(found: re.Match[str]) -> str:
        drawn = shown(Path(app.srcdir), Path(app.outdir), *found.groups())
        return f"```{{raw}} html\n{drawn}\n```"

    source[0] = PLACEHOLDER.sub(raw, source[0])
    if left := LIKE_ONE.search(source[0]):
        raise ExtensionError(
            f"{page}: expected '<!-- output FOLDER CELL -->', with the folder of a lesson and the "
            f"id of a cell, got {left[0]!r}."
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
