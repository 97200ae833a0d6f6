"""Sphinx extension: ``<!-- status -->`` becomes the table of what each notebook took."""

import json
from pathlib import Path

from sphinx.application import Sphinx

PLACEHOLDER = "<!-- status -->"
HEAD = """\
| notebook | date | seconds | GiB | versions |
|---|---|---:|---:|---|
"""


def table(record: Path) -> str:
    """The runs in a record, as `tools.lessons` writes it, in Markdown."""
    return HEAD + "\n".join(
        f"| [{name}](/lessons/{name}) | {run['date']} | {run['seconds']:.1f} "
        f"| {run['gibibytes']:.2f} | "
        + ", ".join(f"{library} {version}" for library, version in run["versions"].items())
        + " |"
        for name, run in json.loads(record.read_text("utf-8")).items()
    )


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    if PLACEHOLDER in source[0]:
        record = Path(app.srcdir, "lessons", "record.json")
        source[0] = source[0].replace(PLACEHOLDER, table(record))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
