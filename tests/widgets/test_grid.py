"""Grids: the page holds the matrices that were given, and pointing at a cell shows its own."""

import json
import math
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from genlib.widgets.grid import _LETTERS
from tests.widgets.hands import attributes, focus, hover, press, said, tap

PICTURE = torch.arange(12.0).view(3, 4)
MAPS = torch.arange(3 * 4 * 2 * 5.0).view(3, 4, 2, 5)


def page(figure):
    soup = BeautifulSoup(figure._repr_html_(), "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def grid(**settings):
    panels = {"picture": PICTURE, "map": MAPS}
    return gl.widgets.Grid(panels, **{"alt": "a picture and its maps", **settings})


def test_every_map_is_on_the_page_to_half_a_level():
    _, data = page(grid())
    assert data["panels"][0]["values"] == [PICTURE.flatten().tolist()]
    (numbers,) = data["panels"][1]["linked"]
    low, high = data["panels"][1]["limits"]
    step = (high - low) / (len(_LETTERS) - 1)
    for number, truth in zip(numbers, MAPS.flatten(0, 1).flatten(1), strict=True):
        found = [low + step * _LETTERS.index(letter) for letter in data["maps"][number][0]]
        assert found == pytest.approx(truth.tolist(), abs=step / 2 + 1e-6)


def test_equal_maps_are_stored_once_and_cells_that_are_left_out_cost_nothing_at_the_end():
    maps = torch.full((2, 2, 2, 2), math.nan)
    maps[..., 0, 0] = 1.0
    _, data = page(gl.widgets.Grid({"map": maps}, alt="one map for all cells"))
    assert data["maps"] == [["A", 0, 1]] and data["panels"][0]["linked"] == [[0, 0, 0, 0]]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_maps_of_categories_are_drawn_as_they_are(shown, count):
    kinds = torch.arange(14.0).view(1, 1, 2, 7) % (count + 1) - 1
    kinds[kinds < 0] = math.nan
    names = list("abcd")[:count]
    browser = shown(gl.widgets.Grid({"kinds": kinds}, categories=names, alt="kinds of cells"))
    drawn = browser.ask("[...document.querySelectorAll('svg text')].map(t => t.textContent)")
    assert drawn == ["" if kind != kind else "●×!+"[int(kind)] for kind in kinds.flatten().tolist()]


def test_positions_are_counted_as_the_script_counts_them():
    figure = gl.widgets.Grid(
        lambda a, b: {"sum": PICTURE + 100 * a + 1000 * len(b)},
        {"a": [0, 1], "b": ["", "x", "xx"]},
        {"b": "x"},
        alt="a sum of three",
    )
    _, data = page(figure)
    assert data["sizes"] == [2, 3]
    first = [values[0] for values in data["panels"][0]["values"]]
    assert first == [0, 1000, 2000, 100, 1100, 2100]
    assert torch.equal(figure.shown("sum", a=1), PICTURE + 1100)


def test_it_is_one_tab_stop_with_a_name_and_says_what_is_selected():
    soup, _ = page(grid(cell=(1, 2), hint="Look at <this>."))
    (stop,) = soup.find_all(tabindex=True)
    assert stop["role"] == "application" and stop["aria-label"] == "a picture and its maps"
    assert all(svg["aria-hidden"] == "true" for svg in soup.find_all("svg"))
    assert "row 2, column 3" in soup.find(role="status").text
    assert "Look at <this>." in soup.find("p").text


def test_a_legend_gives_the_numbers_of_each_scale():
    soup, _ = page(grid(limits={"map": (-1, 200)}))
    legends = [legend.text for legend in soup.find_all(class_="genlib-legend") if legend.text]
    assert legends == [
        "011",
        "−1200",
        "1, 2: the two largest",
    ]  # the bar stands between the numbers


def test_it_asks_no_server():
    assert not re.search(r"https?://|src=|@import|url\(", grid()._repr_html_())


def test_the_strongest_cells_come_in_order_and_empty_ones_never():
    maps = torch.tensor([math.nan, 3.0, 5.0, 4.0]).expand(1, 1, 4).reshape(1, 1, 2, 2)
    figure = gl.widgets.Grid({"map": maps}, alt="a map")
    assert figure.strongest("map", 3) == [(1, 0), (1, 1), (0, 1)]


NAN, INF = torch.full((2, 2), math.nan), torch.full((2, 2, 1, 1), math.inf)


@pytest.mark.parametrize(
    ("panels", "settings", "error", "message"),
    [
        ({}, {}, TypeError, "panels: expected tensors by name"),
        (PICTURE, {}, TypeError, "panels: expected tensors by name"),
        ({"a": [[1, 2], [3]]}, {}, TypeError, "'a'.*expected a torch.Tensor, got list"),
        ({"a": PICTURE[0]}, {}, ValueError, r"in 'a', got \(4,\)"),
        ({"a": PICTURE[:0]}, {}, ValueError, r"in 'a', got \(0, 4\)"),
        ({"a": NAN}, {}, ValueError, "'a': expected finite values, got nan"),
        ({"a": NAN[:, :, None, None]}, {}, ValueError, "a value somewhere in 'a', got NaN alone"),
        ({"a": INF}, {}, ValueError, "or NaN for no cell, in 'a', got infinity at index"),
        ({"a": PICTURE, "b": PICTURE.T}, {}, ValueError, "the same rows and columns to select"),
        (
            {"a": torch.zeros(65, 64)},
            {},
            ValueError,
            "at most 4,096 cells drawn at once, got 4,160",
        ),
        ({"a": PICTURE}, {"cell": (3, 0)}, ValueError, r"3 × 4 cells, counted from zero, got \(3,"),
        ({"a": PICTURE}, {"cell": 3}, ValueError, "cell: expected a row and a column"),
        ({"a": PICTURE + 1j}, {}, TypeError, "real numbers in 'a', got torch.complex64"),
        (
            {"a": PICTURE},
            {"limits": {"b": (0, 1)}},
            ValueError,
            r"limits: expected names among \['a'\], got \['b'\]",
        ),
        (
            {"a": PICTURE % 2},
            {"limits": {"a": (0, 1)}, "categories": ["x", "y"]},
            ValueError,
            r"limits: expected names among \[\], got \['a'\]",
        ),
        ({"a": PICTURE}, {"limits": (0, 1)}, TypeError, r"limits: expected \(low, high\) by the"),
        ({"a": PICTURE}, {"limits": {"a": 3}}, TypeError, r"\(low, high\) for 'a', got 3"),
        ({"a": PICTURE}, {"limits": {"a": (1, 1)}}, ValueError, "that rise for 'a'"),
        ({"a": PICTURE}, {"limits": {"a": (0, math.nan)}}, ValueError, "that rise for 'a'"),
        ({"a": PICTURE}, {"categories": ["x", "y"]}, ValueError, "0 … 1, in 'a', got 0 … 11"),
        ({"a": PICTURE / 9}, {"categories": ["x", "y"]}, ValueError, "numbers of categories"),
        ({"a": PICTURE}, {"categories": list("abcde")}, ValueError, "1 to 4 of them, got 5"),
        ({"a": PICTURE}, {"categories": "ab"}, TypeError, "categories: expected a list of words"),
        ({"a": PICTURE}, {"labels": {"n": "b"}}, ValueError, r"labels: .* among \[\], got \['n'\]"),
        ({"a": PICTURE}, {"labels": "n"}, TypeError, "labels: expected words by the name of a"),
        ({"a": PICTURE}, {"alt": 3}, TypeError, "alt: expected words, got 3"),
        ({"a": PICTURE}, {"hint": 3}, TypeError, "hint: expected words, got 3"),
    ],
)
def test_refusals(panels, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.Grid(panels, **{"alt": "a grid", **settings})


def test_frames_that_differ_in_shape_are_refused():
    with pytest.raises(ValueError, match="panels: expected the same names and shapes everywhere"):
        gl.widgets.Grid(lambda n: {"a": PICTURE[:n]}, {"n": [2, 3]}, alt="ragged frames")


def test_data_beyond_the_limit_are_refused():
    maps = torch.rand(28, 28, 28, 28)
    with pytest.raises(ValueError, match="Grid: expected data of at most 600,000 characters"):
        gl.widgets.Grid({"a": maps}, alt="too much")._repr_html_()


# ------------------------------------------------------------------ in a browser

FILLS = """
[...document.querySelectorAll("svg")[{}].querySelectorAll("rect[fill^='#']")]
    .map(rect => rect.getAttribute("fill"))
"""


def test_pointing_at_a_cell_draws_its_map_and_says_its_value(shown):
    figure = grid()
    browser = shown(figure)
    hover(browser, 0, 1.5, 2.5)
    assert said(browser).startswith(
        "row 3, column 2. picture: 9; map: most at row 2, column 5 (99), then row 2, column 4 (98)"
    )
    levels = figure._levels("map", MAPS[2, 1])
    colours = figure._colours()
    assert browser.ask(FILLS.format(1)) == [colours[level] for level in levels]
    told = said(browser)
    hover(browser, 1, 0.5, 0.5)  # its cells are no pixels of the picture
    assert said(browser) == told


def test_the_ring_is_round_the_selected_cell(shown):
    browser = shown(grid(cell=(1, 3)))
    ring = "svg rect[fill=none]"
    assert attributes(browser, ring, "x", "y") == [pytest.approx([3, 1], abs=0.05)]
    focus(browser)
    press(browser, "ArrowDown", "ArrowLeft")
    assert attributes(browser, ring, "x", "y") == [pytest.approx([2, 2], abs=0.05)]


def test_linked_panels_alone_select_themselves(shown):
    browser = shown(gl.widgets.Grid({"map": torch.rand(3, 4, 3, 4)}, alt="maps"))
    hover(browser, 0, 2.5, 1.5)
    assert said(browser).startswith("row 2, column 3. most at ")
    assert attributes(browser, "svg rect[fill=none]", "x", "y") == [pytest.approx([2, 1], abs=0.05)]


def test_numbers_far_from_zero_are_told_apart(shown):
    far = torch.tensor([[10001.0, 10002.0], [10002.5, 10003.0]])
    figure = gl.widgets.Grid({"a": far, "map": far.expand(2, 2, 2, 2)}, alt="four numbers")
    soup, _ = page(figure)
    legends = [legend.text for legend in soup.find_all(class_="genlib-legend")]
    assert legends[:2] == ["1000110003"] * 2  # the bar stands between the numbers
    browser = shown(figure)
    fills = [rect["fill"] for rect in soup.find("svg").find_all("rect")]
    assert browser.ask(FILLS.format(0)) == fills and len(set(fills)) == 4
    hover(browser, 0, 1.5, 0.5)
    most = "most at row 2, column 2 (10003), then row 2, column 1 (10002.5)"
    assert said(browser) == f"row 1, column 2. a: 10002; map: {most}"


RANKS = "[...document.querySelectorAll('svg')[1].querySelectorAll('text')].map(t => {})"


def test_the_two_largest_cells_of_a_map_are_marked_wherever_one_points(shown):
    maps = MAPS.clone()
    maps[0, 0], maps[0, 1] = math.nan, math.nan
    maps[0, 1, 1, 3] = 1.0  # one cell alone
    maps[0, 2, 1, 2] = 999.0
    figure = gl.widgets.Grid({"picture": PICTURE, "map": maps}, cell=(0, 2), alt="maps")
    soup, _ = page(figure)
    marks = soup.find_all("text")
    assert [(m.text, m["x"], m["y"]) for m in marks] == [("1", "2.47", "1.8"), ("2", "4.47", "1.8")]
    browser = shown(figure)
    at = "[t.textContent, Math.floor(t.getAttribute('x')), Math.floor(t.getAttribute('y'))]"
    assert browser.ask(RANKS.format(at)) == [["1", 2, 1], ["2", 4, 1]]
    focus(browser)
    press(browser, "ArrowDown")
    first, second = figure.strongest("map", 2, (1, 2))
    assert browser.ask(RANKS.format(at)) == [["1", *first[::-1]], ["2", *second[::-1]]]
    press(browser, "ArrowUp", "ArrowLeft")
    assert said(browser).endswith("map: most at row 2, column 4 (1)")
    assert browser.ask(RANKS.format(at))[0] == ["1", 3, 1]
    assert browser.ask(RANKS.format("t.textContent")) == ["1", ""]
    press(browser, "ArrowLeft")
    assert browser.ask(RANKS.format("t.textContent")) == ["", ""]


def test_a_control_is_called_by_its_label():
    settings = {"controls": {"n": [1, 2]}, "labels": {"n": "rows <above>"}}
    soup, _ = page(gl.widgets.Grid(lambda n: {"a": PICTURE * n}, alt="a", **settings))
    assert soup.find("label").text.split() == ["rows", "<above>", "1"]


def test_arrow_keys_move_within_the_edges(shown):
    browser = shown(grid())
    focus(browser)
    press(browser, *("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft"))
    assert said(browser).startswith("row 1, column 2. picture: 1;")


def test_a_tap_selects(shown):
    browser = shown(grid(), width=390)
    tap(browser, 0, 3.5, 1.5)
    assert said(browser).startswith("row 2, column 4. picture: 7;")


def test_what_stands_before_the_script_is_what_it_draws(shown):
    holes = MAPS.clone()
    holes[1, 1, 0, :3] = math.nan
    figure = gl.widgets.Grid(
        {"picture": PICTURE, "map": holes}, cell=(1, 1), alt="a map with holes"
    )
    soup, _ = page(figure)
    browser = shown(figure)
    for i, svg in enumerate(soup.find_all("svg")):
        assert browser.ask(FILLS.format(i)) == [rect["fill"] for rect in svg.find_all("rect")]
