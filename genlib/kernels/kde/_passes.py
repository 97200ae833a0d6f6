"""The forward and the backward pass: which form computes which rows, on which threads."""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import dropwhile
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._dispatch import runs_triton
from genlib.kernels._threads import parallel_map
from genlib.kernels.kde import _gpu, _tiles
from genlib.kernels.kde._forms import LN_2, TOLERANCE, Differences, Form, Needs, Points, Products

# The backward pass exponentiates −f_i: there a large |f_i| excuses this many tolerances, no more.
_GRADIENT_CAP = 100.0


class Weights(NamedTuple):
    """Weights over their maximum, so that no exponent is large on their account; float64."""

    relative: Tensor  # (M,), the largest is 1
    peak: Tensor  # log of the maximum
    log_total: Tensor  # log of the sum of the weights themselves

    @classmethod
    def of(cls, w: Tensor | None, y: Tensor) -> "Weights":
        w = y.new_full((len(y),), 1 / len(y), dtype=torch.float64) if w is None else w.double()
        return cls(w / w.max(), w.max().log(), w.sum().log())


def forward(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None, leave_one_out: bool) -> Tensor:
    """`log_kernel_sum` of arguments that have been checked."""
    weights, forms = Weights.of(w, y), forms_for(y, h.expand(x.shape[1]))
    out = x.new_empty(len(x))

    def attempt(make: Callable[[], Form], rows: Tensor) -> Tensor:
        """Compute rows by one form; return those for which it cannot vouch."""
        form = make()
        points, log_w = form.place(x[rows]), weights.relative.log2().to(form.dtype)
        log_sum = _backend(form).log_sum(form, points, log_w, rows if leave_one_out else None)
        f = log_sum * LN_2 + weights.peak
        out[rows] = f.to(out.dtype)
        return rows[~_accurate(form, points, f, weights, x.dtype)]

    def fails(make: Callable[[], Form]) -> bool:
        (failed,) = parallel_map(partial(attempt, make), [sample], x.device, serial=True)
        return 2 * len(failed) > len(sample)

    def compute(rows: Tensor) -> None:
        for make in forms:
            rows = attempt(make, rows)
            if len(rows) == 0:
                break

    rows = torch.arange(len(x), device=x.device)
    if len(x) > 2000:  # what fails on most of a sample is not tried on the rest
        sample = rows[:: len(x) // 32]
        forms = [*dropwhile(fails, forms[:-1]), forms[-1]]
    parts = _parts(rows, y, most=len(rows))
    blocks = [block for part in parts for block in _tiles.row_blocks(part, y)]
    parallel_map(compute, blocks, x.device)
    return out


def backward(
    g: Tensor,
    x: Tensor,
    y: Tensor,
    h: Tensor,
    w: Tensor | None,
    f: Tensor,
    leave_one_out: bool,
    needs: Needs,
) -> list[Tensor]:
    """Gradients of Σ_i g_i f_i with respect to x, y, h and w, empty where they are not needed."""
    weights, forms = Weights.of(w, y), forms_for(y, h.expand(x.shape[1]))

    def zeros(shape: torch.Size, needed: bool) -> Tensor:
        return torch.zeros(shape if needed else 0, dtype=torch.float64, device=x.device)

    x_gradient = zeros(x.shape, needs.x)  # one for all parts, which write different rows

    def add(gradients: list[Tensor], form: Form, rows: Tensor) -> None:
        """Add what ``rows`` contribute, by one form."""
        sums = _backend(form).moments(
            form,
            form.place(x[rows]),
            ((f[rows].double() - weights.peak) / LN_2).to(form.dtype),
            g[rows].to(form.dtype),
            weights.relative.to(form.dtype),
            rows if leave_one_out else None,
            needs,
        )
        per_bandwidth = form.unit / h.double()
        y_gradient, h_gradient, w_gradient = gradients
        if needs.x:
            x_gradient[rows] = -form.by_point(sums.row).double() * per_bandwidth
        if needs.y:
            y_gradient -= form.by_point(sums.column).double() * per_bandwidth
        if needs.h:
            h_gradient += sums.square * form.unit * per_bandwidth
        if needs.w:
            w_gradient += sums.weight * torch.exp(-weights.peak)

    def compute(part: Tensor) -> list[Tensor]:
        shapes = (y.shape, needs.y), (x.shape[1:], needs.h), (y.shape[:1], needs.w)
        gradients = [zeros(shape, needed) for shape, needed in shapes]
        for rows in _tiles.row_blocks(part, y):
            for make in forms:
                form = make()
                points = form.place(x[rows])
                good = _accurate(form, points, f[rows].double(), weights, x.dtype, _GRADIENT_CAP)
                good |= make is forms[-1]
                if good.any():
                    add(gradients, form, rows[good])
                rows = rows[~good]
                if len(rows) == 0:
                    break
        return gradients

    # Where f is −∞ nothing pulls: the gradient is taken as zero.
    finite = (f > -torch.inf).nonzero().squeeze(1)
    parts = _parts(finite, y, most=max(1, 2**26 // y.numel()))  # each has a gradient of y's size
    sums = zip(*parallel_map(compute, parts, x.device), strict=True)
    gradients = [x_gradient, *map(sum, sums)]
    if needs.h and h.dim() == 0:
        gradients[2] = gradients[2].sum()
    return [gradient.to(x.dtype) for gradient in gradients]


def forms_for(y: Tensor, h: Tensor) -> list[Callable[[], Form]]:
    """The forms that may serve, from cheap to exact, each made when it is first called for."""
    d, single, double = len(h), torch.float32, torch.float64
    fast = runs_triton(y.device)
    few = 15 if fast else 4  # in Triton a difference costs twice a product; here, many times that
    exact = (Differences, double)
    if y.dtype == double:
        forms = [exact] if d <= few else [(Products, double), exact]
    elif d <= few:
        forms = [(Differences, single), exact]
    else:
        forms = [(Products, double), exact]
        if fast and d <= 128:
            forms.insert(0, (Differences, single))
        if fast or _products_are_exact():
            forms.insert(0, (Products, single))
    return [cache(partial(form, y, h, dtype)) for form, dtype in forms]


def _products_are_exact() -> bool:
    """Whether torch multiplies float32 matrices in float32, and not in fewer bits for speed."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set for single backends, by torch's newer interface
        return False


def _backend(form: Form) -> ModuleType:
    single = form.dtype == torch.float32
    return _gpu if single and runs_triton(form.y.half.device) else _tiles


def _accurate(
    form: Form,
    x: Points,
    f: Tensor,
    weights: Weights,
    dtype: torch.dtype,
    cap: float = math.inf,
) -> Tensor:
    """Whether the error of f_i is as small as is promised for ``dtype``, (n,)."""
    allowed = TOLERANCE * torch.finfo(dtype).eps * f.abs().clamp(1, cap)
    return form.error(x, (weights.log_total - f).clamp_min(0)) < allowed


def _parts(rows: Tensor, y: Tensor, most: int) -> tuple[Tensor, ...]:
    """Divide rows among threads, where that pays; at most ``most`` parts."""
    threads = min(most, torch.get_num_threads()) if y.device.type == "cpu" else 1
    pays = len(rows) >= 2 * threads and len(rows) * len(y) >= 2**17
    return rows.tensor_split(threads if pays else 1)
