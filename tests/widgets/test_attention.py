"""Attention is on the page to three digits, and pointing at a symbol shades what it looked at."""

import json
import re

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl
from tests.widgets.hands import attributes, focus, hover, mouse, place, press, said, set_control

N = 5
SYMBOLS = ["start", "a", "b", "<c>", "d", "e"]


def causal(seed):
    scores = torch.randn(N, N, generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(N, N).triu(1).bool(), -torch.inf).softmax(1)


WEIGHTS = {"layer 1": causal(0), "layer 2": causal(1)}


def attention(**settings):
    return gl.widgets.Attention(WEIGHTS, SYMBOLS, **{"alt": "weights of five places", **settings})


def shades(browser):
    """How strongly each symbol is shaded, from 0 to 0.6."""
    return browser.ask(
        """[...document.querySelectorAll(".genlib-text span")].map(word =>
            +(getComputedStyle(word).backgroundColor.match(/rgba.*, ([\\d.]+)\\)/)?.[1] ?? 1))"""
    )


def test_all_weights_are_on_the_page_and_nothing_beside_the_triangle():
    soup = BeautifulSoup(attention()._repr_html_(), "html.parser")
    data = json.loads(soup.find("script", type="application/json").string)
    for rows, truth in zip(data["weights"], WEIGHTS.values(), strict=True):
        assert [len(row) for row in rows] == [1, 2, 3, 4, 5]
        for i, row in enumerate(rows):
            assert row == pytest.approx(truth[i, : i + 1].tolist(), abs=5.1e-4)
    assert [span.text for span in soup.find(class_="genlib-text").find_all("span")] == SYMBOLS


def test_what_stands_before_the_script_is_what_it_draws(shown):
    weights = torch.ones(8, 8).tril() / torch.arange(1, 9)[:, None]  # 1/8 is amid two colours
    figure = gl.widgets.Attention(weights, "abcdefgh", alt="equal weights")
    soup = BeautifulSoup(figure._repr_html_(), "html.parser")
    fills = [rect["fill"] for rect in soup.find("svg").find_all("rect") if rect["fill"] != "none"]
    drawn = (
        "[...document.querySelectorAll('svg rect[fill^=\"#\"]')].map(r => r.getAttribute('fill'))"
    )
    assert shown(figure).ask(drawn) == fills and len(fills) == 36


def test_it_is_one_tab_stop_with_a_name():
    soup = BeautifulSoup(attention()._repr_html_(), "html.parser")
    (stop,) = soup.find_all(tabindex=True)
    assert stop["role"] == "application" and stop["aria-label"] == "weights of five places"


def test_pointing_at_a_symbol_shades_what_was_looked_at_when_it_was_predicted(shown):
    browser = shown(attention(start={"layer": "layer 2"}))
    x, y = middle(browser, 4)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    row = WEIGHTS["layer 2"][3]
    assert shades(browser)[:5] == pytest.approx([0.6 * w for w in row.tolist()], abs=0.011)
    assert shades(browser)[4:] == [0, 0]
    most = [j for j in row.argsort(descending=True).tolist()[:3] if row[j] >= 0.005]
    told = ", ".join(f"“{SYMBOLS[j]}” ({j}) {row[j]:.2f}" for j in most)
    assert len(most) == 3
    assert said(browser) == f"To predict “d” (4), most weight is on {told}."
    chosen = "[...document.querySelectorAll('.genlib-text .genlib-chosen')].map(w => w.textContent)"
    assert browser.ask(chosen) == ["d"]
    assert attributes(browser, "[data-part=row]", "x", "y", "width", "height") == [
        pytest.approx([0, 3, 4, 1], abs=0.05)  # round the four cells of the row
    ]


def test_a_row_of_the_matrix_keys_and_the_menu_select_as_well(shown):
    browser = shown(attention())
    assert said(browser).startswith("To predict “e” (5)")
    hover(browser, 0, 0.5, 1.5)
    assert said(browser).startswith("To predict “b” (2)")
    focus(browser)
    press(browser, "ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
    assert said(browser) == "To predict “a” (1), most weight is on “start” (0) 1.00."
    press(browser, "ArrowDown")
    set_control(browser, "layer", 1)
    most = WEIGHTS["layer 2"][1].max().item()
    assert f"{most:.2f}" in said(browser)


def middle(browser, number):
    """Of a symbol in the text."""
    return browser.ask(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])"
        f"(document.querySelectorAll('.genlib-text span')[{number}].getBoundingClientRect())"
    )


