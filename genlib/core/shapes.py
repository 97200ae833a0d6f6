"""Shapes of events, as constructors take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from genlib.core.validation import check_count


def as_shape(shape: int | Sequence[int], name: str = "shape") -> torch.Size:
    """``shape`` as a torch.Size: one number, or several, each a positive integer.

    Raises
    ------
    TypeError, ValueError
        There is no number, or one that is no positive integer.
    """
    sizes = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else [shape]
    if not sizes:
        raise ValueError(f"{name}: expected at least one dimension, got none.")
    for size in sizes:
        check_count(size, name)
    return torch.Size(sizes)


def declared_shape(value: Any, name: str) -> Any:
    """A shape that is a tuple or a list as a torch.Size; anything else (None, a property) as is."""
    if isinstance(value, torch.Size) or not isinstance(value, list | tuple):
        return value
    return as_shape(value, name)


def check_image_shape(shape: Sequence[int]) -> torch.Size:
    """``shape`` as a torch.Size, checked to be (colours, rows, columns)."""
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise ValueError(f"shape: expected (C, H, W), as in (1, 28, 28), got {shape!r:.60}.")
    for name, size in zip(("colours", "rows", "columns"), shape, strict=True):
        check_count(size, f"shape, {name}")
    return torch.Size(shape)


def check_halvings(shape: torch.Size, times: int) -> None:
    """Raise unless the rows and columns of an image can be halved so often."""
    often = "once" if times == 1 else f"{times} times"
    for name, side in zip(("rows", "columns"), shape[1:], strict=True):
        if side % 2**times:
            raise ValueError(
                f"shape: expected {name} that can be halved {often}, got {side}; crop or pad the "
                "images, or halve them less often."
            )
