"""Log of a sum of Gaussian kernels, and its gradients, without the N × M matrix of kernels.

For queries x_1 … x_N, points y_1 … y_M in d dimensions, bandwidths h_1 … h_d and weights w_j::

    f_i  = log Σ_j w_j exp(−s_ij),        s_ij = ½ Σ_k ((x_ik − y_jk) / h_k)²
    p_ij = w_j exp(−s_ij − f_i)           responsibility of point j for query i; Σ_j p_ij = 1

    ∂f_i/∂x_ik = −Σ_j p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂y_jk = +p_ij (x_ik − y_jk) / h_k²
    ∂f_i/∂h_k  = +Σ_j p_ij (x_ik − y_jk)² / h_k³
    ∂f_i/∂w_j  = exp(−s_ij − f_i)         which is p_ij / w_j, and finite where w_j = 0

A kernel density estimate is f_i − Σ_k log h_k − (d/2) log 2π, with weights that sum to one.

**Tiles.** Both passes walk over tiles of the matrix. The forward pass keeps, for each row, a
reference r_i and the sum of exp(t_ij − r_i) over the columns seen so far, t_ij = log w_j − s_ij,
and rescales the sum when a later column rises above the reference [1]: nothing overflows, and a
finite answer never comes out as −∞. The backward pass computes each tile again, with r_i = f_i.
Inside, exponents are to base 2, because ``exp2`` is what hardware has.

**Rounding.** ‖x − y‖² as ‖x‖² + ‖y‖² − 2 x·y is one matrix product, but it cancels: with ‖x‖ of
1000 bandwidths, float32 keeps no digit of a small s. Differences lose nothing, but pass over the
tile for every dimension. So each way bounds its error in nats [2], and every row is computed by the
first way, from cheap to exact, whose bound stays below ``TOLERANCE × max(1, |f_i|)``. An error ε_ij
of the exponents moves f_i by Σ_j p_ij ε_ij, and Gibbs' inequality bounds the energies that count:
Σ_j p_ij s_ij ≤ log Σ_j w_j − f_i.

References
----------
[1] Milakov and Gimelshein (2018), "Online normalizer calculation for softmax", arXiv:1805.02867.
[2] Higham (2002), "Accuracy and Stability of Numerical Algorithms", chapters 3 and 4.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_tensor
from genlib.kernels._dispatch import launch, processors, runs_triton, tl, triton
from genlib.kernels._threads import once, parallel_map

LN_2 = math.log(2)

# Error allowed in f_i over max(1, |f_i|), in epsilons: 1e-5 in float32, 2e-14 in float64.
TOLERANCE = 84.0
# The backward pass exponentiates −f_i: there a large |f_i| excuses this many tolerances, no more.
GRADIENT_CAP = 100.0
# What summing over j and the logarithm may lose, whatever the way to the exponents.
_SUM_ROUNDINGS = 40.0


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


# --------------------------------------------------------------------- two ways to an exponent


class _Needs(NamedTuple):
    """Which gradients are asked for."""

    x: bool
    y: bool
    h: bool
    w: bool


class _Moments(NamedTuple):
    """Sums over a block of rows with weights g_i p_ij, in the coordinates of a form."""

    row: Tensor  # Σ_j g_i p_ij (x_i − y_j), stored as the form stores x
    column: Tensor  # Σ_i g_i p_ij (y_j − x_i), stored as the form stores y
    square: Tensor  # Σ_ij g_i p_ij (x_ik − y_jk)², (d,), float64
    weight: Tensor  # Σ_i g_i p_ij / w_j, (M,)


class _Differences:
    """s from differences of coordinates: few roundings, whatever the data; two passes a dimension.

    Points are stored as (d, n), each dimension times a power of two close to 1/h. This rounds
    nothing, and keeps squares from overflow and underflow whatever the unit of the data.
    """

    direct = True

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        mantissa, exponent = torch.frexp(h.double())
        self.dtype, self.dims = dtype, len(h)
        self.scale = torch.ldexp(torch.ones_like(mantissa), -exponent)
        self.unit = 1 / mantissa  # (x − y) / h is the difference of stored coordinates times this
        self.factors = (self.unit.square() / (2 * LN_2)).tolist()
        self.y, self.y_half = self.place(y)

    def place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates, (d, n), and what each point alone adds to s: nothing, (n,)."""
        at = (x.double() * self.scale).T.to(self.dtype, memory_format=torch.contiguous_format)
        return at, at.new_zeros(len(x))

    def by_point(self, stored: Tensor) -> Tensor:
        """Turn stored coordinates into (n, d), and back."""
        return stored.T

    def error(self, x: Tensor, x_half: Tensor, energy: Tensor) -> Tensor:
        """Bound on the error of f_i, (n,): relative to s, unless a square overflows."""
        limits = torch.finfo(self.dtype)
        largest = torch.maximum(x.abs().amax(0), self.y.abs().max())
        roundings = (self.dims + 8) * (1 + energy) + _SUM_ROUNDINGS
        return (limits.eps / 2 * roundings).where(largest < limits.max**0.45, torch.inf)

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
        for a, b, factor in zip(x, self.y[:, columns], self.factors, strict=True):
            torch.sub(a[:, None], b, out=scratch)
            t.addcmul_(scratch, scratch, value=-factor)

    def add_moments(
        self,
        sums: _Moments,
        p: Tensor,
        scratch: list[Tensor],
        x: Tensor,
        columns: slice,
        needs: _Needs,
    ) -> None:
        """Add the moments of a tile."""
        difference, weighted = scratch
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
    """s from matrix products of centred points, in bandwidths: s = ½‖x‖² + ½‖y‖² − x·y."""

    direct = False
    chunk = 32  # dimensions a product, at most: a sum of short sums rounds less than one long sum

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        self.dtype, self.dims = dtype, len(h)
        self.centre = y.mean(0, dtype=torch.float64).to(y.dtype).to(dtype)
        self.scale = (1 / (h.double() * math.sqrt(LN_2))).to(dtype)
        self.unit = torch.full_like(h, math.sqrt(LN_2), dtype=torch.float64)
        self.factors: list[float] = []  # only differences need them
        self.y, self.y_half = self.place(y)

    def place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates, (n, d), and what each point alone adds to s, (n,)."""
        at = (x.to(self.dtype) - self.centre) * self.scale
        return at, at.square().sum(1) / 2

    def by_point(self, stored: Tensor) -> Tensor:
        """Turn stored coordinates into (n, d), and back."""
        return stored

    def error(self, x: Tensor, x_half: Tensor, energy: Tensor) -> Tensor:
        """Bound on the error of f_i, (n,).

        Let a = ‖x_i‖, and b ≤ a + √(2 energy) the mean ‖y_j‖ that counts. A sum of K products alike
        loses at most K/2 roundings of ab; so does the sum of chunks, of 16 dimensions or more.
        Adding ‖x‖² and ‖y‖² loses one of (a + b)², and placing the points one of ‖x − y‖(a + b).
        """
        a = (2 * LN_2 * x_half).sqrt()
        reach = (2 * energy).sqrt()
        b = a + reach
        terms = (min(self.dims, self.chunk) + self.dims / 16) / 2
        roundings = terms * a * b + (a + b).square() + reach * (a + b)
        return torch.finfo(self.dtype).eps / 2 * (roundings + _SUM_ROUNDINGS)

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
        self,
        sums: _Moments,
        p: Tensor,
        scratch: list[Tensor],
        x: Tensor,
        columns: slice,
        needs: _Needs,
    ) -> None:
        """Add the moments of a tile."""
        y = self.y[columns]
        if needs.x or needs.h:
            row = torch.addmm(x * p.sum(1)[:, None], p, y, alpha=-1)
            sums.row.add_(row)
        if needs.y or needs.h:
            column = torch.addmm(y * p.sum(0)[:, None], p.T, x, alpha=-1)
            sums.column[columns] += column
        if needs.h:  # p (x − y)² = p (x − y) x + p (y − x) y
            sums.square.add_((x * row).sum(0, dtype=torch.float64))
            sums.square.add_((y * column).sum(0, dtype=torch.float64))


_Form = _Differences | _Products


def _forms(y: Tensor, h: Tensor) -> list[Callable[[], _Form]]:
    """The ways to compute, from cheap to exact, each made when it is first called for."""
    d, single, double = len(h), torch.float32, torch.float64
    fast = runs_triton(y.device)
    few = 15 if fast else 4  # in Triton a difference costs twice a product; here, many times that
    exact = (_Differences, double)
    if y.dtype == double:
        ways = [exact] if d <= few else [(_Products, double), exact]
    elif d <= few:
        ways = [(_Differences, single), exact]
    else:
        ways = [(_Products, double), exact]
        if fast and d <= 128:
            ways.insert(0, (_Differences, single))
        if fast or _products_are_exact():
            ways.insert(0, (_Products, single))
    return [once(partial(way, y, h, dtype)) for way, dtype in ways]


def _products_are_exact() -> bool:
    """Whether torch multiplies float32 matrices in float32, and not in fewer bits for speed."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set for single backends, by torch's newer interface
        return False


