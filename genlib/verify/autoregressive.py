"""Whether each conditional of an autoregressive model sees only the values before it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core import Model
from genlib.core.discrete import state_counts, to_states, to_values
from genlib.core.random import integers, normal, uniform
from genlib.core.validation import check_count, describe, first_index
from genlib.verify._common import VerificationError, check_model


@torch.no_grad()
def causal(model: Model, rows: int = 2, generator: Generator | None = None) -> None:
    """Check that each conditional looks only at the values before it: every output against every
    input.

    Changes one input after another, and looks for outputs at the same place or earlier that notice.
    Outputs are ``model.conditionals(x)``, the parameters of p(x_i | x_<i), shape (N,
    \\*event_shape, ...); the order is ``model.order``, a permutation of the flattened event, or
    reading order where the model has none. A model with labels or conditions is given random ones,
    ``model.conditionals(x, y)``. A causal model never fails: the false-alarm rate is zero.

    Parameters
    ----------
    model : Model
        An autoregressive model.
    rows : int
        Random events to try.
    generator : torch.Generator, optional
        Source of randomness; torch's global one by default.

    Raises
    ------
    VerificationError
        Some output depends on an input at its own place or later in the order, or is not finite.
    TypeError, ValueError
        ``model`` has no conditionals, or a support of which no events can be made up.
    """
    check_model(model, "conditionals")
    check_count(rows, "rows")
    size = model.event_shape.numel()
    order = getattr(model, "order", None)
    order = torch.arange(size) if order is None else torch.as_tensor(order).cpu()
    if not torch.equal(order.sort().values, torch.arange(size)):
        raise ValueError(f"order: expected a permutation of 0 … {size - 1}, got {order.tolist()}.")
    rank = order.argsort()
    x = _arbitrary(model, rows, generator)
    other = _another_value(x, model.support).flatten(1)
    condition = _arbitrary_condition(model, rows, generator)
    before = _conditionals(model, x, *condition)
    for i in order.tolist():
        changed = x.flatten(1).clone()
        changed[:, i] = other[:, i]
        after = _conditionals(model, changed.reshape(x.shape), *condition)
        moved = ~torch.isclose(after, before, rtol=1e-6, atol=1e-6).all(-1).all(0).cpu()
        leaks = moved & (rank <= rank[i])
        if leaks.any():
            (output,) = first_index(leaks)
            cause = (
                "the mask lets an output see its own input (type A belongs in the first layer, "
                "type B after it)"
                if output == i
                else "an output sees its future: look at the direction of a mask, a shift, or "
                "the order itself"
            )
            raise VerificationError(
                f"output {output} depends on input {i}, at place {rank[i]} of the order, "
                f"though its own place is {rank[output]}; {cause}."
            )


def _conditionals(model: Model, x: Tensor, *condition: Tensor) -> Tensor:
    """The outputs at each place, shape (N, places, outputs)."""
    outputs = model.conditionals(x, *condition)
    if outputs.shape[: x.dim()] != x.shape:
        raise VerificationError(
            f"expected conditionals of shape {tuple(x.shape)}, and more dimensions behind where a "
            f"place has several outputs; got {tuple(outputs.shape)}."
        )
    outputs = outputs.reshape(len(x), x[0].numel(), -1)
    if outputs.isnan().any():
        raise VerificationError(
            f"output {first_index(outputs.isnan())[1]} is not a number, so that nobody can tell "
            "what it depends on; were the parameters loaded, or did training diverge?"
        )
    return outputs


def _arbitrary(model: Model, rows: int, generator: Generator | None) -> Tensor:
    """Random events of the model's support, to be looked at and not to be likely."""
    like = torch.empty(0, dtype=model.dtype, device=model.device)
    shape = (rows, *model.event_shape)
    counts = state_counts(model.support, model.event_shape.numel())
    if counts is not None:
        states = uniform((rows, len(counts)), like, generator) * torch.tensor(counts).to(like)
        return to_values(states.long(), model.support, model.dtype).reshape(shape)
    if model.support is constraints.real:
        return normal(shape, like, generator)
    if isinstance(model.support, constraints.interval):
        low, high = model.support.lower_bound, model.support.upper_bound
        return low + (high - low) * uniform(shape, like, generator)
    raise ValueError(
        "expected a support of reals, an interval or finitely many states, got "
        f"{describe(model.support)}."
    )


def _arbitrary_condition(
    model: Model, rows: int, generator: Generator | None
) -> tuple[Tensor, ...]:
    """A random label or condition for each row, where the model has them."""
    like = torch.empty(0, dtype=model.dtype, device=model.device)
    if model.classes is not None:
        return (integers(model.classes, (rows,), like, generator),)
    if model.condition_shape is not None:
        return (normal((rows, *model.condition_shape), like, generator),)
    return ()


def _another_value(x: Tensor, support: constraints.Constraint) -> Tensor:
    """Values of the support that differ from those of ``x`` as far as they can, wherever there are
    others.
    """
    counts = state_counts(support, x[0].numel())
    if counts is not None:
        counts = torch.tensor(counts, device=x.device).reshape(x.shape[1:])
        states = (to_states(x, support) + (counts + 1) // 2) % counts
        return to_values(states, support, x.dtype)
    if support is constraints.real:
        return x + 1
    low, high = support.lower_bound, support.upper_bound
    return torch.where(x - low > 0.5 * (high - low), low, high).to(x)
