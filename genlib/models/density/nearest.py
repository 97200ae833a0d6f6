"""The nearest-neighbour density."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from genlib.core import Density, History
from genlib.core.rows import VALUES_AT_ONCE
from genlib.core.validation import check_count
from genlib.models.density.base import DensityEstimator, log_unit_ball

_TREE = 10  # dimensions up to which a tree skips most of the points
_GROUP = 16  # values of which only the smallest is looked at first
_DIGITS = 1e-9  # relative error of a squared distance by products, beyond which it is not used


class KNearest(DensityEstimator):
    """Nearest-neighbour density: p(x) ≈ K / (N V), with V the ball around x that just holds K of
    the N rows.

    Where a histogram fixes V and counts K, this fixes K and lets V grow. The result is no density:
    far away V grows like ‖x‖^d, so p falls like ‖x‖^(−d), and its integral diverges for every K and
    N.

    Parameters
    ----------
    k : int
        Neighbours. A training row counts as its own first neighbour.

    References
    ----------
    Loftsgaarden and Quesenberry (1965); Bishop (2006), §2.5.2.
    """

    density = Density.UNNORMALISED
    cannot: ClassVar[dict[str, str]] = DensityEstimator.cannot | {
        "log_prob": "its estimate K/(NV) falls like ‖x‖^(−d), so its integral is infinite and "
        "nothing can normalise it; "
        "unnormalised_log_prob gives the estimate itself.",
        "sample": "nothing can be drawn from an estimate whose integral is infinite.",
    }
    fitted_buffers = ("points",)

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        check_count(k, "k")
        self.k = k
        self._kept: _Kept | None = None

    def fit(self, x: Tensor) -> History:
        """Keep the rows of ``x``, shape (N, d); N must be at least ``k``."""
        return super().fit(x)

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        if self.k > len(x):
            raise ValueError(f"k: expected at most the number of rows, {len(x)}, got {self.k}.")
        _check_squares(x)
        self.points = x.clone()
        return History()

    def unnormalised_log_prob(self, x: Tensor) -> Tensor:
        """log(K / (N V)) at each row of ``x``, shape (N,); infinite where K training rows coincide
        with ``x``.
        """
        self._require_data("unnormalised_log_prob")
        self.check(x)
        _check_squares(x)
        d = x.shape[1]
        # Who the neighbour is has no gradient; the distance to it has.
        neighbour = self.points[self._search().kth(x.detach().double(), self.k)]
        radius = (x.double() - neighbour.double()).norm(dim=1)
        log_p = math.log(self.k / len(self.points)) - log_unit_ball(d) - d * radius.log()
        return log_p.to(self.dtype)

    def _search(self) -> _Tree | _Products:
        """The search among the points: kept between queries, and made again for other points."""
        version = None if self.points.is_inference() else self.points._version
        kept = self._kept
        if kept is None or kept.points is not self.points or kept.version != version:
            tree = self.points.device.type == "cpu" and self.points.shape[1] <= _TREE
            search = (_Tree if tree else _Products)(self.points.double())
            self._kept = kept = _Kept(self.points, version, search)
        return kept.search


def _check_squares(x: Tensor) -> None:
    """Raise unless squared distances between rows like these are numbers in float64."""
    if x.detach().abs().max() > 1e150:
        raise ValueError(
            "x: expected values of at most 1e150, whose squares float64 can hold; divide the data "
            "by a constant."
        )


class _Kept(NamedTuple):
    """A search, and the points it is for: the tensor, and how often that was written to."""

    points: Tensor
    version: int | None
    search: _Tree | _Products


class _Tree:
    """Neighbours by a k-d tree, which measures differences of coordinates."""

    def __init__(self, points: Tensor) -> None:
        from scipy.spatial import cKDTree

        self.tree = cKDTree(points.numpy(), leafsize=40)

    def kth(self, x: Tensor, k: int) -> Tensor:
        """Index of the k-th nearest point of each row, (N,)."""
        return torch.from_numpy(self.tree.query(x.numpy(), k=[k])[1][:, 0])


class _Products:
    """Neighbours by squared distances to all points, from one matrix product.

    ‖x − y‖² = ‖x‖² − 2 x·y + ‖y‖² cancels where the distance is small beside the norms. Norms are
    taken from the mean of the points, and rows for which that is not enough are measured by
    differences of coordinates.
    """

    def __init__(self, points: Tensor) -> None:
        self.points, self.centre = points, points.mean(0)
        centred = points - self.centre
        squares = centred.square().sum(1, keepdim=True)
        self.reach = squares.max().sqrt()
        # A column of (y, ‖y‖²) for each point, to multiply (−2x, 1) with; further ones, infinitely
        # far away, make groups equally large.
        missing = -len(points) % _GROUP
        far = torch.nn.functional.pad(points.new_full((missing, 1), math.inf), (points.shape[1], 0))
        self.columns = torch.cat([torch.cat([centred, squares], 1), far]).T.contiguous()

    def kth(self, x: Tensor, k: int) -> Tensor:
        """Index of the k-th nearest point of each row, (N,)."""
        rows = max(1, VALUES_AT_ONCE // self.columns.shape[1])
        return torch.cat([self._kth(part, k) for part in x.split(rows)])

    def _kth(self, x: Tensor, k: int) -> Tensor:
        centred = x - self.centre
        own = centred.square().sum(1)
        least, index = _kth_smallest(
            torch.nn.functional.pad(-2 * centred, (0, 1), value=1.0) @ self.columns, k
        )
        # Rounding of the product, by Higham (2002), §3.1, with some to spare.
        error = (x.shape[1] + 8) * torch.finfo(x.dtype).eps * (own.sqrt() + self.reach).square()
        unsure = ~(error <= _DIGITS * (least + own))
        if unsure.any():
            index[unsure] = self._by_differences(x[unsure], k)
        return index

    def _by_differences(self, x: Tensor, k: int) -> Tensor:
        distances = torch.cdist(x, self.points, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.kthvalue(k, 1).indices


def _kth_smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k-th smallest value of each row, and its column.

    The k smallest lie in the k groups whose smallest values are the smallest, for any other group
    has k values, one in each of those, below all of its own.
    """
    groups = values.shape[1] // _GROUP
    if groups < k:
        return values.kthvalue(k, 1)
    grouped = values.view(len(values), _GROUP, groups)
    best = grouped.amin(1).topk(k, largest=False).indices
    candidates = grouped.gather(2, best[:, None].expand(-1, _GROUP, -1)).flatten(1)
    value, place = candidates.kthvalue(k, 1)
    group = best.gather(1, (place % k)[:, None]).squeeze(1)
    return value, place.div(k, rounding_mode="floor") * groups + group
