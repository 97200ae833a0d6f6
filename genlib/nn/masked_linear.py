"""Fully connected layers with connections cut by *degrees*, so that a network respects an order.

Every unit has a degree: it may depend on the values at the first ``degree`` places of the order. An
input has the number of its place, counted from one; a hidden unit any number; and the output for
place i may look at units of degree below i. Then a connection is allowed wherever the degree does
not fall [1].

References
----------
[1] Germain, Gregor, Murray and Larochelle (2015), "MADE: masked autoencoder for distribution
    estimation", ICML.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F


class MaskedLinear(nn.Linear):
    """A linear layer whose mask, (out, in), comes with every call."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (mask ⊙ weight)ᵀ + bias, shape (N, out)."""
        return F.linear(x, self.weight * mask, self.bias)


def connections(out: Tensor, into: Tensor, *, strict: bool = False) -> Tensor:
    """Where a layer with degrees ``out`` may look at one with degrees ``into``: bool, (out, in).

    ``strict`` is for outputs, which may not look at their own place.
    """
    return out[:, None] > into if strict else out[:, None] >= into


def spread_degrees(units: int, largest: int) -> Tensor:
    """Degrees of ``units`` hidden units, even from 1 to ``largest``."""
    if units >= largest:
        return torch.arange(units) * largest // units + 1
    return torch.linspace(1, largest, units).round().long()


def draw_degrees(units: int, largest: int, generator: Generator) -> Tensor:
    """Degrees of ``units`` hidden units, uniform over 1 … ``largest``, both of which are there.

    Without a unit of degree 1 the second output would see nothing, and without one of the largest
    degree nobody would see the last input but one.
    """
    degrees = torch.randint(1, largest + 1, (units,), generator=generator)
    degrees[0], degrees[-1] = 1, largest
    return degrees