# --------------------------------------------------------------------- tiles, in plain torch

# Entries and rows of a tile. On a CPU, tiles and their scratch stay in the last-level cache, and
# BLAS likes them tall; on a GPU, launches must not dominate.
_TILE = {"cpu": 2**20, "cuda": 2**23}
_ROWS = {"cpu": 2**11, "cuda": 2**16}
# A row's reference is raised when its sum reaches so many bits; exponents stop there, for the time.
_HEADROOM = 64.0


def _tiles(form: _Form, rows: int, scratch: int) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
    """Yield the columns of each tile, memory to write it into, and more memory of its shape."""
    m = len(form.y_half)
    width = min(m, max(1, _TILE[form.y.device.type] // rows))
    memory = form.y_half.new_empty(1 + scratch, rows * width)
    for start in range(0, m, width):
        shape = rows, min(width, m - start)
        tile, *more = (part[: math.prod(shape)].view(shape) for part in memory)
        yield slice(start, start + shape[1]), tile, more


def _tiled_log_sum(
    form: _Form, x: Tensor, x_half: Tensor, log_w: Tensor, skip: Tensor | None
) -> Tensor:
    """log₂ Σ_j w_j exp(−s_ij) for a block of rows, (n,), float64; ``log_w`` is to base 2 too."""
    reference = torch.zeros_like(x_half)
    total = torch.zeros_like(x_half, dtype=torch.float64)
    begun = torch.zeros_like(x_half, dtype=torch.bool)  # whether the row has had a term
    settled = False  # whether all rows have
    for columns, t, (scratch,) in _tiles(form, len(x_half), 1):
        write = partial(_write_tile, t, scratch, form, x, x_half)
        write(reference, columns, log_w, skip)
        if not settled:
            top = t.amax(1)
            new = ~begun & (top > -torch.inf)
            rise = top.where(new, 0)
            reference += rise
            t.sub_(rise[:, None])
            total.masked_fill_(new, 0)
            begun |= new
            settled = bool(begun.all())
        part = _sum_exp2(t)
        if part.max() >= 2**_HEADROOM:
            # Written again, not shifted: against a reference far too low, small s were rounded. So
            # was the rise itself: every round gains as many digits as the dtype has.
            write(reference, columns, log_w, skip)
            top = t.amax(1)
            risen = top > _HEADROOM / 2
            for _ in range(8):
                higher = reference + top.where(risen & (top.abs() > 1), 0)
                if torch.equal(higher, reference):
                    break
                total *= torch.exp2((reference.double() - higher.double()).clamp_max(900))
                reference = higher
                write(reference, columns, log_w, skip)
                top = t.amax(1)
            part = _sum_exp2(t)
        total += part
    return (reference + total.log2()).where(begun, -torch.inf)


def _write_tile(
    t: Tensor,
    scratch: Tensor,
    form: _Form,
    x: Tensor,
    x_half: Tensor,
    reference: Tensor,
    columns: slice,
    log_w: Tensor,
    skip: Tensor | None,
) -> None:
    """Fill a tile with exponents above the reference, to base 2."""
    of_row, of_column = -x_half - reference, log_w[columns] - form.y_half[columns]
    form.write_exponents(t, scratch, x, columns, of_row, of_column)
    if skip is not None:
        row = ((skip >= columns.start) & (skip < columns.stop)).nonzero().squeeze(1)
        t[row, skip[row] - columns.start] = -torch.inf


def _sum_exp2(t: Tensor) -> Tensor:
    """Σ_j 2^t_ij, with t between the dtype's range and the headroom; spoils t.

    Torch's exp2 is several times slower on a vector in which anything underflows.
    """
    return t.clamp_(math.log2(torch.finfo(t.dtype).tiny), _HEADROOM).exp2_().sum(1)


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
    """Moments over a block of rows, with p_ij = w_j exp(−s_ij) / 2^reference_i."""
    empty = (x, form.y, form.unit, form.y_half)
    sums = _Moments(*(torch.zeros_like(like) for like in empty))
    bits, no_weight = -math.log2(torch.finfo(form.dtype).tiny), torch.zeros_like(w)
    for columns, t, scratch in _tiles(form, len(x_half), 2):
        _write_tile(t, scratch[0], form, x, x_half, reference, columns, no_weight, skip)
        # Before w_j is in it, p may be large, but only so far as w_j is small.
        t.clamp_(-bits, bits).exp2_().mul_(g[:, None])
        if needs.w:
            sums.weight[columns] = t.sum(0)
        if needs.x or needs.y or needs.h:
            form.add_moments(sums, t.mul_(w[columns]), scratch, x, columns, needs)
    return sums


# --------------------------------------------------------------------- Triton


@triton.jit
def _exponents(
    x_ptr, y_ptr, factor_ptr, i, j, in_x, in_y, of_i, of_j,
    dims, x_point, x_dim, y_point, y_dim,
    DIRECT: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """A tile (j, i) of exponents; i, j are int64, ``*_point`` and ``*_dim`` strides.

    Lanes of a warp lie along i, so that sums over j mostly stay within a thread.
    """
    if DIRECT:
        t = of_j[:, None] + of_i[None, :]
        x_at, y_at = x_ptr + i * x_point, y_ptr + j * y_point
        for k in range(dims):
            a = tl.load(x_at, mask=in_x, other=0.0)
            b = tl.load(y_at, mask=in_y, other=0.0)
            difference = a[None, :] - b[:, None]
            t -= tl.load(factor_ptr + k) * difference * difference
            x_at += x_dim
            y_at += y_dim
    else:
        t = tl.zeros([j.shape[0], i.shape[0]], dtype=tl.float32)
        k = tl.arange(0, CHUNK)
        x_at = x_ptr + i[None, :] * x_point + k[:, None] * x_dim
        y_at = y_ptr + j[:, None] * y_point + k[None, :] * y_dim
        for start in range(0, dims, CHUNK):
            rest = k < dims - start
            a = tl.load(x_at, mask=rest[:, None] & in_x[None, :], other=0.0)
            b = tl.load(y_at, mask=in_y[:, None] & rest[None, :], other=0.0)
            # Added, it would be compiled into one long sum; subtracted, chunks stay apart.
            t -= tl.dot(b, -a, input_precision="ieee")
            x_at += CHUNK * x_dim
            y_at += CHUNK * y_dim
        t += of_i[None, :]
        t += of_j[:, None]
    return t


@triton.jit
def _log_sum_kernel(
    x_ptr, y_ptr, factor_ptr, of_x_ptr, of_y_ptr, x_id_ptr, y_id_ptr, out_ptr,
    n, m, span, dims, x_point, x_dim, y_point, y_dim,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Online log₂-sum-exp₂ of a block of rows over a span of columns."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_x = i < n
    of_i = tl.load(of_x_ptr + i, mask=in_x, other=0.0)
    top = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float64)  # thousands of terms alike would round the same way
    begin = tl.program_id(1) * span
    end = tl.minimum(begin + span, m)
    for start in range(begin, end, COLUMNS):
        j = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        in_y = j < end
        of_j = tl.load(of_y_ptr + j, mask=in_y, other=-float("inf"))
        t = _exponents(
            x_ptr, y_ptr, factor_ptr, i, j, in_x, in_y, of_i, of_j,
            dims, x_point, x_dim, y_point, y_dim, DIRECT, CHUNK,
        )  # fmt: skip
        if LEAVE_OUT:
            x_id = tl.load(x_id_ptr + i, mask=in_x, other=-1)
            y_id = tl.load(y_id_ptr + j, mask=in_y, other=-2)
            t = tl.where(y_id[:, None] == x_id[None, :], -float("inf"), t)
        new = tl.maximum(top, tl.max(t, 0))
        shift = tl.where(new == -float("inf"), 0.0, new)  # −∞ − (−∞) would be NaN
        total = total * tl.exp2(top - shift) + tl.sum(tl.exp2(t - shift[None, :]), 0)
        top = new
    f = top + tl.log2(total.to(tl.float32))
    tl.store(out_ptr + tl.program_id(1).to(tl.int64) * n + i, f, mask=in_x)


@triton.jit
def _moments_kernel(
    x_ptr, y_ptr, factor_ptr, of_x_ptr, of_y_ptr, weight_ptr, x_id_ptr, y_id_ptr,
    zeroth_ptr, first_ptr, second_ptr,
    n, m, span, dims, x_point, x_dim, y_point, y_dim,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr, SECOND: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    """Moments of x_i − y_j under 2^t_ij weight_j: some rows, some dimensions, a span of columns."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_x = i < n
    of_i = tl.load(of_x_ptr + i, mask=in_x, other=-float("inf"))
    lanes = tl.arange(0, DIMS)
    first_dim = tl.program_id(1) * DIMS
    k = (first_dim + lanes).to(tl.int64)
    in_k = k < dims
    zeroth = tl.zeros([ROWS], tl.float32)
    first = tl.zeros([DIMS, ROWS], tl.float32)
    second = tl.zeros([DIMS, ROWS], tl.float32)
    begin = tl.program_id(2) * span
    end = tl.minimum(begin + span, m)
    for start in range(begin, end, COLUMNS):
        j = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        in_y = j < end
        of_j = tl.load(of_y_ptr + j, mask=in_y, other=-float("inf"))
        t = _exponents(
            x_ptr, y_ptr, factor_ptr, i, j, in_x, in_y, of_i, of_j,
            dims, x_point, x_dim, y_point, y_dim, DIRECT, CHUNK,
        )  # fmt: skip
        if LEAVE_OUT:
            x_id = tl.load(x_id_ptr + i, mask=in_x, other=-1)
            y_id = tl.load(y_id_ptr + j, mask=in_y, other=-2)
            t = tl.where(y_id[:, None] == x_id[None, :], -float("inf"), t)
        p = tl.exp2(tl.minimum(t, 126.0)) * tl.load(weight_ptr + j, mask=in_y, other=0.0)[:, None]
        zeroth += tl.sum(p, 0)
        if DIRECT:
            x_at = x_ptr + i * x_point + first_dim.to(tl.int64) * x_dim
            y_at = y_ptr + j * y_point + first_dim.to(tl.int64) * y_dim
            for lane in range(tl.minimum(dims - first_dim, DIMS)):
                a = tl.load(x_at, mask=in_x, other=0.0)
                b = tl.load(y_at, mask=in_y, other=0.0)
                difference = a[None, :] - b[:, None]
                weighted = p * difference
                here = (lanes == lane)[:, None]
                first += tl.where(here, tl.sum(weighted, 0)[None, :], 0.0)
                if SECOND:
                    second += tl.where(here, tl.sum(weighted * difference, 0)[None, :], 0.0)
                x_at += x_dim
                y_at += y_dim
        else:
            b_at = y_ptr + j[None, :] * y_point + k[:, None] * y_dim
            b = tl.load(b_at, mask=in_y[None, :] & in_k[:, None], other=0.0)
            first += tl.dot(b, p, input_precision="ieee")
            if SECOND:
                second += tl.dot(b * b, p, input_precision="ieee")
    in_out = in_k[:, None] & in_x[None, :]
    if not DIRECT:  # so far these are moments of y_j alone
        a_at = x_ptr + i[None, :] * x_point + k[:, None] * x_dim
        a = tl.load(a_at, mask=in_out, other=0.0)
        second += a * (a * zeroth[None, :] - 2 * first)
        first = a * zeroth[None, :] - first
    row = tl.program_id(2).to(tl.int64) * n + i
    if first_dim == 0:
        tl.store(zeroth_ptr + row, zeroth, mask=in_x)
    out = row[None, :] * dims + k[:, None]
    tl.store(first_ptr + out, first, mask=in_out)
    if SECOND:
        tl.store(second_ptr + out, second, mask=in_out)


class _Blocks(NamedTuple):
    """Shape of a program's work, in powers of two, and 16 at least where ``tl.dot`` sees them."""

    rows: int
    columns: int
    chunk: int  # dimensions a product sums
    dims: int  # dimensions whose moments a program keeps
    warps: int


def _blocks(form: _Form, moments: bool) -> _Blocks:
    """A row a thread for differences; for products as much as registers hold, factors included."""
    dims = triton.next_power_of_2(form.dims)
    if form.direct:
        return _Blocks(rows=128, columns=32, chunk=16, dims=min(16, max(4, dims)), warps=4)
    columns = 16 if moments else 64
    return _Blocks(rows=64, columns=columns, chunk=16, dims=min(64, max(16, dims)), warps=8)


def _spans(programs: int, m: int, columns: int, device: torch.device) -> tuple[int, int]:
    """Columns that one program walks over, and programs a row: more of them where rows are few."""
    blocks = math.ceil(m / columns)
    wanted = max(1, 4 * processors(device) // programs)
    span = math.ceil(blocks / min(blocks, wanted)) * columns
    return span, math.ceil(m / span)


def _triton_log_sum(
    form: _Form, x: Tensor, x_half: Tensor, log_w: Tensor, skip: Tensor | None
) -> Tensor:
    """`_tiled_log_sum` in one launch."""
    n, m, blocks = len(x_half), len(log_w), _blocks(form, moments=False)
    programs = math.ceil(n / blocks.rows)
    span, splits = _spans(programs, m, blocks.columns, x.device)
    columns = torch.arange(m, device=x.device)
    out = x.new_empty(splits, n)
    launch(
        _log_sum_kernel, (programs, splits), x.device,
        x, form.y, x.new_tensor(form.factors), -x_half, log_w - form.y_half,
        columns if skip is None else skip, columns, out,
        n, m, span, form.dims, *form.by_point(x).stride(), *form.by_point(form.y).stride(),
        LEAVE_OUT=skip is not None, DIRECT=form.direct,
        ROWS=blocks.rows, COLUMNS=blocks.columns, CHUNK=blocks.chunk, num_warps=blocks.warps,
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
    """`_tiled_moments`, along rows and along columns: the same kernel with x and y exchanged."""
    rows, columns = (x, -x_half - reference), (form.y, -form.y_half)
    ids = None if skip is None else (skip, torch.arange(len(w), device=x.device))
    row = square = column = weight = None
    if needs.x or needs.h:
        _, first, second = _one_sided_moments(form, rows, columns, w, ids, needs.h)
        row = form.by_point(first * g[:, None])
        square = g.double() @ second.double()
    if needs.y or needs.w:
        # With w_j in the exponents nothing overflows; where w_j = 0, only ∂f/∂w_j can, and may.
        counts = w > 0
        share = w.where(counts, 1)
        columns = (form.y, share.log2() - form.y_half)
        zeroth, first, _ = _one_sided_moments(form, columns, rows, g, ids and ids[::-1], False)
        weight, column = zeroth / share, form.by_point(first.where(counts[:, None], 0))
    return _Moments(row, column, square, weight)


def _one_sided_moments(
    form: _Form,
    outer: tuple[Tensor, Tensor],
    inner: tuple[Tensor, Tensor],
    weight: Tensor,
    ids: tuple[Tensor, Tensor] | None,
    second_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of outer − inner points of order 0, 1 and, where needed, 2: (n,), (n, d), (n, d)."""
    (x, of_x), (y, of_y) = outer, inner
    n, m, blocks = len(of_x), len(of_y), _blocks(form, moments=True)
    programs = math.ceil(n / blocks.rows), math.ceil(form.dims / blocks.dims)
    span, splits = _spans(math.prod(programs), m, blocks.columns, x.device)
    zeroth, first = x.new_empty(splits, n), x.new_empty(splits, n, form.dims)
    second = torch.empty_like(first) if second_needed else first
    launch(
        _moments_kernel, (*programs, splits), x.device,
        x, y, x.new_tensor(form.factors), of_x, of_y, weight, *(ids or (weight, weight)),
        zeroth, first, second,
        n, m, span, form.dims, *form.by_point(x).stride(), *form.by_point(y).stride(),
        LEAVE_OUT=ids is not None, DIRECT=form.direct, SECOND=second_needed,
        ROWS=blocks.rows, COLUMNS=blocks.columns, CHUNK=blocks.chunk, DIMS=blocks.dims,
        num_warps=blocks.warps,
    )  # fmt: skip
    return zeroth.sum(0), first.sum(0), second.sum(0)


# --------------------------------------------------------------------- forward and backward


class _Weights(NamedTuple):
    """Weights over their maximum, so that no exponent is large on their account; float64."""

    share: Tensor  # (M,), the largest is 1
    peak: Tensor  # log of the maximum
    log_total: Tensor  # log of the sum of the weights themselves

    @classmethod
    def of(cls, w: Tensor | None, y: Tensor) -> "_Weights":
        w = y.new_full((len(y),), 1 / len(y), dtype=torch.float64) if w is None else w.double()
        return cls(w / w.max(), w.max().log(), w.sum().log())


def _on_triton(form: _Form) -> bool:
    return form.dtype == torch.float32 and runs_triton(form.y.device)


def _accurate(
    form: _Form, placed: tuple[Tensor, Tensor], f: Tensor, log_total: Tensor, allowed: Tensor
) -> Tensor:
    """Whether this form computes f_i with an error less than ``allowed``, (n,)."""
    return form.error(*placed, (log_total - f).clamp_min(0)) < allowed


def _parts(rows: Tensor, y: Tensor, most: int) -> tuple[Tensor, ...]:
    """Divide rows among threads, where that pays; at most ``most`` parts."""
    threads = min(most, torch.get_num_threads()) if y.device.type == "cpu" else 1
    pays = len(rows) >= 2 * threads and len(rows) * len(y) >= 2**17
    return rows.tensor_split(threads if pays else 1)


def _row_blocks(rows: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Divide rows into blocks one tile high; the fewer the columns, the higher."""
    device = y.device.type
    return rows.split(max(_ROWS[device], _TILE[device] // len(y)))


def _forward(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None, leave_one_out: bool) -> Tensor:
    weights, ways = _Weights.of(w, y), _forms(y, h.expand(x.shape[1]))
    tolerance = TOLERANCE * torch.finfo(x.dtype).eps
    out = x.new_empty(len(x))

    def attempt(way: Callable[[], _Form], rows: Tensor) -> Tensor:
        """Compute rows in one way; return those of which it says that they are not accurate."""
        form = way()
        placed, log_w = form.place(x[rows]), weights.share.log2().to(form.dtype)
        log_sum = _triton_log_sum if _on_triton(form) else _tiled_log_sum
        f = log_sum(form, *placed, log_w, rows if leave_one_out else None) * LN_2 + weights.peak
        out[rows] = f.to(out.dtype)
        allowed = tolerance * f.abs().clamp_min(1)
        return rows[~_accurate(form, placed, f, weights.log_total, allowed)]

    rows = torch.arange(len(x), device=x.device)
    first = 0
    if len(x) > 2000 and len(ways) > 2:  # what fails on most of a sample is not tried on the rest
        sample = rows[:: len(x) // 64].tensor_split(2)
        while first < len(ways) - 1:
            failed = parallel_map(partial(attempt, ways[first]), sample)
            if 2 * sum(map(len, failed)) <= sum(map(len, sample)):
                break
            first += 1

    def compute(block: Tensor) -> None:
        for way in ways[first:]:
            block = attempt(way, block)
            if len(block) == 0:
                break

    parts = _parts(rows, y, len(rows))
    parallel_map(compute, [block for part in parts for block in _row_blocks(part, y)])
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
    tolerance = TOLERANCE * torch.finfo(x.dtype).eps

    def zeros(shape: torch.Size, needed: bool) -> Tensor:
        return torch.zeros(shape if needed else 0, dtype=torch.float64, device=x.device)

    x_gradient = zeros(x.shape, needs.x)  # one for all parts, which write different rows

    def compute(part: Tensor) -> list[Tensor]:
        others = (y.shape, needs.y), (x.shape[1:], needs.h), (y.shape[:1], needs.w)
        gradients = [x_gradient, *(zeros(shape, needed) for shape, needed in others)]
        for rows in _row_blocks(part, y):
            for way in ways:
                form = way()
                allowed = tolerance * f[rows].double().abs().clamp(1, GRADIENT_CAP)
                placed = form.place(x[rows])
                good = _accurate(form, placed, f[rows].double(), weights.log_total, allowed)
                chosen = rows if way is ways[-1] else rows[good]
                if len(chosen):
                    _add_gradients(
                        gradients, form, chosen, g, x, h, f, weights, leave_one_out, needs
                    )
                if len(chosen) == len(rows):
                    break
                rows = rows[~good]
        return gradients[1:]

    # Where f is −∞ nothing pulls: the gradient is taken as zero.
    finite = (f > -torch.inf).nonzero().squeeze(1)
    parts = _parts(finite, y, most=max(1, 2**26 // y.numel()))  # each has a gradient of y's size
    gradients = [x_gradient, *map(sum, zip(*parallel_map(compute, parts), strict=True))]
    if needs.h and h.dim() == 0:
        gradients[2] = gradients[2].sum()
    return [gradient.to(x.dtype) for gradient in gradients]


def _add_gradients(
    gradients: list[Tensor],
    form: _Form,
    rows: Tensor,
    g: Tensor,
    x: Tensor,
    h: Tensor,
    f: Tensor,
    weights: _Weights,
    leave_one_out: bool,
    needs: _Needs,
) -> None:
    """Add what ``rows`` contribute, by one form."""
    moments = _triton_moments if _on_triton(form) else _tiled_moments
    sums = moments(
        form,
        *form.place(x[rows]),
        ((f[rows].double() - weights.peak) / LN_2).to(form.dtype),
        g[rows].to(form.dtype),
        weights.share.to(form.dtype),
        rows if leave_one_out else None,
        needs,
    )
    per_bandwidth = form.unit / h.double()
    x_gradient, y_gradient, h_gradient, w_gradient = gradients
    if needs.x:
        x_gradient[rows] = -form.by_point(sums.row).double() * per_bandwidth
    if needs.y:
        y_gradient -= form.by_point(sums.column).double() * per_bandwidth
    if needs.h:
        h_gradient += sums.square * form.unit * per_bandwidth
    if needs.w:
        w_gradient += sums.weight * torch.exp(-weights.peak)


# --------------------------------------------------------------------- the operator


@torch.library.custom_op(
    "genlib::log_kernel_sum",
    mutates_args=(),
    schema="(Tensor x, Tensor y, Tensor h, Tensor? w, bool leave_one_out) -> Tensor",
)
def _operator(x, y, h, w, leave_one_out):
    _check_values(x, y, h, w)
    with torch.autocast(x.device.type, enabled=False):
        return _forward(x, y, h, w, leave_one_out)


@torch.library.custom_op(
    "genlib::log_kernel_sum_backward",
    mutates_args=(),
    schema="(Tensor g, Tensor x, Tensor y, Tensor h, Tensor? w, Tensor f,"
    " bool leave_one_out, bool[] needs) -> Tensor[]",
)
def _backward_operator(g, x, y, h, w, f, leave_one_out, needs):
    with torch.autocast(x.device.type, enabled=False):
        return _backward(g, x, y, h, w, f, leave_one_out, _Needs(*needs))


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
    The mathematics, the tiles and the bounds on rounding stand at the top of this file.
    """
    _check_tensors(x, y, h, w, leave_one_out)
    if not isinstance(h, Tensor):
        h = torch.full((), h, dtype=x.dtype, device=x.device)
    return _operator(x, y, h, w, leave_one_out)


def _check_tensors(
    x: Tensor, y: Tensor, h: Tensor | float, w: Tensor | None, leave_one_out: bool
) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    check_tensor("x", x, x)
    check_tensor("y", y, x)
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
        check_tensor("h", h, x)
        if tuple(h.shape) not in ((), (d,)):
            raise ValueError(
                f"h: expected one bandwidth, or one for each of {d} columns, "
                f"got shape {tuple(h.shape)}."
            )
    if w is not None:
        check_tensor("w", w, x)
        if tuple(w.shape) != (m,):
            raise ValueError(
                f"w: expected one weight for each row of y, shape ({m},), got {tuple(w.shape)}."
            )
    if leave_one_out and not n == m >= 2:
        raise ValueError(
            "leave_one_out: expected x and y to be the same rows, two at least, "
            f"got {n} and {m} rows."
        )


def _check_values(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None) -> None:
    """Raise unless values are finite and in range, after one look at their extremes."""
    given = {"x": x, "y": y, "h": h} | ({} if w is None else {"w": w})
    extremes = torch.stack([end for value in given.values() for end in value.aminmax()]).tolist()
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
    largest, least = max(map(abs, extremes[:4])), extremes[4]
    if largest / least > 1e150:
        raise ValueError(
            f"h: expected bandwidths above 1e-150 of the largest coordinate, {largest:g}, "
            f"got {least:g}."
        )


def _reject(name: str, value: Tensor, wrong: Tensor, expected: str) -> None:
    index = tuple(wrong.nonzero()[0].tolist())
    place = f" at index {index}" if index else ""
    raise ValueError(f"{name}: expected {expected}, got {value[index].item():g}{place}.")
