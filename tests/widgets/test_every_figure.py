"""What holds for every figure: its caption, its tab stop, its weight, its width on a phone."""

import json
import re
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

import genlib as gl
from genlib.widgets import page
from tests.widgets.hands import mouse, said

ROOT = Path(__file__).parents[2]
LABEL = re.compile(r'aria-label="([^"]*)"')  # the first one is the caption in the book
POINTS = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]])
FIGURES = {
    "Attention": lambda: gl.widgets.Attention(torch.eye(3), "abc", alt="weights of three"),
    "Distances": gl.widgets.Distances,
    "Grid": lambda: gl.widgets.Grid({"a": torch.eye(3) - 2}, alt="a matrix of −1 and −2"),
    "KernelDensity": lambda: gl.widgets.KernelDensity(POINTS[:, 1], [0.1, 0.3]),
    "MadeMasks": lambda: gl.widgets.MadeMasks(gl.MADE(3, hidden=[4])),
    "Points": lambda: gl.widgets.Points(POINTS),
    "receptive_field": gl.widgets.receptive_field,
}


P = {"a": 0.5, "b": 0.5}
NET = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)))
TWO_STOPS = {
    "ArithmeticCoder": lambda: gl.widgets.ArithmeticCoder(
        P, {"q = p": P, "other": {"a": 0.9, "b": 0.1}}, "bbb", alt="the message bbb"
    ),
    "BayesNetGraph": lambda: gl.widgets.BayesNetGraph(net(), start={"b": 1}, alt="two nodes"),
    "Decoder": lambda: gl.widgets.Decoder(NET, 2, start=(-1.0, 1.0), alt="an image"),
    "Explorer": lambda: gl.widgets.Explorer(
        lambda a: ({"y": a * POINTS[:, 1]}, f"at {a}"),
        POINTS[:, 0],
        {"a": [-2, 1]},
        alt="a line",
    ),
    "Sketchpad": lambda: gl.widgets.Sketchpad(nn.Sequential(nn.Identity()), 4, alt="a square"),
}


def net():
    net = gl.BayesNet({"a": [], "b": ["a"]})
    net.set_tables([torch.tensor([0.8, 0.2]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])])
    return net


@pytest.fixture(params=FIGURES.values(), ids=FIGURES)
def figure(request):
    return request.param()


@pytest.fixture(params=(FIGURES | TWO_STOPS).values(), ids=[*FIGURES, *TWO_STOPS])
def every_figure(request):
    return request.param()


def test_its_first_label_is_its_alternative_text(figure):
    assert LABEL.search(figure._repr_html_())[1] == page.escaped(figure.alt)


def test_one_tab_stop_beside_the_browser_s_own_controls(figure):
    soup = BeautifulSoup(figure._repr_html_(), "html.parser")
    assert [stop["role"] for stop in soup.find_all(tabindex=True)] == ["application"]
    assert len(soup.find_all(role="status")) == 1


def test_it_is_light_and_asks_no_server_and_is_the_same_each_time(figure):
    text = figure._repr_html_()
    data = BeautifulSoup(text, "html.parser").find("script", type="application/json").string
    assert json.loads(data) and len(data) < 100_000
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert figure._repr_html_() == text


class Twice:
    """A figure that stands twice on a page."""

    def __init__(self, figure):
        self.figure = figure

    def _repr_html_(self):
        return 2 * self.figure._repr_html_()


def test_it_works_as_well_where_it_stands_twice(shown, every_figure):
    """Both are drawn, alike; and a name is the name of one thing."""
    browser = shown(Twice(every_figure))
    drawn = browser.ask(
        """[...document.querySelectorAll(".genlib-figure")].map(figure => {
            figure.querySelectorAll("style, script").forEach(each => each.remove());
            return figure.outerHTML; })"""
    )
    assert len(drawn) == 2 and drawn[0] == drawn[1]
    assert browser.ask("document.querySelectorAll('[data-drawn]').length") == 2
    assert (
        browser.ask("document.querySelectorAll('.genlib-figure[id], .genlib-figure [id]').length")
        == 0
    )
    if every_figure.kind == "grid":  # a hand on the second moves the second alone
        press_in = "document.querySelectorAll('[role=application]')[1]"
        before = said(browser)
        browser.ask(f"{press_in}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowUp'}}))")
        browser.ask(
            f"{press_in}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowRight'}}))"
        )
        second = "document.querySelectorAll('[role=status]')[1].textContent"
        assert said(browser) == before != browser.ask(second)


def test_a_finger_scrolls_past_it_but_not_where_it_draws(shown, every_figure):
    touches = shown(every_figure).ask(
        """[...document.querySelectorAll("svg:not(svg svg), canvas")]
            .map(drawing => getComputedStyle(drawing).touchAction)"""
    )
    drags_all_over = every_figure.kind in ("decoder", "sketchpad")
    assert set(touches) == {"none" if drags_all_over else "pan-y"}


