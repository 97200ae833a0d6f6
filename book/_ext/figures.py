"""Sphinx extension: pictures and interactive figures of lessons get a number and a caption.

The caption is what the picture's alternative text says, which stands once, in the notebook: those
who see a picture are told what to see in it, as those who do not. A picture is as wide as it was
drawn, so that letters have the same size in all of them.
"""

import html
import re
from pathlib import Path
from urllib.parse import unquote

from crossrefs import LESSON, ancestors
from docutils import nodes
from docutils.nodes import Node
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

WORDS = re.compile(r"\w+ \w+")  # more than one
LABEL = re.compile(r'aria-label="([^"]*)"')
INTERACTIVE = 'class="genlib-figure'  # of the element that holds an interactive figure
PICTURE = re.compile(  # Sphinx makes a link of one that says how wide to show it
    r'(<a class="[^"]*image-reference" href="[^"]*">)?'
    r'<img alt="([^"]*)" src="([^"]*_images/([^"/]+))"(?: style="[^"]*")? />(?(1)\s*</a>)'
)
SIDE = rb'\b(width|height)="([\d.]+)pt"'
SIDES = re.compile(rb"<svg[^>]*?" + SIDE + rb"[^>]*?" + SIDE)  # in either order
PIXELS_AN_INCH = 96  # of CSS
log = logging.getLogger(__name__)


class Figures(SphinxPostTransform):
    """Wrap what a lesson's cells have drawn into figures."""

    default_priority = 100  # after myst-nb has chosen one form of each output
    formats = ("html",)

    def run(self, **_: object) -> None:
        lesson = LESSON.fullmatch(self.env.docname)
        if lesson:
            for i, drawn in enumerate(list(filter(is_drawn, self.document.findall())), 1):
                wrap(drawn, f"{int(lesson[1])}.{i}", self.env.docname)


def is_drawn(node: Node) -> bool:
    """Whether ``node`` is a picture, or an interactive figure, that a cell has put out."""
    if isinstance(node, nodes.raw):
        return node.get("format") == "html" and INTERACTIVE in node.astext()
    return isinstance(node, nodes.image) and any(
        "cell_output" in around.get("classes", ()) for around in ancestors(node)
    )


def wrap(drawn: Node, number: str, page: str) -> None:
    """Put ``drawn`` into a figure with its number and caption."""
    if isinstance(drawn, nodes.image):
        text, drawn["alt"] = drawn.get("alt", ""), f"Figure {number}"
    else:
        label = LABEL.search(drawn.astext())
        text = html.unescape(label[1]) if label else ""
    if not WORDS.search(text):
        log.warning(f"{page}: figure {number} has no alternative text, which would be its caption.")
    figure = nodes.figure(ids=[f"figure-{number.replace('.', '-')}"], classes=["course-figure"])
    drawn.replace_self(figure)
    name = nodes.strong(text=f"Figure {number}. ")
    figure += [drawn, nodes.caption("", "", name, nodes.Text(text))]


def give_sizes(app: Sphinx, page: str, template: str, context: dict, doctree: Node | None) -> None:
    """Say in the page how large its pictures are, load each when it comes into view, and make each
    that has a number a link to itself, which course.js opens above the page.
    """
    if "body" not in context:
        return
    paths = {name: Path(app.srcdir, path) for path, name in app.builder.images.items()}

    def sized(found: re.Match[str]) -> str:
        _, alt, address, name = found.groups()
        width, height = size(paths[unquote(name)])
        picture = (
            f'<img alt="{alt}" src="{address}" width="{width}" height="{height}" loading="lazy" />'
        )
        if not alt.startswith("Figure "):
            return picture
        return (
            f'<a class="enlarge" href="{address}" aria-label="Enlarge {alt.lower()}">{picture}</a>'
        )

    context["body"] = PICTURE.sub(sized, context["body"])


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in CSS pixels, as large as it was drawn.

    Raises
    ------
    ExtensionError
        A drawing does not say how large it is.
    """
    if path.suffix == ".svg":
        if not (sides := SIDES.search(path.read_bytes())):
            raise ExtensionError(
                f"{path.name}: expected a drawing with width and height in points, such as "
                "<svg width='432pt' height='216pt'>."
            )
        name, a, other, b = sides.groups()
        points = {name: float(a), other: float(b)}
        return tuple(round(points[side] * PIXELS_AN_INCH / 72) for side in (b"width", b"height"))
    with Image.open(path) as picture:
        across, down = picture.info.get("dpi", (PIXELS_AN_INCH, PIXELS_AN_INCH))
        width, height = picture.size
    return round(width * PIXELS_AN_INCH / across), round(height * PIXELS_AN_INCH / down)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(Figures)
    app.connect("html-page-context", give_sizes)
    return {"parallel_read_safe": True}
