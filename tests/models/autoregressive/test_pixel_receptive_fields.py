"""What an output sees, by gradients at every pixel: the blind spot and its cure."""

import pytest
import torch

from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from genlib.models.autoregressive.pixel_cnn import PixelCNN
from genlib.models.autoregressive.pixel_cnn_pp import PixelCNNPP
from tests.parameters import scattered

SIDE = 11


def seen(model, place):
    """Which pixels the conditional at ``place`` depends on, in some of several random images."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(30, *model.event_shape, generator=generator) < 0.5).double().requires_grad_()
    outputs = model._conditionals(x)[:, 0, place[0], place[1]]
    (slope,) = torch.autograd.grad(outputs.sum(), x)
    return (slope[:, 0] != 0).any(0)


def before(place):
    """Every pixel that comes first in reading order."""
    number = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    return number < number[place]


def cone(place, reach):
    """What 3 × 3 masks alone can reach: to the right no more columns than rows upwards, and one."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    up, right = place[0] - row, column - place[1]
    return before(place) & (right <= up) & (up <= reach) & (right >= -reach)


PLACES = [(0, 0), (0, 4), (5, 5), (6, 1), (10, 4), (10, 10)]


@pytest.mark.covers("A07")
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_pixel_cnn_has_a_blind_spot(place):
    """With 3 × 3 masks throughout, deep enough to span the image."""
    layers = 2 * SIDE
    model = scattered(PixelCNN((1, SIDE, SIDE), 8, layers, first_kernel_size=3), 0.4).double()
    found = seen(model, place)
    assert torch.equal(found, cone(place, layers))
    if place == (10, 4):
        assert (before(place) & ~found).sum() == 15  # the blind spot


@pytest.mark.covers("A07")
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_gated_pixel_cnn_has_none(place):
    model = scattered(GatedPixelCNN((1, SIDE, SIDE), 6, SIDE, first_kernel_size=3), 0.2).double()
    assert torch.equal(seen(model, place), before(place))


@pytest.mark.covers("A09")
@pytest.mark.parametrize("place", [(3, 3), (7, 2), (7, 7)], ids=str)
def test_pixel_cnn_pp_sees_all_that_comes_before_through_its_coarse_scales(place):
    model = PixelCNNPP((1, 8, 8), 8, 2, levels=2, components=2, scales=3)
    number = torch.arange(64).view(8, 8)
    assert torch.equal(seen(scattered(model, 0.2).double(), place), number < number[place])
