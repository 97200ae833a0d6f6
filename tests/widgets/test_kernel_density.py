"""The estimate drawn in the page has area one at every bandwidth, and its scores are exact."""

import itertools
import json
import math
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from tests.widgets.hands import (
    attributes,
    click,
    corners,
    drag,
    focus,
    numbers,
    press,
    said,
    set_control,
    tap,
)

POINTS = torch.tensor([-2.0, -1.9, -0.7, 0.4, 1.3, 1.36, 2.5])
BANDWIDTHS = [0.01, 0.05, 0.2, 0.5, 1.0]
MEAN = "document.querySelector('[data-part=mean]')"
CIRCLES = "[...document.querySelectorAll('[data-part=points] circle')].map(c => +c.dataset.x)"


def figure(**settings):
    return gl.widgets.KernelDensity(POINTS, BANDWIDTHS, **settings)


def page(shown_figure):
    soup = BeautifulSoup(shown_figure._repr_html_(), "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def across(data, x):
    """The place of ``x`` in the drawing."""
    frame, (low, high) = data["frame"], data["range"]
    width = frame["width"] - frame["left"] - frame["right"]
    return frame["left"] + (x - low) / (high - low) * width


def leave_one_out(points, h):
    """The mean log density of each point from the others, in nats, one point at a time."""
    x = torch.tensor(points, dtype=torch.float64)
    logs = [
        torch.distributions.Normal(torch.cat([x[:n], x[n + 1 :]]), h).log_prob(x[n]).logsumexp(0)
        for n in range(len(x))
    ]
    return (torch.stack(logs).mean() - math.log(len(x) - 1)).item()


def curves(browser, data, name):
    """Places and densities along each line of a part as it is drawn, in the units of the axes."""
    frame, (low, high) = data["frame"], data["range"]
    unit = (high - low) / (frame["width"] - frame["left"] - frame["right"])
    ceiling = float(browser.ask(f"{MEAN}.dataset.ceiling"))
    for line in corners(browser, f"[data-part={name}]"):
        x, y = torch.tensor(line, dtype=torch.float64).T
        y = (frame["bottom"] - y) / (frame["bottom"] - frame["top"]) * ceiling
        assert y.max() <= ceiling and y.min() >= 0
        yield low + (x - frame["left"]) * unit, y


def areas(browser, data, name):
    return [torch.trapezoid(y, x).item() for x, y in curves(browser, data, name)]


def test_the_area_that_is_drawn_is_one_at_every_bandwidth(shown):
    """That of the mean; that of each kernel is its part in it."""
    _, data = page(figure())
    browser = shown(figure())
    for position in range(len(BANDWIDTHS)):
        set_control(browser, "bandwidth", position)
        assert areas(browser, data, "mean") == pytest.approx([1], abs=0.01)
        parts = [1 / len(POINTS)] * len(POINTS)
        assert areas(browser, data, "kernels") == pytest.approx(parts, rel=0.02)


def test_the_truth_is_drawn_where_it_is_on_the_scale_of_the_estimate(shown):
    x = torch.linspace(-9, 9, 90)
    p = torch.distributions.Normal(0.3, 0.15).log_prob(x).exp()  # higher than the estimate
    start = figure(start=0.5, truth=(x, p))
    _, data = page(start)
    ((places, densities),) = curves(shown(start), data, "truth")
    inside = (data["range"][0] <= x) & (x <= data["range"][1])
    assert 0 < inside.sum() < len(x)
    assert places.tolist() == pytest.approx(x[inside].tolist(), abs=0.02)
    assert densities.tolist() == pytest.approx(p[inside].tolist(), abs=0.02 * p.max().item())


def test_points_far_from_zero_are_told_apart(shown):
    start = gl.widgets.KernelDensity(torch.tensor([10001.0, 10002.0, 10002.5]), [0.1, 1.0])
    soup, _ = page(start)
    browser = shown(start)
    assert browser.ask(CIRCLES) == [10001, 10002, 10002.5]
    found = numbers(said(browser))
    assert found[2] == pytest.approx(leave_one_out([10001, 10002, 10002.5], 0.1), abs=6e-4)
    drawing = soup.find("svg").find_all("text", attrs={"text-anchor": "middle"})
    ticks = [float(text.text) for text in drawing if text.text != "x"]
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert len(ticks) >= 4 and steps == pytest.approx([steps[0]] * len(steps)) and steps[0] > 0


def test_points_close_together_are_said_apart(shown):
    browser = shown(gl.widgets.KernelDensity(torch.tensor([0.001, 0.0032]), [1e-4, 1e-3]))
    focus(browser)
    first = numbers(said(browser))[-1]
    press(browser, "ArrowDown")
    assert (first, numbers(said(browser))[-1]) == pytest.approx((0.001, 0.0032), abs=1e-5)


def test_equal_points_have_room_and_the_axis_has_few_labels():
    _, data = page(gl.widgets.KernelDensity(torch.full((3,), 2.0), [0.01, 0.02]))
    low, high = data["range"]
    assert low < 2 - 10 * 0.02 and high > 2 + 10 * 0.02  # to drag one away
    for start in (figure(), gl.widgets.KernelDensity(7 * POINTS, [0.5, 1])):
        labels = page(start)[0].find("svg").find_all("text", attrs={"text-anchor": "middle"})
        assert 4 <= len(labels) - 1 <= 11  # and the title


def test_the_height_of_a_spike_is_that_of_its_kernel(shown):
    browser = shown(figure(start=0.01))
    ceiling = float(browser.ask(f"{MEAN}.dataset.ceiling"))
    x = POINTS.double()
    at_points = torch.distributions.Normal(x, 0.01).log_prob(x[:, None]).exp().mean(1)
    assert ceiling == pytest.approx(1.05 * at_points.max().item(), rel=0.02)


@pytest.mark.parametrize("h", [0.01, 0.05, 0.2, 1.0])
def test_leave_one_out_is_that_of_a_loop(shown, h):
    browser = shown(figure(start=h))
    points = POINTS.double().tolist()
    _, _, found, *_ = numbers(said(browser))
    scores = {each: leave_one_out(points, each) for each in BANDWIDTHS}
    assert found == pytest.approx(scores[h], abs=6e-4)
    best = max(scores, key=scores.get)
    assert f"best {scores[best]:.3f} at h = {best:g}.".replace("-", "−") in said(browser)


def test_what_stands_before_the_script_is_what_it_draws(shown):
    start = figure(start=0.2)
    soup, _ = page(start)
    before = soup.find(attrs={"data-part": "mean"})["d"]
    after = shown(start).ask(f"{MEAN}.getAttribute('d')")
    values = [[float(n) for n in re.findall(r"[\d.]+", d)] for d in (before, after)]
    assert values[0] == pytest.approx(values[1], abs=0.02)


def test_points_are_added_dragged_and_removed_by_the_mouse(shown):
    _, data = page(figure())
    bottom = data["frame"]["bottom"]
    browser = shown(figure())
    click(browser, 0, across(data, -1.3), 60)
    assert browser.ask(CIRCLES)[-1] == pytest.approx(-1.3, abs=0.03)
    drag(browser, 0, (across(data, 0.4), bottom), (across(data, 0.9), bottom))
    assert browser.ask(CIRCLES)[3] == pytest.approx(0.9, abs=0.03)
    assert len(browser.ask(CIRCLES)) == 8
    click(browser, 0, across(data, 2.5), bottom, clicks=2)
    assert len(browser.ask(CIRCLES)) == 7 and 2.5 not in browser.ask(CIRCLES)
    tap(browser, 0, across(data, -1.3) + 40, 60)
    assert len(browser.ask(CIRCLES)) == 8


def test_points_are_chosen_moved_added_and_removed_by_keys(shown):
    browser = shown(figure())
    focus(browser)
    press(browser, "ArrowDown", "ArrowDown", "ArrowRight")
    step = (figure()._range()[1] - figure()._range()[0]) / 400
    assert browser.ask(CIRCLES)[2] == pytest.approx(-0.7 + step)
    assert "Point 3 at" in said(browser)
    press(browser, "Delete")
    assert len(browser.ask(CIRCLES)) == 6
    press(browser, "Enter")
    assert len(browser.ask(CIRCLES)) == 7
    press(browser, *["Delete"] * 9)
    assert browser.ask(CIRCLES) == [] and "0 points; leave-one-out needs two" in said(browser)
    visible = "document.querySelectorAll('svg[aria-hidden]')[1].checkVisibility(" + (
        "{ visibilityProperty: true })"
    )
    press(browser, "Enter")
    assert "1 points; leave-one-out needs two" in said(browser) and not browser.ask(visible)
    press(browser, "Enter")
    assert "2 points: leave-one-out" in said(browser) and browser.ask(visible)


def test_there_are_at_most_a_hundred_points(shown):
    browser = shown(gl.widgets.KernelDensity(torch.linspace(-1, 1, 60), [0.5, 1.0]))
    focus(browser)
    press(browser, *["Enter"] * 40)
    assert "100 points" in said(browser)
    press(browser, "Enter")
    assert "100 points" in said(browser)


def test_points_go_as_far_as_the_axis_and_no_farther(shown):
    _, data = page(figure())
    low, high = data["range"]
    bottom = data["frame"]["bottom"]
    browser = shown(figure())
    drag(browser, 0, (across(data, 2.5), bottom), (across(data, 0.98 * high), bottom))
    assert browser.ask(CIRCLES)[6] == pytest.approx(0.98 * high, abs=0.03)
    drag(browser, 0, (across(data, -2), bottom), (across(data, low) - 20, bottom))
    assert browser.ask(CIRCLES)[0] == pytest.approx(low, abs=1e-6)


def test_two_clicks_on_empty_ground_add_one_point(shown):
    _, data = page(figure())
    browser = shown(figure())
    click(browser, 0, across(data, -3.5), 60, clicks=2)
    assert len(browser.ask(CIRCLES)) == len(POINTS) + 1
    click(browser, 0, across(data, 3.5), 60)
    assert len(browser.ask(CIRCLES)) == len(POINTS) + 2


def score_panel(browser):
    """The curve and the dots of the lower panel, and its frame."""
    return browser.ask(
        """(() => {
            const panel = document.querySelectorAll("svg[aria-hidden]")[1];
            const at = name => ["cx", "cy"].map(c =>
                +panel.querySelector(`[data-part=${name}]`).getAttribute(c));
            const path = panel.querySelector("[data-part=score]").getAttribute("d");
            const ticks = [...panel.querySelectorAll("[data-part=ticks] text")];
            return { curve: path.match(/[\\d.]+/g).map(Number),
                     best: at("best"), here: at("here"),
                     ticks: ticks.map(t => [t.textContent, +t.getAttribute("y") - 5]) };
        })()"""
    )


@pytest.mark.parametrize("away", [0, 3.0, 5.0])
def test_the_present_score_is_on_the_curve_and_the_scale_holds_all(shown, away):
    start = figure(start=0.2)
    _, data = page(start)
    browser = shown(start)
    if away:  # drag one point away from all others
        bottom = data["frame"]["bottom"]
        drag(browser, 0, (across(data, 2.5), bottom), (across(data, 2.5 + away), bottom))
        assert "−10³" in dict(score_panel(browser)["ticks"])
    points = browser.ask(CIRCLES)
    scores = [leave_one_out(points, h) for h in BANDWIDTHS]
    panel = score_panel(browser)
    x, y = panel["curve"][::2], panel["curve"][1::2]
    frame = data["frame"]
    left, wide = frame["left"], frame["width"] - frame["left"] - frame["right"]
    parts = [
        math.log(h / BANDWIDTHS[0]) / math.log(BANDWIDTHS[-1] / BANDWIDTHS[0]) for h in BANDWIDTHS
    ]
    assert x == pytest.approx([left + wide * part for part in parts], abs=0.01)
    known = dict(panel["ticks"])
    top, bottom = data["frame"]["top"], data["scoreBottom"]
    assert known["0"] == top and max(known.values()) == pytest.approx(bottom)
    assert known.keys() >= {"0", "−1", "−10"} and min(y) == top == known["0"] == panel["best"][1]
    assert max(y) <= bottom + 0.01
    assert panel["here"] == [pytest.approx(x[2]), pytest.approx(y[2])]
    for score, at in zip(scores, y, strict=True):
        below = max(scores) - score
        depth = math.log10(1 + 10 * below) / math.log10(1 + 10 * 10 ** (len(known) - 2))
        assert at == pytest.approx(top + depth * (bottom - top), abs=0.02)


def test_bandwidths_are_labelled_with_round_numbers_where_they_stand():
    start = gl.widgets.KernelDensity(POINTS, [round(0.02 * 2 ** (k / 4), 3) for k in range(27)])
    soup, _ = page(start)
    panel = soup.find_all("svg", attrs={"aria-hidden": True})[1]
    ticks = {t.text: float(t["x"]) for t in panel.find_all("text") if t.text[0].isdigit()}
    assert list(ticks) == ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]
    per_factor_of_two = (ticks["0.2"] - ticks["0.1"]) / (ticks["0.1"] - ticks["0.05"])
    assert per_factor_of_two == pytest.approx(1, abs=0.01)
    titles = {text.text for text in soup.find_all("text")}
    assert {"x", "density", "bandwidth h"} <= titles