def below_zero(soup):
    """Numbers in what is read that have a hyphen for a minus sign."""
    for hidden in soup.find_all(["script", "style"]):
        hidden.decompose()
    return re.findall(r"(?<!\w)-\d\S*", soup.text)


def test_numbers_below_zero_have_a_minus_sign(shown, every_figure):
    text = every_figure._repr_html_()
    assert below_zero(BeautifulSoup(text, "html.parser")) == []
    browser = shown(every_figure)
    assert below_zero(BeautifulSoup(browser.ask("document.body.outerHTML"), "html.parser")) == []
    if every_figure.kind in ("points", "distances", "kernel_density", "decoder", "curves"):
        assert "−" in said(browser)  # some of them start below zero


def test_dragging_selects_nothing_and_the_second_drag_counts_as_well(shown, every_figure):
    """Across every drawing, from edge to edge, twice: no text, no lost press."""
    browser = shown(every_figure)
    browser.ask(
        """(window.ends = [],
            addEventListener("dragstart", () => ends.push("dragstart"), true),
            addEventListener("pointercancel", () => ends.push("pointercancel"), true),
            addEventListener("pointerup", () => ends.push("pointerup"), true), 0)"""
    )
    drawings = browser.ask(
        """[...document.querySelectorAll("svg:not(svg svg), canvas")].map(drawing => {
            const b = drawing.getBoundingClientRect();
            return [b.left, b.top, b.width, b.height]; })"""
    )
    for left, top, width, height in drawings:
        for _ in range(2):
            mouse(browser, "mousePressed", left + 0.5 * width, top + 0.5 * height)
            for down in (0.6, 0.95):
                at = {"x": left + 0.9 * width, "y": top + down * height}
                browser.send(
                    "Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at
                )
            mouse(browser, "mouseReleased", left + 0.9 * width, top + 0.95 * height)
    assert browser.ask("String(getSelection())") == ""
    assert browser.ask("ends") == ["pointerup"] * (2 * len(drawings))


SIZES = """
    [...document.querySelectorAll("button, select, input")].map(control => {
        const box = control.getBoundingClientRect();
        return [control.textContent || control.dataset.control, box.width, box.height]; })
"""


@pytest.mark.parametrize(("width", "least"), [(1280, 24), (390, 44)])
def test_controls_are_large_enough_to_hit(shown, every_figure, width, least):
    for name, *size in shown(every_figure, width=width).ask(SIZES):
        assert min(size) >= least, name


LOOKS = """
    [...document.querySelectorAll("button, select, input[type=text]")].map(control => {
        const { border, borderRadius, backgroundColor } = getComputedStyle(control);
        return [border, borderRadius, backgroundColor].join("; "); })
"""


def test_controls_and_the_frame_have_the_style_of_the_page(shown, every_figure):
    """Its colours, where the page gives any; the browser's own buttons are outset and grey."""
    browser = shown(every_figure)
    browser.ask(
        """(document.documentElement.style.setProperty("--pst-color-surface", "rgb(1, 2, 3)"),
            document.documentElement.style.setProperty("--pst-color-border", "rgb(4, 5, 6)"), 0)"""
    )
    assert set(browser.ask(LOOKS)) <= {"1px solid rgb(4, 5, 6); 4px; rgb(1, 2, 3)"}
    assert browser.ask("getComputedStyle(document.querySelector('.genlib-figure')).border") == (
        "1px solid rgb(4, 5, 6)"
    )


def test_on_paper_it_is_one_piece_without_controls_but_with_their_values(shown, every_figure):
    browser = shown(every_figure)
    values = "[...document.querySelectorAll('output, select')].map(o => o.checkVisibility())"
    hidden = (
        "[...document.querySelectorAll('button, input[type=range], .genlib-how')]"
        ".filter(each => each.checkVisibility()).length"
    )
    site = (ROOT / "book/_static/course.css").read_text(encoding="utf-8")
    browser.ask(
        f"""(document.body.className = "bd-article",
            document.head.appendChild(document.createElement("style")).textContent =
                {json.dumps(site)}, 0)"""
    )
    browser.lay_out_on_paper()
    assert all(browser.ask(values)) and browser.ask(hidden) == 0
    assert browser.ask("document.querySelector('.genlib-hint')?.checkVisibility() ?? true")
    figure = "getComputedStyle(document.querySelector('.genlib-figure'))"
    assert browser.ask(f"{figure}.breakInside") == "avoid"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(shown, figure, dark):
    browser = shown(figure, width=390, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