def test_the_start_symbol_is_not_predicted_and_selects_nothing(shown):
    browser = shown(attention(row=2))
    for number, row in ((0, "c"), (1, "a"), (0, "a")):
        x, y = middle(browser, number)
        browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        mouse(browser, "mousePressed", x, y)
        mouse(browser, "mouseReleased", x, y)
        assert said(browser).startswith(f"To predict “{row.replace('c', '<c>')}”")


LABELS = """
    [...document.querySelectorAll("svg text")].map(text => {
        const box = text.getBoundingClientRect();
        return [text.textContent, box.x + box.width / 2, box.y + box.height / 2]; })
"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("symbols", [SYMBOLS, list("abcde")])
def test_rows_and_columns_are_labelled_where_they_stand(shown, width, symbols):
    figure = gl.widgets.Attention(WEIGHTS, symbols, alt="five places")
    browser = shown(figure, width=width)
    labels = browser.ask(LABELS)
    side = place(browser, 0, 1, 0)[0] - place(browser, 0, 0, 0)[0]
    rows, columns = labels[:N], labels[N:]
    assert [name for name, *_ in rows] == symbols[-N:]
    assert [name for name, *_ in columns] == symbols[:N]
    for k in range(N):
        x, y = place(browser, 0, k + 0.5, k + 0.5)
        assert rows[k][2] == pytest.approx(y, abs=0.3 * side)
        assert columns[k][1] == pytest.approx(x, abs=0.3 * side)
        assert (
            rows[k][1] < place(browser, 0, 0, 0)[0] and columns[k][2] < place(browser, 0, 0, 0)[1]
        )


def test_long_symbols_are_cut_and_stay_in_the_drawing(shown):
    figure = gl.widgets.Attention(ONE, ["W" * 20, "bb", "c"], alt="three words")
    outside = shown(figure).ask(
        """(() => {
            const frame = document.querySelector("svg").getBoundingClientRect();
            return [...document.querySelectorAll("svg text")].filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.top < frame.top - 1; }).length; })()"""
    )
    assert outside == 0
    labels = BeautifulSoup(figure._repr_html_(), "html.parser").select("svg text")
    assert labels[0].text == "WWWWW…"


def test_without_a_start_symbol_a_row_is_of_its_own_symbol(shown):
    figure = gl.widgets.Attention(WEIGHTS["layer 1"], list("abcde"), row=1, alt="five places")
    browser = shown(figure)
    assert said(browser).startswith("At “b” (2), most weight is on ")
    assert sum(shade > 0 for shade in shades(browser)) <= 2


def test_it_takes_what_the_transformer_gives():
    model = gl.CausalTransformer(N, 4, width=8, heads=1, layers=2)
    weights = model.attention(torch.zeros(1, N))[0, :, 0]
    figure = gl.widgets.Attention({"1": weights[0], "2": weights[1]}, SYMBOLS, alt="two layers")
    assert not re.search(r"https?://|src=|@import|url\(", figure._repr_html_())


ONE = torch.eye(3)


@pytest.mark.parametrize(
    ("weights", "symbols", "settings", "error", "message"),
    [
        (ONE[0], "abc", {}, ValueError, r"weights: expected shape \(n, n\), got \(3,\)"),
        (ONE[:2], "abc", {}, ValueError, r"weights: expected shape \(n, n\), got \(2, 3\)"),
        (ONE * torch.nan, "abc", {}, ValueError, "weights: expected finite values"),
        (2 * ONE, "abc", {}, ValueError, "rows that sum to one, got 2 in row 0"),
        (ONE[[1, 0, 2]], "abc", {}, ValueError, r"no weight on a later position, got 1 at \(0, 1"),
        (1.5 * ONE - 0.5, "abc", {}, ValueError, r"no negative weights, got -0.5 at \(0, 1\)"),
        (torch.eye(65), "a" * 65, {}, ValueError, "weights: expected at most 64 rows, got 65"),
        ({"a": ONE, "b": torch.eye(2)}, "abc", {}, ValueError, r"one size .*, got \[2, 3\]"),
        ({}, "abc", {}, ValueError, "one size for all matrices, got none"),
        ({"a": ONE, "b": 2 * ONE}, "abc", {}, ValueError, "weights: 'b': expected rows"),
        (ONE, "ab", {}, ValueError, "symbols: expected 3, or 4 with a start symbol, got 2"),
        (ONE, [1, 2, 3], {}, TypeError, "symbols: expected a list of words"),
        (ONE, "abc", {"row": 3}, ValueError, r"row: expected one of 0 … 2, got 3"),
        (ONE, "abc", {"hint": 3}, TypeError, "hint: expected words, got 3"),
    ],
)
def test_refusals(weights, symbols, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.Attention(weights, symbols, **{"alt": "a matrix", **settings})
