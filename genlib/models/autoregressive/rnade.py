"""NADE for real values: every conditional a mixture of Gaussians.

Sources: the chapter on autoregressive models of document H; Uria, Murray and Larochelle (2013),
"RNADE: the real-valued neural autoregressive density-estimator".
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core.random import categorical, normal, uniform
from genlib.core.validation import check_count, check_positive
from genlib.models.autoregressive.base import Autoregressive, Order


class RNADE(Autoregressive):
    """Real-valued NADE: p(x_i | x_<i) = Σ_k α_ik N(x_i; μ_ik, σ_ik²), a log density.

    All conditionals share one hidden layer, h_i = relu(ρ_i (c + Σ_{j<i} x_j W_j)), and read the
    parameters of their mixtures from it::

        α_i = softmax(h_i A_i + a_i),   μ_i = h_i M_i + m_i,   σ_i = s + softplus(h_i S_i + t_i)

    The sum grows with i, and the factors ρ_i let the units stay in range [1]. The least scale s
    keeps the density bounded: without it, a component that meets a value which the data repeat
    exactly would shrink onto it without end. Values are best given with mean 0 and deviation 1.

    Parameters
    ----------
    dim : int
        Number of values.
    hidden : int
        Number of hidden units.
    components : int
        Gaussians in each mixture, K.
    order : sequence of int, optional
        Permutation of the columns in which they are predicted; by default as they stand.
    min_scale : float
        The least standard deviation s, in the unit of the data.

    Notes
    -----
    ``conditionals`` gives log α, μ and σ, shape (N, dim, 3, K); ``encode`` the hidden units when
    all values have been seen, with ρ = 1. The states of all values are in memory at once, N · dim ·
    hidden numbers: the model is meant for small vectors, such as points of the plane and patches of
    photographs.

    References
    ----------
    [1] Uria, Murray and Larochelle (2013), "RNADE: the real-valued neural autoregressive
    density-estimator", NeurIPS.
    """

    support = constraints.real

    def __init__(
        self,
        dim: int,
        hidden: int = 64,
        components: int = 10,
        order: Order | None = None,
        *,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__(dim, order)
        check_count(hidden, "hidden")
        check_count(components, "components")
        check_positive(min_scale, "min_scale")
        self.min_scale = min_scale
        self.w = nn.Parameter(torch.randn(dim, hidden) / math.sqrt(dim))
        self.c = nn.Parameter(torch.randn(hidden))
        self.rho = nn.Parameter(torch.ones(dim))
        self.v = nn.Parameter(torch.randn(dim, hidden, 3 * components) / (10 * math.sqrt(hidden)))
        self.b = nn.Parameter(torch.zeros(dim, 3, components))
        with torch.no_grad():
            self.b[:, 1].normal_()  # components that begin alike would learn alike

    def _conditionals(self, x: Tensor) -> Tensor:
        ordered, w = x[:, self.order], self.w[self.order]
        terms = F.pad(ordered[:, :-1, None] * w[:-1], (0, 0, 1, 0))
        h = (self.rho[self.order, None] * (self.c + terms.cumsum(1))).relu()
        out = torch.einsum("nih,ihp->nip", h, self.v[self.order])
        return torch.stack(self._mixture(out, self.b[self.order]), -2)[:, self.rank]

    def _mixture(self, out: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log α, μ and σ, each (…, K), from what the hidden units give, (…, 3K)."""
        logits, means, scales = (out.unflatten(-1, b.shape[-2:]) + b).unbind(-2)
        return logits.log_softmax(-1), means, self.min_scale + F.softplus(scales)

    def _log_conditionals(self, x: Tensor) -> Tensor:
        log_share, mean, scale = self._conditionals(x).unbind(-2)
        squares = ((x[..., None] - mean) / scale).square()
        log_normal = -squares / 2 - scale.log() - math.log(2 * math.pi) / 2
        return (log_share + log_normal).logsumexp(-1)

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        u, noise = uniform(x.shape, x, generator), normal(x.shape, x, generator)
        x, a = x.clone(), self.c.expand(len(x), -1)
        for i in self.order.tolist():
            out = (self.rho[i] * a).relu() @ self.v[i]
            log_share, mean, scale = self._mixture(out, self.b[i])
            component = categorical(log_share.exp(), u[:, i])[:, None]
            mean, scale = mean.gather(1, component)[:, 0], scale.gather(1, component)[:, 0]
            x[:, i] = x[:, i].where(known[:, i], mean + scale * noise[:, i])
            a = a + x[:, i, None] * self.w[i]
        return x

    def _encode(self, x: Tensor) -> Tensor:
        return (self.c + x @ self.w).relu().to(x.dtype)
