"""k-means: clusters around centres, the limit of a mixture of Gaussians whose variance goes to 0.

Sources: the chapters on unsupervised learning of document C; Lloyd (1982), "Least squares
quantization in PCM"; Arthur and Vassilvitskii (2007), "k-means++: the advantages of careful
seeding".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genlib.core import Density, Estimator, History
from genlib.core.random import categorical, integers, uniform
from genlib.core.validation import check_count

_IN_CACHE = 2**18


class KMeans(Estimator):
    """K centres, each the mean of the rows that are nearest to it.

    Lloyd's iteration never raises the mean squared distance from a row to its centre, and ends in a
    local minimum; of several ``restarts``, each from centres that k-means++ has drawn, `fit` keeps
    the best.

    Parameters
    ----------
    clusters : int
        K.

    ``fit`` takes ``iterations=100``, the most that it makes of each start, and ``restarts=1``.
    Draws come from torch's global generator: `seed` makes them repeatable.

    Attributes
    ----------
    centres : Tensor, shape (K, d)

    Notes
    -----
    ``encode`` gives 1 for the nearest centre and 0 for all others, (N, K); `assign` its number.
    A cluster that loses all its rows takes the row that is farthest from its centre.

    Examples
    --------
    >>> model = KMeans(2)
    >>> _ = model.fit(torch.tensor([[0.0], [1.0], [9.0], [10.0]]))
    >>> model.centres.sort(0).values.flatten().tolist()
    [0.5, 9.5]
    """

    density = Density.NONE
    lesson = "08_mixtures_and_em"
    cannot = {  # noqa: RUF012
        "log_prob": "centres alone define no density; GaussianMixture gives each a weight and a "
        "covariance.",
        "sample": "centres alone define no distribution to draw from; GaussianMixture does.",
    }
    fitted_buffers = ("centres",)
    centres: Tensor

    def __init__(self, clusters: int = 10) -> None:
        super().__init__()
        check_count(clusters, "clusters")
        self.clusters = clusters

    def _estimate(
        self,
        x: Tensor,
        *,
        held_out: tuple[Tensor, ...],
        iterations: int = 100,
        restarts: int = 1,
    ) -> History:
        check_count(iterations, "iterations")
        check_count(restarts, "restarts")
        check_enough(x, self.clusters, "clusters")
        history, best, self.centres = History(), torch.inf, x[:0]
        for restart in range(1, restarts + 1):
            centres, distance = plus_plus(x, self.clusters), torch.inf
            for iteration in range(1, iterations + 1):
                before, (label, squares) = distance, _nearest(x, centres)
                distance = squares.double().mean().item()
                history.append(restart=restart, iteration=iteration, loss=distance)
                if distance >= before:
                    break
                centres = _means(x, label, squares, centres)
            if distance < best:
                best, self.centres = distance, centres
        return history

    def assign(self, x: Tensor) -> Tensor:
        """Number of the nearest centre of each row, (N,), int64."""
        self._require_data("assign")
        self.check(x)
        return _nearest(x, self.centres)[0]

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean squared distance from a row to its nearest centre."""
        return _nearest(x, self.centres)[1].mean()

    def _require_validation(self) -> None:
        """There is something to watch, although there is no density."""

    def _encode(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(_nearest(x, self.centres)[0], self.clusters).to(x)


def plus_plus(x: Tensor, k: int) -> Tensor:
    """k rows of ``x`` drawn by greedy k-means++: each is the one of 2 + ⌊log k⌋ candidates that
    leaves the least sum of squared distances to the nearest row drawn; candidates are drawn with a
    probability in proportion to that squared distance. Draws come from torch's global generator.

    Raises
    ------
    ValueError
        ``x`` has fewer than k rows that differ.
    """
    first = integers(len(x), (1,), x)
    chosen = [x[first[0]]]
    squares = (x - chosen[0]).square().sum(1)
    for found in range(1, k):
        if not squares.any():
            raise ValueError(
                f"x: expected at least {k} rows that differ, one for each cluster, got {found}; "
                "leave out duplicates or ask for fewer clusters."
            )
        weights = squares.double()
        drawn = x[categorical(weights, uniform((2 + int(math.log(k)),), weights))]
        left = [torch.minimum(squares, (x - row).square().sum(1)) for row in drawn]
        best = torch.stack([part.double().sum() for part in left]).argmin()
        chosen.append(drawn[best])
        squares = left[best]
    return torch.stack(chosen)


def check_enough(x: Tensor, k: int, name: str) -> None:
    """Raise unless there are at least k rows."""
    if len(x) < k:
        raise ValueError(f"{name}: expected at most as many as there are rows, {len(x)}, got {k}.")


def _nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the centre nearest to each row, and the squared distance, each (N,)."""
    labels, squares = x.new_empty(len(x), dtype=torch.int64), x.new_empty(len(x))
    shift = centres.mean(0)  # products of differences from it lose few digits to the origin
    moved = centres - shift
    half = moved.square().sum(1) / 2
    rows = max(1, _IN_CACHE // max(centres.shape))  # each has its own values, and its products
    for part, label, square in zip(
        *(each.split(rows) for each in (x, labels, squares)), strict=True
    ):
        label.copy_(torch.addmm(half, part - shift, moved.T, alpha=-1).argmin(1))
        square.copy_((part - centres[label]).square().sum(1))
    return labels, squares


def _means(x: Tensor, label: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Means of the rows of each cluster; an empty one takes the farthest row that is left."""
    counts = label.bincount(minlength=len(centres))
    sums = torch.zeros_like(centres, dtype=torch.float64).index_add_(0, label, x.double())
    means = (sums / counts.clamp_min(1)[:, None]).to(x)
    empty = (counts == 0).nonzero()[:, 0]
    if len(empty):
        means[empty] = x[squares.topk(len(empty)).indices]
    return means
