"""How close each row of a batch lies to the others: sums of exp(−‖·‖₁), and their gradients.

Minibatch discrimination [1] gives a discriminator, for every row i of a batch and every feature b
of it, a vector M_ib of C values, and from these the sum over the *other* rows::

    D_ijb = Σ_c |M_ibc − M_jbc|         e_ijb = exp(−D_ijb)         o_ib = Σ_{j ≠ i} e_ijb

The row itself, j = i, is left out, as the authors' code does; the formula of the paper has it in,
which adds exactly one to every o_ib. So 0 ≤ o_ib ≤ N − 1, next to zero for a row that is far from
all, and N − 1 in a batch of N copies.

**Gradients.** With s_ijbc = sign(M_ibc − M_jbc), zero where the two are equal, as for torch's
``abs``, and slopes g of o::

    ∂L/∂M_ibc = −Σ_j (g_ib + g_jb) e_ijb s_ijbc

A discriminator whose own gradient is differentiated (a gradient penalty, an unrolled step) needs
the slopes of that as well. For weights v_ibc on it, with q_ijb = Σ_c (v_ibc − v_jbc) s_ijbc, which
is symmetric in i and j::

    L₂ = Σ v_ibc ∂L/∂M_ibc = −½ Σ_ijb (g_ib + g_jb) e_ijb q_ijb

    ∂L₂/∂g_ib  = −Σ_j e_ijb q_ijb           ∂L₂/∂M_ibc = +Σ_j (g_ib + g_jb) e_ijb q_ijb s_ijbc

**Tiles.** The plain expression writes N × N × B × C differences to memory. Here a tile of i, j and
some features, with its C differences, stays in a cache; both passes compute it again, and memory
grows with N × B × C. The pairs are symmetric: each tile is visited once, for its rows and for its
columns. A norm ‖a‖₁ has no product form, so all this is arithmetic of differences, which lose
nothing wherever the origin is.

References
----------
[1] Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen (2016), "Improved techniques for
training GANs", NIPS, section 3.2.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand
from genlib.kernels._dispatch import launch, runs_triton, tl, triton
from genlib.kernels._threads import parallel_map


def minibatch_features_reference(m: Tensor) -> Tensor:
    """Compute `minibatch_features` as it is defined, with all N × N × B × C differences."""
    distance = (m[:, None] - m[None]).abs().sum(3)
    itself = torch.eye(len(m), dtype=torch.bool, device=m.device).unsqueeze(2)
    return distance.neg().exp().masked_fill(itself, 0).sum(1)


# --------------------------------------------------------------------- tiles, in plain torch

# Differences of a tile; there are one or two such arrays. Smaller ones fit a core's own cache, but
# make more and shorter operations, and lose more by Python than they gain.
_TILE = {"cpu": 2**19, "cuda": 2**24}
_ROWS = 32  # of a tile: with more, more of it lies on the wrong side of the diagonal


class _Tile(NamedTuple):
    """Pairs of rows i and columns j, of which none lies above the first row: those are mirrored."""

    rows: slice
    columns: slice

    def outer(self, operation: Callable, value: Tensor, out: Tensor) -> Tensor:
        """``operation`` of ``value`` (..., N) at rows and at columns, (..., rows, columns)."""
        return operation(value[..., self.rows, None], value[..., None, self.columns], out=out)

    def add_sums(self, pairs: Tensor, out: Tensor, mirrored: int = 1) -> None:
        """Add to ``out`` (..., N) the sums of ``pairs`` over the columns; and over the rows, times
        ``mirrored``, at columns that are no row of this tile: there, (j, i) is in no tile.
        """
        out[..., self.rows] += pairs.sum(-1)
        start = max(self.columns.start, self.rows.stop)
        if start < self.columns.stop:
            beyond = pairs[..., start - self.columns.start :]
            out[..., start : self.columns.stop].add_(beyond.sum(-2), alpha=mirrored)


def _parts(m: Tensor) -> list[slice]:
    """The features, in parts that a thread takes one at a time: as many as one tile has room for,
    but no fewer parts than threads.
    """
    n, features, values = m.shape
    room = _TILE[m.device.type] // (values * min(n, _ROWS) * n)
    count = max(1, min(room, math.ceil(features / torch.get_num_threads())))
    return [slice(start, min(start + count, features)) for start in range(0, features, count)]


def _tiles(
    values: Tensor, wide: int, narrow: int
) -> Iterator[tuple[_Tile, list[Tensor], list[Tensor]]]:
    """The upper triangle of the pairs of N rows, in tiles; ``values`` are (C, b, N).

    With each come arrays in memory that all tiles share: ``wide`` ones (C, b, rows, columns), and
    ``narrow`` ones (b, rows, columns).
    """
    size, features, n = values.shape
    pairs = max(1, _TILE[values.device.type] // (size * features))
    height = min(n, _ROWS, math.isqrt(pairs))
    width = min(n, pairs // height)  # not below the height: a diagonal lies in one tile
    memory = [
        values.new_empty(count, lead * height * width)
        for count, lead in ((wide, size * features), (narrow, features))
    ]
    for row in range(0, n, height):
        for column in range(row, n, width):
            tile = _Tile(slice(row, min(row + height, n)), slice(column, min(column + width, n)))
            shape = features, tile.rows.stop - row, tile.columns.stop - column
            yield tile, _cut(memory[0], (size, *shape)), _cut(memory[1], shape)


def _cut(memory: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """An array of ``shape`` from the beginning of each row of ``memory``."""
    return [row[: math.prod(shape)].view(shape) for row in memory]


def _write_similarity(tile: _Tile, difference: Tensor, e: Tensor) -> Tensor:
    """Fill ``e`` with exp(−Σ |difference|), zero where a row meets itself; spoils differences."""
    torch.sum(difference.abs_(), 0, out=e)
    # exp2 takes a fraction of the time of exp, and a third of its own where nothing underflows.
    e.mul_(-1 / math.log(2)).clamp_min_(math.log2(torch.finfo(e.dtype).tiny)).exp2_()
    if tile.columns.start == tile.rows.start:
        e.diagonal(dim1=-2, dim2=-1).zero_()
    return e


def _part_features(out: Tensor, values: Tensor, part: slice) -> None:
    """Fill ``out`` (B, N), which is zero, with some features; ``values`` are (C, B, N)."""
    values = values[:, part]
    for tile, (difference,), (e,) in _tiles(values, wide=1, narrow=1):
        tile.outer(torch.sub, values, difference)
        tile.add_sums(_write_similarity(tile, difference, e), out[part])


def _part_gradient(out: Tensor, g: Tensor, values: Tensor, part: slice) -> None:
    """Fill ``out`` (C, B, N), which is zero, with ∂L/∂M of some features."""
    values, g = values[:, part], g[part].neg()
    for tile, (difference, sign), (e, scratch) in _tiles(values, wide=2, narrow=2):
        torch.sign(tile.outer(torch.sub, values, difference), out=sign)
        _write_similarity(tile, difference, e).mul_(tile.outer(torch.add, g, scratch))
        tile.add_sums(sign.mul_(e), out[:, part], mirrored=-1)


def _part_second_gradients(
    dg: Tensor, dm: Tensor, v: Tensor, g: Tensor, values: Tensor, part: slice
) -> None:
    """Fill ``dg`` (B, N) and ``dm`` (C, B, N), both zero, with the slopes of Σ v ∂L/∂M."""
    values, v, g = values[:, part], v[:, part], g[part].neg()
    for tile, (difference, sign), (e, scratch) in _tiles(values, wide=2, narrow=2):
        torch.sign(tile.outer(torch.sub, values, difference), out=sign)
        _write_similarity(tile, difference, e)
        torch.sum(tile.outer(torch.sub, v, difference).mul_(sign), 0, out=scratch)  # q
        e.mul_(scratch.neg_())
        tile.add_sums(e, dg[part])
        e.mul_(tile.outer(torch.add, g, scratch))
        tile.add_sums(sign.mul_(e), dm[:, part], mirrored=-1)


def _by_features(m: Tensor) -> Tensor:
    """(N, B, C) as (C, B, N): a row of a tile then lies in a row of memory."""
    return m.permute(2, 1, 0).contiguous()


def _features(m: Tensor) -> Tensor:
    if _on_triton(m):
        return _triton_features(m)
    out = m.new_zeros(m.shape[1], len(m))
    parallel_map(partial(_part_features, out, _by_features(m)), _parts(m), m.device)
    return out.T.contiguous()


def _gradient(g: Tensor, m: Tensor) -> Tensor:
    if _on_triton(m):
        return _triton_gradient(g, m)
    values, g = _by_features(m), g.T.contiguous()
    out = torch.zeros_like(values)
    parallel_map(partial(_part_gradient, out, g, values), _parts(m), m.device)
    return out.permute(2, 1, 0).contiguous()


def _second_gradients(v: Tensor, g: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    values, v, g = _by_features(m), _by_features(v), g.T.contiguous()
    dg, dm = torch.zeros_like(g), torch.zeros_like(values)
    parallel_map(partial(_part_second_gradients, dg, dm, v, g, values), _parts(m), m.device)
    return dg.T.contiguous(), dm.permute(2, 1, 0).contiguous()


# --------------------------------------------------------------------- Triton


@triton.jit
def _similarity(values_ptr, n, mask_n, m, mask_m, N, C):
    """A tile (m, n) of exp(−D); zero beyond the batch, and where a row meets itself."""
    distance = tl.zeros([m.shape[0], n.shape[0]], tl.float32)
    for _ in range(C):
        a = tl.load(values_ptr + n, mask=mask_n, other=0.0)
        b = tl.load(values_ptr + m, mask=mask_m, other=0.0)
        distance += tl.abs(a[None, :] - b[:, None])
        values_ptr += N
    others = mask_m[:, None] & (m[:, None] != n[None, :])
    return tl.where(others, tl.exp2(distance * -1.4426950408889634), 0.0)


@triton.jit
def _features_kernel(values_ptr, out_ptr, N, C, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr):
    """Sums of BLOCK_N rows of one feature; values are (B, C, N). Lanes of a warp lie along n."""
    feature = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    values_ptr += feature * C * N
    total = tl.zeros([BLOCK_N], tl.float32)
    for start in range(0, N, BLOCK_M):
        m = (start + tl.arange(0, BLOCK_M)).to(tl.int64)
        total += tl.sum(_similarity(values_ptr, n, n < N, m, m < N, N, C), 0)
    tl.store(out_ptr + feature * N + n, total, mask=n < N)


@triton.jit
def _gradient_kernel(
    values_ptr, g_ptr, out_ptr, N, C,
    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """∂L/∂M of BLOCK_N rows of one feature, and of BLOCK_C of its values."""
    feature = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    first, lanes = tl.program_id(2) * BLOCK_C, tl.arange(0, BLOCK_C)
    values_ptr += feature * C * N
    g_ptr += feature * N
    g_n = tl.load(g_ptr + n, mask=n < N, other=0.0)
    total = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    for start in range(0, N, BLOCK_M):
        m = (start + tl.arange(0, BLOCK_M)).to(tl.int64)
        g_m = tl.load(g_ptr + m, mask=m < N, other=0.0)
        weight = _similarity(values_ptr, n, n < N, m, m < N, N, C)
        weight *= g_n[None, :] + g_m[:, None]
        ptr = values_ptr + first.to(tl.int64) * N
        for lane in range(tl.minimum(C - first, BLOCK_C)):
            a = tl.load(ptr + n, mask=n < N, other=0.0)
            b = tl.load(ptr + m, mask=m < N, other=0.0)
            difference = a[None, :] - b[:, None]
            sign = tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0))
            here = (lanes == lane)[:, None]
            total -= tl.where(here, tl.sum(weight * sign, 0)[None, :], 0.0)
            ptr += N
    c = (first + lanes).to(tl.int64)
    place = feature * C * N + c[:, None] * N + n[None, :]
    tl.store(out_ptr + place, total, mask=(c < C)[:, None] & (n < N)[None, :])


_BLOCKS = {"BLOCK_N": 128, "BLOCK_M": 32}
_WARPS = 4


def _block_c(size: int) -> int:
    """Values of a vector whose gradient one program computes."""
    return min(16, max(4, triton.next_power_of_2(size)))


def _on_triton(m: Tensor) -> bool:
    return m.dtype == torch.float32 and runs_triton(m.device)


def _triton_features(m: Tensor) -> Tensor:
    n, features, size = m.shape
    out = m.new_empty(features, n)
    launch(
        _features_kernel, (features, triton.cdiv(n, _BLOCKS["BLOCK_N"])), m.device,
        m.permute(1, 2, 0).contiguous(), out, n, size, **_BLOCKS, num_warps=_WARPS,
    )  # fmt: skip
    return out.T.contiguous()


def _triton_gradient(g: Tensor, m: Tensor) -> Tensor:
    n, features, size = m.shape
    out, block_c = m.new_empty(features, size, n), _block_c(size)
    grid = (features, triton.cdiv(n, _BLOCKS["BLOCK_N"]), triton.cdiv(size, block_c))
    launch(
        _gradient_kernel, grid, m.device,
        m.permute(1, 2, 0).contiguous(), g.T.contiguous(), out, n, size,
        **_BLOCKS, BLOCK_C=block_c, num_warps=_WARPS,
    )  # fmt: skip
    return out.permute(2, 0, 1).contiguous()


# --------------------------------------------------------------------- the operator


@torch.library.custom_op(
    "genlib::minibatch_features", mutates_args=(), schema="(Tensor m) -> Tensor"
)
def _operator(m):
    with torch.autocast(m.device.type, enabled=False):
        return _features(m)


@torch.library.custom_op(
    "genlib::minibatch_features_backward", mutates_args=(), schema="(Tensor g, Tensor m) -> Tensor"
)
def _backward_operator(g, m):
    with torch.autocast(m.device.type, enabled=False):
        return _gradient(g, m)


@torch.library.custom_op(
    "genlib::minibatch_features_double_backward",
    mutates_args=(),
    schema="(Tensor v, Tensor g, Tensor m) -> (Tensor, Tensor)",
)
def _double_backward_operator(v, g, m):
    with torch.autocast(m.device.type, enabled=False):
        return _second_gradients(v, g, m)


@_operator.register_fake
def _(m):
    return m.new_empty(m.shape[:2])


@_backward_operator.register_fake
def _(g, m):
    return m.new_empty(m.shape)


@_double_backward_operator.register_fake
def _(v, g, m):
    return m.new_empty(m.shape[:2]), m.new_empty(m.shape)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, g):
    return _backward_operator(g, *ctx.saved_tensors)


def _differentiate_again(ctx, v):
    return _double_backward_operator(v, *ctx.saved_tensors)


def _refuse(ctx, *_):
    raise NotImplementedError(
        "minibatch_features: third derivatives are not implemented; "
        "minibatch_features_reference has them, with all differences in memory."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_differentiate_again, setup_context=_save)
_double_backward_operator.register_autograd(_refuse)


# --------------------------------------------------------------------- the public function


def minibatch_features(m: Tensor) -> Tensor:
    """Sums over the other rows of a batch of exp(−‖M_ib − M_jb‖₁): how close they come to row i.

    Differentiable twice, so that gradient penalties and unrolled steps may go through it. Memory
    grows with N × B × C in all passes. Rows depend on each other, as they are meant to.

    Parameters
    ----------
    m : Tensor, shape (N, B, C)
        For each of N rows, B vectors of C values. float32 or float64.

    Returns
    -------
    Tensor, shape (N, B)
        ``o_ib = Σ_{j ≠ i} exp(−Σ_c |m_ibc − m_jbc|)``, in [0, N − 1], *without* the one that row i
        adds to its own sum in the paper's formula; zero in a batch of one. A NaN makes that feature
        NaN in every row.

    Raises
    ------
    TypeError
        ``m`` is not a tensor, or neither float32 nor float64.
    ValueError
        ``m`` has not three dimensions, or is empty.

    Notes
    -----
    The mathematics stands at the top of this file.
    """
    check_operand(m, "m", m)
    if m.dim() != 3 or 0 in m.shape:
        raise ValueError(
            "m: expected shape (N, B, C), at least one row, one feature and one value, got "
            f"{tuple(m.shape)}."
        )
    return _operator(m)
