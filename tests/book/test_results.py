import json
import re

import pytest

from book._ext.results import BENCHMARK, BENCHMARKS, PLACEHOLDER, table, timings
from genlib.recipes import RECIPES, records
from genlib.recipes.ablations import PHOTOGRAPHS
from genlib.recipes.images import LABELLED
from genlib.recipes.rings import RING
from genlib.recipes.text import TEXT
from tools import ROOT

PUBLISHED, PARTS = "models with published figures", "parts of a pixel model"
RECORD = {
    "nats": -97.481,
    "standard error": 0.234,
    "dimensions": 784,
    "parameters": 307_720,
    "seconds": 754,
    "machine": {"processor": "a processor", "threads": 2},
}


def rows(group, found):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table(group, found).splitlines()[2:]
    ]


@pytest.mark.parametrize("group", {recipe.group for recipe in RECIPES.values()})
def test_a_recipe_that_was_never_run_says_so(group):
    found = rows(group, {})
    assert [row[0] for row in found] == [r.title for r in RECIPES.values() if r.group == group]
    assert all("not run yet" in row for row in found)


def test_a_record_is_printed_with_its_error_beside_the_published_number():
    row = next(row for row in rows(PUBLISHED, {"fvsbn": RECORD}) if row[0].startswith("FVSBN"))
    assert row == [
        "FVSBN (pixels in one random order, with weight decay)",
        "−97.48\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.23",
        "−97.45 {cite}`larochelle2011`",
        "—",
        "307,720",
        "13 min, a processor, threads: 2",
    ]


def test_a_figure_of_another_model_stands_apart():
    head = table(PUBLISHED, {}).splitlines()[0].split(" | ")
    assert head[2:4] == ["same model, published", "for orientation"]
    told = {row[0].split(",")[0]: row[2:4] for row in rows(PUBLISHED, {})}
    assert told["NADE"] == ["−88.33 {cite}`germain2015`", "—"]
    for name in ("MADE", "PixelCNN++ for black and white", "gated PixelCNN"):
        assert told[name][0] == "—" and "cite" in told[name][1]
    assert told["PixelCNN"] == ["−81.30 {cite}`oord2016pixel`", "—"]


def test_text_is_told_in_bits_per_character():
    record = RECORD | {"measure": "bits per character", "bits per character": 1.8351}
    record |= {"standard error": 0.0123, "validation curve": [-3.0, -2.0]}
    (row,) = (row for row in rows(TEXT, {"text_lstm": record}) if "not run yet" not in row)
    error = "1.84\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.01"
    assert row[1:] == [error, "307,720", "2", "13 min, a processor, threads: 2"]


def test_a_model_with_labels_is_told_with_and_without_them():
    record = RECORD | {"nats given the label": -95.5, "labels named": 0.968}
    record |= {"standard error of nats given the label": 0.5}
    found = rows(LABELLED, {"strokes_pixel_cnn": record})
    (row,) = (row for row in found if "not run yet" not in row)
    assert row[1:4] == [
        "−97.48\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.23",
        "−95.50\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.50",
        "96.8%",
    ]


@pytest.mark.parametrize(
    ("group", "measured"),
    [
        (PUBLISHED, "test nats"),
        ("classifiers of MNIST, first trained as autoencoders", "test errors, %"),
        ("deep belief networks of MNIST", "test errors, %"),
        ("codes of MNIST, 30 values", "squared test error"),
    ],
)
def test_a_column_is_called_after_what_was_measured(group, measured):
    assert table(group, {}).splitlines()[0].split(" | ")[1] == measured


def test_a_comparison_is_printed_in_bits_as_well():
    (row,) = (row for row in rows(PARTS, {"parts_gates": RECORD}) if "not run yet" not in row)
    assert row[1:] == ["−97.48\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.23", "0.1794", "307,720"]


def test_modes_are_told_with_the_games_that_cover_all_and_the_distance():
    record = RECORD | {"measure": "modes covered", "modes covered": 2.1, "standard error": 0.348}
    record |= {"all eight": 1.0, "diverged": 2.0, "kernel distance": 0.5194}
    record |= {"standard error of kernel distance": 0.0944}
    (row,) = (row for row in rows(RING, {"ring_minimax_slow": record}) if "not run yet" not in row)
    error = "2.10\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.35"
    distance = "0.519\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.094"
    assert row[1:] == [error, "1, 2 diverged", distance, "13 min, a processor, threads: 2"]


def test_a_bound_is_printed_with_its_divergence():
    record = RECORD | {
        "measure": "ELBO",
        "ELBO": -60.251,
        "KL": 28.8,
        "standard error of KL": 0.087,
    }
    (row,) = rows("convolutional VAE of stroke digits", {"vae_strokes": record})
    assert row[1:] == [
        "−60.25\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.23",
        "28.80\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.09",
        "307,720",
        "13 min, a processor, threads: 2",
    ]


