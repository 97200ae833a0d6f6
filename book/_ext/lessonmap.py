"""Sphinx extension: ``<!-- map of lessons -->`` becomes a map of which lesson needs which.

It is drawn from the table that opens each lesson. Lessons stand in rows, each below all that it
needs.
"""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from crossrefs import MENTION, ONE
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PLACEHOLDER = "<!-- map of lessons -->"
TITLE = re.compile(r"# (\d+) · (.+)")
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
WIDTH, HEIGHT, ACROSS, DOWN = 210, 54, 250, 90  # of a box, and from box to box
BEND = 40


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
    rows = [line.strip("| ").split(" | ") for line in opening.splitlines() if line[:1] == "|"]
    if len(rows) < 3 or "needs" not in rows[0] or len(rows[2]) != len(rows[0]):
        raise ExtensionError(
            f"lessons/{place}: expected a table with a column 'needs' at the beginning."
        )
    text = LINK.sub(r"\1", rows[2][rows[0].index("needs")])
    mentions = " ".join(found[0] for found in MENTION.finditer(text))
    return tuple(int(number[1]) for number in ONE.finditer(mentions))


def rows(lessons: dict[int, Lesson]) -> dict[int, int]:
    """The row of each lesson: one further than that of the last lesson that it needs."""
    found: dict[int, int] = {}
    for number, lesson in sorted(lessons.items()):
        if not found.keys() >= set(lesson.needs):
            raise ExtensionError(
                f"{lesson.page}: expected to need earlier lessons that are written, got "
                f"{', '.join(map(str, lesson.needs))}."
            )
        found[number] = max((found[other] + 1 for other in lesson.needs), default=0)
    return found


def drawing(lessons: dict[int, Lesson]) -> str:
    """The map as HTML: boxes that are links, and lines from each lesson to those that need it."""
    row, places, filled = rows(lessons), {}, {}
    for number, at in row.items():
        column = filled[at] = filled.get(at, -1) + 1
        places[number] = (column * ACROSS, at * DOWN)
    width = max(filled.values()) * ACROSS + WIDTH + 2 * BEND
    height = max(row.values()) * DOWN + HEIGHT
    lines = "".join(
        line(places[other], places[number])
        for number, lesson in lessons.items()
        for other in lesson.needs
    )
    boxes = "".join(box(lesson, *places[number]) for number, lesson in lessons.items())
    return (
        f'<div class="lesson-map"><svg viewBox="-2 -2 {width + 4} {height + 4}" width="{width}" '
        f'role="group" aria-label="Which lesson needs which">{lines}{boxes}</svg></div>'
    )


def line(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From below one box to above the next; past a row between them, around its boxes."""
    if end[1] - start[1] == DOWN:
        x, y, to, down = start[0] + WIDTH // 2, start[1] + HEIGHT, end[0] + WIDTH // 2, end[1]
        half = (y + down) // 2
        return f'<path d="M{x} {y}C{x} {half} {to} {half} {to} {down}" />'
    x, y, to, down = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0] + WIDTH, end[1] + HEIGHT // 2
    out = max(x, to) + 2 * BEND
    return f'<path d="M{x} {y}C{out} {y} {out} {down} {to} {down}" />'


def box(lesson: Lesson, x: int, y: int) -> str:
    return (
        f'<a href="{lesson.page}.html">'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8" />'
        f'<text x="{x + 12}" y="{y + 23}">{lesson.number}</text>'
        f'<text x="{x + 12}" y="{y + 42}">{html.escape(lesson.title)}</text></a>'
    )


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    if PLACEHOLDER in source[0]:
        drawn = f"```{{raw}} html\n{drawing(read(Path(app.srcdir)))}\n```"
        source[0] = source[0].replace(PLACEHOLDER, drawn)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
