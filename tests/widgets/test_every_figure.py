"""What holds for every figure: its caption, its tab stop, its weight, its width on a phone."""

import json
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from genlib.widgets import page

LABEL = re.compile(r'aria-label="([^"]*)"')  # the first one is the caption in the book
POINTS = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]])
FIGURES = {
    "Attention": lambda: gl.widgets.Attention(torch.eye(3), "abc", alt="weights of three"),
    "Distances": gl.widgets.Distances,
    "Grid": lambda: gl.widgets.Grid({"a": torch.eye(3)}, alt="a matrix of ones"),
    "KernelDensity": lambda: gl.widgets.KernelDensity(POINTS[:, 1], [0.1, 0.3]),
    "MadeMasks": lambda: gl.widgets.MadeMasks(gl.MADE(3, hidden=[4])),
    "Points": lambda: gl.widgets.Points(POINTS),
    "receptive_field": gl.widgets.receptive_field,
}


@pytest.fixture(params=FIGURES.values(), ids=FIGURES)
def figure(request):
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


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(shown, figure, dark):
    browser = shown(figure, width=390, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
