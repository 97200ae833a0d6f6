"""Whether a gradient is that of its function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.core.validation import check_positive, check_tensor, first_index
from genlib.verify._common import VerificationError, shape_of


def gradient(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    claimed: Callable[[Tensor], Tensor] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Check a gradient against central differences, entry by entry, in float64.

    Parameters
    ----------
    function : callable
        Maps (N, \\*event_shape) in float64 to (N,), each row on its own: an energy, a log density.
        That of a model is asked of ``model.double()``.
    x : Tensor, shape (N, \\*event_shape)
    claimed : callable, optional
        Maps ``x`` to the gradient, of the shape of ``x``; autograd's gradient of ``function`` by
        default.
    tolerance : float
        Largest difference, relative to 1 + the size of the gradient; less than one, where a
        gradient of zero would always pass.

    Raises
    ------
    VerificationError
        Some entry differs, or the function is not finite beside ``x``.
    TypeError, ValueError
        ``x`` is empty or not finite, ``function`` gives no number a row, ``tolerance`` is not in
        (0, 1).
    """
    check_tensor(x)
    check_positive(tolerance, "tolerance")
    if tolerance >= 1:
        raise ValueError(
            f"tolerance: expected less than 1, where a gradient of zero would always pass; got "
            f"{tolerance:g}."
        )
    x = x.detach().double()
    found = _autograd(function, x) if claimed is None else claimed(x)
    if not isinstance(found, Tensor) or found.shape != x.shape:
        raise VerificationError(
            f"expected a gradient of shape {tuple(x.shape)}, got {shape_of(found)}."
        )
    expected = _central_differences(function, x)
    if not expected.isfinite().all():
        index = first_index(~expected.isfinite())
        raise VerificationError(
            f"central differences at index {index} are {expected[index]:g}: the function is not "
            "finite there; ask for the gradient inside its support."
        )
    wrong = ~((found - expected).abs() <= tolerance * (1 + expected.abs()))
    if wrong.any():
        index = first_index(wrong)
        raise VerificationError(
            f"at index {index} the gradient is {found[index]:.6g}, central differences give "
            f"{expected[index]:.6g}; " + _hint(found, expected)
        )


def _values(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    values = function(x)
    if not isinstance(values, Tensor) or values.shape != (len(x),):
        raise ValueError(
            f"function: expected a number a row, shape ({len(x)},), got {shape_of(values)}."
        )
    return values


def _autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    point = x.clone().requires_grad_()
    values = _values(function, point)
    if not values.requires_grad:
        raise VerificationError(
            "autograd finds no way back from the function's values to x: look for a detach(), a "
            "no_grad(), or numbers that leave torch."
        )
    return torch.autograd.grad(values.sum(), point, materialize_grads=True)[0]


def _central_differences(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    flat = x.reshape(len(x), -1)
    step = 1e-5 * (1 + flat.abs())
    result = torch.empty_like(flat)
    for i in range(flat.shape[1]):
        shift = torch.zeros_like(flat)
        shift[:, i] = step[:, i]
        up = _values(function, (flat + shift).reshape(x.shape))
        down = _values(function, (flat - shift).reshape(x.shape))
        result[:, i] = ((up - down) / (2 * step[:, i])).detach()
    return result.reshape(x.shape)


def _hint(found: Tensor, expected: Tensor) -> str:
    if torch.allclose(found, -expected, rtol=1e-3, atol=1e-6):
        return "every sign is reversed."
    ratio = ((found * expected).sum() / (expected**2).sum()).item()
    if torch.allclose(found, ratio * expected, rtol=1e-3, atol=1e-6):
        return f"the whole gradient is off by a factor of {ratio:.4g}."
    return "look at the terms that touch this entry."
