"""Rows in blocks whose state fits into a cache, on as many threads as torch uses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.kernels._threads import parallel_map

_IN_CACHE = 2**16  # codes of a block; there are four such arrays
LOOK = 10  # iterations between two looks at the gap


class _State(NamedTuple):
    """What rows carry from one look to the next."""

    row: Tensor  # (n,), their numbers
    z: Tensor  # (n, K)
    y: Tensor  # (n, K)
    t: Tensor  # (n, 1)


def ista(
    x: Tensor,
    atoms: Tensor,
    start: Tensor,
    sparsity: float,
    step: float,
    iterations: int,
    tolerance: float,
    momentum: bool,
) -> tuple[Tensor, Tensor]:
    """The codes (N, K) and their duality gaps (N,)."""
    codes, gaps = x.new_empty(len(x), len(atoms)), x.new_empty(len(x))
    transposed = atoms.T.contiguous()

    def advance(state: _State) -> _State:
        """So many iterations of a block; what is done goes out, what is not goes on."""
        rows = x[state.row]
        state = _iterate(state, rows, atoms, transposed, sparsity, step, count, momentum)
        residual = torch.addmm(rows, state.z, atoms, alpha=-1)
        found = gap(residual, state.z, residual @ transposed, sparsity)
        codes[state.row], gaps[state.row] = state.z, found
        on = found > tolerance * 0.5 * rows.square().sum(1)
        return _State(*(part[on] for part in state))

    size = max(16, _IN_CACHE // len(atoms))
    rows = torch.arange(len(x), device=x.device)
    going = _State(rows, start.clone(), start.clone(), x.new_ones(len(x), 1))
    for done in range(0, iterations, LOOK):
        count = min(LOOK, iterations - done)
        blocks = zip(*(part.split(size) for part in going), strict=True)
        left = parallel_map(advance, (_State(*block) for block in blocks), x.device)
        going = _State(*(torch.cat(parts) for parts in zip(*left, strict=True)))
        if not len(going.row):
            break
    return codes, gaps


def _iterate(
    state: _State,
    x: Tensor,
    atoms: Tensor,
    transposed: Tensor,
    sparsity: float,
    step: float,
    count: int,
    momentum: bool,
) -> _State:
    """``count`` iterations, in place but for one array more."""
    row, z, y, t = state
    residual, new = torch.empty_like(x), torch.empty_like(z)
    for _ in range(count):
        torch.addmm(x, y, atoms, alpha=-1, out=residual)
        torch.addmm(y, residual, transposed, alpha=step, out=new)
        new = F.softshrink(new, sparsity * step)
        if not momentum:
            z = y = new
            new = torch.empty_like(z)
            continue
        change, back = torch.sub(new, z, out=z), torch.sub(y, new, out=y)
        uphill = torch.linalg.vecdot(back, change)[:, None] > 0
        t = torch.where(uphill, torch.ones_like(t), t)
        after = (1 + (1 + 4 * t.square()).sqrt()) / 2
        torch.addcmul(new, change, (t - 1) / after, out=y)
        z, new, t = new, z, after
    return _State(row, z, y, t)


def gap(residual: Tensor, z: Tensor, c: Tensor, sparsity: float) -> Tensor:
    """``½ (1 − s)² ‖r‖² + Σ (λ |z| − s z c)``, with ``s = min(1, λ / max |c|)``, of each row."""
    tiny = torch.finfo(c.dtype).tiny
    s = (sparsity / c.abs().amax(1).clamp_min(tiny)).clamp_max(1)
    linear = sparsity * z.abs().sum(1) - s * torch.linalg.vecdot(z, c)
    return 0.5 * (1 - s).square() * residual.square().sum(1) + linear
