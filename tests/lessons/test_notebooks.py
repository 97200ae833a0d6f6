"""The rules that every committed notebook keeps."""

import base64
import json
import re

import nbformat
import numpy as np
import pytest
import torch

from book._ext.exercises import HOW
from tests.lessons.definitions import definitions
from tests.lessons.pages import minutes_of_exercises, unnamed_in_folds
from tools import ROOT
from tools.lessons import GIBIBYTES, METADATA, RECORD, SECONDS

NOTEBOOKS = sorted(ROOT.glob("lessons/*/*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home|Users|tmp)/")
FILE_BYTES = 3_000_000
FIGURE_BYTES = 200_000
CELL_LINES = 30

notebooks = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[path.relative_to(ROOT / "lessons").as_posix() for path in NOTEBOOKS]
)


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def figures(output):
    data = output.get("data", {})
    return [data[kind] for kind in ("image/png", "image/jpeg") if kind in data]


@notebooks
def test_it_was_executed_top_to_bottom_in_a_fresh_kernel(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `make lessons`"
    assert nbformat.read(path, as_version=4).metadata == METADATA, "run `make lessons`"


@notebooks
def test_no_stored_output_is_an_error_or_a_warning(path):
    assert not [output for output in outputs(path) if output.output_type == "error"]
    assert not [output.text for output in outputs(path) if output.get("name") == "stderr"]


@notebooks
def test_it_names_no_path_of_the_machine_that_ran_it(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


@notebooks
def test_no_stored_output_shows_an_address_in_memory(path):
    texts = [str(output.get("data", {}).get("text/plain", "")) for output in outputs(path)]
    assert not [text for text in texts if re.search(r" at 0x[0-9a-f]{6,}", text)]


@notebooks
def test_no_stored_output_is_what_a_call_happened_to_return(path):
    """Words are printed; what a cell ends with is a picture or a table."""
    shown = [output.data for output in outputs(path) if output.output_type == "execute_result"]
    assert [data for data in shown if data.keys() == {"text/plain"}] == []


@notebooks
def test_it_is_small(path):
    assert path.stat().st_size <= FILE_BYTES
    sizes = [len(base64.b64decode(figure)) for o in outputs(path) for figure in figures(o)]
    assert all(size <= FIGURE_BYTES for size in sizes), sizes


@notebooks
def test_its_cells_are_short(path):
    read = [cell for cell in code_cells(path) if "remove-cell" not in cell.metadata.get("tags", [])]
    assert all(cell.source.count("\n") < CELL_LINES for cell in read)


@notebooks
def test_every_figure_says_in_words_what_it_shows(path):
    for cell in code_cells(path):
        if any(map(figures, cell.outputs)):
            image = cell.metadata.get("mystnb", {}).get("image", {})
            assert image.get("alt"), (
                f"the figure of cell {cell.execution_count} has no alternative text: "
                'add {"mystnb": {"image": {"alt": "what it shows"}}} to the cell\'s metadata'
            )


@notebooks
def test_its_last_run_kept_to_its_budget(path):
    runs = json.loads((ROOT / "lessons" / RECORD).read_text("utf-8"))
    run = runs.get(path.relative_to(ROOT / "lessons").as_posix())
    assert run is not None, "run `make lessons`"
    assert run["seconds"] <= SECONDS[path.name]
    assert run["gibibytes"] <= GIBIBYTES


LESSONS = sorted({path.parent.name for path in NOTEBOOKS})


@pytest.mark.parametrize("lesson", LESSONS)
def test_folds_name_what_visible_code_takes_from_them(lesson):
    assert unnamed_in_folds(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_stated_time_is_about_the_sum_of_the_exercises(lesson):
    stated, summed = minutes_of_exercises(lesson)
    assert abs(stated - summed) <= 15


@pytest.mark.parametrize("lesson", LESSONS)
def test_exercises_say_where_answers_go(lesson):
    opening = nbformat.read(ROOT / "lessons" / lesson / "exercises.ipynb", as_version=4).cells[0]
    assert HOW in opening.source


@pytest.mark.parametrize("lesson", LESSONS)
def test_answers_may_be_lists_and_lose_no_digits(lesson):
    """Or right answers of floats would miss tolerances meant for float64."""
    checked = definitions(lesson, "exercises")["checked"]
    for answer in (
        [1 / 3, 0.1],
        np.array([1 / 3, 0.1]),
        np.array([0.1, 1 / 3])[::-1],
        np.array([1 / 3, 0.1], dtype=np.longdouble),
        [np.array([1 / 3]), np.array([0.1])],
        [torch.tensor(1 / 3, dtype=torch.float64), 0.1],
        [1 / 3, np.array([0.1])],
        [np.array([1 / 3]), 0.1],
        [torch.tensor([1 / 3], dtype=torch.float64), np.float64(0.1)],
    ):
        assert checked(answer, (2,)).tolist() == [1 / 3, 0.1]
    rows = [torch.tensor([1 / 3, 0.1]).double(), [torch.tensor(0.5), 2]]
    assert checked(rows, (2, 2)).tolist() == [rows[0].tolist(), [0.5, 2.0]]
    assert checked([torch.ones(1), torch.zeros(1)], (2, 1)).tolist() == [[1.0], [0.0]]
    assert checked([0, np.array([0.5]), 1], (3,)).tolist() == [0.0, 0.5, 1.0]
    assert checked([[0, np.array([0.5])]], (1, 2)).tolist() == [[0.0, 0.5]]
    assert checked([0.5], ()).item() == checked(np.full((1, 1), 0.5), ()).item() == 0.5
    for wrong, shape in (([0.5, 0.5], ()), ([[0.5, 0.5]], (2,)), ([[0.5], [0.5]], (1,))):
        with pytest.raises(AssertionError, match="expected shape"):
            checked(wrong, shape)


def test_answers_are_read_by_the_same_lines_in_all_lessons():
    texts = {
        cell.source
        for lesson in LESSONS
        for cell in nbformat.read(ROOT / "lessons" / lesson / "exercises.ipynb", as_version=4).cells
        if cell.id == "answers"
    }
    assert len(texts) == 1
