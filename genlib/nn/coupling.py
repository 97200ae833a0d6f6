"""Affine coupling layers: invertible maps whose Jacobian is triangular.

References
----------
Dinh, Sohl-Dickstein and Bengio (2017), "Density estimation using Real NVP", ICLR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genlib.nn.dense import dense

_MOST = 2.0  # of a log scale: a layer stretches by at most e² and shrinks by as much


class AffineCoupling(nn.Module):
    """z_a ← z_a, z_b ← z_b exp(s(z_a)) + t(z_a); log det = Σ s.

    Parameters
    ----------
    kept : Tensor of bool, shape (D,)
        Which values pass unchanged, z_a.
    hidden : sequence of int
        Units of the network for s and t.
    context : int
        Further numbers that the network sees.
    """

    a: Tensor
    b: Tensor

    def __init__(self, kept: Tensor, hidden: Sequence[int], context: int = 0) -> None:
        super().__init__()
        self.register_buffer("a", kept.nonzero()[:, 0], persistent=False)
        self.register_buffer("b", (~kept).nonzero()[:, 0], persistent=False)
        self.network = dense([len(self.a) + context, *hidden, 2 * len(self.b)])
        with torch.no_grad():  # the layer begins as the identity
            self.network[-1].weight.zero_()
            self.network[-1].bias.zero_()

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Where z, (..., D), goes, and log det of the Jacobian there, (...)."""
        log_scale, shift = self._affine(z, context)
        return self._replace(z, z[..., self.b] * log_scale.exp() + shift), log_scale.sum(-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Where z came from."""
        log_scale, shift = self._affine(z, context)
        return self._replace(z, (z[..., self.b] - shift) * (-log_scale).exp())

    def _affine(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = z[..., self.a]
        if context is not None:
            seen = torch.cat([seen, context.expand(*z.shape[:-1], -1)], -1)
        log_scale, shift = self.network(seen).chunk(2, -1)
        return _MOST * (log_scale / _MOST).tanh(), shift

    def _replace(self, z: Tensor, values: Tensor) -> Tensor:
        return z.index_copy(-1, self.b, values)


def alternating(dim: int, layers: int) -> list[Tensor]:
    """Which values each of several coupling layers keeps: every second one, by turns."""
    even = torch.arange(dim) % 2 == 0
    return [even if number % 2 == 0 else ~even for number in range(layers)]
