"""Log of a sum of Gaussian kernels, and its gradients, without the N × M matrix of kernels.

For queries x_1 … x_N, points y_1 … y_M in d dimensions, bandwidths h_1 … h_d and weights w_1 … w_M::

    f_i  = log Σ_j w_j exp(−s_ij),        s_ij = ½ Σ_k ((x_ik − y_jk) / h_k)²
    p_ij = w_j exp(−s_ij − f_i)           responsibility of point j for query i; Σ_j p_ij = 1

    ∂f_i/∂x_ik = −Σ_j p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂y_jk = +p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂h_k  = +Σ_j p_ij (x_ik − y_jk)² / h_k³
    ∂f_i/∂w_j  = exp(−s_ij − f_i)         which is p_ij / w_j, and finite where w_j = 0

A kernel density estimate is f_i − Σ_k log h_k − (d/2) log 2π, with weights that sum to one.

**Tiles.** Both passes walk over tiles of the matrix. The forward pass keeps a reference r_i and the sum of exp(t_ij − r_i)
for each row over the columns seen so far, t_ij = log w_j − s_ij, and rescales the sum when a later column rises above the
reference [1]: nothing overflows, and a finite answer never comes out as −∞. The backward pass computes each tile again,
with r_i = f_i. Inside, exponents are to base 2, because ``exp2`` is what hardware has.

**Rounding.** ‖x − y‖² as ‖x‖² + ‖y‖² − 2 x·y is one matrix product, but it cancels: with ‖x‖ = 1000 bandwidths, float32
keeps no digit of s. Differences lose nothing, but pass over the tile for every dimension. So each way bounds its error
in nats [2], and every row is computed by the first way, from cheap to exact, whose bound stays below ``TOLERANCE`` ×
max(1, |f_i|). An error ε_ij in the exponents moves f_i by Σ_j p_ij ε_ij, and Gibbs' inequality bounds the energies that
count: Σ_j p_ij s_ij ≤ log Σ_j w_j − f_i.

References
----------
[1] Milakov and Gimelshein (2018), "Online normalizer calculation for softmax", arXiv:1805.02867.
[2] Higham (2002), "Accuracy and Stability of Numerical Algorithms", chapters 3 and 4.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._dispatch import processors, runs_triton, tl, triton

LN_2 = math.log(2)

# Error allowed in f_i, over max(1, |f_i|), in units of the dtype's epsilon: 1e-5 in float32, 2e-14 in float64.
TOLERANCE = 84.0
# The backward pass exponentiates −f_i: there the error may not grow with |f_i| beyond this many tolerances.
GRADIENT_CAP = 100.0


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


# ------------------------------------------------------------------------------ two ways to an exponent


class _Moments(NamedTuple):
    """Sums over a block of the matrix, p_ij weighted and unnormalised, in a form's coordinates."""

    row: Tensor  # Σ_j p_ij (x_i − y_j), stored as the form stores x
    column: Tensor  # Σ_i p_ij (y_j − x_i), stored as the form stores y
    square: Tensor  # Σ_ij p_ij (x_ik − y_jk)², (d,), float64
    weight: Tensor  # Σ_i p_ij / w_j, (M,)


class _Needs(NamedTuple):
    """Which gradients are asked for."""

    x: bool
    y: bool
    h: bool
    w: bool


class _Differences:
    """s from differences of coordinates: a few roundings whatever the data, in two passes a dimension.

    Points are stored as (d, n), each dimension times a power of two close to 1/h: this rounds nothing, and the unit of
    the data cannot make squares overflow or vanish.
    """

    direct = True

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        mantissa, exponent = torch.frexp(h.double())
        self.dtype, self.dims = dtype, len(h)
        self.scale = torch.ldexp(torch.ones_like(mantissa), -exponent)
        self.unit = 1 / mantissa  # (x − y) / h is this times the difference of stored coordinates
        self.coefficients = self.unit.square() / (2 * LN_2)
        self.y, self.y_half = self.place(y)

    def place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (d, n), and the part of the exponent that each point has alone, (n,): here none."""
        at = (x.double() * self.scale).T.to(self.dtype, memory_format=torch.contiguous_format)
        return at, at.new_zeros(len(x))

    def by_point(self, stored: Tensor) -> Tensor:
        """Stored coordinates as (n, d)."""
        return stored.T

    def error(self, x: Tensor, x_half: Tensor, energy: Tensor) -> Tensor:
        """Bound on the error of f_i, (n,): relative to s, unless a square overflows."""
        limits = torch.finfo(self.dtype)
        largest = torch.maximum(x.abs().amax(0), self.y.abs().max())
        bound = (self.dims + 8) * limits.eps / 2 * (1 + energy)
        return bound.where(largest < limits.max**0.45, torch.inf)

    def write_exponents(
        self,
        t: Tensor,
        scratch: Tensor,
        x: Tensor,
        columns: slice,
        of_row: Tensor,
        of_column: Tensor,
    ) -> None:
        """Fill a tile with −s to base 2, and what its row and its column add."""
        torch.add(of_row[:, None], of_column, out=t)
        for a, b, c in zip(x, self.y[:, columns], self.coefficients.tolist(), strict=True):
            torch.sub(a[:, None], b, out=scratch)
            t.addcmul_(scratch, scratch, value=-c)

    def add_moments(
        self, sums: _Moments, p: Tensor, scratch: Tensor, x: Tensor, columns: slice, needs: _Needs
    ) -> None:
        """Add a tile's moments to ``sums``; spoils ``scratch``."""
        weighted, difference = scratch
        for k, (a, b) in enumerate(zip(x, self.y[:, columns], strict=True)):
            torch.sub(a[:, None], b, out=difference)
            torch.mul(p, difference, out=weighted)
            if needs.x:
                sums.row[k] += weighted.sum(1)
            if needs.y:
                sums.column[k, columns] -= weighted.sum(0)
            if needs.h:
                sums.square[k] += weighted.mul_(difference).sum()


