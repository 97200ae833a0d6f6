"""Points in the plane: hands move them, and the Gaussian is that of largest likelihood."""

import itertools
import math
import re
import time

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from tests.widgets.hands import (
    click,
    clicked,
    drag,
    focus,
    hover,
    numbers,
    place,
    press,
    said,
    swipe,
    tap,
)

POINTS = torch.tensor([[-1.5, -0.5], [0.5, 1.5], [1.0, -1.0], [2.5, 2.0]])
PLACES = """[...document.querySelectorAll("[data-part=points] circle")].map(c =>
    [+c.getAttribute("cx"), +c.getAttribute("cy")])"""


def test_the_gaussian_is_the_one_that_genlib_fits(shown):
    browser = shown(gl.widgets.Points(POINTS))
    model = gl.Gaussian()
    model.fit(POINTS)
    covariance = torch.cov(POINTS.T, correction=0)
    truth = [*POINTS.mean(0), covariance[0, 0], covariance[1, 1], covariance[0, 1]]
    found = numbers(said(browser))[1:]  # after the number of points
    assert found[:5] == pytest.approx([float(n) for n in truth], abs=0.0051)
    assert found[5] == pytest.approx(model.log_prob(POINTS).mean().item(), abs=1e-3)


def test_points_far_from_zero_are_those_that_were_given(shown):
    far = POINTS / 20 + 900
    deviations = torch.cov(far.double().T, correction=0).det().sqrt()
    nats = -math.log(2 * math.pi) - deviations.log().item() - 1
    said_nats = re.search(r"log-likelihood (\S+) nats", said(shown(gl.widgets.Points(far, 1000))))
    assert numbers(said_nats[1]) == [pytest.approx(nats, abs=1e-3)]


def test_the_ellipses_lie_at_one_and_two_deviations(shown):
    figure = gl.widgets.Points(POINTS)
    paths = shown(figure).ask(
        "[...document.querySelectorAll('[data-part=gaussian] path')].map(p => p.getAttribute('d'))"
    )
    precision = torch.cov(POINTS.T, correction=0).double().inverse()
    (left, top), (right, bottom) = figure._place(-4, 4), figure._place(4, -4)
    for deviations, path in zip((1, 2), paths, strict=True):
        places = torch.tensor([float(n) for n in re.findall(r"-?[\d.]+", path)]).view(-1, 2)
        x = -4 + 8 * (places[:, 0] - left) / (right - left)
        y = 4 - 8 * (places[:, 1] - top) / (bottom - top)
        away = torch.stack([x, y], 1).double() - POINTS.mean(0)
        distance = ((away @ precision) * away).sum(1).sqrt()
        assert distance.tolist() == pytest.approx([deviations] * len(places), abs=0.01)


def chosen(browser):
    """The number of the chosen point and its coordinates, as the figure says."""
    return numbers(said(browser).split("Point")[1])[:3]


def test_points_are_added_dragged_and_removed_by_hand(shown):
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure)
    click(browser, 0, *figure._place(-3, 3))
    assert chosen(browser) == pytest.approx([5, -3, 3], abs=0.03)
    drag(browser, 0, figure._place(1, -1), figure._place(2, -3))
    assert chosen(browser) == pytest.approx([3, 2, -3], abs=0.03)
    drag(browser, 0, figure._place(2, -3), figure._place(9, -9))
    assert chosen(browser) == [3, 4, -4]
    click(browser, 0, *figure._place(0.5, 1.5), clicks=2)
    assert len(browser.ask(PLACES)) == 4
    tap(browser, 0, *figure._place(-3, -3))
    assert chosen(browser) == pytest.approx([5, -3, -3], abs=0.03)
    browser.ask("document.querySelector('[data-action=remove]').click()")
    assert len(browser.ask(PLACES)) == 4
    browser.ask("document.querySelector('[data-action=restart]').click()")
    places = [at for point in POINTS.tolist() for at in figure._place(*point)]
    assert [*itertools.chain(*browser.ask(PLACES))] == pytest.approx(places, abs=0.1)


def test_a_finger_drags_up_and_down_and_removes_with_two_taps(shown):
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure, width=390)
    swipe(browser, 0, figure._place(1, -1), figure._place(1, 0), figure._place(1, 1))
    assert chosen(browser) == pytest.approx([3, 1, 1], abs=0.03)
    for _ in range(2):
        tap(browser, 0, *figure._place(2.5, 2))
    assert len(browser.ask(PLACES)) == 3
    click(browser, 0, *figure._place(-3, 3), clicks=2)  # adds one point, not two
    assert len(browser.ask(PLACES)) == 4


def test_the_mouse_need_not_hit_a_point_exactly(shown):
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure)
    x, y = figure._place(0.5, 1.5)
    drag(browser, 0, (x + 6, y), figure._place(-2, 3))
    assert chosen(browser) == pytest.approx([2, -2, 3], abs=0.03)
    assert len(browser.ask(PLACES)) == len(POINTS)