def test_errors_are_printed_as_percentages_and_what_nobody_published_as_a_dash():
    record = RECORD | {"measure": "errors", "errors": 1.25, "standard error": 0.111}
    group = "classifiers of MNIST, first trained as autoencoders"
    found = dict.fromkeys(("mnist_denoising", "mnist_no_pretraining"), record)
    told = [row[1:4] for row in rows(group, found) if "not run yet" not in row]
    error = "1.25\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.11"
    assert told == [[error, "1.18 {cite}`rifai2011`", "307,720"], [error, "—", "307,720"]]


def test_a_gpu_is_named():
    machine = {"processor": "x", "threads": 1, "gpu": "a GPU"}
    assert any(
        row[-1] == "13 min, a GPU"
        for row in rows(PUBLISHED, {"nade": RECORD | {"machine": machine}})
    )


def test_a_group_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no recipe in the group 'best'"):
        table("best", {})


def test_the_page_holds_every_group_and_every_source_is_in_the_bibliography():
    groups = {recipe.group for recipe in RECIPES.values()}
    assert set(PLACEHOLDER.findall((ROOT / "book" / "results.md").read_text("utf-8"))) == groups
    known = re.findall(
        r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text("utf-8"), re.M
    )
    assert {recipe.source for recipe in RECIPES.values() if recipe.source} <= set(known)
    assert set(records()) <= set(RECIPES)


def test_benchmarks_are_printed_as_they_were_recorded():
    names = BENCHMARK.findall((ROOT / "book" / "results.md").read_text("utf-8"))
    assert {"gmm-cpu", "ista-cpu", "pca-cpu"} <= set(names)
    for name in names:
        record = json.loads((BENCHMARKS / f"{name}.json").read_text("utf-8"))
        rows = [row for case in record["results"] for row in case["contenders"].items()]
        lines = timings(name).splitlines()
        printed = [line for line in lines if re.search(r"\d \|$", line)]
        for line, (who, found) in zip(printed, rows, strict=True):
            expected = f"{found['seconds']:.1f}", f"{found['times genlib']:.2f}"
            assert [cell.strip() for cell in line.strip("|").split("|")] == [who, *expected]
        assert lines[-1] == f"AMD EPYC, threads: {record['machine']['threads']}."


def test_a_benchmark_s_cases_stand_apart_where_a_setting_differs():
    """Each contender once in a table."""
    first, second = timings("ista-cpu").split("With sparsity ")[1:]
    for part, sparsity in ((first, "0.1:"), (second, "0.03:")):
        assert part.startswith(sparsity)
        assert part.count("genlib, active set") == part.count("| contender |") == 1
    assert "With" not in timings("pca-cpu")


def test_what_the_page_says_of_principal_components_was_recorded():
    record = json.loads((BENCHMARKS / "pca-cpu.json").read_text("utf-8"))
    assert record["settings"]["rounds"] == 9 and record["machine"]["threads"] == 1
    for case in record["results"]:
        assert (case["rows"], case["d"], case["components"]) == (50000, 784, 50)
        ours, theirs = case["contenders"].values()
        assert theirs["times genlib"] >= 1
        assert abs(ours["variance"] - theirs["variance"]) < 1e-3


def test_what_the_page_says_of_sparse_codes_was_recorded():
    record = json.loads((BENCHMARKS / "ista-cpu.json").read_text("utf-8"))
    assert record["settings"]["rounds"] == 5
    for case, sparsity in zip(record["results"], (0.1, 0.03), strict=True):
        assert (case["rows"], case["d"], case["atoms"]) == (10000, 64, 256)
        assert case["sparsity"] == sparsity
        found = case["contenders"]
        ours = found["genlib, active set"]
        for peer, least in (("scikit-learn, lasso_lars", 5), ("scikit-learn, lasso_cd", 1.5)):
            assert found[peer]["times genlib"] > least
            assert found[peer]["process seconds"] > least * ours["process seconds"]
            assert abs(found[peer]["excess"]) < 1e-4


def test_what_lesson_08_and_the_page_say_of_em_was_recorded():
    record = json.loads((BENCHMARKS / "gmm-cpu.json").read_text("utf-8"))
    case, rounds = record["results"][0], record["settings"]["rounds"]
    assert (case["rows"], case["d"], case["components"], case["iterations"]) == (50000, 64, 50, 10)
    times = {who: found["times genlib"] for who, found in case["contenders"].items()}
    assert times["scikit-learn, float64"] > 4 and 1 < 1 / times["products alone"] < 1.5
    assert rounds == 5


def test_what_the_page_says_of_heads_was_recorded():
    logits, logistics = (records()[f"heads_{name}"] for name in ("logits", "logistics"))
    assert logits["nats"] > logistics["nats"]
    assert logits["validation nats"] < logistics["validation nats"]
    for split in ("test", "valid"):
        assert len(PHOTOGRAPHS[split]) == 1