class _Products:
    """s from matrix products of centred points: s = ½‖x‖² + ½‖y‖² − x·y, in units of the bandwidth."""

    direct = False
    chunk = 32  # dimensions a product: sums of sums round less than one long sum

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        self.dtype, self.dims = dtype, len(h)
        self.centre = y.mean(0, dtype=torch.float64).to(y.dtype).to(dtype)
        self.scale = (1 / (h.double() * math.sqrt(LN_2))).to(dtype)
        self.unit = torch.full_like(h, math.sqrt(LN_2), dtype=torch.float64)
        self.coefficients = self.unit  # of use to differences alone
        self.y, self.y_half = self.place(y)

    def place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (n, d), and the part of the exponent that each point has alone, (n,)."""
        at = (x.to(self.dtype) - self.centre) * self.scale
        return at, at.square().sum(1).div_(2)

    def by_point(self, stored: Tensor) -> Tensor:
        """Stored coordinates as (n, d)."""
        return stored

    def error(self, x: Tensor, x_half: Tensor, energy: Tensor) -> Tensor:
        """Bound on the error of f_i, (n,).

        With a = ‖x_i‖ and b ≤ a + √(2 energy) the mean ‖y_j‖ that counts: a sum of K like products
        loses at most K/2 roundings of ab, so do the sums of chunks; adding ‖x‖² and ‖y‖² loses one
        of (a + b)², and placing the points one of ‖x − y‖(a + b).
        """
        a = (2 * LN_2 * x_half).sqrt()
        reach = (2 * energy).sqrt()
        b = a + reach
        sums = min(self.dims, self.chunk) / 2 + self.dims / self.chunk / 2
        roundings = sums * a * b + (a + b).square() + reach * (a + b)
        return torch.finfo(self.dtype).eps / 2 * (roundings + 8)

    def write_exponents(
        self,
        t: Tensor,
        scratch: Tensor,
        x: Tensor,
        columns: slice,
        of_row: Tensor,
        of_column: Tensor,
    ) -> None:
        """Fill a tile with x·y, and what its row and its column add."""
        a, b = x.split(self.chunk, 1), self.y[columns].split(self.chunk, 1)
        torch.mm(a[0], b[0].T, out=t)
        for k in range(1, len(a)):
            t.addmm_(a[k], b[k].T)
        t.add_(of_row[:, None]).add_(of_column)  # last, so that partial sums stay small

    def add_moments(
        self, sums: _Moments, p: Tensor, scratch: Tensor, x: Tensor, columns: slice, needs: _Needs
    ) -> None:
        """Add a tile's moments to ``sums``."""
        y = self.y[columns]
        if needs.x or needs.h:
            row = torch.addmm(x * p.sum(1)[:, None], p, y, alpha=-1)
            sums.row.add_(row)
        if needs.y or needs.h:
            column = torch.addmm(y * p.sum(0)[:, None], p.T, x, alpha=-1)
            sums.column[columns] += column
        if needs.h:
            sums.square.add_(
                (x * row).sum(0, dtype=torch.float64) + (y * column).sum(0, dtype=torch.float64)
            )


_Form = _Differences | _Products