def test_the_density_has_a_scale_of_round_numbers(shown):
    browser = shown(figure(start=0.2))
    ticks = browser.ask(
        "[...document.querySelector('[data-part=ticks]').querySelectorAll('text')]"
        ".map(t => +t.textContent)"
    )
    frame = page(figure())[1]["frame"]
    unit = (frame["bottom"] - frame["top"]) / float(browser.ask(f"{MEAN}.dataset.ceiling"))
    heights = attributes(browser, "[role=application] [data-part=ticks] text", "y")
    places = [[frame["bottom"] - tick * unit + 5] for tick in ticks]
    assert heights == [pytest.approx(place) for place in places]
    step = ticks[1]
    assert len(ticks) >= 4 and ticks == pytest.approx([k * step for k in range(len(ticks))])
    assert f"{step:e}"[0] in "125"


def test_the_buttons_set_the_best_bandwidth_and_start_again(shown):
    browser = shown(figure())
    browser.ask("document.querySelector('[data-action=best]').click()")
    h, best = re.search(r"h = ([\d.]+),.* at h = ([\d.]+)\.", said(browser)).groups()
    assert h == best != "0.01"
    browser.ask("document.querySelector('[data-action=remove]').click()")
    browser.ask("document.querySelector('[data-action=restart]').click()")
    assert browser.ask(CIRCLES) == pytest.approx(POINTS.tolist())
    assert said(browser).startswith("h = 0.01, 7 points")


