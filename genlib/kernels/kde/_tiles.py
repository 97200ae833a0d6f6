"""Both passes over tiles of the matrix of kernels, in plain torch."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from genlib.kernels.kde._forms import Form, Moments, Needs, Points, Tile

# Bytes and rows of a tile. On a CPU, tiles and their scratch stay in the last-level cache, and BLAS
# likes them tall; on a GPU, launches must not dominate.
_BYTES = {"cpu": 2**22, "cuda": 2**25}
_ROWS = {"cpu": 2**11, "cuda": 2**16}
# A row's sum is scaled anew when its exponents rise by so many bits; they stop there, for the time.
_HEADROOM = 64.0


def row_blocks(rows: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Divide rows into blocks one tile high; the fewer the columns, the higher."""
    device = y.device.type
    return rows.split(max(_ROWS[device], _BYTES[device] // (y.itemsize * len(y))))


def log_sum(form: Form, x: Points, log_w: Tensor, left_out: Tensor | None) -> Tensor:
    """log₂ Σ_j w_j exp(−s_ij) for a block of rows, (n,), float64; ``log_w`` is to base 2 too."""
    top = torch.full_like(x.half, -torch.inf)  # largest exponent of a row, some bits below at most
    total = torch.zeros_like(x.half, dtype=torch.float64)
    zero = torch.zeros_like(x.half)
    for tile in _tiles(form, len(x.half), scratch=1):
        if top.min() > -torch.inf:
            _write_exponents(tile, form, x, top, log_w, left_out)
            part = sum_exp2(tile.t)
            if part.max() < 2**_HEADROOM:
                total += part
                continue
        # Written from zero, for against a top far too low, small s would be rounded.
        _write_exponents(tile, form, x, zero, log_w, left_out)
        new = torch.maximum(top, tile.t.amax(1))
        shift = new.where(new > -torch.inf, 0)  # −∞ − (−∞) would be NaN
        total *= torch.exp2(top.double() - shift)
        total += sum_exp2(tile.t.sub_(shift[:, None])).where(new > -torch.inf, 0)
        top = new
    return top + total.log2()


def moments(
    form: Form,
    x: Points,
    f: Tensor,
    g: Tensor,
    w: Tensor,
    left_out: Tensor | None,
    needs: Needs,
) -> Moments:
    """Moments over a block of rows, with p_ij = w_j exp(−s_ij) / 2^f_i."""
    sums = Moments(*map(torch.zeros_like, (x.at, form.y.at, form.unit, form.y.half)))
    bits, no_weight = -math.log2(torch.finfo(form.dtype).tiny), torch.zeros_like(w)
    for tile in _tiles(form, len(x.half), scratch=2):
        _write_exponents(tile, form, x, f, no_weight, left_out)
        # Before w_j is in it, p may be large, but only so far as w_j is small.
        p = tile.t.clamp_(-bits, bits).exp2_().mul_(g[:, None])
        if needs.w:
            sums.weight[tile.columns] = p.sum(0)
        if needs.x or needs.y or needs.h:
            p *= w[tile.columns]
            form.add_moments(sums, tile, x, needs)
    return sums


def _tiles(form: Form, rows: int, scratch: int) -> Iterator[Tile]:
    """Yield the columns of each tile, in memory that all of them share."""
    m = len(form.y.half)
    size = _BYTES[form.y.half.device.type] // form.dtype.itemsize
    width = min(m, max(1, size // rows))
    memory = form.y.half.new_empty(1 + scratch, rows * width)
    for start in range(0, m, width):
        columns = slice(start, min(start + width, m))
        shape = rows, columns.stop - columns.start
        t, *more = (part[: math.prod(shape)].view(shape) for part in memory)
        yield Tile(columns, t, more)


def _write_exponents(
    tile: Tile, form: Form, x: Points, top: Tensor, log_w: Tensor, left_out: Tensor | None
) -> None:
    """Fill a tile with log w − s − top, in bits."""
    y_bias = log_w[tile.columns] - form.y.half[tile.columns]
    form.write_exponents(tile, x, -x.half - top, y_bias)
    if left_out is not None:
        start, stop = tile.columns.start, tile.columns.stop
        row = ((left_out >= start) & (left_out < stop)).nonzero().squeeze(1)
        tile.t[row, left_out[row] - start] = -torch.inf


def sum_exp2(t: Tensor) -> Tensor:
    """Σ_j 2^t_ij, with t between the dtype's range and the headroom; spoils t.

    Torch's exp2 is several times slower on a vector in which anything underflows.
    """
    return t.clamp_(math.log2(torch.finfo(t.dtype).tiny), _HEADROOM).exp2_().sum(1)
