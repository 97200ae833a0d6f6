"""Checks at the door: every public method of a model looks at its input here, once, and says what
is wrong with it.

A check returns nothing and raises `TypeError` for a wrong kind of thing (not a tensor, wrong dtype)
and `ValueError` for a wrong value of the right kind (shape, device, NaN, range, nothing at all).
The message names what was expected, what came, and the way to mend it. Nothing is cast, clipped or
broadcast on the caller's behalf.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

_VALUES_AT_ONCE = 2**18  # their checks fit in a cache


def check_tensor(x: object, name: str = "x") -> None:
    """Raise unless ``x`` is a non-empty floating-point tensor without NaN or infinity."""
    check_dense(x, name, "" if isinstance(x, Tensor) else _as_floats(x, name))
    if not x.is_floating_point():
        mend = f"{name}.float() / 255" if x.dtype == torch.uint8 else f"{name}.float()"
        raise TypeError(
            f"{name}: expected floating-point values, got {x.dtype}; convert with {mend}."
        )
    if x.numel() == 0:
        raise ValueError(
            f"{name}: expected at least one value, got an empty tensor of shape {tuple(x.shape)}."
        )
    if not is_finite(x):
        index = first_index(~torch.isfinite(x))
        raise ValueError(f"{name}: expected finite values, got {x[index].item()} at index {index}.")


def check_dense(x: object, name: str, mend: str) -> None:
    """Raise unless ``x`` is a tensor that holds all its values; ``mend`` says how to make one."""
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")
        raise TypeError(f"{name}: expected a torch.Tensor, got {kind}; {mend}.")
    if x.is_nested:
        raise TypeError(f"{name}: expected a dense tensor, got a nested one of ragged rows.")
    if x.layout != torch.strided:
        raise TypeError(
            f"{name}: expected a dense tensor, got one of layout {x.layout}; convert with "
            f"{name}.to_dense()."
        )
    if x.is_meta:
        raise ValueError(
            f"{name}: expected values, got a tensor on the meta device, which holds none."
        )


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
    if isinstance(x, Tensor) and not x.is_meta and x.device != torch.device(device):
        raise ValueError(
            f"{name}: the model is on {device}, the data on {x.device}; "
            f'move one to the other, as in {name}.to("{device}").'
        )
    check_tensor(x, name)
    if x.dtype != dtype:
        raise TypeError(
            f"{name}: the model computes in {dtype}, got {x.dtype}; convert with "
            f"{name}.to({dtype}), or the model with model.to({x.dtype})."
        )
    if event_shape is not None and x.shape[1:] != event_shape:
        raise ValueError(_shape_message(x, event_shape, name))
    if support is constraints.real:  # as all that is finite
        return
    rows = max(1, _VALUES_AT_ONCE // math.prod(x.shape[1:]))
    if not all(_all_inside(part, support) for part in torch.atleast_1d(x).split(rows)):
        index = first_index(~support.check(x))
        grey = support is constraints.boolean and 0 < x[index] < 1
        mend = f"; make grey values 0 or 1, as ({name} > 0.5).float() does" if grey else ""
        mend += f", or train on gl.data.binarizing_loader({name})" if grey else ""
        raise ValueError(
            f"{name}: expected values in {describe(support)}, got {_show(x[index])} at index "
            f"{index}{mend}."
        )


def check_labels(y: object, count: int, classes: int | None, name: str = "y") -> None:
    """Raise unless ``y`` holds ``count`` integer labels in 0 … ``classes`` − 1, or with ``None``
    from 0 on.
    """
    check_dense(y, name, f"convert it with torch.as_tensor({name})")
    if y.dtype != torch.int64:
        raise TypeError(f"{name}: expected integer labels (torch.int64), got {y.dtype}.")
    if y.shape != (count,):
        raise ValueError(
            f"{name}: expected one label a row, shape ({count},), got {tuple(y.shape)}."
        )
    if y.min() < 0 or (classes is not None and y.max().item() >= classes):
        expected = "from 0 on" if classes is None else f"in 0 … {classes - 1}"
        raise ValueError(f"{name}: expected labels {expected}, got {y.min()} … {y.max()}.")


def check_mask(mask: object, x: Tensor, name: str = "mask") -> Tensor:
    """``mask`` with a row for each of ``x``, checked to be bool, true where a value is known.

    A mask of the shape of one event holds for every row.
    """
    check_dense(mask, name, "a comparison such as x > 0 makes one")
    if mask.dtype != torch.bool:
        raise TypeError(
            f"{name}: expected a tensor of torch.bool, true where known, got {mask.dtype}."
        )
    if mask.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"{name}: expected shape {tuple(x.shape[1:])}, or {tuple(x.shape)} for one a row, "
            f"got {tuple(mask.shape)}."
        )
    return mask.to(x.device).expand_as(x)


def check_one_a_row(answer: Tensor, x: Tensor, name: str) -> None:
    """Raise unless ``answer``, which the method ``name`` gave for the rows of ``x``, is (N,)."""
    if answer.shape != x.shape[:1]:
        raise ValueError(
            f"{name}: expected one number for each of {len(x)} rows, got shape "
            f"{tuple(answer.shape)}; sum over the values of an event."
        )


def check_count(n: object, name: str = "n", minimum: int = 1, maximum: int = 2**31 - 1) -> None:
    """Raise unless ``n`` is an integer in ``minimum`` … ``maximum``."""
    if not isinstance(n, int) or isinstance(n, bool):
        mend = f"; convert it with int({name})" if isinstance(n, np.integer) else ""
        raise TypeError(f"{name}: expected an integer, got {_shortened(n)}{mend}.")
    if n < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {_shortened(n)}.")
    if n > maximum:
        raise ValueError(f"{name}: expected at most {maximum}, got {_shortened(n)}.")


def check_counts(values: object, name: str) -> None:
    """Raise unless ``values`` is a sequence of positive integers."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name}: expected several, as in [200, 200], got {_shortened(values)}.")
    for value in values:
        check_count(value, name)


