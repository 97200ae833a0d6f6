"""What a pixel sees is what autograd finds; what it looks at is what flipping a pixel changes."""

import re

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

import genlib as gl
from genlib.nn.masked_conv import MaskedConv2d
from genlib.widgets.pixels import LEAKED, MISSED, SEEN, mean_by_offset, neighbours_lead
from tests.widgets.hands import focus, press, said

SIDE = 5
BEFORE = torch.ones(SIDE**2, SIDE**2).tril(-1).bool()


def sees(network):
    """(n, n): whether output i depends on input j, by autograd at a few random images."""
    x = torch.rand(4, 1, SIDE, SIDE).round().requires_grad_()
    outputs = network(x).flatten(1).sum(0)
    rows = [torch.autograd.grad(each, x, retain_graph=True)[0] for each in outputs]
    return torch.stack([(row != 0).any(0).flatten() for row in rows])


def wild(network):
    """With parameters so large that every path counts."""
    gl.seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def claimed(figure, **settings):
    """(seen, missed) of each pixel (row) at each (column), as the figure has it."""
    maps = figure._frame(**settings)["pixels"].view(SIDE**2, SIDE**2)
    assert torch.equal(maps == MISSED, BEFORE & (maps != SEEN))
    assert not (maps == LEAKED)[BEFORE].any()
    return (maps == SEEN) | (maps == LEAKED)


FIGURE = gl.widgets.receptive_field(SIDE, 3)


@pytest.mark.parametrize("layers", range(4))
def test_one_stack_sees_what_a_pixel_cnn_sees(layers):
    model = wild(gl.PixelCNN((1, SIDE, SIDE), 16, layers, first_kernel_size=3))
    found = claimed(FIGURE, stacks="one stack", masks="A, then B", layers=layers)
    assert torch.equal(found, sees(model.conditionals))


@pytest.mark.parametrize("layers", range(4))
def test_two_stacks_see_what_a_gated_pixel_cnn_sees(layers):
    model = wild(gl.GatedPixelCNN((1, SIDE, SIDE), 8, layers + 1, first_kernel_size=3))
    found = claimed(FIGURE, stacks="two stacks", masks="A, then B", layers=layers)
    assert torch.equal(found, sees(model.conditionals))


@pytest.mark.parametrize("kinds", ["AB", "BB", "AA"])
def test_the_order_of_masks_sees_what_such_convolutions_see(kinds):
    inner = [MaskedConv2d(8, 8, 3, kinds[1]) for _ in range(2)]
    network = wild(nn.Sequential(MaskedConv2d(1, 8, 3, kinds[0]), *inner, nn.Conv2d(8, 1, 1)))
    masks = {"AB": "A, then B", "BB": "B everywhere", "AA": "A everywhere"}[kinds]
    found = claimed(FIGURE, stacks="one stack", masks=masks, layers=2)
    assert torch.equal(found, sees(network))


def missed_in_words(hint, side, row, column):
    """The pixels that the hint says are never seen, read word by word."""
    run = re.search(r"rises to the right, one row for every (?:(\d+) columns|column)\.", hint)[1]
    assert "in the rows above that lie to the right below this line are never seen" in hint
    up, right = row - torch.arange(side)[:, None], torch.arange(side) - column
    line = right / float(run or 1)  # its height over the row of the pixel
    return (up > 0) & (right > 0) & (up < line)


@pytest.mark.parametrize("size", [3, 5])
def test_one_stack_never_sees_what_the_hint_says_and_in_the_end_all_else(size):
    figure = gl.widgets.receptive_field(kernel_size=size)
    for row in range(9):
        for column in range(9):
            missed = figure.shown("pixels", (row, column), layers=8) == MISSED
            assert torch.equal(missed, missed_in_words(figure.hint, 9, row, column))


def test_at_its_start_the_blind_spot_of_one_stack_is_there_and_two_stacks_have_none():
    figure = gl.widgets.receptive_field()
    beyond = missed_in_words(figure.hint, 9, *figure.cell)
    at_start = figure.shown("pixels")
    assert beyond.any() and (at_start[beyond] == MISSED).all() and (at_start == SEEN).any()
    both = figure.shown("pixels", stacks="two stacks", layers=8)
    assert not (both == MISSED).any()


def test_the_layers_that_are_counted_are_those_after_the_first():
    figure = gl.widgets.receptive_field()
    soup = BeautifulSoup(figure._repr_html_(), "html.parser")
    assert soup.find(class_="genlib-controls").text.count("layers after the first") == 1
    assert "The first masked layer always stands; the slider adds others." in figure.hint
    none = figure.shown("pixels", (4, 4), layers=0)
    assert (none == SEEN).nonzero().tolist() == [[3, 3], [3, 4], [3, 5], [4, 3]]  # one masked layer
    assert soup.find(class_="genlib-legend").text.endswith("not earlier")
    assert "neither" not in soup.text