def _forms(y: Tensor, h: Tensor) -> list[Callable[[], _Form]]:
    """The ways to compute, from cheap to exact, each made when it is first called for."""
    single, double = torch.float32, torch.float64
    if y.dtype == double:
        ways = (
            [(_Differences, double)]
            if len(h) <= 6
            else [(_Products, double), (_Differences, double)]
        )
    elif runs_triton(
        y.device
    ):  # there a float32 difference costs twice a product, and float64 much more
        ways = [(_Differences, single), (_Products, double), (_Differences, double)]
        ways = ways if len(h) < 16 else [(_Products, single), *ways[len(h) > 128 :]]
    elif len(h) <= 4:
        ways = [(_Differences, single), (_Differences, double)]
    else:
        ways = [(_Products, single), (_Products, double), (_Differences, double)]
    return [cache(partial(way, y, h, dtype)) for way, dtype in ways]


# ------------------------------------------------------------------------------ tiles of plain torch


# A tile and its scratch stay in the last-level cache; tall tiles suit BLAS. On a GPU, launches must not dominate.
_TILE = {"cpu": 2**20, "cuda": 2**23}
_ROWS = {"cpu": 2048, "cuda": 2**16}
# A row's reference is raised when an exponent stands above it by this many bits.
_HEADROOM = 64.0


