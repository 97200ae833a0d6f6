"""Networks of dense and of convolutional layers: what stands where."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genlib.nn.dense import ConvolutionalDecoder, ConvolutionalEncoder, dense


@pytest.mark.parametrize("name", ["relu", "tanh", "silu", "softplus"])
def test_dense_layers(name):
    network, x = dense([3, 5, 2], name), torch.randn(4, 3)
    assert torch.equal(network(x), network[2](getattr(F, name)(network[0](x))))
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