def test_b_everywhere_leaks_the_pixel_itself():
    figure = gl.widgets.receptive_field()
    shown = figure.shown("pixels", masks="B everywhere")
    assert (shown == LEAKED).nonzero().tolist() == [list(figure.cell)]


def test_what_is_seen_can_be_put_in_words():
    said = "A grid of 9 × 9 pixels."
    assert gl.widgets.receptive_field(alt=said).alt == said
    figure = gl.widgets.pixel_weights({"FVSBN": gl.FVSBN(4)}, {"a": torch.eye(4)}, (2, 2), alt=said)
    assert figure.alt == said
    assert said != gl.widgets.receptive_field().alt != ""


def test_receptive_field_is_small_enough_for_a_page():
    assert len(gl.widgets.receptive_field()._repr_html_()) < 100_000


def test_the_page_draws_what_was_found(shown):
    figure = gl.widgets.receptive_field()
    browser = shown(figure)
    focus(browser)
    press(browser, "ArrowRight", "ArrowUp")
    kinds = figure.shown("pixels", (figure.cell[0] - 1, figure.cell[1] + 1)).flatten().tolist()
    drawn = browser.ask("[...document.querySelectorAll('svg text')].map(t => t.textContent)")
    assert drawn == ["" if kind != kind else "●×!"[int(kind)] for kind in kinds]
    counts = [kinds.count(kind) for kind in (SEEN, MISSED, LEAKED)]
    assert [int(n) for n in re.findall(r"\d+", said(browser))[2:]] == counts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 8}, "side: expected an odd number"),
        ({"side": 99}, "side: expected at most 11, got 99"),
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"kernel_size": 4}, "kernel size: expected an odd number"),
        ({"start": {"masks": "C"}}, "start: expected 'masks' to be one of"),
        ({"cell": (9, 9)}, "cell: expected a row and a column of 9 × 9"),
    ],
)
def test_receptive_field_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        gl.widgets.receptive_field(**arguments)


# ------------------------------------------------------------------ what a pixel looks at

ROWS, COLUMNS = 3, 4


def models():
    gl.seed(1)
    made = {"FVSBN": gl.FVSBN(12, order=range(11, -1, -1)), "NADE": gl.NADE(12, hidden=5)}
    return {name: wild(model) for name, model in made.items()}


def pictures():
    gl.seed(2)
    return {name: torch.rand(n, 12).round() for name, n in (("some", 3), ("other", 2))}


def test_the_weights_of_a_pixel_are_the_changes_of_its_logit():
    given, x = models(), pictures()
    figure = gl.widgets.pixel_weights(given, x, (ROWS, COLUMNS))
    for name, model in given.items():
        weights = figure._frame(pictures="other")[name].view(12, 12)
        for i in range(12):
            for j in range(12):
                flipped = x["other"].clone()
                flipped[:, j] = 1 - flipped[:, j]
                change = (model.conditionals(flipped) - model.conditionals(x["other"]))[:, i]
                if model.rank[j] < model.rank[i]:
                    assert weights[i, j].item() == pytest.approx(
                        change.abs().mean().item(), abs=1e-5
                    )
                else:
                    assert weights[i, j].isnan() and change.abs().max() == 0


def test_the_map_of_an_fvsbn_is_the_same_for_all_pictures_and_stored_once():
    figure = gl.widgets.pixel_weights(models(), pictures(), (ROWS, COLUMNS))
    data = figure._data()
    some, other = data["panels"][1]["linked"]
    assert some == other
    some, other = data["panels"][2]["linked"]
    assert some != other


