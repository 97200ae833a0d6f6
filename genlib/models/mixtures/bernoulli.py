"""Mixtures of independent Bernoulli distributions, for binary rows.

Sources: the chapters on latent variables of document H; Bishop (2006), "Pattern recognition and
machine learning", section 9.3.3.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core.random import uniform
from genlib.core.validation import check_between
from genlib.models.mixtures.em import Mixture, Statistics


class BernoulliMixture(Mixture):
    """Mixture of products of Bernoullis, p(x) = Σ_k π_k Π_i p_ki^x_i (1 − p_ki)^(1 − x_i), a log
    mass over binary rows, exact.

    Parameters
    ----------
    components : int
        K.
    floor : float
        Probabilities stay in [floor, 1 − floor], so that a value that a component has never seen is
        improbable and not impossible.

    Attributes
    ----------
    log_weights : Tensor, shape (K,)
        log π_k.
    means : Tensor, shape (K, d)
        p_ki, the probability of a 1.

    Notes
    -----
    ``encode`` gives the responsibilities p(k | x).
    """

    support = constraints.boolean
    fitted_buffers = ("means", "log_weights")
    means: Tensor

    def __init__(self, components: int = 10, floor: float = 1e-3) -> None:
        super().__init__(components)
        check_between(floor, 0, 0.5, "floor", ends=False)
        self.floor = floor

    def _joint(self, x: Tensor) -> Tensor:
        at_zero = self.log_weights + (-self.means).log1p().sum(1)
        return torch.addmm(at_zero, x, self.means.logit().T)

    def _draw(self, k: Tensor, generator: Generator | None) -> Tensor:
        p = self.means[k]
        return (uniform(p.shape, p, generator) < p).to(p)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        joint = self._joint(x)
        log_p = joint.logsumexp(1)
        r = (joint - log_p[:, None]).exp()
        weight, ones = r.sum(0).double(), (r.T @ x).double()
        lost = weight <= 0
        mean = (ones / weight.where(~lost, 1)[:, None]).where(~lost[:, None], self.means.double())
        return log_p, Statistics(weight, mean)

    def _maximise(self, statistics: Statistics) -> None:
        share = statistics.weight / statistics.weight.sum()
        means = statistics.mean.clamp(self.floor, 1 - self.floor)
        self.log_weights, self.means = (part.to(self.log_weights) for part in (share.log(), means))
        if (self.means == 1).any():
            raise ValueError(
                f"floor: 1 − {self.floor:g} is 1 in {self.dtype}; expected "
                f"{torch.finfo(self.dtype).eps:.0e} or more, or model.double()."
            )

    def _hard_statistics(self, x: Tensor, label: Tensor) -> Statistics:
        means = torch.stack([x[label == k].double().mean(0) for k in range(self.components)])
        return Statistics(label.bincount(minlength=self.components).to(means), means)

    def _random_statistics(self, x: Tensor) -> Statistics:
        rows = torch.randperm(len(x))[: self.components].to(x.device)
        # Between a row and the mean of all: a row alone would give its own bits the extremes.
        means = (x[rows].double() + x.double().mean(0)) / 2
        return Statistics(torch.ones(len(rows)).to(means), means)