def check_flag(value: object, name: str) -> None:
    """Raise unless ``value`` is ``True`` or ``False``."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {_shortened(value)}.")


def check_choice(value: object, choices: Iterable[str], name: str) -> None:
    """Raise unless ``value`` is one of the words in ``choices``."""
    choices = list(choices)
    if not (isinstance(value, str) and value in choices):
        words = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: expected one of {words}, got {_shortened(value)}.")


def check_positive(value: object, name: str, *, zero: bool = False) -> None:
    """Raise unless ``value`` is a finite number above zero, or zero where that is allowed."""
    kind = "number, zero or positive" if zero else "positive number"
    check_number(value, name, f"a {kind}")
    if not (0 < value < 1e300 or (zero and value == 0)):  # a longer integer is no float
        raise ValueError(f"{name}: expected a finite {kind}, got {_shortened(value)}.")


def check_between(value: object, low: float, high: float, name: str, *, ends: bool = True) -> None:
    """Raise unless ``value`` is a number in [low, high], or inside (low, high) without ``ends``."""
    where = f"in [{low}, {high}]" if ends else f"inside ({low}, {high})"
    check_number(value, name, f"a number {where}")
    if not (low < value < high or (ends and value in (low, high))):
        raise ValueError(f"{name}: expected a number {where}, got {_shortened(value)}.")


def check_number(value: object, name: str, expected: str = "a number") -> None:
    """Raise unless ``value`` is one of Python's numbers; ``expected`` says which ones may come."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        mend = f"; convert it with {name}.item()" if isinstance(value, np.number) else ""
        mend = f"; convert it with {name}.tolist()" if isinstance(value, np.ndarray) else mend
        raise TypeError(f"{name}: expected {expected}, got {_shortened(value)}{mend}.")


def is_finite(x: Tensor) -> bool:
    """Whether ``x`` has neither NaN nor infinity."""
    # A finite sum proves all values finite, many times faster than looking at each.
    return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())


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
    if isinstance(support, constraints.half_open_interval):
        return f"[{support.lower_bound:g}, {support.upper_bound:g})"
    if isinstance(support, constraints.integer_interval):
        return f"{{{support.lower_bound}, …, {support.upper_bound}}}"
    if support is constraints.nonnegative_integer:
        return "{0, 1, 2, …}"
    if support is constraints.real:
        return "the real numbers"
    return str(support)


def _all_inside(x: Tensor, support: constraints.Constraint) -> bool:
    """Whether all of ``x``, which is finite, lies in ``support``."""
    # Sums that are zero for such values alone are several times faster than comparisons.
    if support is constraints.boolean:
        return torch.addcmul(x, x, x, value=-1).abs_().sum().item() == 0  # Σ |x − x²|
    if support is constraints.nonnegative_integer:
        return x.abs().floor_().sub_(x).abs_().sum().item() == 0
    return bool(support.check(x).all())


def _as_floats(x: object, name: str) -> str:
    """How to make a tensor of floats of ``x``, which is none."""
    if hasattr(x, "train") and hasattr(x, "valid"):
        return f"pass its parts, as in fit({name}.train, valid={name}.valid)"
    if hasattr(x, "to_numpy"):
        return f"convert it with torch.tensor({name}.to_numpy()).float()"
    if isinstance(x, list | tuple) and x and all(isinstance(row, Tensor) for row in x):
        return f"put its rows together with torch.stack({name})"
    return f"convert it with torch.as_tensor({name}).float()"


def _shape_message(x: Tensor, event_shape: torch.Size, name: str) -> str:
    expected = ", ".join(["N", *map(str, event_shape)])
    message = f"{name}: expected shape ({expected}), got {tuple(x.shape)}"
    if x.shape == event_shape:
        return f"{message}; a single event needs a batch dimension: {name}.unsqueeze(0)."
    if x.dim() == 1 and event_shape == (1,):
        return f"{message}; {name}.unsqueeze(1) makes rows of one value."
    if x.dim() > 1 and x[0].numel() == event_shape.numel():
        return (
            f"{message}; the sizes agree, so reshape with {name}.reshape(-1, "
            f"{', '.join(map(str, event_shape))})."
        )
    return f"{message}."


def _shortened(value: object) -> str:
    """``value`` as Python writes it, but a line at most; a huge integer by its size."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"an integer of {value.bit_length()} bits"
    return reprlib.repr(value)


def _show(value: Tensor) -> str:
    return f"{value.item():g}" if value.numel() == 1 else str(value.tolist())
