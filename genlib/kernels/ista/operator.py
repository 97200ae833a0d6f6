"""Sparse codes by iterative shrinkage and thresholding (ISTA), accelerated (FISTA).

For rows x_1 … x_N in D dimensions and a dictionary of K atoms, the rows a_k of A (K × D), the code
of a row is the minimum of

    f(z) = ½ ‖x − z A‖² + λ ‖z‖₁

With L the largest eigenvalue of A Aᵀ, and y_1 = z_0 the start, one iteration is::

    S(u, t) = sign(u) max(|u| − t, 0)                         the soft threshold
    z_i = S(y_i + (x − y_i A) Aᵀ / L, λ / L)
    t_i ← 1 where (y_i − z_i) · (z_i − z_{i−1}) > 0           the restart, row by row
    t_{i+1} = (1 + √(1 + 4 t_i²)) / 2        β_i = (t_i − 1) / t_{i+1}
    y_{i+1} = z_i + β_i (z_i − z_{i−1})

(Beck and Teboulle 2009; the restart where momentum points uphill is that of O'Donoghue and Candès
2015.) Without momentum β = 0, and f never rises. The residual, shrunk, is feasible in the dual
problem, so that f(z) exceeds the minimum by at most gap(z)::

    r = x − z A        c = r Aᵀ        s = min(1, λ / max_k |c_k|)
    gap(z) = ½ (1 − s)² ‖r‖² + Σ_k (λ |z_k| − s z_k c_k)

whose terms are all non-negative: nothing cancels, and float32 resolves it to some 10⁻⁶ of ½ ‖x‖².
A row stops where its gap is at most ``tolerance`` · ½ ‖x‖², at the first look; every ten iterations
there is one.

**Blocks.** No iterate is kept but the last two. On a CPU, rows are taken in blocks whose state fits
into a cache; an iteration is two matrix products, N × K × D each, one threshold and one
extrapolation in place, and rows that have stopped leave the block. In Triton one program makes all
iterations of a tile of rows in one launch. As residuals are linear in z, that of y_{i+1} is
(1 + β) r_i − β r_{i−1}: a single pass over the atoms computes z_{i+1} and its residual, tile by
tile, and reads each atom once.

The operator has no gradient: in dictionary learning codes are constants of the dictionary step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import runs_triton, undo_autocast
from genlib.kernels.ista import _blocks, _gpu


class Codes(NamedTuple):
    """Codes, and how far each is from the best."""

    codes: Tensor  # (N, K)
    gap: Tensor  # (N,), the objective exceeds its minimum by no more


def lasso_ista_reference(
    x: Tensor,
    atoms: Tensor,
    sparsity: float,
    *,
    iterations: int = 1000,
    momentum: bool = True,
    start: Tensor | None = None,
) -> Codes:
    """Compute `lasso_ista` as it is defined, all rows at once, all ``iterations``."""
    bound = torch.linalg.eigvalsh(atoms @ atoms.T)[-1]
    z = x.new_zeros(len(x), len(atoms)) if start is None else start
    y, t = z, x.new_ones(len(x), 1)
    for _ in range(iterations):
        u = y + (x - y @ atoms) @ atoms.T / bound
        new = u.sign() * (u.abs() - sparsity / bound).clamp_min(0)
        uphill = ((y - new) * (new - z)).sum(1, keepdim=True) > 0
        t = torch.where(uphill, torch.ones_like(t), t)
        after = (1 + (1 + 4 * t.square()).sqrt()) / 2
        y = new + (t - 1) / after * (new - z) if momentum else new
        z, t = new, after
    return Codes(z, duality_gap(x, z, atoms, sparsity))


def duality_gap(x: Tensor, codes: Tensor, atoms: Tensor, sparsity: float) -> Tensor:
    """By how much ½ ‖x − z A‖² + λ ‖z‖₁ can exceed its minimum at the ``codes`` z, (N,).

    Zero at the minimum alone. The formula stands at the top of this file.
    """
    residual = x - codes @ atoms
    return _blocks.gap(residual, codes, residual @ atoms.T, sparsity)


# --------------------------------------------------------------------- the operator


@torch.library.custom_op(
    "genlib::ista",
    mutates_args=(),
    schema="(Tensor x, Tensor atoms, Tensor start, float sparsity, int iterations,"
    " float tolerance, bool momentum) -> (Tensor, Tensor)",
)
def _operator(x, atoms, start, sparsity, iterations, tolerance, momentum):
    with torch.autocast(x.device.type, enabled=False):
        backend = _gpu if x.dtype == torch.float32 and runs_triton(x.device) else _blocks
        step = 1 / _bound(atoms)
        return backend.ista(x, atoms, start, sparsity, step, iterations, tolerance, momentum)


@_operator.register_fake
def _(x, atoms, start, sparsity, iterations, tolerance, momentum):
    return x.new_empty(len(x), len(atoms)), x.new_empty(len(x))


def _bound(atoms: Tensor) -> float:
    """L: the largest eigenvalue of A Aᵀ, and a millionth of it against rounding."""
    wide = atoms.double()
    gram = wide @ wide.T if len(atoms) < atoms.shape[1] else wide.T @ wide
    return max(torch.linalg.eigvalsh(gram)[-1].item(), 1e-30) * (1 + 1e-6)


# --------------------------------------------------------------------- the public function


@torch.no_grad()
def lasso_ista(
    x: Tensor,
    atoms: Tensor,
    sparsity: float,
    *,
    iterations: int = 1000,
    tolerance: float = 1e-5,
    momentum: bool = True,
    start: Tensor | None = None,
) -> Codes:
    """Codes z of rows, the minima of ½ ‖x − z A‖² + λ ‖z‖₁, by iterative soft thresholding.

    It has no gradient.

    Parameters
    ----------
    x : Tensor, shape (N, D)
        float32 or float64.
    atoms : Tensor, shape (K, D)
        The dictionary A, an atom a row, of any lengths; in the dtype and on the device of ``x``.
    sparsity : float
        λ, not negative.
    iterations : int
        The most that a row takes.
    tolerance : float
        Where the duality gap of a row is at most so many times ½ ‖x‖², it is done. With 0 all
        iterations are made.
    momentum : bool
        FISTA with restarts; without, ISTA.
    start : Tensor, shape (N, K), optional
        Codes to begin with; zero by default.

    Returns
    -------
    Codes
        ``codes`` (N, K), and their duality ``gap`` (N,).

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than x.
    ValueError
        If shapes or devices do not agree, there is no row or atom, or a setting is out of range.

    Notes
    -----
    The mathematics stands at the top of this file. To machine precision, `lasso_active_set` is
    quicker where codes are sparse.
    """
    atoms, start = undo_autocast(x, atoms, start)
    check_problem(x, atoms, sparsity)
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}.")
    check_number(tolerance, "tolerance")
    if start is None:
        start = x.new_zeros(1, len(atoms)).expand(len(x), -1)
    check_operand(start, "start", x)
    check_shape("start", start, (len(x), len(atoms)))
    return Codes(
        *_operator(x, atoms, start, float(sparsity), iterations, float(tolerance), momentum)
    )


def check_problem(x: Tensor, atoms: Tensor, sparsity: float) -> None:
    """Raise unless types, dtypes, devices and shapes agree, and λ is not negative."""
    check_operand(x, "x", x)
    check_operand(atoms, "atoms", x)
    check_number(sparsity, "sparsity")
    if x.dim() != 2 or 0 in x.shape:
        raise ValueError(
            f"x: expected shape (N, D), at least one row and one column, got {tuple(x.shape)}."
        )
    if atoms.dim() != 2 or len(atoms) == 0 or atoms.shape[1] != x.shape[1]:
        raise ValueError(
            f"atoms: expected shape (K, {x.shape[1]}), a row for each of at least one atom, got "
            f"{tuple(atoms.shape)}."
        )


def check_number(value: float, name: str) -> None:
    """Raise unless ``value`` is a finite number, zero or positive."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number, zero or positive, got {value}.")
