"""Sphinx extension: ``<!-- results -->`` becomes the table of what the recipes reached."""

from sphinx.application import Sphinx

from genlib.recipes import RECIPES, records

PLACEHOLDER = "<!-- results -->"
HEAD = """\
| model | data | test nats | published | parameters | time | machine |
|---|---|---:|---:|---:|---:|---|
"""


def table(found: dict[str, dict[str, object]]) -> str:
    """A row for each recipe, in Markdown, with what its record says or that there is none."""
    return HEAD + "\n".join(_row(recipe, found.get(name)) for name, recipe in RECIPES.items())


def _row(recipe, record) -> str:
    published = f"{_minus(recipe.published)} {{cite}}`{recipe.source}`"
    if record is None:
        return f"| {recipe.title} | | not run yet | {published} | | | |"
    machine = record["machine"]
    where = machine.get("gpu") or f"{machine['processor']}, threads: {machine['threads']}"
    remark = f" ({record['remarks']})" if record["remarks"] else ""
    return (
        f"| {recipe.title}{remark} | {record['data']} "
        f"| {_minus(record['nats'])} ± {record['standard error']:.2f} | {published} "
        f"| {record['parameters']:,} | {record['seconds'] / 60:.0f} min | {where} |"
    )


def _minus(nats: float) -> str:
    return f"{nats:.2f}".replace("-", "−")


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = source[0].replace(PLACEHOLDER, table(records()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
