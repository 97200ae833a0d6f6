"""Log of a sum of Gaussian kernels, and its gradients, without the N × M matrix of kernels.

For queries x_1 … x_N, points y_1 … y_M in d dimensions, bandwidths h_1 … h_d and weights w_j::

    f_i  = log Σ_j w_j exp(−s_ij),        s_ij = ½ Σ_k ((x_ik − y_jk) / h_k)²
    p_ij = w_j exp(−s_ij − f_i)           responsibility of point j for query i; Σ_j p_ij = 1

    ∂f_i/∂x_ik = −Σ_j p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂y_jk = +p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂h_k  = +Σ_j p_ij (x_ik − y_jk)² / h_k³
    ∂f_i/∂w_j  = exp(−s_ij − f_i)         which is p_ij / w_j, and finite where w_j = 0

A kernel density estimate is f_i − Σ_k log h_k − (d/2) log 2π, with weights that sum to one.

**Tiles.** Both passes walk over tiles of the matrix. The forward pass keeps, for each row, the
largest exponent so far, T_i = max_j t_ij with t_ij = log w_j − s_ij, and the sum of
exp(t_ij − T_i), which it scales anew when T_i rises [1]: nothing overflows, and a finite answer
never comes out as −∞. (In plain torch, only when it rises by many bits: a pass over the tile less.)
The backward pass computes each tile again, with f_i for T_i. Inside, exponents are to base 2,
because ``exp2`` is what hardware has.

**Rounding.** ‖x − y‖² as ‖x‖² + ‖y‖² − 2 x·y is one matrix product, but it cancels: with ‖x‖ of
1000 bandwidths, float32 keeps no digit of a small s. Differences lose nothing, but pass over the
tile for every dimension. So each form of s bounds its error in nats [2], and every row is computed
by the first form, from cheap to exact, whose bound stays below ``TOLERANCE × max(1, |f_i|)``. An
error ε_ij of the exponents moves f_i by Σ_j p_ij ε_ij, and Gibbs' inequality bounds the energies
that count: Σ_j p_ij s_ij ≤ log Σ_j w_j − f_i.

**Where to read on.** `_direct`: small inputs, which need no tiles. `_passes`: which form computes
which rows, on which threads. `_tiles` and `_gpu`: a block of rows in torch and in Triton. `_forms`:
differences, products, and their bounds.

References
----------
[1] Milakov and Gimelshein (2018), "Online normalizer calculation for softmax", arXiv:1805.02867.
[2] Higham (2002), "Accuracy and Stability of Numerical Algorithms", chapters 3 and 4.
"""

import math

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand
from genlib.kernels._dispatch import undo_autocast
from genlib.kernels.kde import _direct, _passes
from genlib.kernels.kde._forms import Needs


def log_kernel_sum_reference(
    x: Tensor, y: Tensor, h: Tensor, w: Tensor | None = None, *, leave_one_out: bool = False
) -> Tensor:
    """Compute `log_kernel_sum` as it is defined, with the whole matrix in memory."""
    exponents = -0.5 * ((x[:, None, :] - y) / h).square().sum(-1)
    exponents = exponents - math.log(len(y)) if w is None else exponents + w.log()
    if leave_one_out:
        diagonal = torch.eye(len(x), dtype=torch.bool, device=x.device)
        exponents = exponents.masked_fill(diagonal, -torch.inf)
    return exponents.logsumexp(1)


# --------------------------------------------------------------------- the operator


_SCHEMA = "(Tensor x, Tensor y, Tensor h, Tensor? w, bool leave_one_out) -> Tensor"


def _compute(x, y, h, w, leave_one_out):
    largest = _check_values(x, y, h, w)
    if direct := _direct.forward_for(x, y, largest):
        return _direct.serially(direct, len(x) * len(y), x, y, h, w, leave_one_out)
    with torch.autocast(x.device.type, enabled=False):
        return _passes.forward(x, y, h, w, leave_one_out)


