"""Sphinx extension: tables of records, drawn where a page asks for them.

``<!-- results: GROUP -->`` becomes a table of what the recipes of a group reached, and
``<!-- benchmark: NAME -->`` one of how long each contender of a benchmark took.
"""

import json
import math
import re
from functools import partial
from pathlib import Path

from sphinx.application import Sphinx

from genlib.recipes import RECIPES, Recipe, bounded_nats, label_errors, records
from genlib.recipes.deep import squared_errors
from genlib.recipes.images import labelled_nats
from genlib.recipes.text import bits_per_character

PLACEHOLDER = re.compile(r"<!-- results: (.+?) -->")
BENCHMARK = re.compile(r"<!-- benchmark: (.+?) -->")
BENCHMARKS = Path(__file__).parents[2] / "tests" / "benchmarks" / "results"
PUBLISHED = """\
| model | {} | same model, published | parameters | time |
|---|---:|---:|---:|---:|
"""
APART = """\
| model | {} | same model, published | for orientation | parameters | time |
|---|---:|---:|---:|---:|---:|
"""
MEASURED = {label_errors: "test errors, %", squared_errors: "squared test error"}
IN_BITS = """\
| model | bits per character | parameters | epochs | time |
|---|---:|---:|---:|---:|
"""
LABELLED = """\
| model | test nats | given the label | labels named | parameters | time |
|---|---:|---:|---:|---:|---:|
"""
COMPARED = """\
| model | test nats | bits per value | parameters |
|---|---:|---:|---:|
"""
TIMED = """\
| contender | seconds | times genlib |
|---|---:|---:|
"""
BOUNDED = """\
| model | test ELBO, nats | KL divergence, nats | parameters | time |
|---|---:|---:|---:|---:|
"""
Record = dict[str, object]


def table(group: str, found: dict[str, Record]) -> str:
    """A row for each recipe of a group, in Markdown, with what its record says, if it has one."""
    recipes = [recipe for recipe in RECIPES.values() if recipe.group == group]
    if not recipes:
        raise ValueError(f"results: there is no recipe in the group {group!r}.")
    measure = recipes[0].measure
    if measure in MEASURED or recipes[0].published:
        apart = not all(recipe.same_model for recipe in recipes)
        head = (APART if apart else PUBLISHED).format(MEASURED.get(measure, "test nats"))
        row = partial(_published, apart=apart)
    elif measure is bounded_nats:
        head, row = BOUNDED, _bounded
    elif measure is bits_per_character:
        head, row = IN_BITS, _in_bits
    elif measure is labelled_nats:
        head, row = LABELLED, _labelled
    else:
        head, row = COMPARED, _compared
    return head + "\n".join(row(recipe, found.get(recipe.name)) for recipe in recipes)


def timings(name: str) -> str:
    """A row for each contender of a benchmark, in Markdown; where its cases differ in a setting,
    a table for each, with the setting above it.
    """
    record = json.loads((BENCHMARKS / f"{name}.json").read_text("utf-8"))
    tables: dict[str, list[str]] = {}
    for case in record["results"]:
        rows = tables.setdefault(_apart(case, record["results"]), [])
        rows.extend(
            f"| {who} | {it['seconds']:.1f} | {it['times genlib']:.2f} |"
            for who, it in case["contenders"].items()
        )
    parts = [title + TIMED + "\n".join(rows) + "\n" for title, rows in tables.items()]
    return "\n".join(parts) + f"\n{_where(record)}."


def _apart(case: Record, cases: list[Record]) -> str:
    """The settings in which a case differs from others, as a line above its table."""
    names = [name for name in case if any(other.get(name) != case[name] for other in cases)]
    said = ", ".join(f"{name} {case[name]}" for name in names if name != "contenders")
    return f"With {said}:\n\n" if said else ""


def _published(recipe: Recipe, record: Record | None, *, apart: bool) -> str:
    columns = ["—"] * (1 + apart)  # of the same model, and of another one
    if recipe.published is not None:
        figure = f"{_minus(recipe.published)} {{cite}}`{recipe.source}`"
        columns[not recipe.same_model] = figure
    published = " | ".join(columns)
    if record is None:
        return f"| {recipe.title} | not run yet | {published} | | |"
    remark = f" ({recipe.remarks})" if recipe.remarks else ""
    return (
        f"| {recipe.title}{remark} | {_nats(record)} | {published} "
        f"| {record['parameters']:,} | {_time(record)} |"
    )


def _in_bits(recipe: Recipe, record: Record | None) -> str:
    if record is None:
        return f"| {recipe.title} | not run yet | | | |"
    epochs = len(record["validation curve"])
    return (
        f"| {recipe.title} | {_with_error(record['bits per character'], record['standard error'])} "
        f"| {record['parameters']:,} | {epochs} | {_time(record)} |"
    )


def _labelled(recipe: Recipe, record: Record | None) -> str:
    if record is None:
        return f"| {recipe.title} | not run yet | | | | |"
    given = _with_error(
        record["nats given the label"], record["standard error of nats given the label"]
    )
    return (
        f"| {recipe.title} | {_nats(record)} | {given} | {record['labels named']:.1%} "
        f"| {record['parameters']:,} | {_time(record)} |"
    )


def _compared(recipe: Recipe, record: Record | None) -> str:
    if record is None:
        return f"| {recipe.title} | not run yet | | |"
    bits = -record["nats"] / record["dimensions"] / math.log(2)
    return f"| {recipe.title} | {_nats(record)} | {bits:.4f} | {record['parameters']:,} |"


def _bounded(recipe: Recipe, record: Record | None) -> str:
    if record is None:
        return f"| {recipe.title} | not run yet | | | |"
    kl = _with_error(record["KL"], record["standard error of KL"])
    return (
        f"| {recipe.title} | {_nats(record)} | {kl} | {record['parameters']:,} | {_time(record)} |"
    )


def _nats(record: Record) -> str:
    value = record[record.get("measure", "nats")]
    return _with_error(value, record["standard error"])


def _with_error(value: float, error: float) -> str:
    return f"{_minus(value)} ± {error:.2f}".replace(" ", "\N{NO-BREAK SPACE}")


def _time(record: Record) -> str:
    return f"{record['seconds'] / 60:.0f} min, {_where(record)}"


def _where(record: Record) -> str:
    machine = record["machine"]
    return machine.get("gpu") or f"{machine['processor']}, threads: {machine['threads']}"


def _minus(nats: float) -> str:
    return f"{nats:.2f}".replace("-", "−")


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Write the tables into a page before it is parsed."""
    source[0] = PLACEHOLDER.sub(lambda match: table(match[1], records()), source[0])
    source[0] = BENCHMARK.sub(lambda match: timings(match[1]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
