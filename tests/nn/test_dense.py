"""Networks of dense and of convolutional layers: what stands where."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genlib.nn.dense import (
    ACTIVATIONS,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    check_network,
    dense,
)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_layers(name):
    network, x = dense([3, 5, 2], name), torch.randn(4, 3)
    function = getattr(F, name)
    if name == "leaky_relu":
        function = partial(function, negative_slope=0.2)
    assert torch.equal(network(x), network[2](function(network[0](x))))
    assert len(dense([3, 2], name)) == 1


@pytest.mark.parametrize(
    "network",
    [
        ConvolutionalEncoder(torch.Size((1, 8, 8)), [4, 6], [7, 2], "silu"),
        ConvolutionalDecoder([2, 7], [6, 4], torch.Size((1, 8, 8)), "silu"),
    ],
    ids=["encoder", "decoder"],
)
def test_activations_stand_between_layers_and_none_at_the_end(network):
    found = [
        isinstance(layer, nn.SiLU)
        for layer in network
        if not isinstance(layer, nn.Flatten | nn.Unflatten)
    ]
    assert found == [False, True, False, True, False, True, False]


def test_an_activation_that_is_not_known_is_refused():
    shape = torch.Size((1, 8, 8))
    for make in (
        lambda: dense([3, 2], "x"),
        lambda: ConvolutionalEncoder(shape, [4], [2], "x"),
        lambda: ConvolutionalDecoder([2], [4], shape, "x"),
    ):
        with pytest.raises(ValueError, match=r"activation: expected one of 'relu', .* got 'x'"):
            make()


class Failing(nn.Module):
    def forward(self, x):
        raise ArithmeticError


@pytest.mark.parametrize("last", [nn.Identity(), nn.Linear(9, 9), Failing()], ids=str)
def test_a_network_that_is_asked_stays_as_it_was(last):
    """Each part in its mode, also where the network is refused."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), last)
    network.train()
    network[1].eval()
    arguments = (torch.zeros(2, 3),)
    if isinstance(last, nn.Identity):
        check_network(network, network, arguments, (2, 2), "encoder")
    else:
        with pytest.raises((ValueError, ArithmeticError)):
            check_network(network, network, arguments, (2, 2), "encoder")
    assert [part.training for part in network] == [True, False, True] and network.training
    assert not network[1].running_mean.any()
