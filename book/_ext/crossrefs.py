"""Sphinx extension: "lesson 4", "section 4.7" and "document H" in running text become links.

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
KINDS = {"lesson": r"\d+(?:\.\d+)?", "section": r"\d+\.\d+"}  # a lesson 7.9 is to be noticed
MENTION = re.compile(
    "|".join(m.format(noun=noun, number=KINDS[noun]) for m in MENTIONS for noun in KINDS),
    re.IGNORECASE,
)
ONE = re.compile(r"(?:(?:lesson|section)\s+)?(\d+(?:\.\d+)?)", re.IGNORECASE)  # its noun, if alone
DOCUMENT = re.compile(r"\bdocuments?\s+[CDHUX]\b", re.IGNORECASE)
DOCUMENTS = "book/documents"  # the page that names them
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
            if not (MENTION.search(text) or DOCUMENT.search(text)):
                continue
            around = list(ancestors(text))
            if not any(isinstance(node, UNLINKED) for node in around):
                parts = linked(text, places, self.env.docname, self.app.builder)
                text.parent.replace(text, list(parts))
            elif any(isinstance(node, nodes.title) for node in around):
                for found in ones(text):  # a title has no links, and is no less true
                    known(found, places, self.env.docname)


def ancestors(node: Node) -> Iterator[Node]:
    """What ``node`` lies in, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


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

    def link(words: str, target: str, anchor: str = "") -> Node:
        address = builder.get_relative_uri(page, target) + anchor
        return nodes.reference("", words, internal=True, refuri=address)

    end = 0
    for found in sorted((*ones(text), *DOCUMENT.finditer(text)), key=re.Match.start):
        yield nodes.Text(text[end : found.start()])
        end = found.end()
        if found.re is DOCUMENT:
            yield link(found[0], DOCUMENTS)
        elif place := places.get(found[1].lstrip("0")):
            yield link(found[0], *place)
        else:
            yield nodes.Text(found[0])
            if known(found, places, page):
                yield nodes.superscript("", "planned", classes=["planned"])
    yield nodes.Text(text[end:])


def known(found: re.Match[str], places: dict[str, tuple[str, str]], page: str) -> bool:
    """Whether a mention is of a lesson, written or planned, or of a section; if not, say so."""
    number = found[1].lstrip("0")
    if number in places or ("." not in number and 1 <= int(found[1]) <= LAST_LESSON):
        return True
    log.warning(f"{page}: expected a lesson or a section of one, got {found[0]!r}.")
    return False


def ones(text: str) -> Iterator[re.Match[str]]:
    """Each lesson or section that is mentioned, also within lists."""
    for mention in MENTION.finditer(text):
        yield from ONE.finditer(text, mention.start(), mention.end())


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(CrossReferences)
    return {"parallel_read_safe": True}