def test_the_density_at_the_start_is_that_of_genlib():
    x, p = figure(start=0.2).density()
    model = gl.Parzen(bandwidth=0.2)
    model.fit(POINTS[:, None])
    assert torch.allclose(p, model.log_prob(x[:, None].float()).exp().double(), atol=1e-4)


@pytest.mark.parametrize(
    ("h", "peaks", "words"),
    [
        (0.01, len(POINTS), "With a small h every point has a spike of its own"),
        (1.0, 2, "with a large one the peaks merge"),
    ],
)
def test_what_it_says_is_there(shown, h, peaks, words):
    browser = shown(figure(start=h))
    assert words in figure().hint
    values = [float(n) for n in re.findall(r"[\d.]+", browser.ask(f"{MEAN}.getAttribute('d')"))]
    y = [each for each, _ in itertools.groupby(values[1::2])]
    lower = [b < a and b < c for a, b, c in zip(y, y[1:], y[2:], strict=False)]
    assert sum(lower) == peaks


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
        ((POINTS, [0.1, 0.1]), {}, ValueError, "bandwidths: expected 2 to 60 numbers that rise"),
        ((POINTS, [0.0, 0.1]), {}, ValueError, "bandwidths: expected a finite positive number"),
        (
            (POINTS, BANDWIDTHS),
            {"truth": (LINE + 99, LINE.abs())},
            ValueError,
            r"truth: expected two or more places in the range .*, got 0; .* from 98 to 100",
        ),
        ((POINTS, BANDWIDTHS), {"start": 3}, ValueError, "start: expected one of .*, got 3"),
        ((POINTS, BANDWIDTHS), {"truth": LINE}, TypeError, r"truth: expected \(places, densities"),
        ((POINTS, BANDWIDTHS), {"truth": (LINE, LINE)}, ValueError, "none negative, .*minimum -1"),
        ((POINTS, BANDWIDTHS), {"hint": 1}, TypeError, "hint: expected words, got 1"),
    ],
)
def test_refusals(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.KernelDensity(*arguments, **settings)
