"""Sphinx extension: ``<!-- inventory -->`` becomes the table of what the course must contain,
``<!-- inventory: done -->`` how much of it is done, ``<!-- errata: count -->`` their number.

A row of ``book/inventory.yml`` is taught where a notebook cell carries the tag ``covers-F10``, and
checked where a test carries ``@pytest.mark.covers("F10")``. It counts as done when it has both.
"""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from sphinx.application import Sphinx

PLACEHOLDER = "<!-- inventory -->"
SUMMARY = "<!-- inventory: done -->"
ERRATA = "<!-- errata: count -->"
ERRATUM = re.compile(r"^### E", re.MULTILINE)
COLUMNS = ["Row", "What", "Source", "Lesson", "State"]
TABLE = [":::{list-table}", ":header-rows: 1", ":widths: auto", ":class: inventory", ""]
TAG = re.compile(r"covers-(.+)")


@dataclass
class Row:
    """One thing that the course must contain."""

    id: str
    what: str
    lesson: str
    documents: str = ""
    taught: list[Path] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        if self.taught and self.checked:
            return "done"
        return (
            "taught, not yet checked"
            if self.taught
            else "checked, not yet taught"
            if self.checked
            else "planned"
        )


@dataclass
class Part:
    """A part of the course and its rows."""

    title: str
    rows: list[Row]


def read(root: Path) -> list[Part]:
    """The inventory of the course at ``root``, with the places that teach and prove each row.

    Raises
    ------
    ValueError
        A notebook or a test names a row that the inventory lacks, or the inventory names one twice.
    """
    content = yaml.safe_load((root / "book" / "inventory.yml").read_text(encoding="utf-8"))
    parts = [Part(part["part"], [Row(**row) for row in part["rows"]]) for part in content]
    rows = {row.id: row for part in parts for row in part.rows}
    if len(rows) < sum(len(part.rows) for part in parts):
        raise ValueError("book/inventory.yml has two rows of the same id.")
    for id, notebooks in taught(root).items():
        known(rows, id, notebooks).taught = notebooks
    for id, tests in checked(root).items():
        known(rows, id, tests).checked = tests
    return parts


def known(rows: dict[str, Row], id: str, places: list) -> Row:
    if id not in rows:
        raise ValueError(f"{places[0]} covers {id!r}, which is not a row of book/inventory.yml.")
    return rows[id]


def taught(root: Path) -> dict[str, list[Path]]:
    """For each row, the notebooks that have a cell with its tag, as paths from ``root``."""
    places = defaultdict(list)
    for path in sorted(root.glob("lessons/*/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tags = (tag for cell in cells for tag in cell["metadata"].get("tags", []))
        for match in filter(None, map(TAG.fullmatch, dict.fromkeys(tags))):
            places[match[1]].append(path.relative_to(root))
    return places


def checked(root: Path) -> dict[str, list[str]]:
    """For each row, the tests that carry its marker, as pytest names them."""
    places = defaultdict(list)
    for path in sorted(root.glob("tests/**/test_*.py")):
        name = path.relative_to(root).as_posix()
        for test, ids in marked(ast.parse(path.read_text(encoding="utf-8"))):
            for id in ids:
                places[id].append(f"{name}::{test}")
    return places


def marked(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Tests and classes under ``tree`` that carry ``pytest.mark.covers``, and the rows it names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = prefix + node.name
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.covers":
                    yield name, [ast.literal_eval(argument) for argument in mark.args]
            yield from marked(node, f"{name}::")


def document(parts: list[Part], root: Path) -> str:
    """The whole inventory as Markdown: how much is done, then a section for each part."""
    return "\n\n".join([f"**{summary(parts)}**", *(section(part, root) for part in parts)])


def summary(parts: list[Part]) -> str:
    """How much is done, in words."""
    rows = [row for part in parts for row in part.rows]
    done = sum(row.state == "done" for row in rows)
    return f"{done} of {len(rows)} rows are taught in a lesson and checked by a test today."


def count_errata(root: Path) -> int:
    """The entries of the list of errata."""
    return len(ERRATUM.findall((root / "book" / "errata.md").read_text("utf-8")))


def section(part: Part, root: Path) -> str:
    rows = [
        [row.id, row.what, row.documents or "★", home(row, root), state(row)] for row in part.rows
    ]
    lines = ["* - " + "\n  - ".join(cells) for cells in [COLUMNS, *rows]]
    return "\n".join([f"## {part.title}", "", *TABLE, *lines, ":::"])


def home(row: Row, root: Path) -> str:
    """The number of the row's lesson, as a link where there is a page to link to."""
    page = next(root.glob(f"lessons/{row.lesson}_*/lesson.ipynb"), None)
    return f"[{row.lesson}](/{page.relative_to(root).as_posix()})" if page else row.lesson


def state(row: Row) -> str:
    count = f", {len(row.checked)} test{'s' * (len(row.checked) > 1)}" if row.checked else ""
    return row.state + count


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    root = Path(app.srcdir)
    if PLACEHOLDER in source[0]:
        source[0] = source[0].replace(PLACEHOLDER, document(read(root), root))
    if SUMMARY in source[0]:
        source[0] = source[0].replace(SUMMARY, summary(read(root)))
    if ERRATA in source[0]:
        source[0] = source[0].replace(ERRATA, str(count_errata(root)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
