"""Whether probabilities sum to one, and whether samples follow them."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from genlib.core import Model
from genlib.core.discrete import event_numbers, finite_events, to_states
from genlib.core.validation import check_count, first_index
from genlib.verify._common import (
    VerificationError,
    binomial_p_values,
    check_draws,
    check_model,
    enough,
    in_words,
    level,
    nearest,
    standard_errors,
)
from genlib.verify._importance import (
    Proposal,
    cell_p_values,
    check_own_events,
    draw,
    log_probs,
)


@torch.no_grad()
def normalised(
    model: Model,
    draws: int = 50_000,
    around: Tensor | None = None,
    generator: Generator | None = None,
) -> None:
    """Check that probabilities sum, or a density integrates, to one.

    Discrete events are listed where there are at most 2**20; their sum may be off by 1e-4, which
    rounding explains. Elsewhere the integral over the support is estimated by importance sampling
    from a broad mixture around the model's own samples (or around the rows of ``around``), and
    tested against one with a false-alarm rate of `FALSE_ALARM`.

    Parameters
    ----------
    model : Model
    draws : int
        Draws for the integral.
    around : Tensor, shape (N, \\*event_shape), optional
        Events among which the density lies, for models that cannot draw.
    generator : torch.Generator, optional
        Source of randomness; torch's global one by default.

    Raises
    ------
    VerificationError
        The total differs from one.
    TypeError, ValueError
        ``model`` has no log_prob, or discrete events too many to list; ``around`` are no events of
        it; too few ``draws``, or too few of them where the density lies, to notice anything.
    """
    check_model(model, "log_prob")
    if around is not None:
        check_own_events(model, around, "around")
    events = _all_events(model)
    if events is not None:
        total = log_probs(model, events).exp().sum().item()
        if not abs(total - 1) <= 1e-4:
            raise VerificationError(
                f"probabilities of all {len(events)} events sum to {total:.6g}, not to 1; "
                + _hint(total)
            )
        return
    weights = Proposal(model, draws, around, generator).weights()[1]
    mean, error = weights.mean().item(), weights.std().item() / math.sqrt(draws)
    if not abs(mean - 1) <= standard_errors() * error + 1e-4:
        raise VerificationError(
            f"the density integrates to {mean:.6g} ± {error:.2g} (standard error), not to 1; "
            + _hint(mean)
        )


@torch.no_grad()
def samples_match(
    model: Model, draws: int = 50_000, cells: int = 32, generator: Generator | None = None
) -> None:
    """Check that ``sample`` draws from the density that ``log_prob`` states.

    Discrete events are counted one by one where there are at most 2**20, and so are the states of
    each value, which may tell more where events are many. Elsewhere space is cut into ``cells``
    nearest-point cells around samples, and the number of samples in each is compared with the
    density's integral over it, estimated by importance sampling. Both are tests at `FALSE_ALARM`
    over all events or cells.

    Parameters
    ----------
    model : Model
    draws : int
        Samples, and as many draws for the integrals.
    cells : int
    generator : torch.Generator, optional
        Source of randomness; torch's global one by default.

    Raises
    ------
    VerificationError
        Some event or cell is drawn more or less often than its probability allows.
    TypeError, ValueError
        ``model`` has no log_prob or sample, or discrete events too many to list; too few ``draws``,
        or too few of them where the density lies, to notice anything.
    """
    check_model(model, "log_prob", "sample")
    check_count(cells, "cells", minimum=2)
    events = _all_events(model)
    if events is None:
        _cells_match(model, draws, cells, generator)
    else:
        _counts_match(model, events, draws, generator)


def _all_events(model: Model) -> Tensor | None:
    return finite_events(model.support, model.event_shape, dtype=model.dtype, device=model.device)


def _counts_match(model: Model, events: Tensor, draws: int, generator: Generator | None) -> None:
    """Exact binomial tests of the counts of all events, and of the states of each value."""
    values = to_states(events, model.support).flatten(1).T.cpu()
    sizes = (values.amax(1) + 1).tolist()
    needed = enough(len(events) + sum(sizes))
    check_draws(
        draws,
        needed * max(sizes),
        f"so that each of the {max(sizes)} states of a value comes some {needed} times",
    )
    x = draw(model, draws, generator)
    found = torch.bincount(event_numbers(x, model.support).cpu(), minlength=len(events)).double()
    stated = log_probs(model, events).exp()
    found = torch.cat([found] + [torch.bincount(value, found) for value in values])
    stated = torch.cat([stated] + [torch.bincount(value, stated) for value in values])
    # Rounded probabilities, most of all those near one, are not held to their last digits.
    p = binomial_p_values(found, draws, stated * (1 - 1e-5), stated * (1 + 1e-5))
    wrong = ~(p >= level(len(p)))
    if wrong.any():
        (i,) = first_index(wrong)
        if i < len(events):
            what = f"event {in_words(events[i], most=20)} is drawn"
        else:
            places = [(place, k) for place, size in enumerate(sizes) for k in range(size)]
            what = "value {} is in state {}".format(*places[i - len(events)])
        raise VerificationError(
            f"{what} {found[i]:.0f} times in {draws}, where log_prob makes one expect "
            f"{draws * stated[i]:.1f}: sample and log_prob describe different distributions."
        )


def _cells_match(model: Model, draws: int, cells: int, generator: Generator | None) -> None:
    """Tests of the counts of samples in cells against integrals over them."""
    needed = enough(cells)
    proposal = Proposal(model, draws, None, generator)
    check_draws(draws, needed * cells, f"so that each of {cells} cells holds some {needed}")
    x = draw(model, cells + draws, generator).reshape(cells + draws, -1).double().cpu()
    centres, x = x[:cells], x[cells:]
    found = torch.bincount(nearest(x, centres), minlength=cells)
    proposed, weights = proposal.weights()
    stated, p = cell_p_values(found, weights, nearest(proposed.double(), centres))
    wrong = ~(p >= level(cells))
    if wrong.any():
        (cell,) = first_index(wrong)
        raise VerificationError(
            f"the cell around {in_words(centres[cell])} holds {found[cell] / draws:.4f} of the "
            f"samples, and {stated[cell]:.4f} of the density (p = {p[cell]:.1g}): sample and "
            "log_prob describe different distributions."
        )


def _hint(total: float) -> str:
    if not math.isfinite(total):
        return "a probability is infinite or not a number."
    return (
        f"the normalising constant is off by a factor of {total:.4g} (log "
        f"{math.log(max(total, 1e-300)):+.4f} nats)."
    )
