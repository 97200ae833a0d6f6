"""The moving figure carries every position of its controls, and asks nobody for anything."""

import json
import math
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from tests.widgets.hands import corners, said, set_control

X = torch.linspace(0, 1, 11)


def frame(shape, power):
    y = X**power if shape == "rise" else 1 - X**power
    return {"curve": y, "diagonal": X}, f"{shape} with power {power}"


def explorer(**settings):
    controls = {"shape": ["rise", "fall"], "power": [1, 2, 3]}
    return gl.widgets.Explorer(frame, X, controls, **{"alt": "a curve <over> a line", **settings})


def page(figure):
    soup = BeautifulSoup(figure._repr_html_(), "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def test_every_combination_is_on_the_page_in_the_order_that_its_script_counts():
    _, data = page(explorer())
    assert data["sizes"] == [2, 3]
    assert data["captions"] == [f"{s} with power {p}" for s in ("rise", "fall") for p in (1, 2, 3)]


def test_only_curves_that_move_are_stored_and_their_heights_are_the_values():
    _, data = page(explorer(ylim=(0, 1)))
    assert data["curves"] == ["curve"]
    bottom, top = data["y"][0][0][0], data["y"][0][0][-1]
    drawn = [(bottom - y) / (bottom - top) for y in data["y"][5][0]]
    assert drawn == pytest.approx((1 - X**3).tolist(), abs=1e-3)


def test_it_stands_still_at_the_start_without_a_script():
    soup, data = page(explorer(start={"shape": "fall", "power": 2}))
    assert soup.find(role="status").string == "fall with power 2"
    path = soup.find("path", {"data-curve": "curve"})["d"]
    assert [int(pair.split()[1]) for pair in path[1:].split("L")] == data["y"][4][0]


def test_controls_are_the_browser_s_own_and_labelled():
    soup, _ = page(explorer(start={"power": 3}))
    select, slider = soup.find("select"), soup.find("input", type="range")
    assert [option.string for option in select.find_all("option")] == ["rise", "fall"]
    assert slider["value"] == "2" and slider["aria-valuetext"] == "3"
    assert all(control.find_parent("label") for control in (select, slider))
    assert soup.find("svg")["aria-label"] == "a curve <over> a line"


def test_moving_a_control_draws_and_says_its_position(shown):
    browser = shown(explorer(ylim=(0, 1)))
    set_control(browser, "shape", 1)
    set_control(browser, "power", 2)
    assert said(browser) == "fall with power 3"
    slider = "document.querySelector('input')"
    assert browser.ask(f"{slider}.getAttribute('aria-valuetext')") == "3"
    assert browser.ask(f"{slider}.parentElement.querySelector('output').textContent") == "3"
    ((diagonal,), (curve,)) = (corners(browser, f"[data-curve={n}]") for n in ("diagonal", "curve"))
    (left, bottom), (right, top) = diagonal[0], diagonal[-1]
    x = [(a - left) / (right - left) for a, _ in curve]
    y = [(bottom - b) / (bottom - top) for _, b in curve]
    assert x == pytest.approx(X.tolist(), abs=1e-3)
    assert y == pytest.approx((1 - X**3).tolist(), abs=1e-3)


def test_values_far_from_zero_have_labels_that_differ():
    far = X.double() + 10_000_001
    figure = gl.widgets.Explorer(
        lambda a: ({"y": far + 1}, ""), far, {"a": [1]}, ylim=(10_000_002, 10_000_003), alt="a line"
    )
    soup, _ = page(figure)
    for anchor, first in (("middle", 10_000_001), ("end", 10_000_002)):
        labels = soup.find("svg").find_all("text", attrs={"text-anchor": anchor})
        ticks = [float(label.text) for label in labels if label.text]
        assert len(ticks) >= 4 and ticks == pytest.approx(
            torch.linspace(first, first + 1, len(ticks), dtype=torch.float64).tolist(), abs=1e-3
        )


def test_it_asks_no_server():
    assert not re.search(r"https?://|src=|@import|url\(", explorer()._repr_html_())


def test_values_that_are_not_finite_are_drawn_at_the_edge():
    figure = gl.widgets.Explorer(
        lambda a: ({"y": a / (X - 0.5)}, ""), X, {"a": [1.0, 2.0]}, ylim=(0, 10)
    )
    _, data = page(figure)
    assert all(isinstance(y, int) for row in data["y"] for curve in row for y in curve)


def test_the_same_figure_is_the_same_page():
    assert explorer()._repr_html_() == explorer()._repr_html_()


def test_live_recomputes_with_the_kernel(monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    widget = explorer(start={"power": 2}).live()
    assert [child.value for child in widget.children[:2]] == ["rise", 2]


@pytest.mark.parametrize(
    ("curve", "ylim"),
    [
        (2 + X, (0, 3.15)),
        (-2 - X, (-3, -1.9)),
        (X - 1, (-1, 0)),
        (0 * X, (0, 1)),
        (0 * X - 5, (-5, -4.75)),
        (X.where(X > 0, math.inf), (0, 1.05)),
    ],
)
def test_every_finite_value_lies_in_the_range_that_is_chosen(curve, ylim):
    figure = gl.widgets.Explorer(lambda a: ({"y": curve}, ""), X, {"a": [1]})
    assert figure.ylim == pytest.approx(ylim)
    _, data = page(figure)
    assert data["sizes"] == [1]


def curve_of(y):
    return lambda a: ({"y": y}, "")


A = {"a": [1, 2]}


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((frame, X, {"a": []}), {}, ValueError, "at least one value for 'a'"),
        ((frame, X, {"a": 3}), {}, TypeError, "controls: expected a list of values for 'a', got 3"),
        ((frame, X, {"a": "bc"}), {}, TypeError, "controls: expected a list of values for 'a'"),
        ((frame, X, [1, 2]), {}, TypeError, r"controls: expected lists of values by name, got \[1"),
        (
            (frame, X, {"a": range(2**20), "b": range(2**20)}),
            {},
            ValueError,
            "controls: expected at most 10000 positions in all, got 1099511627776",
        ),
        ((frame, X, {"a": [1, math.nan]}), {}, ValueError, "finite numbers for 'a', got nan"),
        ((frame, X, {"a": [-math.inf, 1.0]}), {}, ValueError, "finite numbers for 'a', got -inf"),
        (
            (frame, X, {"a": [*X[:2].numpy()]}),
            {},
            TypeError,
            r"numbers of Python's own, for 'a', got .* of float32; .tolist\(\) of",
        ),
        ((frame, X, {"a": [*X[:2]]}), {}, TypeError, r"for 'a', got tensor\(0.\) of Tensor"),
        ((curve_of(X + 1j), X, A), {}, TypeError, "real numbers in 'y', got torch.complex64 at"),
        ((frame, X[:, None], A), {}, ValueError, r"x: expected shape \(N,\) and different"),
        ((frame, X[:1], A), {}, ValueError, "x: expected .* different values"),
        ((curve_of(X / 0), X, A), {}, ValueError, r"NaN in 'y' at x = 0, \{'a': 1\}"),
        ((curve_of(X * math.nan), X, A), {"ylim": (0, 1)}, ValueError, "expected numbers, got NaN"),
        ((curve_of(X + math.inf), X, A), {}, ValueError, "ylim: .* no curve has a finite value"),
        ((curve_of(X[:3]), X, A), {}, ValueError, r"'y' of the shape of x, \(11,\), got \(3,\) at"),
        ((lambda a: X, X, A), {}, TypeError, r"expected \(curves by name, caption\), got Tensor"),
        ((lambda a: ({}, ""), X, A), {}, ValueError, "at least one curve, got none at {'a': 1}"),
        ((lambda a: ({str(a): X}, ""), X, A), {}, ValueError, "frame: expected the same names"),
        ((curve_of(X), X, A), {"ylim": (1, 1)}, ValueError, r"ylim: .* that rise, got \(1, 1\)"),
        ((curve_of(X), X, A), {"ylim": (0, math.nan)}, ValueError, "ylim: expected two finite"),
        ((curve_of(X), X, A), {"start": {"a": 9}}, ValueError, r"'a' to be one of \[1, 2\], got 9"),
        ((curve_of(X), X, A), {"start": [1]}, TypeError, r"start: expected values .*, got \[1\]"),
    ],
)
def test_refusals(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.Explorer(*arguments, **settings)
