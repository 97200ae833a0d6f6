"""Checks at the door: every public method of a model looks at its input here, once, and says what
is wrong with it.

A check returns nothing and raises `TypeError` for a wrong kind of thing (not a tensor, wrong dtype)
and `ValueError` for a wrong value of the right kind (shape, device, NaN, range, nothing at all).
The message names what was expected, what came, and the way to mend it. Nothing is cast, clipped or
broadcast on the caller's behalf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

_VALUES_AT_ONCE = 2**18  # their checks fit in a cache


def check_tensor(x: object, name: str = "x") -> None:
    """Raise unless ``x`` is a non-empty floating-point tensor without NaN or infinity."""
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")
        raise TypeError(
            f"{name}: expected a torch.Tensor, got {kind}; convert it with "
            f"torch.as_tensor({name}).float()."
        )
    if not x.is_floating_point():
        mend = f"{name}.float() / 255" if x.dtype == torch.uint8 else f"{name}.float()"
        raise TypeError(
            f"{name}: expected floating-point values, got {x.dtype}; convert with {mend}."
        )
    if x.numel() == 0:
        raise ValueError(
            f"{name}: expected at least one value, got an empty tensor of shape {tuple(x.shape)}."
        )
    # A finite sum proves all values finite, many times faster than looking at each.
    if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():
        index = first_index(~torch.isfinite(x))
        raise ValueError(f"{name}: expected finite values, got {x[index].item()} at index {index}.")


def check_event(
    x: object,
    event_shape: torch.Size | None,
    support: constraints.Constraint = constraints.real,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    name: str = "x",
) -> None:
    """Raise unless ``x`` is a batch ``(N, *event_shape)`` of events that lie in ``support``.

    ``dtype`` and ``device`` are those of the model that is about to read the batch; ``event_shape``
    is ``None`` where the data are still to decide it.
    """
    if isinstance(x, Tensor) and x.device != torch.device(device):
        raise ValueError(
            f"{name}: the model is on {device}, the data on {x.device}; "
            f'move one to the other, as in {name}.to("{device}").'
        )
    check_tensor(x, name)
    if x.dtype != dtype:
        raise TypeError(
            f"{name}: the model computes in {dtype}, got {x.dtype}; convert with "
            f"{name}.to({dtype})."
        )
    if event_shape is not None and x.shape[1:] != event_shape:
        raise ValueError(_shape_message(x, event_shape, name))
    rows = max(1, _VALUES_AT_ONCE // math.prod(x.shape[1:]))
    if not all(_all_inside(part, support) for part in torch.atleast_1d(x).split(rows)):
        index = first_index(~support.check(x))
        raise ValueError(
            f"{name}: expected values in {describe(support)}, got {_show(x[index])} at index "
            f"{index}."
        )


def check_labels(y: object, count: int, classes: int) -> None:
    """Raise unless ``y`` holds ``count`` integer labels in 0 … ``classes`` − 1."""
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        came = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(f"y: expected integer labels (torch.int64), got {came}.")
    if y.shape != (count,):
        raise ValueError(f"y: expected one label a row, shape ({count},), got {tuple(y.shape)}.")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y: expected labels in 0 … {classes - 1}, got {y.min()} … {y.max()}.")


def check_count(n: object, name: str = "n", minimum: int = 1) -> None:
    """Raise unless ``n`` is an integer of at least ``minimum``."""
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"{name}: expected an integer, got {n!r}.")
    if n < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {n}.")


def check_positive(value: object, name: str) -> None:
    """Raise unless ``value`` is a finite number greater than zero."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a positive number, got {value!r}.")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive finite number, got {value}.")


def first_index(mask: Tensor) -> tuple[int, ...]:
    """Index of the first true entry of ``mask``, in row-major order."""
    return tuple(mask.nonzero()[0].tolist())


def describe(support: constraints.Constraint) -> str:
    """Name a support in words, for messages and tables."""
    if isinstance(support, constraints.independent):
        return describe(support.base_constraint)
    if support is constraints.boolean:
        return "{0, 1}"
    if isinstance(support, constraints.interval):
        return f"[{support.lower_bound:g}, {support.upper_bound:g}]"
    if isinstance(support, constraints.integer_interval):
        return f"{{{support.lower_bound}, …, {support.upper_bound}}}"
    if support is constraints.nonnegative_integer:
        return "{0, 1, 2, …}"
    if support is constraints.real:
        return "the real numbers"
    return str(support)


def _all_inside(x: Tensor, support: constraints.Constraint) -> bool:
    """Whether all of ``x``, which is finite, lies in ``support``."""
    if support is constraints.boolean:
        return torch.equal(x * x, x)  # of 0 and 1 alone, and three times as fast as two comparisons
    return bool(support.check(x).all())


def _shape_message(x: Tensor, event_shape: torch.Size, name: str) -> str:
    expected = ", ".join(["N", *map(str, event_shape)])
    message = f"{name}: expected shape ({expected}), got {tuple(x.shape)}"
    if x.shape == event_shape:
        return f"{message}; a single event needs a batch dimension: {name}.unsqueeze(0)."
    if x.dim() > 1 and x[0].numel() == event_shape.numel():
        return (
            f"{message}; the sizes agree, so reshape with {name}.reshape(-1, "
            f"{', '.join(map(str, event_shape))})."
        )
    return f"{message}."


def _show(value: Tensor) -> str:
    return f"{value.item():g}" if value.numel() == 1 else str(value.tolist())
