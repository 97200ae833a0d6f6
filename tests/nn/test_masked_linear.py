"""Masks by degrees: which paths they leave."""

import itertools

import pytest
import torch
from scipy import stats

from genlib.nn.masked_linear import MaskedLinear, connections, draw_degrees, spread_degrees


def test_a_masked_connection_carries_neither_value_nor_gradient():
    layer, mask = MaskedLinear(3, 2), torch.tensor([[True, False, True], [False, False, True]])
    layer.keep(mask)
    x = torch.randn(5, 3, requires_grad=True)
    out = layer(x)
    for i in range(2):
        (slope,) = torch.autograd.grad(out[:, i].sum(), x, retain_graph=True)
        torch.testing.assert_close(slope, (layer.weight[i] * mask[i]).expand(5, 3))
    out.sum().backward()
    assert (layer.weight.grad[~mask] == 0).all()
    assert (layer.weight.grad[mask] != 0).all()


@pytest.mark.covers("A04")
@pytest.mark.parametrize("widths", [(4,), (7, 3), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("drawn", [False, True], ids=["spread", "drawn"])
def test_paths_lead_only_forward_and_no_output_is_left_out(widths, drawn):
    """The product of the masks counts the paths between each input and each output."""
    dim, generator = 6, torch.Generator().manual_seed(0)
    degrees = [torch.arange(1, dim + 1)]
    for units in widths:
        degrees.append(
            draw_degrees(units, dim - 1, generator) if drawn else spread_degrees(units, dim - 1)
        )
    paths = torch.eye(dim)
    for into, out in itertools.pairwise(degrees):
        paths = connections(out, into).float() @ paths
    paths = connections(degrees[0], degrees[-1], strict=True).float() @ paths
    assert torch.equal(paths, paths.tril(-1))
    assert (paths[1:, 0] > 0).all()  # every output but the first sees the first input
    assert (paths[-1, :-1] > 0).all()  # the last output sees every input but the last


@pytest.mark.parametrize("units", [2, 5, 9, 500])
def test_degrees_reach_from_one_to_the_largest(units):
    spread, drawn = spread_degrees(units, 9), draw_degrees(units, 9, torch.Generator())
    for degrees in (spread, drawn):
        assert degrees.dtype == torch.int64
        assert (degrees.min(), degrees.max()) == (1, 9)
    assert (spread.diff() >= 0).all()
    counts = torch.bincount(spread, minlength=10)[1:]
    assert (counts - units / 9).abs().max() < 1


@pytest.mark.covers("A04")
@pytest.mark.parametrize(("units", "largest"), [(2, 9), (4, 6), (5, 9), (6, 6), (7, 3), (20, 6)])
def test_spread_degrees_are_as_even_as_whole_numbers_can_be(units, largest):
    degrees = spread_degrees(units, largest).tolist()
    if units < largest:
        step = (largest - 1) / (units - 1)
        assert all(abs(m - 1 - k * step) <= 0.5 for k, m in enumerate(degrees))
    else:
        counts = [degrees.count(m) for m in range(1, largest + 1)]
        assert sum(counts) == units and max(counts) - min(counts) <= 1


@pytest.mark.covers("A04")
def test_drawn_degrees_are_uniform():
    """All but the first and the last, by a chi-squared test."""
    drawn = draw_degrees(4002, 4, torch.Generator().manual_seed(0))[1:-1]
    counts = torch.bincount(drawn, minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > 1e-6