def _tiles(form: _Form, rows: int, buffers: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Columns of each tile of ``rows`` rows, memory for the tile, and for ``buffers`` like it."""
    m, size = len(form.y_half), _TILE[form.y.device.type]
    width = min(m, max(1, size // rows))
    memory = form.y_half.new_empty(1 + buffers, rows * width)
    for start in range(0, m, width):
        columns = slice(start, min(m, start + width))
        shape = rows, columns.stop - start
        tile, *scratch = (part[: math.prod(shape)].view(shape) for part in memory)
        yield columns, tile, scratch


def _leave_out(t: Tensor, skip: Tensor, columns: slice) -> None:
    """Empty the column ``skip[i]`` of each row i, where the tile has it."""
    row = ((skip >= columns.start) & (skip < columns.stop)).nonzero().squeeze(1)
    t[row, skip[row] - columns.start] = -torch.inf


def _tiled_log_sum(
    form: _Form, x: Tensor, x_half: Tensor, log_w: Tensor, skip: Tensor | None
) -> Tensor:
    """log₂ Σ_j w_j exp(−s_ij) for one block of rows, (n,), float64."""
    limits = torch.finfo(form.dtype)
    reference = torch.zeros_like(x_half)
    total = torch.zeros_like(x_half, dtype=torch.float64)
    settled = False  # once settled, every row has a term at its reference: total ≥ 1, and what underflows does not count
    for columns, t, (scratch,) in _tiles(form, len(x_half), 1):
        of_column = log_w[columns] - form.y_half[columns]
        form.write_exponents(t, scratch, x, columns, -x_half - reference, of_column)
        if skip is not None:
            _leave_out(t, skip, columns)
        top = t.amax(1)
        if not settled or top.max() > _HEADROOM:
            begun = total >= 1
            rise = top.where((~begun | (top > _HEADROOM)) & (top > -torch.inf), 0)
            t.sub_(rise[:, None])
            reference += rise
            total = (total * torch.exp2(-rise.double())).where(begun, 0)
            settled = bool((begun | (top > -torch.inf)).all())
        # Torch's exp2 is several times slower on a vector in which anything underflows.
        total += t.clamp_(min=math.log2(limits.tiny)).exp2_().sum(1)
    return (reference + total.log2()).where(total >= 1, -torch.inf)


def _tiled_moments(
    form: _Form,
    x: Tensor,
    x_half: Tensor,
    reference: Tensor,
    g: Tensor,
    w: Tensor,
    skip: Tensor | None,
    needs: _Needs,
) -> _Moments:
    """Moments of g_i p_ij over one block of rows, with p_ij = w_j exp(−s_ij) / 2^reference_i."""
    sums = _Moments(
        torch.zeros_like(x),
        torch.zeros_like(form.y),
        torch.zeros_like(form.unit),
        torch.zeros_like(form.y_half),
    )
    bits = -math.log2(torch.finfo(form.dtype).tiny)
    for columns, t, scratch in _tiles(form, len(x_half), 2):
        form.write_exponents(t, scratch[0], x, columns, -x_half - reference, -form.y_half[columns])
        if skip is not None:
            _leave_out(t, skip, columns)
        # Without w_j the exponents may be positive, but only where w_j is as small as they are large.
        t.clamp_(-bits, bits).exp2_().mul_(g[:, None])
        if needs.w:
            sums.weight[columns] = t.sum(0)
        if needs.x or needs.y or needs.h:
            form.add_moments(sums, t.mul_(w[columns]), scratch, x, columns, needs)
    return sums


# ------------------------------------------------------------------------------ Triton


@triton.jit
def _exponents(
    x_ptr, y_ptr, coefficient_ptr, i, j, in_x, in_y, of_i, of_j, dims,
    x_point, x_dim, y_point, y_dim,
    DIRECT: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """A tile of exponents in registers; ``*_point`` and ``*_dim`` are strides, ``i`` and ``j`` int64 indices."""
    t = of_i[:, None] + of_j[None, :]
    if DIRECT:
        x_at, y_at = x_ptr + i * x_point, y_ptr + j * y_point
        for k in range(dims):
            difference = (
                tl.load(x_at, mask=in_x, other=0.0)[:, None]
                - tl.load(y_at, mask=in_y, other=0.0)[None, :]
            )
            t -= tl.load(coefficient_ptr + k) * difference * difference
            x_at += x_dim
            y_at += y_dim
    else:
        k = tl.arange(0, CHUNK)
        x_at = x_ptr + i[:, None] * x_point + k[None, :] * x_dim
        y_at = y_ptr + j[None, :] * y_point + k[:, None] * y_dim
        for start in range(0, dims, CHUNK):
            rest = k < dims - start
            a = tl.load(x_at, mask=in_x[:, None] & rest[None, :], other=0.0)
            b = tl.load(y_at, mask=rest[:, None] & in_y[None, :], other=0.0)
            t += tl.dot(a, b, input_precision="ieee")
            x_at += CHUNK * x_dim
            y_at += CHUNK * y_dim
    return t


@triton.jit
def _log_sum_kernel(
    x_ptr, y_ptr, coefficient_ptr, of_x_ptr, of_y_ptr, x_id_ptr, y_id_ptr, out_ptr,
    n, m, dims, span, x_point, x_dim, y_point, y_dim,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Online log₂-sum-exp₂ of one block of rows over one span of columns."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_x = i < n
    of_i = tl.load(of_x_ptr + i, mask=in_x, other=0.0)
    first = tl.program_id(1) * span
    last = tl.minimum(first + span, m)
    top = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float64)  # thousands of equal terms would round in one direction
    for start in range(first, last, COLUMNS):
        j = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        in_y = j < last
        of_j = tl.load(of_y_ptr + j, mask=in_y, other=-float("inf"))
        t = _exponents(
            x_ptr, y_ptr, coefficient_ptr, i, j, in_x, in_y, of_i, of_j, dims,
            x_point, x_dim, y_point, y_dim, DIRECT, CHUNK,
        )  # fmt: skip
        if LEAVE_OUT:
            x_id = tl.load(x_id_ptr + i, mask=in_x, other=-1)
            y_id = tl.load(y_id_ptr + j, mask=in_y, other=-2)
            t = tl.where(x_id[:, None] == y_id[None, :], -float("inf"), t)
        new = tl.maximum(top, tl.max(t, 1))
        shift = tl.where(new == -float("inf"), 0.0, new)  # −∞ − (−∞) is no number
        kept = total * tl.exp2(top - shift).to(tl.float64)
        total = kept + tl.sum(tl.exp2(t - shift[:, None]), 1).to(tl.float64)
        top = new
    tl.store(
        out_ptr + tl.program_id(1).to(tl.int64) * n + i,
        top + tl.log2(total.to(tl.float32)),
        mask=in_x,
    )


@triton.jit
def _moments_kernel(
    x_ptr, y_ptr, coefficient_ptr, of_x_ptr, of_y_ptr, factor_ptr, x_id_ptr, y_id_ptr,
    zeroth_ptr, first_ptr, second_ptr,
    n, m, dims, span, x_point, x_dim, y_point, y_dim,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr, SECOND: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    """Moments of x_i − y_j under p_ij = factor_j 2^t_ij, for a block of rows, a block of dimensions, a span of columns."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_x = i < n
    of_i = tl.load(of_x_ptr + i, mask=in_x, other=-float("inf"))
    lanes = tl.arange(0, DIMS)
    first_dim = tl.program_id(1) * DIMS
    k = (first_dim + lanes).to(tl.int64)
    in_k = k < dims
    zeroth = tl.zeros([ROWS], tl.float32)
    first = tl.zeros([ROWS, DIMS], tl.float32)
    second = tl.zeros([ROWS, DIMS], tl.float32)
    begin = tl.program_id(2) * span
    end = tl.minimum(begin + span, m)
    for start in range(begin, end, COLUMNS):
        j = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        in_y = j < end
        of_j = tl.load(of_y_ptr + j, mask=in_y, other=-float("inf"))
        t = _exponents(
            x_ptr, y_ptr, coefficient_ptr, i, j, in_x, in_y, of_i, of_j, dims,
            x_point, x_dim, y_point, y_dim, DIRECT, CHUNK,
        )  # fmt: skip
        if LEAVE_OUT:
            x_id = tl.load(x_id_ptr + i, mask=in_x, other=-1)
            y_id = tl.load(y_id_ptr + j, mask=in_y, other=-2)
            t = tl.where(x_id[:, None] == y_id[None, :], -float("inf"), t)
        p = tl.exp2(tl.minimum(t, 126.0)) * tl.load(factor_ptr + j, mask=in_y, other=0.0)[None, :]
        zeroth += tl.sum(p, 1)
        if DIRECT:
            x_at = x_ptr + i * x_point + first_dim.to(tl.int64) * x_dim
            y_at = y_ptr + j * y_point + first_dim.to(tl.int64) * y_dim
            for lane in range(tl.minimum(dims - first_dim, DIMS)):
                a = tl.load(x_at, mask=in_x, other=0.0)
                b = tl.load(y_at, mask=in_y, other=0.0)
                difference = a[:, None] - b[None, :]
                here = (lanes == lane)[None, :]
                weighted = p * difference
                first += tl.where(here, tl.sum(weighted, 1)[:, None], 0.0)
                if SECOND:
                    second += tl.where(here, tl.sum(weighted * difference, 1)[:, None], 0.0)
                x_at += x_dim
                y_at += y_dim
        else:
            b_at = y_ptr + j[:, None] * y_point + k[None, :] * y_dim
            b = tl.load(b_at, mask=in_y[:, None] & in_k[None, :], other=0.0)
            first += tl.dot(p, b, input_precision="ieee")
            if SECOND:
                second += tl.dot(p, b * b, input_precision="ieee")
    in_out = in_x[:, None] & in_k[None, :]
    if not DIRECT:  # so far these are moments of y_j; now of x_i − y_j
        a = tl.load(x_ptr + i[:, None] * x_point + k[None, :] * x_dim, mask=in_out, other=0.0)
        second += a * (a * zeroth[:, None] - 2 * first)
        first = a * zeroth[:, None] - first
    row = tl.program_id(2).to(tl.int64) * n + i
    if tl.program_id(1) == 0:
        tl.store(zeroth_ptr + row, zeroth, mask=in_x)
    out = row[:, None] * dims + k[None, :]
    tl.store(first_ptr + out, first, mask=in_out)
    if SECOND:
        tl.store(second_ptr + out, second, mask=in_out)


class _Blocks(NamedTuple):
    """Shape of a program's work; powers of two, and at least 16 where ``tl.dot`` sees them."""

    rows: int
    columns: int
    chunk: int  # dimensions a partial product sums
    dims: int  # dimensions whose moments a program keeps


def _blocks(form: _Form) -> _Blocks:
    dims = triton.next_power_of_2(form.dims)
    if form.direct:
        return _Blocks(rows=64, columns=64, chunk=16, dims=min(16, max(4, dims)))
    return _Blocks(rows=64, columns=64, chunk=32, dims=min(64, max(16, dims)))


def _spans(programs: int, m: int, columns: int, device: torch.device) -> tuple[int, int]:
    """Columns a program walks over, and how many programs share a row: more of them where rows are few."""
    blocks = math.ceil(m / columns)
    wanted = max(1, 4 * processors(device) // programs)
    span = math.ceil(blocks / min(blocks, wanted)) * columns
    return span, math.ceil(m / span)


def _launch(
    kernel: Callable, grid: tuple[int, ...], device: torch.device, *arguments, **constants
) -> None:
    with torch.cuda.device(device if device.type == "cuda" else -1):
        kernel[grid](*arguments, **constants, num_warps=4)


def _triton_log_sum(
    form: _Form, x: Tensor, x_half: Tensor, log_w: Tensor, skip: Tensor | None
) -> Tensor:
    """`_tiled_log_sum` in one launch."""
    n, m, blocks = len(x_half), len(log_w), _blocks(form)
    programs = math.ceil(n / blocks.rows)
    span, splits = _spans(programs, m, blocks.columns, x.device)
    columns = torch.arange(m, device=x.device)
    out = x.new_empty(splits, n)
    _launch(
        _log_sum_kernel, (programs, splits), x.device,
        x, form.y, form.coefficients.to(x.dtype), -x_half, log_w - form.y_half,
        columns if skip is None else skip, columns, out,
        n, m, form.dims, span, *form.by_point(x).stride(), *form.by_point(form.y).stride(),
        LEAVE_OUT=skip is not None, DIRECT=form.direct,
        ROWS=blocks.rows, COLUMNS=blocks.columns, CHUNK=blocks.chunk,
    )  # fmt: skip
    return (out.double() * LN_2).logsumexp(0) / LN_2


def _triton_moments(
    form: _Form,
    x: Tensor,
    x_half: Tensor,
    reference: Tensor,
    g: Tensor,
    w: Tensor,
    skip: Tensor | None,
    needs: _Needs,
) -> _Moments:
    """`_tiled_moments` in a launch that walks along rows and one that walks along columns, the same kernel twice."""
    columns = torch.arange(len(w), device=x.device)
    of_x, of_y = -x_half - reference, -form.y_half
    ids = None if skip is None else (skip, columns)
    row = square = column = weight = None
    if needs.x or needs.h:
        _, first, second = _one_sided(form, (x, of_x), (form.y, of_y), w, ids, needs.h)
        row = form.by_point(first * g[:, None])
        square = (g.double() @ second.double()) if needs.h else None
    if needs.y or needs.w:
        ids = None if ids is None else ids[::-1]
        weight, first, _ = _one_sided(form, (form.y, of_y), (x, of_x), g, ids, False)
        column = form.by_point(first * w[:, None])
    return _Moments(row, column, square, weight)


def _one_sided(
    form: _Form,
    outer: tuple[Tensor, Tensor],
    inner: tuple[Tensor, Tensor],
    factor: Tensor,
    ids: tuple[Tensor, Tensor] | None,
    need_second: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of order zero, one and two of outer − inner points, (n,), (n, d), (n, d); the last only where needed."""
    (x, of_x), (y, of_y) = outer, inner
    n, m, blocks = len(of_x), len(of_y), _blocks(form)
    programs = math.ceil(n / blocks.rows), math.ceil(form.dims / blocks.dims)
    span, splits = _spans(math.prod(programs), m, blocks.columns, x.device)
    zeroth = x.new_empty(splits, n)
    first = x.new_empty(splits, n, form.dims)
    second = torch.empty_like(first) if need_second else first
    _launch(
        _moments_kernel, (*programs, splits), x.device,
        x, y, form.coefficients.to(x.dtype), of_x, of_y, factor, *(ids or (factor, factor)),
        zeroth, first, second,
        n, m, form.dims, span, *form.by_point(x).stride(), *form.by_point(y).stride(),
        LEAVE_OUT=ids is not None, DIRECT=form.direct, SECOND=need_second,
        ROWS=blocks.rows, COLUMNS=blocks.columns, CHUNK=blocks.chunk, DIMS=blocks.dims,
    )  # fmt: skip
    return zeroth.sum(0), first.sum(0), second.sum(0)


# ------------------------------------------------------------------------------ the operator


class _Weights(NamedTuple):
    """Weights over their maximum, and what that takes off the answer."""

    share: Tensor  # (M,), the largest is 1
    bits: Tensor  # (M,), log₂ of the share
    peak: Tensor  # log of the maximum, nats
    log_total: Tensor  # log of the sum of the shares
    tolerance: float  # nats, for an answer of the dtype of y

    @classmethod
    def of(cls, w: Tensor | None, y: Tensor) -> "_Weights":
        w = y.new_full((len(y),), 1 / len(y), dtype=torch.float64) if w is None else w.double()
        share = w / w.max()
        tolerance = TOLERANCE * torch.finfo(y.dtype).eps
        return cls(share, share.log2(), w.max().log(), share.sum().log(), tolerance)


def _on_triton(form: _Form) -> bool:
    return form.dtype == torch.float32 and runs_triton(form.y.device)


def _accurate(
    form: _Form, placed: tuple[Tensor, Tensor], f: Tensor, weights: _Weights, cap: float
) -> Tensor:
    """Rows whose f_i, as this form computes it, is within the tolerance of the dtype of the answer."""
    energy = (weights.log_total + weights.peak - f).clamp_min(0)
    return form.error(*placed, energy) < weights.tolerance * f.abs().clamp(1, cap)


def _forward(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None, leave_one_out: bool) -> Tensor:
    weights, ways, cheapest = _Weights.of(w, y), _forms(y, h.expand(x.shape[1])), 0
    out = x.new_empty(len(x))
    for block in torch.arange(len(x), device=x.device).split(_block_rows(y)):
        rows = block
        for index in range(cheapest, len(ways)):
            form = ways[index]()
            placed = form.place(x[rows])
            log_sum = _triton_log_sum if _on_triton(form) else _tiled_log_sum
            skip = rows if leave_one_out else None
            f = log_sum(form, *placed, weights.bits.to(form.dtype), skip) * LN_2 + weights.peak
            out[rows] = f.to(out.dtype)
            if index < len(ways) - 1:
                rows = rows[~_accurate(form, placed, f, weights, math.inf)]
                if len(rows) == 0:
                    break
                if 2 * len(rows) > len(block):  # then those of the next block will fail as well
                    cheapest = index + 1
    return out


def _backward(
    g: Tensor,
    x: Tensor,
    y: Tensor,
    h: Tensor,
    w: Tensor | None,
    f: Tensor,
    leave_one_out: bool,
    needs: _Needs,
) -> list[Tensor]:
    weights, ways = _Weights.of(w, y), _forms(y, h.expand(x.shape[1]))
    reference = (f.double() - weights.peak) / LN_2
    x_grad, y_grad, h_grad, w_grad = (
        torch.zeros(like.shape if needed else 0, dtype=torch.float64, device=x.device)
        for like, needed in zip((x, y, h.expand(x.shape[1]), y[:, 0]), needs, strict=True)
    )
    finite = (
        (f > -torch.inf).nonzero().squeeze(1)
    )  # elsewhere there is nothing to differentiate: the gradient is zero
    for block in finite.split(_block_rows(y)):
        rows = block
        for way in ways:
            form = way()
            good = torch.ones_like(rows, dtype=torch.bool)
            if way is not ways[-1]:
                good = _accurate(form, form.place(x[rows]), f[rows].double(), weights, GRADIENT_CAP)
            chosen, rows = rows[good], rows[~good]
            if len(chosen) == 0:
                continue
            sums = (_triton_moments if _on_triton(form) else _tiled_moments)(
                form,
                *form.place(x[chosen]),
                reference[chosen].to(form.dtype),
                g[chosen].to(form.dtype),
                weights.share.to(form.dtype),
                chosen if leave_one_out else None,
                needs,
            )
            per_unit = form.unit / h.double()
            if needs.x:
                x_grad[chosen] = -form.by_point(sums.row).double() * per_unit
            if needs.y:
                y_grad -= form.by_point(sums.column).double() * per_unit
            if needs.h:
                h_grad += sums.square * form.unit * per_unit
            if needs.w:
                w_grad += sums.weight / weights.peak.exp()
            if len(rows) == 0:
                break
    if needs.h and h.dim() == 0:
        h_grad = h_grad.sum()
    return [gradient.to(x.dtype) for gradient in (x_grad, y_grad, h_grad, w_grad)]


@torch.library.custom_op(
    "genlib::log_kernel_sum",
    mutates_args=(),
    schema="(Tensor x, Tensor y, Tensor h, Tensor? w, bool leave_one_out) -> Tensor",
)
def _operator(x, y, h, w, leave_one_out):
    _check_values(x, y, h, w)
    return _forward(x, y, h, w, leave_one_out)


@torch.library.custom_op(
    "genlib::log_kernel_sum_backward",
    mutates_args=(),
    schema="(Tensor g, Tensor x, Tensor y, Tensor h, Tensor? w, Tensor f, bool leave_one_out, bool[] needs) -> Tensor[]",
)
def _backward_operator(g, x, y, h, w, f, leave_one_out, needs):
    return _backward(g, x, y, h, w, f, leave_one_out, _Needs(*needs))


@_operator.register_fake
def _(x, y, h, w, leave_one_out):
    return x.new_empty(len(x))


@_backward_operator.register_fake
def _(g, x, y, h, w, f, leave_one_out, needs):
    shapes = (x.shape, y.shape, h.shape, y.shape[:1])
    return [
        x.new_empty(shape if needed else (0,)) for shape, needed in zip(shapes, needs, strict=True)
    ]


def _save(ctx, inputs, output):
    *tensors, ctx.leave_one_out = inputs
    ctx.save_for_backward(*tensors, output)


def _differentiate(ctx, g):
    needs = list(ctx.needs_input_grad[:4])
    gradients = _backward_operator(g, *ctx.saved_tensors, ctx.leave_one_out, needs)
    return *(
        gradient if needed else None for gradient, needed in zip(gradients, needs, strict=True)
    ), None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "log_kernel_sum: second derivatives are not implemented; differentiate log_kernel_sum_reference instead, "
        "which holds the whole matrix."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse)


# ------------------------------------------------------------------------------ the public function


def log_kernel_sum(
    x: Tensor,
    y: Tensor,
    h: Tensor | float,
    w: Tensor | None = None,
    *,
    leave_one_out: bool = False,
) -> Tensor:
    """Logarithm of a weighted sum of Gaussian kernels at each query, log Σ_j w_j exp(−½‖(x_i − y_j) / h‖²).

    Differentiable once with respect to ``x``, ``y``, ``h`` and ``w``. Memory grows with N + M, not with N × M, in both
    passes. The error is below 1e-5 × max(1, |result|) in float32 and 2e-14 × max(1, |result|) in float64, whatever the
    bandwidth and wherever the origin.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Queries, float32 or float64.
    y : Tensor, shape (M, d)
        Points on which the kernels stand, of the dtype and on the device of ``x``.
    h : float or Tensor, shape () or (d,)
        Bandwidth (standard deviation of the kernel), one for all dimensions or one for each.
    w : Tensor, shape (M,), optional
        Weights, at least zero and not all zero; they need not sum to one. By default each is 1/M.
    leave_one_out : bool
        Leave out the pairs i = j, where row i of ``x`` is row i of ``y`` (M = N ≥ 2). The weights stay as they are: the
        leave-one-out density of equal weights is the result plus log(M / (M − 1)).

    Returns
    -------
    Tensor, shape (N,)
        In nats, without the kernel's normalising constant: subtract Σ log h_k + (d/2) log 2π for a density. −∞ where
        nothing of positive weight is left, or where the answer is below the dtype's range.

    Raises
    ------
    TypeError
        If an argument is no tensor, or of another dtype than float32 or float64, or the dtypes differ.
    ValueError
        If shapes or devices do not agree, something is empty or not finite, a bandwidth is not positive, a weight is
        negative, or all weights are zero.

    Notes
    -----
    The mathematics, the tiling and the bounds on rounding errors stand at the top of this file.
    """
    _check_tensors(x, y, h, w, leave_one_out)
    if not isinstance(h, Tensor):
        h = torch.full((), h, dtype=x.dtype, device=x.device)
    return _operator(x, y, h, w, leave_one_out)


def _check_tensors(
    x: Tensor, y: Tensor, h: Tensor | float, w: Tensor | None, leave_one_out: bool
) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    given = {"x": x, "y": y, "h": h, "w": w}
    if w is None:
        del given["w"]
    if isinstance(h, int | float) and not isinstance(h, bool):
        del given["h"]
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}: expected a torch.Tensor, got {type(value).__name__}; convert it with torch.as_tensor({name})."
            )
        if value.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name}: expected torch.float32 or torch.float64, got {value.dtype}; convert it with {name}.float()."
            )
        if value.dtype != x.dtype:
            raise TypeError(
                f"{name}: expected the dtype of x, {x.dtype}, got {value.dtype}; convert it with {name}.to(x.dtype)."
            )
        if value.device != x.device:
            raise ValueError(
                f"{name}: expected the device of x, {x.device}, got {value.device}; move it with {name}.to(x.device)."
            )
    for name in ("x", "y"):
        shape = tuple(given[name].shape)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"{name}: expected shape (n, d) with at least one row and one column, got {shape}."
            )
    n, m, d = len(x), len(y), x.shape[1]
    if y.shape[1] != d:
        raise ValueError(f"y: expected the {d} columns of x, got {y.shape[1]}.")
    if "h" in given and h.shape not in ((), (d,)):
        raise ValueError(
            f"h: expected one bandwidth, or one for each of the {d} columns, got shape {tuple(h.shape)}."
        )
    if "w" in given and w.shape != (m,):
        raise ValueError(
            f"w: expected one weight for each row of y, shape ({m},), got {tuple(w.shape)}."
        )
    if leave_one_out and not n == m >= 2:
        raise ValueError(
            f"leave_one_out: expected x and y to be the same rows, at least two of them, got {n} and {m} rows."
        )


def _check_values(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None) -> None:
    """Raise unless values are finite and in range, after one look at the least and the largest of each."""
    given = {"x": x, "y": y, "h": h} | ({} if w is None else {"w": w})
    extremes = torch.stack(
        [extreme for value in given.values() for extreme in value.aminmax()]
    ).tolist()
    for name, low, high in zip(given, extremes[::2], extremes[1::2], strict=True):
        if not (math.isfinite(low) and math.isfinite(high)):
            _reject(name, given[name], ~given[name].isfinite(), "expected finite values")
        if name == "h" and low <= 0:
            _reject(name, h, h <= 0, "expected bandwidths greater than zero")
        if name == "w" and low < 0:
            _reject(name, w, w < 0, "expected no weight below zero")
        if name == "w" and high == 0:
            raise ValueError("w: expected at least one weight above zero, got only zeros.")


def _reject(name: str, value: Tensor, wrong: Tensor, expected: str) -> None:
    index = tuple(wrong.nonzero()[0].tolist())
    where = f" at index {index}" if index else ""
    raise ValueError(f"{name}: {expected}, got {value[index].item():g}{where}.")