_operator = torch.library.custom_op(
    "genlib::log_kernel_sum", _compute, mutates_args=(), schema=_SCHEMA
)
# The same where no gradient is asked for: torch's wrappers of Python cost more than a small sum.
torch.library.define("genlib::log_kernel_sum_value", _SCHEMA)
torch.library.impl("genlib::log_kernel_sum_value", "default", _compute)
_value_operator = torch.ops.genlib.log_kernel_sum_value.default


@torch.library.custom_op(
    "genlib::log_kernel_sum_backward",
    mutates_args=(),
    schema="(Tensor g, Tensor x, Tensor y, Tensor h, Tensor? w, Tensor f,"
    " bool leave_one_out, bool[] needs) -> Tensor[]",
)
def _backward_operator(g, x, y, h, w, f, leave_one_out, needs):
    if _direct.suits_differences(x, y, _in_bandwidths(_extremes(x, y, h))):
        arguments = g, x, y, h, w, f, leave_one_out, Needs(*needs)
        return _direct.serially(_direct.backward, x.numel() * len(y), *arguments)
    with torch.autocast(x.device.type, enabled=False):
        return _passes.backward(g, x, y, h, w, f, leave_one_out, Needs(*needs))


@torch.library.register_fake("genlib::log_kernel_sum_value")
@_operator.register_fake
def _(x, y, h, w, leave_one_out):
    return x.new_empty(x.shape[0])


@_backward_operator.register_fake
def _(g, x, y, h, w, f, leave_one_out, needs):
    shapes = (x.shape, y.shape, h.shape, y.shape[:1])
    return [
        x.new_empty(shape if needed else 0) for shape, needed in zip(shapes, needs, strict=True)
    ]


def _save(ctx, inputs, output):
    *tensors, ctx.leave_one_out = inputs
    ctx.save_for_backward(*tensors, output)


def _differentiate(ctx, g):
    needs = list(ctx.needs_input_grad[:4])
    gradients = _backward_operator(g, *ctx.saved_tensors, ctx.leave_one_out, needs)
    wanted = (gradient if need else None for gradient, need in zip(gradients, needs, strict=True))
    return *wanted, None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "log_kernel_sum: second derivatives are not implemented; "
        "log_kernel_sum_reference has them, with the whole matrix in memory."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse)


# --------------------------------------------------------------------- the public function


def log_kernel_sum(
    x: Tensor,
    y: Tensor,
    h: Tensor | float,
    w: Tensor | None = None,
    *,
    leave_one_out: bool = False,
) -> Tensor:
    """Log of a weighted sum of Gaussian kernels, log Σ_j w_j exp(−½‖(x_i − y_j) / h‖²).

    Differentiable once with respect to ``x``, ``y``, ``h`` and ``w``. Memory grows with N + M, not
    with N × M, in both passes. Whatever the bandwidth and wherever the origin, the error is below
    1e-5 in float32 and 2e-14 in float64, times the size of the result where that exceeds one (in
    float64: or the size of log Σ w).

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Queries, float32 or float64.
    y : Tensor, shape (M, d)
        Points that carry the kernels, of the dtype and on the device of ``x``.
    h : float or Tensor, shape () or (d,)
        Bandwidth, the standard deviation of the kernel: one for all dimensions, or one for each.
    w : Tensor, shape (M,), optional
        Weights, none negative and not all zero; they need not sum to one. By default each is 1/M.
    leave_one_out : bool
        Leave out the pairs i = j, where row i of ``x`` and row i of ``y`` are the same (N = M ≥ 2).
        Weights stay as they are: the leave-one-out density of M equal ones is the result plus
        log(M / (M − 1)).

    Returns
    -------
    Tensor, shape (N,)
        In nats, without the constant of the kernel: a density is the result minus
        Σ_k log h_k + (d/2) log 2π. It is −∞ where no point of positive weight is left, or where the
        dtype has no number so low; the gradient is zero there.

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than x.
    ValueError
        If shapes or devices do not agree, something is empty or not finite, a bandwidth is not
        positive, a weight is negative, or all are zero.

    Notes
    -----
    The mathematics stands at the top of this file, with the tiles and what rounding may do.
    """
    y, h, w = undo_autocast(x, y, h, w)
    _check_tensors(x, y, h, w, leave_one_out)
    if not isinstance(h, Tensor):
        h = math.inf if abs(h) > torch.finfo(x.dtype).max else h
        h = torch.full((), h, dtype=x.dtype, device=x.device)
    differentiable = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (x, y, h, w)
    )
    return (_operator if differentiable else _value_operator)(x, y, h, w, leave_one_out)


