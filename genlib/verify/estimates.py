"""Whether estimates and bounds of a number agree with its exact value."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor

from genlib.core import Estimate
from genlib.core.validation import check_flag, check_tensor, first_index
from genlib.verify._common import (
    VerificationError,
    check_draws,
    enough,
    level,
    shape_of,
    standard_errors,
)


def estimate(found: Estimate, truth: Tensor, independent: bool = True) -> None:
    """Check that estimates lie as far from the truth as their standard errors say.

    Each z = (value − truth) / error is held to the standard normal distribution, and the sum of all
    z² to the χ² distribution, which tells whether errors are too small, or too large, by a factor.
    The false-alarm rate is `FALSE_ALARM` over all entries and both tests, as far as the estimates
    are normal: means of very many draws, none of which outweighs the others. A difference of a
    hundred roundings is overlooked.

    Parameters
    ----------
    found : Estimate
        Or whatever has a ``value`` and an ``error``: tensors of one shape, or numbers.
    truth : Tensor
        The exact values, of the same shape.
    independent : bool
        Whether each entry has draws of its own. Where entries share draws, the sum of z² has
        another distribution, and is left alone.

    Raises
    ------
    VerificationError
        Some estimate lies too far off; errors are too small or too large throughout; a value is not
        finite, or an error not finite or negative.
    TypeError, ValueError
        ``found`` has no value and error; shapes differ; ``truth`` is not finite.

    Examples
    --------
    >>> x = 3 + torch.randn(10_000, 50, generator=torch.Generator().manual_seed(0))
    >>> estimate(Estimate(x.mean(0), x.std(0) / 100), torch.full((50,), 3.0))
    """
    if not (hasattr(found, "value") and hasattr(found, "error")):
        raise TypeError(
            f"found: expected an estimate with a value and an error, got {type(found).__name__}."
        )
    check_flag(independent, "independent")
    value, error = _tensor(found.value, "value"), _tensor(found.error, "error")
    truth = _tensor(truth, "truth")
    check_tensor(truth, "truth")
    if not value.shape == error.shape == truth.shape:
        raise ValueError(
            "expected value, error and truth of one shape, got "
            f"{tuple(value.shape)}, {tuple(error.shape)} and {tuple(truth.shape)}."
        )
    _check_usable(value, error)
    rounding = _rounding(truth, value.dtype)
    error, off = error.double().cpu(), value.double().cpu() - truth.double().cpu()
    wrong = off.abs() > rounding + standard_errors(off.numel() * (1 + independent)) * error
    if wrong.any():
        i = first_index(wrong)
        raise VerificationError(
            f"at index {i} the estimate is {value[i]:.6g} ± {error[i]:.2g}, the truth "
            f"{truth[i]:.6g}, {off[i].abs() / error[i]:.1f} standard errors off; "
            + _cause(off, error)
        )
    judged = error > rounding
    if independent and judged.any():
        _check_spread(off[judged] / error[judged])


@torch.no_grad()
def bound(lower: Callable[[Tensor], Tensor], x: Tensor, truth: Tensor, draws: int = 1000) -> None:
    """Check that a lower bound, such as ``model.elbo``, does not exceed the truth on average.

    A row fails where two tests agree, each at `FALSE_ALARM` over all rows, so that the false-alarm
    rate is the smaller of theirs: Student's t-test of the mean, which holds for bounds that are
    nearly normal; and Markov's inequality, which holds whatever the distribution for logarithms of
    unbiased estimates of p(x) and for averages of them, as E exp(Σ (bound − log p)) ≤ 1 over
    independent draws (ELBO, IWAE and annealed importance sampling). How tight the bound is, is not
    looked at.

    Parameters
    ----------
    lower : callable
        Maps ``x`` to one draw of the bound for each row, shape (N,), in nats; as
        ``functools.partial(model.iwae, samples=10)``.
    x : Tensor, shape (N, \\*event_shape)
    truth : Tensor, shape (N,)
        What is bounded: log p(x), in nats.
    draws : int
        How often ``lower`` is called. An excess of less than log(N / `FALSE_ALARM`) / ``draws``
        nats passes unseen.

    Raises
    ------
    VerificationError
        The mean of some row's bound lies above the truth, or a bound is +∞ or not a number.
    TypeError, ValueError
        ``lower`` does not give a number a row; ``truth`` does not have one a row, or is not finite;
        too few ``draws`` to notice anything.
    """
    check_tensor(x)
    check_tensor(truth, "truth")
    if truth.shape != x.shape[:1]:
        raise ValueError(
            f"truth: expected a number a row, shape ({len(x)},), got {tuple(truth.shape)}."
        )
    check_draws(draws, enough(len(x)), "so that an excess of half a standard deviation stands out")
    found = torch.stack([_lower_bound(lower, x) for _ in range(draws)])
    off = found.double().cpu() - truth.double().cpu() - _rounding(truth, found.dtype)
    mean, error = off.mean(0), off.std(0) / math.sqrt(draws)
    alpha = level(len(x))
    above = (mean > stats.t.isf(alpha, draws - 1) * error) & (off.sum(0) > -math.log(alpha))
    if above.any():
        (i,) = first_index(above)
        raise VerificationError(
            f"the bound of row {i} averages {truth[i] + mean[i]:.6g} ± {error[i]:.2g}, above the "
            f"truth {truth[i]:.6g}; " + _cause(mean, error)
        )


def _tensor(x: object, name: str) -> Tensor:
    if not isinstance(x, Tensor | int | float):
        raise TypeError(f"{name}: expected a tensor or a number, got {type(x).__name__}.")
    return x.detach() if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _rounding(truth: Tensor, dtype: torch.dtype) -> Tensor:
    return 100 * torch.finfo(dtype).eps * (1 + truth.double().cpu().abs())


def _check_usable(value: Tensor, error: Tensor) -> None:
    for name, x, wrong in [
        ("value", value, ~value.isfinite()),
        ("error", error, ~(error.isfinite() & (error >= 0))),
    ]:
        if wrong.any():
            i = first_index(wrong)
            raise VerificationError(
                f"the {name} at index {i} is {x[i]:g}: an estimate has a finite value and a finite "
                "standard error, zero or more; one draw alone has none."
            )


def _check_spread(z: Tensor) -> None:
    """Raise unless Σ z² is as large as that of independent standard normal numbers."""
    ratio, total = z.square().mean().sqrt().item(), z.square().sum().item()
    chi2 = stats.chi2(z.numel())
    for tail, words in [(chi2.sf, "small"), (chi2.cdf, "large")]:
        if tail(total) < level(4):
            factor = ratio if words == "small" else 1 / max(ratio, 1e-300)
            raise VerificationError(
                f"the {z.numel()} estimates lie {ratio:.3g} standard errors off in quadratic mean, "
                f"where 1 is right: errors are too {words} by a factor of {factor:.3g}; or, where "
                "entries share draws, say independent=False."
            )


def _lower_bound(lower: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    found = lower(x)
    if not isinstance(found, Tensor) or found.shape != x.shape[:1]:
        raise ValueError(
            f"lower: expected a number a row, shape ({len(x)},), got {shape_of(found)}."
        )
    wrong = found.isnan() | found.isposinf()
    if wrong.any():
        (i,) = first_index(wrong)
        raise VerificationError(f"the bound of row {i} is {found[i]:g}, which bounds nothing.")
    return found


def _cause(off: Tensor, error: Tensor) -> str:
    """What the differences ``off`` have in common."""
    if off.numel() > 1 and off.mean().abs() > 3 * off.std():
        return f"all are off by about {off.mean():+.4g}: look for a constant, such as the log of K."
    z = (off.abs() / error).median().item() / stats.norm.ppf(0.75)
    if off.numel() > 1 and 1.5 < z < math.inf:
        return f"errors are too small by a factor of about {z:.3g} throughout."
    return "look at what is drawn for this entry, and at a sign or constant in its log weights."
