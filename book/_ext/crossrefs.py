"""Sphinx extension: "lesson 4" and "section 4.7" in running text become links.

A lesson that is not written yet is marked as planned. A section that a lesson does not have is an
error of the build. (Sections of other works are written with a §, and stay as they are.)
"""

import re
from collections.abc import Iterator

from docutils import nodes
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

LESSON = re.compile(r"lessons/(\d\d)_\w+/lesson")
MENTIONS = (
    r"\b{noun}s\s+{number}(?:(?:,|,? and|,? or| to|–)\s*{number})*(?![.\d]*\d)",
    r"\b{noun}\s+{number}(?![.\d]*\d)",
)
KINDS = {"lesson": r"\d+", "section": r"\d+\.\d+"}
MENTION = re.compile(
    "|".join(m.format(noun=noun, number=KINDS[noun]) for m in MENTIONS for noun in KINDS),
    re.IGNORECASE,
)
ONE = re.compile(r"(?:(?:lesson|section)\s+)?(\d+(?:\.\d+)?)", re.IGNORECASE)  # its noun, if alone
LAST_LESSON = 33
UNLINKED = nodes.reference | nodes.literal | nodes.literal_block | nodes.title | nodes.math
log = logging.getLogger(__name__)


class CrossReferences(SphinxPostTransform):
    """Link what the text of a page mentions by number."""

    default_priority = 200
    formats = ("html",)

    def run(self, **_: object) -> None:
        places = known_places(self.env)
        for text in list(self.document.findall(nodes.Text)):
            if MENTION.search(text) and not is_elsewhere(text):
                parts = linked(text, places, self.env.docname, self.app.builder)
                text.parent.replace(text, list(parts))


def is_elsewhere(node: Node) -> bool:
    """Whether ``node`` lies in something that has no links."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, UNLINKED):
            return True
    return False


def known_places(env: BuildEnvironment) -> dict[str, tuple[str, str]]:
    """Page and anchor of every written lesson, by its number, and of every numbered section."""
    places = {}
    for page, contents in env.tocs.items():
        if lesson := LESSON.fullmatch(page):
            places[str(int(lesson[1]))] = page, ""
            for entry in contents.findall(nodes.reference):
                if number := re.match(r"\d+\.\d+", entry.astext()):
                    places[number[0]] = page, entry["anchorname"]
    return places


def linked(
    text: str, places: dict[str, tuple[str, str]], page: str, builder: Builder
) -> Iterator[Node]:
    """``text`` in parts, mentions among them as links or marked as planned."""
    end = 0
    for mention in MENTION.finditer(text):
        for one in ONE.finditer(text, mention.start(), mention.end()):
            yield nodes.Text(text[end : one.start()])
            end = one.end()
            number = one[1]
            if number in places:
                target, anchor = places[number]
                address = builder.get_relative_uri(page, target) + anchor
                yield nodes.reference("", one[0], internal=True, refuri=address)
                continue
            yield nodes.Text(one[0])
            if "." in number or not 1 <= int(number) <= LAST_LESSON:
                log.warning(f"{page}: expected a lesson or a section of one, got {mention[0]!r}.")
            else:
                yield nodes.superscript("", "planned", classes=["planned"])
    yield nodes.Text(text[end:])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(CrossReferences)
    return {"parallel_read_safe": True}
