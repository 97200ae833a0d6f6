"""Sparse codes of many rows to machine precision: an active-set method, for all rows in step.

The problem is that of `genlib.kernels.ista.operator`, min ½ ‖x − z A‖² + λ ‖z‖₁. If the atoms S of
the code and their signs σ were known, it would be a linear system,

    z_S G_SS = b_S − λ σ        with G = A Aᵀ, b = x Aᵀ

The feature-sign search of Lee, Battle, Raina and Ng (2007) finds them. A row begins with no atom
and repeats:

1. Solve the system. Go from z towards the solution w until an entry is zero, if one is on the way:
   that atom leaves S. Up to there the signs are right and f is the quadratic that w minimises, so f
   falls.
2. Where w was reached, z is the minimum among codes over S, and c = (x − z A) Aᵀ is λ σ on S. If
   abs c_k ≤ λ for all other atoms, no code is better. Else the atom with the largest abs c_k enters
   S, with the sign of c_k: moving z_k from 0 in its direction lowers f at the rate abs c_k − λ.

As f falls and there are finitely many pairs (S, σ), the search ends; for a sparse code in little
more steps than it has atoms, M. Every step is taken by all rows that are not done: it is a gather
of M × M systems, one batched Cholesky factorisation, and two matrix products of N × K × D. The
system is solved for w − z, from the residual of z, so that rounding does not add up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.kernels._dispatch import undo_autocast
from genlib.kernels._threads import parallel_map
from genlib.kernels.ista.operator import Codes, check_finite, check_problem, duality_gap, lasso_ista

_IN_CACHE = 2**19  # codes of a block
_GROWN = 4  # places for atoms that are added at a time


class _Rows(NamedTuple):
    """Rows that are not done."""

    row: Tensor  # (n,), their numbers
    x: Tensor  # (n, D)
    c: Tensor  # (n, K), (x − z A) Aᵀ
    slack: Tensor  # (n,), what rounding leaves of c
    atom: Tensor  # (n, M), the atoms of S
    on: Tensor  # (n, M), which of these places are taken
    sign: Tensor  # (n, M)
    z: Tensor  # (n, M), 0 where nothing is on
    at_minimum: Tensor  # (n,), among the codes over S


@torch.library.custom_op(
    "genlib::lasso_active_set",
    mutates_args=(),
    schema="(Tensor x, Tensor atoms, float sparsity) -> (Tensor, Tensor)",
)
def _operator(x, atoms, sparsity):
    with torch.autocast(x.device.type, enabled=False):
        check_finite(atoms)
        codes, gram = x.new_empty(len(x), len(atoms)), atoms @ atoms.T
        blocks = torch.arange(len(x), device=x.device).split(max(64, _IN_CACHE // len(atoms)))
        left = torch.cat(
            parallel_map(
                lambda row: _search(row, codes, x, atoms, gram, sparsity), blocks, x.device
            )
        )
        if len(left):  # the rounding of nearly dependent atoms has made them run in circles
            codes[left] = lasso_ista(x[left], atoms, sparsity, start=codes[left]).codes
        return codes, duality_gap(x, codes, atoms, sparsity)


@_operator.register_fake
def _(x, atoms, sparsity):
    return x.new_empty(len(x), len(atoms)), x.new_empty(len(x))


@torch.no_grad()
def lasso_active_set(x: Tensor, atoms: Tensor, sparsity: float) -> Codes:
    """Codes z of rows, the minima of ½ ‖x − z A‖² + λ ‖z‖₁, by feature-sign search.

    It has no gradient. The cost grows with the number M of atoms that codes use, as
    N · M · (K D + M³).

    Parameters
    ----------
    x : Tensor, shape (N, D)
        float32 or float64.
    atoms : Tensor, shape (K, D)
        The dictionary A, an atom a row, of any lengths; in the dtype and on the device of ``x``.
    sparsity : float
        λ, not negative.

    Returns
    -------
    Codes
        ``codes`` (N, K), and their duality ``gap`` (N,), which is that of rounding.

    Raises
    ------
    TypeError, ValueError
        As for `lasso_ista`.

    Notes
    -----
    Where a minimum is not unique, as with two atoms that are equal, one of the minima is found.

    References
    ----------
    Lee, Battle, Raina and Ng (2007), "Efficient sparse coding algorithms", Advances in Neural
    Information Processing Systems 19.
    """
    (atoms,) = undo_autocast(x, atoms)
    check_problem(x, atoms, sparsity)
    return Codes(*_operator(x, atoms, float(sparsity)))


def _search(
    row: Tensor, codes: Tensor, x: Tensor, atoms: Tensor, gram: Tensor, sparsity: float
) -> Tensor:
    """Write the codes of the rows with these numbers; return the numbers of those not done."""
    transposed = atoms.T.contiguous()
    rows = _start(row, x[row], atoms)
    for _ in range(_limit(atoms)):
        others = rows.c.abs()
        others.scatter_(1, rows.atom, others.gather(1, rows.atom).mul_(~rows.on))
        most, new = others.max(1)
        done = rows.at_minimum & (most <= sparsity + rows.slack)
        if done.any():
            codes[rows.row[done]] = _dense(_Rows(*(part[done] for part in rows)))
            rows = _Rows(*(part[~done] for part in rows))
            new = new[~done]
        if not len(rows.row):
            return rows.row
        rows = _move(_enter(rows, new), gram, sparsity)
        residual = torch.addmm(rows.x, _dense(rows), atoms, alpha=-1)
        torch.mm(residual, transposed, out=rows.c)
    codes[rows.row] = _dense(rows)
    return rows.row


def _limit(atoms: Tensor) -> int:
    """Steps after which a search has lost its way."""
    return 8 * min(atoms.shape) + 32


def _start(row: Tensor, x: Tensor, atoms: Tensor) -> _Rows:
    """Codes without an atom."""
    c = x @ atoms.T
    none, places = x.new_zeros(len(x), 0), row.new_zeros(len(x), 0)
    slack = 16 * torch.finfo(x.dtype).eps * c.abs().amax(1)
    at_minimum = torch.ones_like(row, dtype=torch.bool)
    return _Rows(row, x, c, slack, places, places.bool(), none, none, at_minimum)


def _dense(rows: _Rows) -> Tensor:
    """Codes as rows of K values."""
    return torch.zeros_like(rows.c).scatter_add_(1, rows.atom, rows.z)


def _enter(rows: _Rows, new: Tensor) -> _Rows:
    """Where S can do no better, the atom ``new`` enters it at a free place."""
    enters = rows.at_minimum.nonzero()[:, 0]
    if rows.on[enters].all(1).any():
        grown = (F.pad(part, (0, _GROWN)) for part in rows[4:8])
        rows = _Rows(*rows[:4], *grown, rows.at_minimum)
    place, atom = rows.on[enters].int().argmin(1), new[enters]
    rows.atom[enters, place] = atom
    rows.on[enters, place] = True
    rows.sign[enters, place] = rows.c[enters, atom].sign()
    return rows


def _move(rows: _Rows, gram: Tensor, sparsity: float) -> _Rows:
    """Go to the minimum over S, or as far as no sign changes, where an atom leaves."""
    on = rows.on.to(rows.z)
    system = gram[rows.atom[:, :, None], rows.atom[:, None, :]]
    system.mul_(on[:, :, None]).mul_(on[:, None, :])
    diagonal = system.diagonal(dim1=1, dim2=2)  # 1 at places that are free
    diagonal.mul_(1 + 4 * torch.finfo(on.dtype).eps).add_(1 - on)
    slope = (rows.c.gather(1, rows.atom) - sparsity * rows.sign) * on
    factor, _ = torch.linalg.cholesky_ex(system)
    target = rows.z + torch.cholesky_solve(slope[..., None], factor)[..., 0]
    target = torch.where(target.isfinite(), target, rows.z)
    crosses = rows.on & (target * rows.sign <= 0)
    way = rows.z.abs() / (rows.z.abs() + target.abs()).clamp_min(torch.finfo(on.dtype).tiny)
    length, first = way.masked_fill(~crosses, 2).min(1)
    arrives = length > 1
    z = torch.lerp(rows.z, target, length.clamp_max(1)[:, None]).mul_(on)
    leaves = (~arrives).nonzero()[:, 0]
    rows.on[leaves, first[leaves]] = False
    z[leaves, first[leaves]] = 0
    return rows._replace(z=z, at_minimum=arrives)
