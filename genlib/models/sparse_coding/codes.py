"""Codes of rows for a given dictionary, where `genlib.kernels.ista` does not compute them.

Rows x (N, D), dictionary A (K, D), codes z (N, K).
"""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.kernels.ista import duality_gap
from genlib.models.sparse_coding.penalties import Penalty

_VALUES_AT_ONCE = 2**21  # of the systems of a block


def coordinate_descent(
    x: Tensor, atoms: Tensor, sparsity: float, iterations: int, tolerance: float
) -> Tensor:
    """Minima of ½ ‖x − z A‖² + λ ‖z‖₁, one coefficient of all rows at a time.

    With all others fixed, z_k is the soft threshold of c_k + z_k ‖a_k‖² by λ, over ‖a_k‖², where c
    = (x − z A) Aᵀ. A sweep takes each once; sweeps end where the duality gap of every row is at
    most ``tolerance`` · ½ ‖x‖².
    """
    gram = atoms @ atoms.T
    squares = gram.diagonal()
    c = atoms @ x.T  # (K, N): what a step reads and writes lies together
    z = torch.zeros_like(c)
    enough = tolerance * 0.5 * x.square().sum(1)
    for _ in range(iterations):
        for k in range(len(atoms)):
            u = c[k] + squares[k] * z[k]
            new = torch.nn.functional.softshrink(u, sparsity) / squares[k]
            c.addr_(gram[k], new - z[k], alpha=-1)
            z[k] = new
        if (duality_gap(x, z.T, atoms, sparsity) <= enough).all():
            break
    return z.T.contiguous()


def matching_pursuit(x: Tensor, atoms: Tensor, nonzeros: int) -> Tensor:
    """Codes of at most ``nonzeros`` atoms by orthogonal matching pursuit.

    Each step takes the atom with the largest cosine, without its sign, to the residual x − z A, and
    then fits all atoms taken by least squares (Pati, Rezaiifar and Krishnaprasad 1993). It is
    greedy: the best set of so many atoms may be another. A row ends early where its residual is
    zero up to rounding.
    """
    rows = max(1, _VALUES_AT_ONCE // (nonzeros**2 + len(atoms)))
    return torch.cat([_pursue(part, atoms, nonzeros) for part in x.split(rows)])


def _pursue(x: Tensor, atoms: Tensor, nonzeros: int) -> Tensor:
    lengths = atoms.norm(dim=1)
    residual, z = x, x.new_zeros(len(x), len(atoms))
    atom, on = x.new_zeros(len(x), 0).long(), x.new_zeros(len(x), 0).bool()
    least = 16 * torch.finfo(x.dtype).eps * x.norm(dim=1)
    for _ in range(nonzeros):
        match = (residual @ atoms.T).abs() / lengths
        best, new = match.scatter(1, atom, 0.0).max(1)
        atom = torch.cat([atom, new[:, None]], 1)
        on = torch.cat([on, (best > least)[:, None]], 1)
        z = _least_squares(x, atoms, atom, on)
        residual = x - z @ atoms
    return z


def _least_squares(x: Tensor, atoms: Tensor, atom: Tensor, on: Tensor) -> Tensor:
    """Codes over the atoms of each row that are on, (N, M): minima of ‖x − z A‖²."""
    chosen = atoms[atom] * on[:, :, None]
    system = chosen @ chosen.mT
    system.diagonal(dim1=1, dim2=2).add_((~on).to(x))
    factor = torch.linalg.cholesky_ex(system).L
    values = torch.cholesky_solve(chosen @ x[:, :, None], factor)[..., 0]
    return x.new_zeros(len(x), len(atoms)).scatter_add_(1, atom, values * on)


def majorise_minimise(
    x: Tensor,
    atoms: Tensor,
    sparsity: float,
    penalty: Penalty,
    scale: float,
    iterations: int,
    tolerance: float,
    start: Tensor,
) -> Tensor:
    """A local minimum of ½ ‖x − z A‖² + λ Σ_k ρ(z_k / σ), for a smooth penalty.

    With L the largest eigenvalue of A Aᵀ and w the weight of the penalty, the objective is at most

        const + (L/2) ‖z − u‖² + (λ/σ²) Σ_k w(z₀_k / σ) z_k²        u = z₀ + (x − z₀ A) Aᵀ / L

    with equality at z₀, and the minimum of that is the next iterate, z = u / (1 + 2 λ w / (L σ²)):
    the objective never rises. Iterations end where no entry moves by more than ``tolerance`` times
    the largest.
    """
    bound = torch.linalg.eigvalsh((atoms.T @ atoms).double())[-1].item()
    z, price = start, 2 * sparsity / (bound * scale**2)
    for _ in range(iterations):
        u = z + (x - z @ atoms) @ atoms.T / bound
        new = u / (1 + price * penalty.weight(z / scale))
        moved, z = (new - z).abs().max(), new
        if moved <= tolerance * new.abs().max():
            break
    return z
