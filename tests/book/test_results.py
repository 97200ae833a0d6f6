import re

from book._ext.results import PLACEHOLDER, table
from genlib.recipes import RECIPES, records
from tools import ROOT

RECORD = {
    "nats": -97.481,
    "standard error": 0.234,
    "data": "binarised MNIST",
    "parameters": 307_720,
    "seconds": 754,
    "machine": {"processor": "a processor", "threads": 2},
    "remarks": "one order",
}


def rows(found):
    return table(found).splitlines()[2:]


def test_a_recipe_that_was_never_run_says_so():
    assert len(rows({})) == len(RECIPES)
    assert all("not run yet" in row and "{cite}" in row for row in rows({}))


def test_a_record_is_printed_with_its_error_beside_the_published_number():
    row = next(row for row in rows({"fvsbn": RECORD}) if row.startswith("| FVSBN"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "FVSBN (one order)",
        "binarised MNIST",
        "−97.48 ± 0.23",
        "−97.45 {cite}`larochelle2011`",
        "307,720",
        "13 min",
        "a processor, threads: 2",
    ]


def test_a_gpu_is_named():
    machine = {"processor": "x", "threads": 1, "gpu": "a GPU"}
    assert any("a GPU |" in row for row in rows({"nade": RECORD | {"machine": machine}}))


def test_the_page_holds_the_table_and_every_source_is_in_the_bibliography():
    assert PLACEHOLDER in (ROOT / "book" / "results.md").read_text("utf-8")
    known = re.findall(
        r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text("utf-8"), re.M
    )
    assert {recipe.source for recipe in RECIPES.values()} <= set(known)
    assert set(records()) <= set(RECIPES)
