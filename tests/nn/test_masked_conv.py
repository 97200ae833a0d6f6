"""Windowed convolutions against plain loops."""

import itertools

import numpy as np
import pytest
import torch

from genlib.nn.masked_conv import (
    HorizontalConv2d,
    MaskedConv2d,
    PointConv2d,
    VerticalConv2d,
    Window,
    WindowConv2d,
    colour_mask,
)

LAYERS = {
    "A": lambda: MaskedConv2d(3, 6, 5, "A"),
    "B": lambda: MaskedConv2d(4, 6, 3, "B"),
    "A, colours": lambda: MaskedConv2d(3, 6, 5, "A", 3),
    "B, colours": lambda: MaskedConv2d(6, 9, 3, "B", 3),
    "horizontal A": lambda: HorizontalConv2d(3, 6, 5, "A", 3),
    "horizontal B": lambda: HorizontalConv2d(4, 2, 3, "B"),
    "vertical, first": lambda: VerticalConv2d(3, 4, 7, first=True),
    "vertical": lambda: VerticalConv2d(3, 4, 3),
    "point": lambda: PointConv2d(3, 5),
    "left": lambda: WindowConv2d(2, 3, Window(1, 0, 2, -1)),
}

MASKED = ["A", "B", "A, colours", "B, colours", "horizontal A"]


def image(layer, rows=5, columns=4):
    return torch.randn(2, layer.in_channels, rows, columns)


def by_loops(layer, x):
    """The sum over the window, weight by weight, in numpy."""
    weight, bias = (part.detach().double().numpy() for part in (layer.kernel(), layer.bias))
    x = x.double().numpy()
    rows, columns = x.shape[2:]
    out = np.zeros((len(x), layer.out_channels, rows, columns)) + bias[:, None, None]
    above, below, left, right = layer.window
    for r, c in itertools.product(range(rows), range(columns)):
        for dr, dc in itertools.product(range(-above, below + 1), range(-left, right + 1)):
            if 0 <= r + dr < rows and 0 <= c + dc < columns:
                out[:, :, r, c] += x[:, :, r + dr, c + dc] @ weight[:, :, dr + above, dc + left].T
    return torch.from_numpy(out).float()


@pytest.mark.covers("A07")
@pytest.mark.parametrize("name", LAYERS)
def test_a_whole_image_is_convolved_as_plain_loops_do(name):
    layer = LAYERS[name]()
    x = image(layer)
    torch.testing.assert_close(layer(x), by_loops(layer, x))


def seen(layer, rows=7, columns=7, place=(3, 3)):
    """Which inputs the output at a place depends on, (out, in, rows, columns)."""
    x = torch.randn(1, layer.in_channels, rows, columns, requires_grad=True)
    out = layer(x)[0, :, place[0], place[1]]
    slopes = [torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in out]
    return torch.stack(slopes) != 0


@pytest.mark.covers("A07")
@pytest.mark.parametrize("kind", ["A", "B"])
def test_masks_a_and_b_see_what_they_should(kind):
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[1:3, 1:6] = True
    expected[3, 1:3] = True
    expected[3, 3] = kind == "B"
    assert torch.equal(seen(MaskedConv2d(1, 1, 5, kind))[0, 0], expected)


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("layer", [MaskedConv2d, HorizontalConv2d])
def test_colours_see_those_before_them_at_their_own_place_and_all_colours_elsewhere(layer, kind):
    looks = seen(layer(3, 6, 3, kind, 3))
    at_place = looks[:, :, 3, 3]
    for o, i in itertools.product(range(6), range(3)):
        assert at_place[o, i] == (i < o // 2 if kind == "A" else i <= o // 2)
    assert looks[:, :, 3, 2].all()


def test_the_vertical_stack_sees_both_sides_and_the_first_layer_no_current_row():
    first, later = (seen(VerticalConv2d(1, 1, 3, first=first))[0, 0] for first in (True, False))
    assert first.nonzero().tolist() == [[2, 2], [2, 3], [2, 4]]
    assert later.nonzero().tolist() == [[2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_weight_stays_out_whatever_it_holds(name):
    layer = LAYERS[name]()
    x = image(layer)
    before = layer(x)
    with torch.no_grad():
        layer.weight[~layer.mask] = 1e30
    assert torch.equal(layer(x), before)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("layer", [MaskedConv2d, HorizontalConv2d])
def test_bad_arguments_are_refused(layer):
    with pytest.raises(ValueError, match=r"kernel size: expected an odd number.*got 4"):
        layer(1, 1, 4, "A")
    with pytest.raises(ValueError, match="kind: expected one of 'A', 'B', got 'C'"):
        layer(1, 1, 3, "C")
    with pytest.raises(ValueError, match=r"outputs: expected a multiple of 3.*got 4"):
        layer(3, 4, 3, "B", 3)
    with pytest.raises(ValueError, match="inputs: expected at least 1, got 0"):
        layer(0, 3, 3, "B")
    with pytest.raises(ValueError, match="colours: expected at least 1, got 0"):
        layer(3, 3, 3, "B", 0)
    with pytest.raises(TypeError, match="kernel size: expected an integer"):
        layer(1, 1, 3.0, "A")


def test_an_even_vertical_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel size: expected an odd number"):
        VerticalConv2d(1, 1, 2)


def test_colour_masks_of_uneven_layers():
    assert (
        colour_mask(3, 6, "A", 3).int().tolist()
        == [[0, 0, 0]] * 2 + [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2
    )
