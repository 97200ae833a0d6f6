"""Kernel density estimation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from genlib.core import History
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_choice, check_event, check_positive, first_index
from genlib.models.density.base import (
    DensityEstimator,
    check_each,
    check_finite,
    check_varied,
    per_column,
)
from genlib.models.density.windows import WINDOWS, Window


class Parzen(DensityEstimator):
    """Kernel density estimate (Parzen windows): p(x) = Σ_j w_j K((x − y_j) / h) / Π_i h_i over the
    training rows y_j.

    Parameters
    ----------
    kernel : {"gaussian", "hypercube", "epanechnikov"}
        ``"hypercube"`` is document U's: one where every ``|x_i − y_i| < h/2``, so h is the *side*
        of a cube. For ``"gaussian"`` h is a standard deviation. ``"epanechnikov"`` is 1 − ‖u‖²
        inside the unit ball, so h is a radius.
    bandwidth : float, sequence of float, or str
        h, for all columns or for each. ``"scott"`` and ``"silverman"`` are the rules for Gaussian
        data, stated for the kernel's standard deviation. ``"leave-one-out"`` and ``"held-out"``
        search for the multiple of Scott's bandwidth that makes training rows, each predicted from
        the others, or the rows of ``valid``, most likely. Weights count in all four: deviations and
        the mean over training rows are weighted, and the rules take for the number of rows the
        effective one, 1 / Σ_j w_j². Deviations have the divisor N. Where all rows repeat,
        ``"leave-one-out"`` has no best bandwidth: the smaller, the better a row predicts its twin.

    References
    ----------
    Rosenblatt (1956); Parzen (1962); Silverman (1986), §3.4 and §4.3 for the rules, §3.4.4 for
    leave-one-out likelihood; Kish (1965), for the effective number of rows.
    """

    fitted_buffers = ("points", "weights", "h")
    rules: ClassVar[tuple[str, ...]] = ("scott", "silverman", "leave-one-out", "held-out")

    def __init__(
        self, kernel: str = "gaussian", bandwidth: float | Sequence[float] | str = "scott"
    ) -> None:
        super().__init__()
        check_choice(kernel, WINDOWS, "kernel")
        if isinstance(bandwidth, str):
            check_choice(bandwidth, self.rules, "bandwidth")
        else:
            check_each(bandwidth, check_positive, "bandwidth")
        self.kernel, self.bandwidth = kernel, bandwidth

    def fit(
        self, x: Tensor, *, weights: Tensor | None = None, valid: Tensor | None = None
    ) -> History:
        """Keep the rows of ``x`` and choose the bandwidth.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        weights : Tensor, shape (N,), optional
            Share of each row, not negative, with sum one; equal shares by default. Rows of weight
            zero have no part in the choice of the bandwidth.
        valid : Tensor, shape (M, d), optional
            Held-out rows, which ``bandwidth="held-out"`` needs.

        Returns
        -------
        History
            For a searched bandwidth one row a candidate: ``factor`` (times Scott's bandwidth) and
            ``loss``, the mean negative log-likelihood in nats, infinite where some row has density
            zero.
        """
        return super().fit(x, valid=valid, weights=weights)

    def _estimate(
        self, x: Tensor, *, held_out: tuple[Tensor, ...], weights: Tensor | None
    ) -> History:
        if weights is None:
            h, history = self._choose(x, None, held_out)
            weights = _equal(x)
        else:
            _check_weights(weights, x)
            weights = weights.detach().clone()
            counted = weights > 0
            h, history = self._choose(x[counted], weights[counted], held_out)
        self.points, self.weights, self.h = x.clone(), weights, h
        return history

    def _choose(
        self, y: Tensor, w: Tensor | None, held_out: tuple[Tensor, ...]
    ) -> tuple[Tensor, History]:
        """The bandwidth for rows ``y``, with weights, none zero, or equal shares."""
        if not isinstance(self.bandwidth, str):
            return per_column(self.bandwidth, y, "bandwidth"), History()
        if self.bandwidth == "held-out" and not held_out:
            raise ValueError(
                'bandwidth="held-out": expected held-out rows to judge by; pass valid=.'
            )
        if self.bandwidth == "leave-one-out" and len(y) < 2:
            raise ValueError(
                'bandwidth="leave-one-out": expected at least two rows (of weight above zero), '
                "got one."
            )
        d = y.shape[1]
        deviation, count = _spread(y, w)
        scott = deviation * count ** (-1 / (d + 4)) * self._window.per_deviation(d)
        check_finite(scott, "bandwidth by Scott's rule")
        if self.bandwidth == "scott":
            return scott, History()
        if self.bandwidth == "silverman":
            return scott * (4 / (d + 2)) ** (1 / (d + 4)), History()

        @torch.no_grad()
        def score(factor: float) -> float:
            shares = _equal(y) if w is None else w
            if self.bandwidth == "held-out":
                return self._log_density(held_out[0], y, scott * factor, shares).mean().item()
            log_p = self._leave_one_out(y, scott * factor, shares)
            return (log_p.mean() if w is None else (w / w.sum()) @ log_p).item()

        history, factor = _search(score)
        return scott * factor, history

    def leave_one_out_log_prob(self) -> Tensor:
        """Log density of each training row under the estimate from all the others, shape (N,), in
        nats.

        Raises
        ------
        ValueError
            One row has all the weight, so that nothing is left to estimate its density from.
        """
        self._require("log_prob")
        return self._leave_one_out(self.points, self.h, self.weights)

    def _leave_one_out(self, y: Tensor, h: Tensor, w: Tensor) -> Tensor:
        log_sum = self._window.log_sum(y, y, h, w, leave_one_out=True)
        return log_sum - _log_rest(w) - self._log_volume(h)

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._log_density(x, self.points, self.h, self.weights)

    def _log_density(self, x: Tensor, y: Tensor, h: Tensor, w: Tensor) -> Tensor:
        return self._window.log_sum(x, y, h, w) - self._log_volume(h)

    def _log_volume(self, h: Tensor) -> Tensor:
        """Logarithm of ∫ K((x − y) / h) dx, in nats."""
        return h.log().sum() + self._window.log_integral(len(h))

    @property
    def _window(self) -> Window:
        return WINDOWS[self.kernel]

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        weights = self.weights.double()
        origin = categorical(weights, uniform((n,), weights, generator))
        return self._window.draw(self.points[origin], self.h, generator)


def _equal(x: Tensor) -> Tensor:
    """Equal shares for the rows of ``x``."""
    return x.new_full((len(x),), 1 / len(x))


def _spread(y: Tensor, w: Tensor | None) -> tuple[Tensor, float]:
    """Standard deviation of each column and the effective number of rows."""
    if w is None:
        deviation, count = y.std(0, correction=0), len(y)
        constant = deviation == 0
    else:
        shares = w.double() / w.double().sum()
        centred = y.double() - shares @ y.double()
        deviation = (shares @ centred.square()).sqrt().to(y)
        count = 1 / shares.square().sum().item()
        constant = y.amin(0) == y.amax(0)  # a weighted deviation may be zero up to rounding
    check_varied(constant, "give its bandwidth as a number")
    return deviation, count


def _log_rest(w: Tensor) -> Tensor:
    """Logarithm of what weight is left without each row, (N,)."""
    heaviest = w.argmax()
    others = w.index_fill(0, heaviest, 0).sum()
    if others == 0:
        raise ValueError(
            f"weights: row {heaviest.item()} has all the weight, so nothing is left to estimate "
            "its density from."
        )
    # 1 − w loses digits where w is close to one, as only the largest can be.
    return torch.where(w > 0.5, others.log(), torch.log1p(-w))


def _search(score: Callable[[float], float]) -> tuple[History, float]:
    """The multiple of a bandwidth that maximises ``score``: a coarse grid, then a finer one around
    its best.
    """
    history = History()

    def best_of(exponents: Tensor) -> float:
        for exponent in exponents.tolist():
            history.append(factor=2**exponent, loss=-score(2**exponent))
        return math.log2(history.best("loss")["factor"])

    coarse = torch.linspace(-5, 3, 17)
    centre = best_of(coarse)
    best_of(centre + torch.linspace(-0.4, 0.4, 9))
    best = history.best("loss")
    if best["factor"] < 2 ** coarse[0].item():
        raise ValueError(
            "bandwidth: expected a best one, but the smaller it is, the likelier are the rows; do "
            "they repeat? Remove copies, or give a number."
        )
    if not math.isfinite(best["loss"]):
        raise ValueError(
            "bandwidth: every candidate gives some row density zero; use the Gaussian kernel or "
            "a number."
        )
    return history, best["factor"]


def _check_weights(weights: Tensor, x: Tensor) -> None:
    check_event(weights, torch.Size([]), dtype=x.dtype, device=x.device, name="weights")
    if len(weights) != len(x):
        raise ValueError(f"weights: expected one a row, {len(x)}, got {len(weights)}.")
    if (weights < 0).any():
        index = first_index(weights < 0)[0]
        raise ValueError(
            f"weights: expected none negative, got {weights[index]:g} at index {index}."
        )
    total = weights.double().sum().item()
    if abs(total - 1) > 1e-4:
        raise ValueError(
            f"weights: expected a sum of 1, got {total:g}; divide with weights / weights.sum()."
        )
