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

_PARTS = 4  # of the outputs; each is multiplied with the inputs that it sees


class MaskedLinear(nn.Linear):
    """A linear layer of which a mask keeps some connections.

    Attributes
    ----------
    mask : Tensor, shape (out, in)
        1 where there is a connection, else 0; set by `keep`. Not saved with the weights.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.register_buffer("mask", None, persistent=False)
        self.keep(torch.ones(outputs, inputs))

    def keep(self, mask: Tensor) -> None:
        """Keep the connections where ``mask``, (out, in), is 1 or true, and cut those where not."""
        self.mask = mask.to(self.weight.dtype)  # a product with bools would take four times as long
        # Where degrees rise with the number of a unit, the first ones see the first inputs alone.
        rises = not mask[: len(mask) // _PARTS, mask.shape[1] // 2 :].any()
        self._reaches = [_reach(rows) for rows in mask.chunk(_PARTS)] if rises else []

    def masked_weight(self) -> Tensor:
        """The weights, with zeros where they are masked."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """x (mask ⊙ weight)ᵀ + bias, shape (N, out)."""
        if not self._reaches:
            return F.linear(x, self.masked_weight(), self.bias)
        parts = zip(self.weight.chunk(_PARTS), self.mask.chunk(_PARTS), self._reaches, strict=True)
        out = torch.cat([F.linear(x[:, :end], w[:, :end] * m[:, :end]) for w, m, end in parts], 1)
        return out if self.bias is None else out + self.bias


def _reach(mask: Tensor) -> int:
    """How many of the first columns hold all that is true."""
    return int(mask.any(0).nonzero().max()) + 1 if mask.any() else 0


def connections(out: Tensor, into: Tensor, *, strict: bool = False) -> Tensor:
    """Where a layer with degrees ``out`` may look at one with degrees ``into``: 1 or 0, (out, in).

    ``strict`` is for outputs, which may not look at their own place.
    """
    compare = torch.gt if strict else torch.ge
    # Of floats into floats: a tenth of the time that integers and a conversion take.
    mask = torch.empty(len(out), len(into), dtype=torch.float32, device=out.device)
    return compare(out.float()[:, None], into.float(), out=mask)


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
