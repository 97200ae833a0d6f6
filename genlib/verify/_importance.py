"""Integrals of a density by importance sampling."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

from genlib.core import Model
from genlib.core.random import integers, normal, uniform
from genlib.core.rows import row_chunks
from genlib.core.validation import check_event, describe, first_index
from genlib.verify._common import VerificationError, check_draws, in_words, standard_errors

# The t statistic of n numbers with skewness γ exceeds z about exp(|γ| z³ / (3 √n)) times as often
# as a normal one. With so many, a skewness of one costs a factor of e in the false-alarm rate.
ENOUGH = math.ceil((standard_errors() ** 3 / 3) ** 2)

_POINTS = 256
_FREEDOM = 5  # degrees of freedom of the proposal's Student t
_ROWS_AT_ONCE = 4096


def log_probs(model: Model, x: Tensor) -> Tensor:
    """``log_prob`` of each row, in float64 on the CPU, some rows at a time."""
    x = x.to(model.device)
    parts = [model.log_prob(part) for part in row_chunks(x)]
    return torch.cat(parts).double().cpu()


def draw(model: Model, n: int, generator: Generator | None) -> Tensor:
    """``n`` samples of the model, proved to be events of its own."""
    x = model.sample(n, generator=generator)
    try:
        check_own_events(model, x, "samples")
    except (TypeError, ValueError) as error:
        raise VerificationError(f"sample draws what is no event of the model. {error}") from error
    if len(x) != n:
        raise VerificationError(f"sample was asked for {n} events and drew {len(x)}.")
    return x


def check_own_events(model: Model, x: object, name: str) -> None:
    """Raise unless ``x`` holds events of the model."""
    check_event(
        x, model.event_shape, model.support, dtype=model.dtype, device=model.device, name=name
    )


class Proposal:
    """A broad density around reference points: each point carries a Student t of its own and a
    share of a wide one.

    Heavy tails keep importance weights p/q bounded wherever p's tails are Gaussian or lighter. The
    points are rows of ``around``, 256 at most, or as many samples of the model.
    """

    def __init__(
        self, model: Model, draws: int, around: Tensor | None, generator: Generator | None
    ) -> None:
        check_draws(draws, ENOUGH, "so that the skewness of importance weights does no harm")
        size = model.event_shape.numel()
        if model.support.is_discrete:
            raise ValueError(
                "expected real values, or at most 2**20 discrete events; got events of "
                f"{size} values in {describe(model.support)}, too many to list."
            )
        self.model, self.draws, self.generator = model, draws, generator
        points = draw(model, _POINTS, generator) if around is None else around
        every = math.ceil(len(points) / _POINTS)
        self.points = points[::every].reshape(-1, size).double().cpu()
        spread = self.points.std(0, correction=0)
        if not spread.all():
            name, kind = (
                ("samples", VerificationError) if around is None else ("around", ValueError)
            )
            (value,) = first_index(spread == 0)
            raise kind(
                f"{name}: expected rows that differ in every value, got {len(points)} with the "
                f"same value {value}; no density lies about them."
            )
        rule = len(self.points) ** (-1 / (size + 4))
        self.scales = torch.stack([rule * spread, 3 * spread])
        self.shares = torch.tensor([0.8, 0.2], dtype=torch.float64)

    def weights(self) -> tuple[Tensor, Tensor]:
        """All draws of the proposal, as rows of values, and p/q at each; both on the CPU.

        Raises
        ------
        VerificationError
            p is infinite or not a number.
        ValueError
            Most of p lies where the proposal draws too little to judge it.
        """
        x = self._draw()
        log_w = self._log_model(x) - self._log_density(x.double())
        relative = (log_w - log_w.max()).exp().nan_to_num()  # NaN where no draw has any weight
        effective = (relative.sum() ** 2 / relative.square().sum()).nan_to_num()
        if effective < ENOUGH:
            raise ValueError(
                f"draws: by their importance weights, {self.draws} are worth {effective:.0f}, "
                f"where {ENOUGH} are needed; give more for events of {x.shape[1]} values, or the "
                "density does not lie about the rows of around (by default, the model's own "
                "samples)."
            )
        return x, log_w.exp()

    def _draw(self) -> Tensor:
        like, generator = self.points, self.generator
        wide = (uniform((self.draws,), like, generator) < self.shares[1]).long()
        origin = integers(len(like), (self.draws,), like, generator)
        chi2 = normal((self.draws, _FREEDOM), like, generator).square().sum(1, keepdim=True)
        t = normal((self.draws, like.shape[1]), like, generator) / (chi2 / _FREEDOM).sqrt()
        return (like[origin] + self.scales[wide] * t).to(self.model.dtype)

    def _log_model(self, x: Tensor) -> Tensor:
        """The model's log density, −∞ outside its support, where nobody may ask."""
        events = x.reshape(-1, *self.model.event_shape)
        inside = self.model.support.check(events).reshape(len(x), -1).all(1)
        log_p = torch.full((len(x),), -torch.inf, dtype=torch.float64)
        if inside.any():
            log_p[inside] = log_probs(self.model, events[inside])
        wrong = log_p.isnan() | log_p.isposinf()
        if wrong.any():
            raise VerificationError(
                f"log_prob is {log_p[wrong][0]:g} at {in_words(x[wrong][0])}: a probability is "
                "infinite or not a number."
            )
        return log_p

    def _log_density(self, x: Tensor) -> Tensor:
        nu, size = _FREEDOM, self.points.shape[1]
        constant = (
            math.lgamma((nu + size) / 2)
            - math.lgamma(nu / 2)
            - size / 2 * math.log(nu * math.pi)
            - math.log(len(self.points))
        )
        centre = self.points.mean(0)  # far from the origin, squared distances would be rounded off
        x, points = x - centre, self.points - centre
        parts = []
        for scale, share in zip(self.scales, self.shares, strict=True):
            near = [torch.cdist(part, points / scale) for part in (x / scale).split(_ROWS_AT_ONCE)]
            squares = torch.cat(near) ** 2
            log_t = -(nu + size) / 2 * torch.log1p(squares / nu)
            parts.append(share.log() + constant - scale.log().sum() + torch.logsumexp(log_t, 1))
        return torch.logsumexp(torch.stack(parts), 0)


def cell_p_values(found: Tensor, weights: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Integrals of the density over cells, and two-sided p-values of ``found``, the numbers of
    samples in them, of as many samples as there are weights.

    A sum of weights is taken as a Poisson count times a scale, of the same mean and variance (Fay
    and Feuer, 1997). Given both counts' sum, that of the samples is binomial, which holds for small
    cells as well, where a normal approximation would raise false alarms.
    """
    k, total, squares = (
        x.double().numpy()
        for x in (
            found,
            torch.bincount(cell, weights, len(found)),
            torch.bincount(cell, weights**2, len(found)),
        )
    )
    top = weights.max().item()  # what one more draw might have weighed
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = squares / total
        few = stats.beta.sf(scale / (1 + scale), k + 1, total / scale)
        scale = (squares + top**2) / (total + top)
        many = stats.beta.cdf(scale / (1 + scale), k, (total + top) / scale)
    few[total == 0] = 1
    many[k == 0] = 1
    p = 2 * torch.from_numpy(few).minimum(torch.from_numpy(many))
    return torch.from_numpy(total) / len(weights), p