def _check_tensors(
    x: Tensor, y: Tensor, h: Tensor | float, w: Tensor | None, leave_one_out: bool
) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    check_operand(x, "x", x)
    check_operand(y, "y", x)
    for name, points in (("x", x), ("y", y)):
        if points.dim() != 2 or 0 in points.shape:
            raise ValueError(
                f"{name}: expected shape (n, d), at least one row and one column, "
                f"got {tuple(points.shape)}."
            )
    n, m, d = x.shape[0], y.shape[0], x.shape[1]
    if y.shape[1] != d:
        raise ValueError(f"y: expected as many columns as x has, {d}, got {y.shape[1]}.")
    if isinstance(h, bool) or not isinstance(h, int | float):
        check_operand(h, "h", x)
        if tuple(h.shape) not in ((), (d,)):
            raise ValueError(
                f"h: expected one bandwidth, or one for each of {d} columns, "
                f"got shape {tuple(h.shape)}."
            )
    if w is not None:
        check_operand(w, "w", x)
        if tuple(w.shape) != (m,):
            raise ValueError(
                f"w: expected one weight for each row of y, shape ({m},), got {tuple(w.shape)}."
            )
    if not isinstance(leave_one_out, bool):
        raise TypeError(
            f"leave_one_out: expected True or False, got {type(leave_one_out).__name__}."
        )
    if leave_one_out and not n == m >= 2:
        raise ValueError(
            "leave_one_out: expected x and y to be the same rows, two at least, "
            f"got {n} and {m} rows."
        )


def _check_values(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None) -> float:
    """Raise unless values are finite and in range; return the largest coordinate in bandwidths."""
    given = {"x": x, "y": y, "h": h} | ({} if w is None else {"w": w})
    extremes = _extremes(*given.values())
    for name, low, high in zip(given, extremes[::2], extremes[1::2], strict=True):
        value = given[name]
        if not (math.isfinite(low) and math.isfinite(high)):
            _reject(name, value, ~value.isfinite(), "finite values")
        if name == "h" and low <= 0:
            _reject(name, value, value <= 0, "bandwidths above zero")
        if name == "w" and low < 0:
            _reject(name, value, value < 0, "no weight below zero")
        if name == "w" and high == 0:
            raise ValueError("w: expected a weight above zero, got only zeros.")
    largest = _in_bandwidths(extremes)
    if largest > 1e150:
        raise ValueError(
            "h: expected bandwidths above 1e-150 of the largest coordinate, "
            f"{max(map(abs, extremes[:4])):g}, got {extremes[4]:g}."
        )
    return largest


def _extremes(*values: Tensor) -> list[float]:
    """The least and the largest number of each tensor."""
    ends = [end for value in values for end in value.aminmax()]
    if values[0].is_cuda:
        return torch.stack(ends).tolist()  # one transfer
    return [end.item() for end in ends]


def _in_bandwidths(extremes: list[float]) -> float:
    """The largest coordinate over the least bandwidth, from the extremes of x, y and h."""
    return max(map(abs, extremes[:4])) / extremes[4]


def _reject(name: str, value: Tensor, wrong: Tensor, expected: str) -> None:
    index = tuple(wrong.nonzero()[0].tolist())
    place = f" at index {index}" if index else ""
    raise ValueError(f"{name}: expected {expected}, got {value[index].item():g}{place}.")
