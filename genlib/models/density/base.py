"""What the density estimators share: their declarations, and settings given for each column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from genlib.core import Density, Estimator
from genlib.core.validation import check_number, first_index


class DensityEstimator(Estimator, abstract=True):
    """A density that ``fit`` computes in one step from rows of shape (N, d)."""

    density = Density.EXACT
    lesson = "03_density_estimation"
    cannot: ClassVar[dict[str, str]] = {
        "encode": "it describes where data lie, and has no inner variable that would describe a "
        "single point.",
    }


def check_each(value: object, check: Callable[[object, str], None], name: str) -> None:
    """Check a setting that is one value, or a sequence of one a column."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    for each in value if several else [value]:
        check(each, name)


def check_finite_number(value: object, name: str) -> None:
    """Raise unless ``value`` is a finite number."""
    check_number(value, name)
    if not abs(value) < 1e300:  # NaN is not, nor an integer too long for a float
        raise ValueError(f"{name}: expected a finite number, got one that is NaN or too large.")


def per_column(value: float | Sequence[float], x: Tensor, name: str) -> Tensor:
    """One value a column of ``x``, of the dtype of ``x``, from a number or one number a column."""
    exact = torch.as_tensor(value, dtype=torch.float64 if x.is_floating_point() else torch.int64)
    if exact.dim() and exact.shape != x.shape[1:]:
        raise ValueError(
            f"{name}: expected one number, or {x.shape[1]} of them, got shape {tuple(exact.shape)}."
        )
    given = exact.to(x)
    if not (torch.isfinite(given) & ((given == 0) == (exact.to(x.device) == 0))).all():
        raise ValueError(
            f"{name}: expected numbers that {x.dtype} can hold, got {value}; scale the data."
        )
    return given.expand(x.shape[1]).clone()


def check_varied(constant: Tensor, mend: str) -> None:
    """Raise if all rows agree in some column: where ``constant`` is true."""
    if constant.any():
        raise ValueError(f"x: column {first_index(constant)[0]} is constant; {mend}.")


def check_finite(scale: Tensor, name: str) -> None:
    """Raise unless ``scale``, one value a column, was computed without overflow."""
    if not torch.isfinite(scale).all():
        column = first_index(~torch.isfinite(scale))[0]
        raise ValueError(
            f"x: the {name} of column {column} overflows {scale.dtype}; divide the data by a "
            "constant."
        )


def check_resolved(scale: Tensor, name: str) -> None:
    """Raise unless one can divide by ``scale``, one value a column, without overflow."""
    lost = ~torch.isfinite(1 / scale)
    if lost.any():
        column = first_index(lost)[0]
        raise ValueError(
            f"x: the {name} of column {column} is {scale[column]:.3g}, too small for "
            f"{scale.dtype} to divide by; multiply the data by a constant."
        )


def full_precision(x: Tensor) -> torch.autocast:
    """Context in which products with ``x`` stay in its dtype, whatever autocast would do."""
    return torch.autocast(x.device.type, enabled=False)


def log_unit_ball(d: int) -> float:
    """Logarithm of the volume of the unit ball in d dimensions."""
    return d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
