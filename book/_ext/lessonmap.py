"""Sphinx extension: ``<!-- map of lessons -->`` becomes a map of which lesson needs which.

It is drawn from the table that opens each lesson. Lessons stand below each other, in their order.
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossrefs import MENTION
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

SPAN = re.compile(r"(\d+)(?:(?: to|–)\s*(\d+))?")
# Numbers that may be lessons' and lessons without a number, where each mention has become a §.
UNCLEAR = re.compile(
    r"§,?(?: and| or| to|–)?\s*\d|(?:^|[;,])\s*\d+\s*(?:$|[;,–]|and\b|or\b|to\b)"
    r"|\b(?:lesson|section)s?\b",
    re.IGNORECASE,
)
PLACEHOLDER = "<!-- map of lessons -->"
TITLE = re.compile(r"# (\d+) · (.+)")
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
WIDTH, HEIGHT, DOWN = 230, 42, 66  # of a box, and from box to box
REACH = 56  # of what is drawn beside the boxes
HEAD = (
    '<marker id="lesson-map-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto-start-reverse"><path d="M0 0L8 4L0 8Z" /></marker>'
)


@dataclass(frozen=True)
class Lesson:
    """What the opening of a lesson says of it."""

    number: int
    title: str
    needs: tuple[int, ...]
    page: str


def read(root: Path) -> dict[int, Lesson]:
    """The written lessons by number.

    Raises
    ------
    ExtensionError
        A lesson has no number, another than its folder, or a table that does not say what it needs.
    """
    lessons = {}
    for path in sorted(root.glob("lessons/*/lesson.ipynb")):
        opening = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])
        place, title = path.parent.name, TITLE.match(opening)
        if not title or int(title[1]) != int(place[:2]):
            raise ExtensionError(
                f"lessons/{place}: expected a title such as '# {int(place[:2])} · Name', got "
                f"{opening.partition(chr(10))[0]!r}."
            )
        lessons[int(title[1])] = Lesson(
            int(title[1]), title[2].strip(), needs(opening, place), f"lessons/{place}/lesson"
        )
    return lessons


def needs(opening: str, place: str) -> tuple[int, ...]:
    """Numbers of the lessons in the column "needs" of the table that opens a lesson."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in opening.splitlines()
        if line[:1] == "|"
    ]
    if len(rows) < 3 or "needs" not in rows[0] or len(rows[2]) != len(rows[0]):
        raise ExtensionError(
            f"lessons/{place}: expected a table with a column 'needs' at the beginning."
        )
    text = LINK.sub(r"\1", rows[2][rows[0].index("needs")])
    mentions = [found[0] for found in MENTION.finditer(text)]
    if not text or "." in "".join(mentions) or UNCLEAR.search(MENTION.sub("§", text)):
        raise ExtensionError(
            f"lessons/{place}: expected to need 'lesson 1', 'lessons 1 and 3', 'lessons 1–3' or "
            f"other things in words, got {text!r}."
        )
    return tuple(number for mention in mentions for number in numbers(mention))


def numbers(mention: str) -> Iterator[int]:
    """Numbers of the lessons that are mentioned, also of those within ranges."""
    for first, last in SPAN.findall(mention):
        low, high = sorted((int(first), int(last or first)))
        yield from range(low, high + 1)


def edges(lessons: dict[int, Lesson]) -> list[tuple[int, int]]:
    """Each lesson with each that needs it.

    Raises
    ------
    ExtensionError
        A lesson needs itself, a later one, or one that is not written.
    """
    for number, lesson in lessons.items():
        if not {other for other in lessons if other < number} >= set(lesson.needs):
            raise ExtensionError(
                f"{lesson.page}: expected to need earlier lessons that are written, got "
                f"{', '.join(map(str, lesson.needs))}."
            )
    return [(other, number) for number, lesson in lessons.items() for other in lesson.needs]


def sides(arcs: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """For each arc past other boxes the side, 1 or -1, on which it crosses the fewest before it."""
    found: dict[tuple[int, int], int] = {}
    for arc in arcs:
        found[arc] = min(
            (1, -1),
            key=lambda side, arc=arc: sum(
                side == found[other] and cross(arc, other) for other in found
            ),
        )
    return found


def cross(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two arcs on the same side cross."""
    (top, end), (start, bottom) = sorted((a, b))
    return top < start < end < bottom


def drawing(lessons: dict[int, Lesson]) -> str:
    """The map as HTML: boxes that are links, one below the other, so that it fits a phone, and
    arrows from each lesson to those that need it.
    """
    place = {number: i for i, number in enumerate(sorted(lessons))}
    steps = [(place[other], place[number]) for other, number in edges(lessons)]
    side = sides([step for step in steps if step[1] - step[0] > 1])
    lines = "".join(arc(*step, side[step]) if step in side else arrow(step[0]) for step in steps)
    boxes = "".join(box(lesson, place[number] * DOWN) for number, lesson in lessons.items())
    width, height = WIDTH + 2 * REACH, (len(lessons) - 1) * DOWN + HEIGHT
    return (
        f'<div class="lesson-map"><svg viewBox="{-REACH} -2 {width} {height + 4}" '
        f'width="{width}" height="{height + 4}" role="group" aria-label="Which lesson needs which">'
        f"{HEAD}{lines}{boxes}</svg></div>"
    )


def arrow(i: int) -> str:
    """From one box down to the next."""
    x, y = WIDTH // 2, i * DOWN + HEIGHT
    return f'<path d="M{x} {y}V{(i + 1) * DOWN - 2}" marker-end="url(#lesson-map-head)" />'


def arc(i: int, j: int, side: int) -> str:
    """From the side of one box past others to that of a lower one."""
    x, y, down = (WIDTH if side > 0 else 0), i * DOWN + HEIGHT // 2 + 9, j * DOWN + HEIGHT // 2 - 9
    out = x + side * min(18 * (j - i), REACH)
    return (
        f'<path d="M{x} {y}C{out} {y} {out} {down} {x + 2 * side} {down}" '
        'marker-end="url(#lesson-map-head)" />'
    )


def box(lesson: Lesson, y: int) -> str:
    return (
        f'<a href="{lesson.page}.html">'
        f'<rect x="0" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8" />'
        f'<text x="12" y="{y + 26}">{lesson.number} · {html.escape(lesson.title)}</text></a>'
    )


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    if PLACEHOLDER in source[0]:
        drawn = f"```{{raw}} html\n{drawing(read(Path(app.srcdir)))}\n```"
        source[0] = source[0].replace(PLACEHOLDER, drawn)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
