"""MADE's units: what the figure says a unit sees is what autograd finds in the model."""

import re

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

import genlib as gl
from tests.widgets.hands import focus, place, press, said

MODELS = {
    "one layer": lambda: gl.MADE(5, hidden=[7]),
    "two layers": lambda: gl.MADE(5, hidden=[7, 6]),
    "another order": lambda: gl.MADE(5, hidden=[7], order=[2, 0, 4, 1, 3]),
    "direct connections": lambda: gl.MADE(5, hidden=[4], direct=True),
    "no hidden layer": lambda: gl.MADE(5, hidden=[], direct=True),
    "several masks": lambda: gl.MADE(5, hidden=[8], num_masks=3, sample_orders=True, seed=4),
}


def by_autograd(model):
    """(outputs, inputs): which inputs move which logit."""
    gl.seed(0)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.1, 1)  # positive: every path counts and no unit is off
    x = torch.ones(1, 5).requires_grad_()
    logits = model.conditionals(x)[0]
    return torch.stack(
        [
            torch.autograd.grad(y, x, retain_graph=True)[0][0] != 0
            if y.requires_grad
            else torch.zeros(5).bool()
            for y in logits
        ]
    )


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_outputs_see_what_autograd_finds_and_all_that_comes_before(make):
    model = make()
    figure = gl.widgets.MadeMasks(model)
    found = by_autograd(model)
    assert torch.equal(figure.sees[-1], found)
    assert torch.equal(found, model.rank < model.rank[:, None])


def test_it_draws_the_first_masks_whatever_was_drawn_last():
    model = MODELS["several masks"]()
    first = gl.widgets.MadeMasks(model)._repr_html_()
    model.log_prob(torch.zeros(1, 5))  # under all masks in turn
    assert gl.widgets.MadeMasks(model)._repr_html_() == first


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_unit_is_described_rightly(shown, make):
    model = make()
    figure = gl.widgets.MadeMasks(model, unit=(0, 0))
    browser = shown(figure)
    focus(browser)
    for layer, sees in enumerate(figure.sees):
        for unit in range(len(sees)):
            words = said(browser)
            assert re.search(rf"put {unit + 1}, |unit {unit + 1} of layer {layer}, ", words)
            assert f"degree {figure.degrees[layer][unit]}" in words
            if layer:
                seen = [str(k + 1) for k in range(5) if sees[unit, k]]
                assert f"sees inputs {', '.join(seen) or 'none'}; not" in words
            press(browser, "ArrowRight")
        press(browser, "ArrowUp", *["ArrowLeft"] * 9)


def test_the_number_of_paths_is_the_product_of_the_masks(shown):
    model = MODELS["two layers"]()
    figure = gl.widgets.MadeMasks(model, unit=(3, 4))
    product = torch.eye(5)
    for mask in figure.masks:
        product = mask.float() @ product
    assert f"; {product[4].sum():.0f} paths." in said(shown(figure))


@pytest.mark.parametrize("sizes", [(5, [2, 4]), (3, [7])])
def test_arrows_lead_to_the_nearest_unit_of_the_next_layer(shown, sizes):
    features, hidden = sizes
    figure = gl.widgets.MadeMasks(gl.MADE(features, hidden=hidden), unit=(0, 0))
    browser = shown(figure)
    focus(browser)
    count = [features, *hidden, features]
    for unit in range(features):
        at = unit
        for layer in range(1, len(count)):
            press(browser, "ArrowUp")
            before = figure._place(layer - 1, at)[0]
            away = [abs(figure._place(layer, k)[0] - before) for k in range(count[layer])]
            at = int(re.search(r"(?:nit|put) (\d+)", said(browser))[1]) - 1
            assert away[at] == pytest.approx(min(away), abs=0.2)
        press(browser, *["ArrowDown"] * 9, *["ArrowLeft"] * 9, *["ArrowRight"] * (unit + 1))


def test_pointing_at_a_unit_marks_its_paths(shown):
    figure = gl.widgets.MadeMasks(gl.MADE(3, hidden=[2]))
    browser = shown(figure)
    x, y = place(browser, 0, *figure._place(1, 1))
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert said(browser) == "Hidden unit 2 of layer 1, degree 2: sees inputs 1, 2; not 3; 2 paths."
    classes = browser.ask(
        "[...document.querySelectorAll('.genlib-unit')].map(u => u.classList[1] ?? '')"
    )
    assert classes == [
        *["genlib-seen", "genlib-seen", "genlib-missed"],
        *["", "genlib-self"],
        *["", "", ""],
    ]
    assert browser.ask("document.querySelectorAll('.genlib-path').length") == 2


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_degrees_rise_along_paths_as_the_hint_says(make):
    figure = gl.widgets.MadeMasks(make())
    assert "Degrees never fall along a path, and rise strictly into an output." in figure.hint
    data = figure._data()
    degrees, last = data["degrees"], len(data["degrees"]) - 1
    assert data["edges"]
    for (layer, out), below, into in data["edges"]:
        rise = degrees[layer][out] - degrees[below][into]
        assert rise > 0 if layer == last else rise >= 0
    inside = [
        degrees[layer][out] - degrees[below][into]
        for (layer, out), below, into in data["edges"]
        if layer < last
    ]
    assert not inside or min(inside) == 0  # within, they may stay: "never fall", not "rise"


def test_the_output_at_its_start_sees_some_inputs_and_not_others(shown):
    figure = gl.widgets.MadeMasks(gl.MADE(6, hidden=[8, 8]))
    assert "Which inputs can an output see, and which not?" in figure.hint
    seen, missed = re.search(
        r"^Output .* sees inputs ([\d, ]+); not ([\d, ]+);", said(shown(figure))
    ).groups()
    assert sorted(map(int, f"{seen}, {missed}".split(", "))) == [1, 2, 3, 4, 5, 6]


def test_it_is_one_tab_stop_with_a_name():
    soup = BeautifulSoup(gl.widgets.MadeMasks(gl.MADE(3, hidden=[2]))._repr_html_(), "html.parser")
    (stop,) = soup.find_all(tabindex=True)
    assert stop["role"] == "application" and stop["aria-label"].startswith("A masked network")
    assert [text.text for text in soup.find("svg").find_all("text")] == list("12312123")


@pytest.mark.parametrize(
    ("model", "unit", "error", "message"),
    [
        (gl.NADE(3, hidden=2), None, TypeError, "model: expected a genlib.MADE, got NADE"),
        (gl.MADE(30, hidden=[40]), None, ValueError, "model: expected at most 80 units, got 100"),
        (gl.MADE(3, hidden=[2]), (3, 0), ValueError, r"layers of \[3, 2, 3\], .* got \(3, 0\)"),
        (gl.MADE(3, hidden=[2]), (1, 2), ValueError, r"unit: expected a layer and a unit"),
        (gl.MADE(3, hidden=[2]), 1, ValueError, r"unit: expected a layer and a unit"),
    ],
)
def test_refusals(model, unit, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.MadeMasks(model, unit)
