"""Normalizing flows: densities by change of variables.

Sources: Dinh, Sohl-Dickstein and Bengio (2017), "Density estimation using Real NVP"; Papamakarios
et al. (2021), "Normalizing flows for probabilistic modeling and inference".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Generator, Tensor, nn

from genlib.core import Density, Model
from genlib.core.random import normal
from genlib.core.shapes import as_shape
from genlib.core.validation import check_count, check_event
from genlib.nn.coupling import AffineCoupling, alternating


class RealNVP(Model):
    """Real NVP: x = f⁻¹(z), z ~ N(0, I), with f a chain of affine coupling layers; a log density,
    exact by the change of variables, log p(x) = log N(f(x); 0, I) + log abs det ∂f/∂x.

    Parameters
    ----------
    dim : int
        Number of values, 2 at least.
    layers : int
        Number of coupling layers. Each changes every second value, by turns, by what a network sees
        in the others.
    hidden : sequence of int
        Units of those networks.

    Notes
    -----
    ``encode`` gives z = f(x), of the size of x: nothing is lost, and nothing is summarised. f
    begins near the identity, so give it standardised values. Where they were divided by s, log p of
    the values before is less by Σ log s.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio (2017), "Density estimation using Real NVP", ICLR.

    Examples
    --------
    >>> model = RealNVP(2)
    >>> model.sample(5).shape
    torch.Size([5, 2])
    """

    density = Density.EXACT
    lesson = "10_beyond_the_vae"

    def __init__(self, dim: int, layers: int = 6, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        check_count(dim, "dim", minimum=2)
        check_count(layers, "layers")
        self.event_shape = as_shape(dim, "dim")
        self.layers = nn.ModuleList(
            AffineCoupling(kept, hidden) for kept in alternating(dim, layers)
        )

    def _log_prob(self, x: Tensor) -> Tensor:
        log_det = x.new_zeros(len(x))
        for layer in self.layers:
            x, more = layer(x)
            log_det = log_det + more
        return log_det - 0.5 * (x.square() + math.log(2 * math.pi)).sum(1)

    def _encode(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x, _ = layer(x)
        return x

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        return self._decode(normal((n, *self.event_shape), next(self.parameters()), generator))

    def decode(self, z: Tensor) -> Tensor:
        """x = f⁻¹(z) of each row of ``z``, (N, dim) → (N, dim)."""
        check_event(z, self.event_shape, dtype=self.dtype, device=self.device, name="z")
        return self._decode(z)

    def _decode(self, z: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z