def test_a_second_press_long_after_the_first_is_a_new_one(shown):
    """It removes no point, and adds one where one was added before and dragged away."""
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure)
    ground, point = figure._place(-3, 3), figure._place(2.5, 2)
    click(browser, 0, *ground)
    drag(browser, 0, ground, figure._place(-3, -3))
    click(browser, 0, *point)
    time.sleep(0.45)
    click(browser, 0, *point)
    assert len(browser.ask(PLACES)) == len(POINTS) + 1 and chosen(browser)[0] == 4
    click(browser, 0, *ground)
    assert len(browser.ask(PLACES)) == len(POINTS) + 2


def test_a_touch_that_the_page_takes_over_lets_the_point_go(shown):
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure)
    x, y = place(browser, 0, *figure._place(1, -1))
    browser.send("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.send("Input.dispatchTouchEvent", type="touchCancel", touchPoints=[])
    browser.send("Emulation.setTouchEmulationEnabled", enabled=False)
    hover(browser, 0, *figure._place(-3, 3))
    assert chosen(browser) == [3, 1, -1]


def test_the_chosen_point_stays_chosen_as_long_as_there_is_one(shown):
    browser = shown(gl.widgets.Points(POINTS))
    focus(browser)
    press(browser, "PageDown", "PageDown")
    clicked(browser, "[data-action=restart]")
    assert chosen(browser) == [3, 1, -1]
    press(browser, "Enter", "Enter")
    clicked(browser, "[data-action=restart]")
    assert chosen(browser) == [4, 2.5, 2]


def test_keys_with_a_modifier_are_the_browser_s_own(shown):
    browser = shown(gl.widgets.Points(POINTS))
    focus(browser)
    before = said(browser)
    for modifier in (1, 2, 4):
        press(browser, "ArrowRight", modifiers=modifier)
    assert said(browser) == before


def test_a_finger_need_not_hit_a_point_exactly(shown):
    figure = gl.widgets.Points(POINTS)
    browser = shown(figure, width=390)
    x, y = figure._place(0.5, 1.5)
    swipe(browser, 0, (x + 18, y), figure._place(-2, 3), figure._place(-3, 3))
    assert chosen(browser) == pytest.approx([2, -3, 3], abs=0.03)
    assert len(browser.ask(PLACES)) == len(POINTS)


def test_points_are_moved_added_and_removed_by_keys(shown):
    browser = shown(gl.widgets.Points(POINTS))
    focus(browser)
    press(browser, "PageDown", "ArrowRight", "ArrowUp", "ArrowUp")
    assert "Point 2 at (0.60, 1.70)" in said(browser)
    press(browser, "PageUp", "ArrowDown", "ArrowLeft")
    assert "Point 1 at (−1.60, −0.60)" in said(browser)
    press(browser, "Backspace")
    assert said(browser).startswith("3 points.")
    press(browser, *["Delete"] * 9)
    assert said(browser) == "0 points."
    press(browser, "Enter")
    assert said(browser) == "1 point. Point 1 at (0.50, 0.50)."


def test_points_on_a_line_have_no_gaussian(shown):
    browser = shown(gl.widgets.Points(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])))
    assert "log-likelihood" not in said(browser)


def test_without_the_gaussian_points_stand_alone(shown):
    browser = shown(gl.widgets.Points(POINTS, gaussian=False))
    assert browser.ask("document.querySelectorAll('[data-part=gaussian] path').length") == 0


def test_it_is_whole_before_its_script():
    soup = BeautifulSoup(gl.widgets.Points(POINTS)._repr_html_(), "html.parser")
    assert len(soup.find_all("circle")) == 4
    assert soup.find(role="application")["aria-label"].startswith("Points in the plane")


@pytest.mark.parametrize(
    ("points", "settings", "error", "message"),
    [
        (POINTS[0], {}, ValueError, r"shape \(N, 2\) with at most 100 points, got \(2,\)"),
        (torch.zeros(101, 2), {}, ValueError, r"at most 100 points, got \(101, 2\)"),
        (POINTS * math.nan, {}, ValueError, "points: expected finite values"),
        (POINTS[:0], {}, ValueError, "points: expected at least one value"),
        (POINTS.tolist(), {}, TypeError, "points: expected a torch.Tensor, got list"),
        (POINTS, {"limit": 2}, ValueError, r"coordinates in \[−2, 2\], got 2.5; choose another"),
        (POINTS, {"limit": 2.5}, TypeError, "limit: expected an integer, got 2.5"),
        (POINTS, {"gaussian": 1}, TypeError, "gaussian: expected True or False, got 1"),
    ],
)
def test_refusals(points, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.Points(points, **settings)
