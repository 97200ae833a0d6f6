"""The recurrent layers against their definition, one pixel after another in plain loops."""

import numpy as np
import pytest
import torch

from genlib.models.autoregressive.pixel_rnn import PixelRNN, _DiagonalLSTM, _RowLSTM, skew, unskew
from tests.parameters import scattered


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def step(gates, c):
    """One step of an LSTM, gates in the order out, forget, take, new."""
    out, forget, take, new = np.split(gates, 4, axis=1)
    c = sigmoid(forget) * c + sigmoid(take) * np.tanh(new)
    return sigmoid(out) * np.tanh(c), c


def array(tensor):
    return tensor.detach().double().numpy()


def arrays(conv):
    return array(conv.weight), array(conv.bias)


@pytest.mark.covers("A08")
@torch.no_grad()
def test_row_lstm():
    layer = scattered(_RowLSTM(6, 3, 1), 0.5).double()
    x = torch.randn(2, 6, 4, 5).double()
    gates, (weight, bias) = array(layer.input(x)), arrays(layer.state)
    h, c = np.zeros((2, 3, 5, 7)), np.zeros((2, 3, 5, 7))  # a row above, a column to each side
    for r in range(4):
        for j in range(5):
            seen = sum(h[:, :, r, j + k] @ weight[:, :, k].T for k in range(3)) + bias
            h[:, :, r + 1, j + 1], c[:, :, r + 1, j + 1] = step(
                gates[:, :, r, j] + seen, c[:, :, r, j + 1]
            )
    expected = x + layer.out(torch.from_numpy(h[:, :, 1:, 1:-1]))
    torch.testing.assert_close(layer(x, None), expected)


def scan(diagonals, x):
    """States from the left and from above, pixel by pixel."""
    gates, (weight, bias) = array(diagonals.input(x)), arrays(diagonals.state)
    n, _, rows, columns = x.shape
    h, c = (np.zeros((n, diagonals.hidden, rows + 1, columns + 1)) for _ in "hc")
    for r in range(rows):
        for j in range(columns):
            seen = h[:, :, r, j + 1] @ weight[:, :, 0].T + h[:, :, r + 1, j] @ weight[:, :, 1].T
            h[:, :, r + 1, j + 1], c[:, :, r + 1, j + 1] = step(
                gates[:, :, r, j] + seen + bias, c[:, :, r + 1, j]
            )
    return torch.from_numpy(h[:, :, 1:, 1:])


@pytest.mark.covers("A08")
@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 5), (5, 3), (1, 4), (4, 1)], ids=str)
def test_diagonal_lstm(size):
    layer = scattered(_DiagonalLSTM(6, 3, 1), 0.5).double()
    x = torch.randn(2, 6, *size).double()
    left, right = scan(layer.left, x), scan(layer.right, x.flip(3)).flip(3)
    left[:, :, 1:] += right[:, :, :-1]
    torch.testing.assert_close(layer(x, None), x + layer.out(left))


@pytest.mark.parametrize("size", [(3, 4), (4, 2), (1, 3), (3, 1)], ids=str)
def test_skewing_puts_diagonals_into_columns(size):
    x = torch.arange(1.0, 1 + size[0] * size[1]).view(1, *size)
    wide = skew(x)
    assert wide.shape == (1, size[0], sum(size) - 1)
    for r in range(size[0]):
        assert torch.equal(wide[0, r, r : r + size[1]], x[0, r])
    assert wide.count_nonzero() == x.numel()
    assert torch.equal(unskew(wide), x)


@pytest.mark.covers("A08")
def test_a_diagonal_layer_sees_all_but_one_of_the_pixels_before_and_a_row_layer_does_not():
    x = torch.rand(20, 1, 7, 7).double().requires_grad_()
    number = torch.arange(49).view(7, 7)
    seen = {}
    for kind in ("row", "diagonal"):
        model = scattered(PixelRNN((1, 7, 7), 8, 1, kind=kind, first_kernel_size=3), 0.4).double()
        (slope,) = torch.autograd.grad(model._conditionals(x)[:, 0, 5, 2].sum(), x)
        seen[kind] = (slope[:, 0] != 0).any(0)
    expected = number < number[5, 2]
    expected[4, 6] = False  # the last pixel of the row above: at no later place of that row
    assert torch.equal(seen["diagonal"], expected)
    assert not seen["row"][4, 5]
    assert seen["row"][0, 2]
