"""Sphinx extension: tables of records, drawn where a page asks for them.

``<!-- results: GROUP -->`` becomes a table of what the recipes of a group reached, and
``<!-- benchmark: NAME -->`` one of how long each contender of a benchmark took.
"""

import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sphinx.application import Sphinx

from genlib.recipes import RECIPES, Recipe, bounded_nats, label_errors, records
from genlib.recipes.adversarial import PICTURES, labels_named, stacked_modes
from genlib.recipes.deep import squared_errors
from genlib.recipes.images import labelled_nats
from genlib.recipes.rings import modes_and_distances
from genlib.recipes.text import bits_per_character

PLACEHOLDER = re.compile(r"<!-- results: (.+?) -->")
BENCHMARK = re.compile(r"<!-- benchmark: (.+?) -->")
BENCHMARKS = Path(__file__).parents[2] / "tests" / "benchmarks" / "results"
MEASURED = {
    label_errors: "test errors, %",
    squared_errors: "squared test error",
    labels_named: "test labels named",
    stacked_modes: "modes of 1,000",
}
TIMED = """\
| contender | seconds | times genlib |
|---|---:|---:|
"""
Record = dict[str, object]
Columns = dict[str, Callable[[Recipe, Record], str]]  # heading, and what a cell says


def table(group: str, found: dict[str, Record]) -> str:
    """A row for each recipe of a group, in Markdown, with what its record says, if it has one."""
    recipes = [recipe for recipe in RECIPES.values() if recipe.group == group]
    if not recipes:
        raise ValueError(f"results: there is no recipe in the group {group!r}.")
    columns = _columns(recipes)
    lines = [["model", *columns], ["---", *["---:"] * len(columns)]]
    lines += [_row(recipe, found.get(recipe.name), columns) for recipe in recipes]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def _columns(recipes: list[Recipe]) -> Columns:
    """What is told of the recipes of a group, which have one measure."""
    measure = recipes[0].measure
    parameters: Columns = {"parameters": lambda _, record: f"{record['parameters']:,}"}
    time: Columns = {"time": lambda _, record: _time(record)}
    if measure in MEASURED or recipes[0].published:
        apart = not all(recipe.same_model for recipe in recipes)
        shown = PUBLISHED if apart else {SAME_MODEL: PUBLISHED[SAME_MODEL]}
        return {MEASURED.get(measure, "test nats"): _measured, **shown, **parameters, **time}
    if measure is bounded_nats:
        kl = partial(_further, name="KL")
        return {"test ELBO, nats": _measured, "KL divergence, nats": kl, **parameters, **time}
    if measure is bits_per_character:
        epochs: Columns = {"epochs": lambda _, record: str(len(record["validation curve"]))}
        return {"bits per character": _measured, **parameters, **epochs, **time}
    if recipes[0].group == PICTURES:
        return {
            "Fréchet distance": _measured,
            "precision": lambda _, record: f"{record['precision']:.2f}",
            "recall": lambda _, record: f"{record['recall']:.2f}",
            **parameters,
            **time,
        }
    if measure is modes_and_distances:
        return {
            "modes covered": _measured,
            "games with all eight": _all_eight,
            "kernel distance": _distance,
            **time,
        }
    if measure is labelled_nats:
        return {
            "test nats": _measured,
            "given the label": partial(_further, name="nats given the label"),
            "labels named": lambda _, record: f"{record['labels named']:.1%}",
            **parameters,
            **time,
        }
    return {"test nats": _measured, "bits per value": _bits, **parameters}


def _row(recipe: Recipe, record: Record | None, columns: Columns) -> list[str]:
    if record is None:
        cells = [say(recipe, {}) if name in PUBLISHED else "" for name, say in columns.items()]
        return [recipe.title, "not run yet", *cells[1:]]
    remark = f" ({recipe.remarks})" if recipe.remarks else ""
    return [recipe.title + remark, *(say(recipe, record) for say in columns.values())]


def _figure(recipe: Recipe, _: Record, *, same_model: bool) -> str:
    """The published figure, where it is of the same model or, if that is asked for, of another."""
    if recipe.published is None or recipe.same_model != same_model:
        return "—"
    return f"{_minus(recipe.published)} {{cite}}`{recipe.source}`"


SAME_MODEL = "same model, published"
PUBLISHED: Columns = {
    SAME_MODEL: partial(_figure, same_model=True),
    "for orientation": partial(_figure, same_model=False),
}


def _measured(_: Recipe, record: Record) -> str:
    return _with_error(record[record.get("measure", "nats")], record["standard error"])


def _further(_: Recipe, record: Record, *, name: str) -> str:
    """A measure that is not the first one."""
    return _with_error(record[name], record[f"standard error of {name}"])


def _all_eight(_: Recipe, record: Record) -> str:
    left = f", {record['diverged']:.0f} diverged" if record["diverged"] else ""
    return f"{record['all eight']:.0f}{left}"


def _distance(_: Recipe, record: Record) -> str:
    names = "kernel distance", "standard error of kernel distance"
    return _with_error(*(record[name] for name in names), digits=3)


def _bits(_: Recipe, record: Record) -> str:
    return f"{-record['nats'] / record['dimensions'] / math.log(2):.4f}"


def _with_error(value: float, error: float, digits: int = 2) -> str:
    return f"{_minus(value, digits)} ± {error:.{digits}f}".replace(" ", "\N{NO-BREAK SPACE}")


def _time(record: Record) -> str:
    return f"{record['seconds'] / 60:.0f} min, {_where(record)}"


def _where(record: Record) -> str:
    machine = record["machine"]
    return machine.get("gpu") or f"{machine['processor']}, threads: {machine['threads']}"


def _minus(nats: float, digits: int = 2) -> str:
    return f"{nats:.{digits}f}".replace("-", "−")


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Write the tables into a page before it is parsed."""
    source[0] = PLACEHOLDER.sub(lambda match: table(match[1], records()), source[0])
    source[0] = BENCHMARK.sub(lambda match: timings(match[1]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