def weights_with_clear_neighbours():
    weights = torch.full((3, 3, 3, 3), torch.nan)
    for i in range(9):
        for j in range(i):
            near = {(0, 1): 3.0, (1, 0): 2.0}.get((i // 3 - j // 3, i % 3 - j % 3), 1.0)
            weights[i // 3, i % 3, j // 3, j % 3] = near
    return weights


def test_neighbours_lead_where_they_are_the_two_largest():
    weights = weights_with_clear_neighbours()
    assert neighbours_lead(weights, (2, 2)) and not neighbours_lead(weights, (0, 1))
    weights[2, 2, 0, 0] = 2.5
    assert not neighbours_lead(weights, (2, 2))


def test_the_mean_by_offset_is_that_of_a_loop():
    means = mean_by_offset(weights_with_clear_neighbours())
    assert means[0, :2].tolist() == [1, 3] and means[0, 2:].isnan().all()
    assert means[1, 2] == 2 and means[1, 3] == 1 and means[2, 2] == 1
    exact = weights_with_clear_neighbours().double()
    assert torch.equal(mean_by_offset(exact).float().nan_to_num(), means.nan_to_num())


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("map", TypeError, "weights: expected a torch.Tensor, got str"),
        (torch.ones(9), ValueError, r"\(rows, columns, rows, columns\), got \(9,\)"),
        (torch.ones(2, 3, 3, 2), ValueError, r"weights: expected .* got \(2, 3, 3, 2\)"),
        (torch.ones(2, 2, 2, 2).long(), ValueError, "expected floating-point .* torch.int64"),
    ],
)
def test_mean_by_offset_refuses(weights, error, message):
    with pytest.raises(error, match=message):
        mean_by_offset(weights)


def test_it_starts_where_both_neighbours_lead_if_there_is_such_a_pixel():
    rule = torch.zeros(12, 12)
    for i in range(12):
        for j in range(i):
            near = (i - j == 1 and i % 4) or i - j == 4
            rule[i, j] = 2.0 if near else 0.5
    model = gl.FVSBN(12)
    with torch.no_grad():
        model.lower.copy_(rule[*torch.tril_indices(12, 12, -1)])
    figure = gl.widgets.pixel_weights({"FVSBN": model}, pictures(), (ROWS, COLUMNS))
    row, column = figure.cell
    assert set(figure.strongest("FVSBN", 2)) == {(row, column - 1), (row - 1, column)}
    assert "at 6 of the 6 pixels that have both. The figure starts at the one" in figure.hint


def leading(figure):
    """At how many pixels the two neighbours are the strongest in all models, by listing."""
    return sum(
        all(
            set(figure.strongest(name, 2, (row, column))) == {(row, column - 1), (row - 1, column)}
            for name in ("FVSBN", "NADE")
        )
        for row in range(1, ROWS)
        for column in range(1, COLUMNS)
    )


def test_the_hint_counts_the_pixels_at_which_both_neighbours_lead():
    made, x = models(), pictures()
    made["FVSBN"] = gl.FVSBN(12)
    with torch.no_grad():  # the neighbours of the last two pixels lead
        lower = torch.zeros(12, 12)
        for i in (10, 11):
            lower[i, : i - 1], lower[i, [i - 1, i - 4]] = 0.1, 2.0
        made["FVSBN"].lower.copy_(lower[*torch.tril_indices(12, 12, -1)])
    figure = gl.widgets.pixel_weights({"FVSBN": made["FVSBN"], "NADE": made["FVSBN"]}, x, (3, 4))
    assert leading(figure) == 2
    assert "at 2 of the 6 pixels that have both. The figure starts at" in figure.hint
    figure = gl.widgets.pixel_weights(made, x, (ROWS, COLUMNS))
    assert f"at {leading(figure)} of the 6 pixels that have both. " in figure.hint
    figure = gl.widgets.pixel_weights(made, x, (ROWS, COLUMNS), cell=(1, 1))
    assert "starts" not in figure.hint


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 9), ValueError, r"shape \(N, 12\), 3 × 4 pixels, for 'a', got \(2, 9\)"),
        (torch.zeros(0, 12), ValueError, "expected at least one value"),
        (torch.full((1, 12), torch.nan), ValueError, "expected finite values, got nan"),
        (torch.zeros(1, 12, dtype=torch.long), TypeError, "expected floating-point values"),
        (torch.full((1, 12), 0.5), ValueError, r"expected values in \{0, 1\}, got 0.5"),
    ],
)
def test_pixel_weights_refuses(x, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.pixel_weights(models(), {"a": x}, (ROWS, COLUMNS))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, TypeError, "models: expected models by name"),
        ({"models": gl.FVSBN(12)}, TypeError, "models: expected models by name"),
        ({"models": {"a": 3}}, TypeError, "a model of binary vectors, .* for 'a', got int"),
        ({"models": {"a": gl.RNADE(12, 2)}}, TypeError, "binary vectors, .* for 'a', got RNADE"),
        ({"models": {"a": gl.FVSBN(9)}}, ValueError, "a model of 12 values for 'a', got one of 9"),
        ({"pictures": {}}, TypeError, "pictures: expected tensors by what they show"),
        ({"pictures": torch.zeros(1, 12)}, TypeError, "pictures: expected tensors by what"),
        ({"shape": 12}, TypeError, r"shape: expected several"),
        ({"shape": (12,)}, ValueError, r"shape: expected \(rows, columns\), got \(12,\)"),
        ({"shape": (3.0, 4)}, TypeError, "shape: expected an integer, got 3.0"),
    ],
)
def test_pixel_weights_names_the_argument_that_is_wrong(change, error, message):
    given = {"models": models(), "pictures": pictures(), "shape": (ROWS, COLUMNS)} | change
    with pytest.raises(error, match=message):
        gl.widgets.pixel_weights(**given)


def test_a_model_as_made_has_a_map_of_zeros():
    figure = gl.widgets.pixel_weights({"FVSBN": gl.FVSBN(12)}, pictures(), (ROWS, COLUMNS))
    weights = figure.frames[0]["FVSBN"]
    assert (weights[~weights.isnan()] == 0).all()
