"""The estimate drawn in the page has area one at every bandwidth, and its scores are exact."""

import json
import math
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from tests.widgets.hands import click, drag, focus, press, said, set_control, tap

POINTS = torch.tensor([-2.0, -1.9, -0.7, 0.4, 1.3, 1.36, 2.5])
BANDWIDTHS = [0.01, 0.05, 0.2, 0.5, 1.0]
MEAN = "document.querySelector('[data-part=mean]')"
CIRCLES = "[...document.querySelectorAll('[data-part=points] circle')].map(c => +c.dataset.x)"


def figure(**settings):
    return gl.widgets.KernelDensity(POINTS, BANDWIDTHS, **settings)


def page(shown_figure):
    soup = BeautifulSoup(shown_figure._repr_html_(), "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def leave_one_out(points, h):
    """Written out: the mean log density of each point from the others, in nats."""
    total = 0.0
    for n, x in enumerate(points):
        others = [math.exp(-0.5 * ((x - y) / h) ** 2) for m, y in enumerate(points) if m != n]
        density = sum(others) / len(others) / (h * math.sqrt(2 * math.pi))
        total += math.log(density) if density else -math.inf
    return total / len(points)


def area(browser, data):
    """Under the mean as it is drawn, in the units of the axes."""
    frame = data["frame"]
    unit = (data["range"][1] - data["range"][0]) / (frame["width"] - frame["left"] - frame["right"])
    ceiling = float(browser.ask(f"{MEAN}.dataset.ceiling"))
    numbers = [float(n) for n in re.findall(r"[\d.]+", browser.ask(f"{MEAN}.getAttribute('d')"))]
    x = torch.tensor(numbers[::2]).double() * unit
    y = (
        (frame["bottom"] - torch.tensor(numbers[1::2]).double())
        / (frame["bottom"] - frame["top"])
        * ceiling
    )
    assert y.max() <= ceiling and y.min() >= 0
    return torch.trapezoid(y, x).item()


def test_the_area_that_is_drawn_is_one_at_every_bandwidth(shown):
    _, data = page(figure())
    browser = shown(figure())
    for position in range(len(BANDWIDTHS)):
        set_control(browser, "bandwidth", position)
        assert area(browser, data) == pytest.approx(1, abs=0.01)


def test_the_height_of_a_spike_is_that_of_its_kernel(shown):
    browser = shown(figure(start=0.01))
    ceiling = float(browser.ask(f"{MEAN}.dataset.ceiling"))
    x = POINTS.double()
    at_points = torch.distributions.Normal(x, 0.01).log_prob(x[:, None]).exp().mean(1)
    assert ceiling == pytest.approx(1.05 * at_points.max().item(), rel=0.02)


@pytest.mark.parametrize("h", [0.05, 0.2, 1.0])
def test_leave_one_out_is_that_of_a_loop(shown, h):
    browser = shown(figure(start=h))
    points = POINTS.double().tolist()
    found = float(re.search(r"leave-one-out (-?[\d.]+)", said(browser))[1])
    scores = {each: leave_one_out(points, each) for each in BANDWIDTHS}
    assert found == pytest.approx(scores[h], abs=6e-4)
    best = max(scores, key=scores.get)
    assert f"best {scores[best]:.3f} at h = {best:g}." in said(browser)


def test_what_stands_before_the_script_is_what_it_draws(shown):
    start = figure(start=0.2)
    soup, _ = page(start)
    before = soup.find(attrs={"data-part": "mean"})["d"]
    after = shown(start).ask(f"{MEAN}.getAttribute('d')")
    numbers = [[float(n) for n in re.findall(r"[\d.]+", d)] for d in (before, after)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)


def test_points_are_added_dragged_and_removed_by_the_mouse(shown):
    _, data = page(figure())
    frame, (low, high) = data["frame"], data["range"]

    def across(x):
        return frame["left"] + (x - low) / (high - low) * (
            frame["width"] - frame["left"] - frame["right"]
        )

    browser = shown(figure())
    click(browser, 0, across(-1.3), 60)
    assert browser.ask(CIRCLES)[-1] == pytest.approx(-1.3, abs=0.03)
    drag(browser, 0, (across(0.4), frame["bottom"]), (across(0.9), frame["bottom"]))
    assert browser.ask(CIRCLES)[3] == pytest.approx(0.9, abs=0.03)
    assert len(browser.ask(CIRCLES)) == 8
    click(browser, 0, across(2.5), frame["bottom"], clicks=2)
    assert len(browser.ask(CIRCLES)) == 7 and 2.5 not in browser.ask(CIRCLES)
    tap(browser, 0, across(-1.3) + 40, 60)
    assert len(browser.ask(CIRCLES)) == 8


def test_points_are_chosen_moved_added_and_removed_by_keys(shown):
    browser = shown(figure())
    focus(browser)
    press(browser, "ArrowDown", "ArrowDown", "ArrowRight")
    step = (figure()._inside()[1] - figure()._inside()[0]) / 200
    assert browser.ask(CIRCLES)[2] == pytest.approx(-0.7 + step)
    assert "Point 3 at" in said(browser)
    press(browser, "Delete")
    assert len(browser.ask(CIRCLES)) == 6
    press(browser, "Enter")
    assert len(browser.ask(CIRCLES)) == 7
    press(browser, *["Delete"] * 9)
    assert browser.ask(CIRCLES) == [] and "0 points; leave-one-out needs two" in said(browser)
    press(browser, "Enter", "Enter")
    assert "2 points: leave-one-out" in said(browser)


def test_points_stay_where_they_are_drawn(shown):
    browser = shown(figure())
    focus(browser)
    press(browser, *["ArrowLeft"] * 60)
    assert browser.ask(CIRCLES)[0] == pytest.approx(figure()._inside()[0], abs=1e-6)


def test_the_buttons_set_the_best_bandwidth_and_start_again(shown):
    browser = shown(figure())
    browser.ask("document.querySelector('[data-action=best]').click()")
    h, best = re.search(r"h = ([\d.]+),.* at h = ([\d.]+)\.", said(browser)).groups()
    assert h == best != "0.01"
    browser.ask("document.querySelector('[data-action=remove]').click()")
    browser.ask("document.querySelector('[data-action=restart]').click()")
    assert browser.ask(CIRCLES) == pytest.approx(POINTS.tolist())


def test_the_density_at_the_start_is_that_of_genlib():
    x, p = figure(start=0.2).density()
    model = gl.Parzen(bandwidth=0.2)
    model.fit(POINTS[:, None])
    assert torch.allclose(p, model.log_prob(x[:, None].float()).exp().double(), atol=1e-4)


def test_what_it_says_is_there_at_its_start(shown):
    """At a small bandwidth every point has a spike of its own: as many peaks as points."""
    browser = shown(figure(start=0.01))
    numbers = [float(n) for n in re.findall(r"[\d.]+", browser.ask(f"{MEAN}.getAttribute('d')"))]
    y = numbers[1::2]
    lower = [b < a and b < c for a, b, c in zip(y, y[1:], y[2:], strict=False)]
    assert sum(lower) == len(POINTS)


LINE = torch.linspace(-1, 1, 5)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((POINTS[:1], BANDWIDTHS), {}, ValueError, r"2 to 60 points, got \(1,\)"),
        ((POINTS[:, None], BANDWIDTHS), {}, ValueError, r"2 to 60 points, got \(7, 1\)"),
        ((torch.zeros(61), BANDWIDTHS), {}, ValueError, r"2 to 60 points, got \(61,\)"),
        ((POINTS * math.nan, BANDWIDTHS), {}, ValueError, "points: expected finite values"),
        (([1.0, 2.0], BANDWIDTHS), {}, TypeError, "points: expected a torch.Tensor, got list"),
        ((POINTS, 0.3), {}, TypeError, "bandwidths: expected a list of numbers, got 0.3"),
        ((POINTS, [0.3]), {}, ValueError, "bandwidths: expected 2 to 60 numbers that rise"),
        ((POINTS, [0.3, 0.1]), {}, ValueError, "bandwidths: expected 2 to 60 numbers that rise"),
        ((POINTS, [0.0, 0.1]), {}, ValueError, "bandwidths: expected a finite positive number"),
        ((POINTS, BANDWIDTHS), {"start": 3}, ValueError, "start: expected one of .*, got 3"),
        ((POINTS, BANDWIDTHS), {"truth": LINE}, TypeError, r"truth: expected \(places, densities"),
        ((POINTS, BANDWIDTHS), {"truth": (LINE, LINE)}, ValueError, "none negative, .*minimum -1"),
        ((POINTS, BANDWIDTHS), {"hint": 1}, TypeError, "hint: expected words, got 1"),
    ],
)
def test_refusals(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.KernelDensity(*arguments, **settings)
