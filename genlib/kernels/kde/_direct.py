"""Small inputs: both passes over the whole matrix of kernels, in float64 and few operations.

Coordinates are divided by the bandwidth before they are subtracted, so what this loses grows with
the largest coordinate in bandwidths, L. It is counted in half epsilons of float64, for the energy
at which the bound comes closest to what is allowed: one that is as large as max(1, |f_i|) and, for
weights that do not sum to one, twice that.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genlib.kernels._dispatch import runs_triton
from genlib.kernels._threads import parallel_map
from genlib.kernels.kde._forms import LN_2, SUM_ROUNDINGS, TOLERANCE, Needs
from genlib.kernels.kde._tiles import sum_exp2

_ALLOWED = {
    dtype: TOLERANCE * torch.finfo(dtype).eps / (torch.finfo(torch.float64).eps / 2)
    for dtype in (torch.float32, torch.float64)
}


def forward_for(x: Tensor, y: Tensor, largest: float) -> Callable[..., Tensor] | None:
    """A function that computes `log_kernel_sum` of checked arguments, or None if tiles serve x and
    y better; ``largest`` is L.
    """
    d, pairs = x.shape[1], x.shape[0] * y.shape[0]
    roundings = d * (d / 2 + 8) * largest**2 + SUM_ROUNDINGS  # of ‖x‖² + ‖y‖² − 2 x·y
    if 2**12 < pairs <= 2**18 and roundings < _ALLOWED[x.dtype] and not runs_triton(x.device):
        return _by_products
    return _by_differences if suits_differences(x, y, largest) else None


def suits_differences(x: Tensor, y: Tensor, largest: float) -> bool:
    """Whether differences of x and y are few enough, and exact enough; ``largest`` is L."""
    (n, d), m = x.shape, y.shape[0]
    roundings = 4 * math.sqrt(d) * largest + 3 * (d + 8) + SUM_ROUNDINGS
    few = n * m * (d + 8) <= 2**20 and not runs_triton(x.device)
    return few and roundings < _ALLOWED[x.dtype]


def serially(function: Callable, numbers: int, *arguments):
    """Call a function that makes short operations on so many numbers on one thread: from 2¹⁵ on,
    torch divides each operation among its threads, and waits for all of them.
    """
    if numbers < 2**15:
        return function(*arguments)
    return parallel_map(
        lambda given: function(*given), [arguments], arguments[0].device, serial=True
    )[0]


def _by_differences(
    x: Tensor, y: Tensor, h: Tensor, w: Tensor | None, leave_one_out: bool
) -> Tensor:
    return _exponents(x.double() / h, y.double() / h, w, leave_one_out).logsumexp(1).to(x.dtype)


def _by_products(x: Tensor, y: Tensor, h: Tensor, w: Tensor | None, leave_one_out: bool) -> Tensor:
    unit = h.double() * math.sqrt(LN_2)  # exponents to base 2
    a, b = x.double() / unit, y.double() / unit
    log_w = -math.log2(len(y)) if w is None else w.double().log2()
    t = torch.addmm(torch.linalg.vecdot(b, b).mul_(-0.5).add_(log_w), a, b.T)
    if leave_one_out:
        t.fill_diagonal_(-torch.inf)
    top = t.amax(1)
    t -= top.clamp_min(torch.finfo(t.dtype).min)[:, None]  # −∞ − (−∞) would be NaN
    total = sum_exp2(t.to(x.dtype))
    return total.log2_().add_(top.sub_(torch.linalg.vecdot(a, a), alpha=0.5)).mul_(LN_2)


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
    a, b = x.double() / h, y.double() / h
    f = f.double().where(f > -torch.inf, torch.inf)[:, None]  # where f is −∞ nothing pulls

    def probabilities(w: Tensor | None) -> Tensor:
        return (_exponents(a, b, w, leave_one_out) - f).exp_().mul_(g[:, None])

    found = [x.new_empty(0) for _ in needs]
    if needs.x or needs.y or needs.h:
        difference = a.T[:, :, None] - b.T[:, None]
        weighted = probabilities(w) * difference
        if needs.x:
            found[0] = weighted.sum(2).T / -h
        if needs.y:
            found[1] = weighted.sum(1).T / h
        if needs.h:
            by_dimension = weighted.mul_(difference).sum((1, 2)) / h
            found[2] = by_dimension if h.dim() else by_dimension.sum()
    if needs.w:  # p_ij / w_j, and finite where w_j = 0
        found[3] = probabilities(torch.ones_like(b[:, 0])).sum(0)
    return [gradient.to(x.dtype).contiguous() for gradient in found]


def _exponents(a: Tensor, b: Tensor, w: Tensor | None, leave_one_out: bool) -> Tensor:
    """log w_j − s_ij of points in bandwidths, (N, M)."""
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    log_w = a.new_full((), -math.log(len(b))) if w is None else w.double().log()
    t = torch.addcmul(log_w, distance, distance, value=-0.5)
    return t.fill_diagonal_(-torch.inf) if leave_one_out else t
