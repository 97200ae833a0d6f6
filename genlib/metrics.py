"""How far samples are from data, by their features: distances, precision and recall, modes.

Every metric takes two sets of rows, (N, d) and (M, d): features of data and of samples, or the
points themselves where they live in a few dimensions. It knows nothing of the model. Sums are taken
in float64. **None of them is zero for a perfect model at finite N**: each says below what its bias
is, and `halves` measures it, between two halves of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from genlib.core.latent import Estimate
from genlib.core.random import source
from genlib.core.validation import check_choice, check_count, check_positive, check_tensor

Result = TypeVar("Result")

_PAIRS = 2**22  # distances that are in memory at a time, in float64


# --------------------------------------------------------------------- Fréchet distance


@torch.no_grad()
def frechet(x: Tensor, y: Tensor) -> float:
    """Squared Fréchet distance between the Gaussians with the moments of two sets [1].

    ``‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^{1/2})``, with covariances over N − 1. On the pool
    features of an Inception network this is the FID; on others, numbers compare only among
    themselves.

    **Bias.** The result lies above that of infinitely many rows, by C/N to first order, with a C
    that depends on the model: two models may rank otherwise at another N [2]. If both sets come
    from one Gaussian with eigenvalues λ of its covariance, the mean of the result is::

        (1/N + 1/M) (Σ_i λ_i + ½ Σ_ij λ_i λ_j / (λ_i + λ_j) + ¼ Σ_i λ_i) + O(1/N²)

    which is (1/N + 1/M)(d² + 5 d) / 4 for Σ = 1. `frechet_corrected` estimates and removes it.

    Parameters
    ----------
    x, y : Tensor, shape (N, d) and (M, d)
        More rows than columns: below that, covariances are singular, and the distance says more of
        N than of the sets.

    Raises
    ------
    TypeError, ValueError
        Not two matrices of finite floats with as many columns, or too few rows.

    References
    ----------
    [1] Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter (2017), "GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", NIPS.
    [2] Chong and Forsyth (2020), "Effectively unbiased FID and Inception score and where to find
    them", CVPR.
    """
    x, y = _checked(x, y)
    _check_full_rank(x, y)
    return _frechet(x, y)


@torch.no_grad()
def frechet_corrected(
    x: Tensor, y: Tensor, groups: int = 10, *, generator: Generator | None = None
) -> Estimate:
    """`frechet` without its bias of order 1/N, by the jackknife [1], and its standard error.

    Rows are put into ``groups`` at random. With D of all rows and D_k of those without group k of
    both sets, the bias is about (G − 1)(mean D_k − D). What is left is of order 1/N², and may be of
    either sign: near zero, half of the results are negative. ``frechet(x, y) − value`` is the bias.

    Parameters
    ----------
    x, y : Tensor, shape (N, d) and (M, d)
        Without one group, still more rows than columns; a few times as many, or the orders beyond
        1/N count.
    groups : int
        G ≥ 2.
    generator : torch.Generator, optional
        Source of randomness; torch's global one by default.

    Returns
    -------
    Estimate
        The corrected distance and its standard error, of both sets' draws.

    Raises
    ------
    TypeError, ValueError
        As for `frechet`; ``groups`` is no integer, or not in 2 … min(N, M).

    References
    ----------
    [1] Quenouille (1956), "Notes on bias in estimation", Biometrika 43.
    """
    x, y = _checked(x, y)
    check_count(groups, "groups", minimum=2, maximum=min(len(x), len(y)))
    shuffled = [part[_permutation(part, generator)] for part in (x, y)]
    kept = [[_without(part, k, groups) for part in shuffled] for k in range(groups)]
    for pair in kept:
        _check_full_rank(*pair)
    left_out = torch.tensor([_frechet(*pair) for pair in kept], dtype=torch.float64)
    whole, mean = _frechet(x, y), left_out.mean()
    error = ((groups - 1) / groups * (left_out - mean).square().sum()).sqrt()
    return Estimate(whole - (groups - 1) * (mean - whole), error)


def _frechet(x: Tensor, y: Tensor) -> float:
    shift = (x.mean(0) - y.mean(0)).square().sum()
    factors = [_factor(part) for part in (x, y)]
    spread = sum(factor.square().sum() for factor in factors)
    # With Σ_x = AᵀA and Σ_y = BᵀB, Σ_x Σ_y has the eigenvalues of (A Bᵀ)(A Bᵀ)ᵀ: their roots are
    # singular values. No root is taken of a number that rounding has made negative.
    cross = torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    return (shift + spread - 2 * cross).item()


def _factor(x: Tensor) -> Tensor:
    """A (d, d) with AᵀA the covariance of the rows."""
    centred = x - x.mean(0)
    return torch.linalg.qr(centred, mode="r").R / (len(x) - 1) ** 0.5


def _without(x: Tensor, group: int, groups: int) -> Tensor:
    return torch.cat([part for k, part in enumerate(x.tensor_split(groups)) if k != group])


def _check_full_rank(x: Tensor, y: Tensor) -> None:
    for name, part in (("x", x), ("y", y)):
        rows, columns = part.shape
        if rows <= columns:
            raise ValueError(
                f"{name}: expected more rows than columns, else its covariance is singular, got "
                f"{rows} rows of {columns}; draw more, use fewer features, or kernel_distance."
            )


# --------------------------------------------------------------------- kernel distance


@torch.no_grad()
def kernel_distance(
    x: Tensor, y: Tensor, kernel: str = "polynomial", bandwidth: float | None = None
) -> Estimate:
    """Squared maximum mean discrepancy, without bias, and its standard error [1].

    ``mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean_{ij} k(x_i, y_j)``

    With ``"polynomial"``, k(x, y) = (xᵀy / d + 1)³: on Inception's features, the KID [2], here over
    all pairs instead of subsets. It sees moments up to the third only. With ``"gaussian"``,
    k(x, y) = exp(−½‖x − y‖² / h²), which sees every difference, best at distances of about h.

    **Bias.** None, at any N: for equal distributions half of the results are negative. That is not
    to be clipped.

    **Standard error.** The jackknife's variance, which counts the part of second order twice, less
    that part, but no less than it. Between equal distributions, where it is all there is, the error
    comes out too large, by √2 at most; and the value is skewed there, so that a permutation test is
    the way to a p-value.

    Parameters
    ----------
    x, y : Tensor, shape (N, d) and (M, d)
        Three rows of each, at least.
    kernel : str
        "polynomial" or "gaussian".
    bandwidth : float, optional
        h, for "gaussian"; by default the median distance between rows of both sets, of 1000 of each
        at most. With a bandwidth chosen from the same rows, "without bias" holds nearly.

    Raises
    ------
    TypeError, ValueError
        Not two matrices of finite floats with as many columns and three rows each; an unknown
        kernel; a bandwidth that is not positive, or is given where there is none.

    References
    ----------
    [1] Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012), "A kernel two-sample test", JMLR 13.
    [2] Bińkowski, Sutherland, Arbel and Gretton (2018), "Demystifying MMD GANs", ICLR.
    """
    x, y = _checked(x, y, rows=3)
    check_choice(kernel, ("polynomial", "gaussian"), "kernel")
    if bandwidth is not None:
        check_positive(bandwidth, "bandwidth")
        if kernel != "gaussian":
            raise ValueError(f'bandwidth: expected only with kernel="gaussian", got {bandwidth}.')
    if kernel == "gaussian":
        width = _median_distance(x, y) if bandwidth is None else bandwidth
        of_pairs = partial(_gaussian, bandwidth=width)
    else:
        of_pairs = _polynomial
    return _mmd(_PairSums.of(of_pairs, x), _PairSums.of(of_pairs, y), _PairSums.of(of_pairs, x, y))


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _gaussian(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-0.5 * (_distances(x, y) / bandwidth).square())


def _median_distance(x: Tensor, y: Tensor) -> float:
    few = torch.cat([part[:: max(1, -(-len(part) // 1000))] for part in (x, y)])
    median = torch.pdist(few).median().item()
    if median == 0:
        raise ValueError(
            "bandwidth: the median distance between rows is zero, as most of them are equal; give "
            "one."
        )
    return median


class _PairSums(NamedTuple):
    """Means of a kernel over pairs of rows; over i ≠ j where both come from one set."""

    rows: Tensor  # (N,), over partners of a row of the first set
    columns: Tensor  # (M,), of the second
    square: Tensor  # (), of the kernel's square, over all pairs

    @classmethod
    def of(
        cls, kernel: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor | None = None
    ) -> _PairSums:
        """Of ``x`` with ``y``, or of ``x`` with itself."""
        other = x if y is None else y
        rows, columns, square = [], x.new_zeros(len(other)), x.new_zeros(())
        for block in _blocks(x, other):
            k = kernel(x[block], other)
            if y is None:
                k.diagonal(block.start).zero_()
            rows.append(k.sum(1))
            columns += k.sum(0)
            square += k.square().sum()
        less = 1 if y is None else 0
        partners, mates = len(other) - less, len(x) - less
        pairs = len(x) * partners
        return cls(torch.cat(rows) / partners, columns / mates, square / pairs)

    @property
    def mean(self) -> Tensor:
        return self.rows.mean()

    @property
    def interaction(self) -> Tensor:
        """Variance of the kernel that is neither its row's nor its column's."""
        means = self.rows.square().mean() + self.columns.square().mean()
        return (self.square - means + self.mean.square()).clamp_min(0)


def _mmd(xx: _PairSums, yy: _PairSums, xy: _PairSums) -> Estimate:
    n, m = len(xy.rows), len(xy.columns)
    value = xx.mean + yy.mean - 2 * xy.mean
    # Without row i of x, the mean over pairs in x falls by 2 (its mean − the mean) / (n − 2), and
    # that over x and y by (its mean − the mean) / (n − 1).
    x_moves = 2 * ((xx.rows - xx.mean) / (n - 2) - (xy.rows - xy.mean) / (n - 1))
    y_moves = 2 * ((yy.rows - yy.mean) / (m - 2) - (xy.columns - xy.mean) / (m - 1))
    jackknife = (n - 1) / n * x_moves.square().sum() + (m - 1) / m * y_moves.square().sum()
    second = 2 * xx.interaction / (n * (n - 1)) + 2 * yy.interaction / (m * (m - 1))
    second += 4 * xy.interaction / (n * m)
    return Estimate(value, torch.maximum(jackknife - second, second).sqrt())


# --------------------------------------------------------------------- precision and recall


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]."""

    precision: float  # of samples that lie where data are
    recall: float  # of data that lie where samples are


@torch.no_grad()
def precision_recall(data: Tensor, samples: Tensor, neighbours: int = 3) -> PrecisionRecall:
    """Share of samples that lie among the data, and share of the data that lie among samples [1].

    "Among" means in the union of balls around the rows of a set, each as large as the distance to
    its ``neighbours``-th nearest row of the same set, itself not counted; the edge is inside. A
    model that draws one thing well has precision without recall; one that draws everything and more
    has recall without precision. One far outlier in the data makes a huge ball.

    **Bias.** Two sets from one distribution do not give 1 but less, and the less, the fewer the
    neighbours. With unequal N and M, the larger set has the smaller balls. So compare at equal
    sizes, beside ``halves(precision_recall, data)``.

    Parameters
    ----------
    data, samples : Tensor, shape (N, d) and (M, d)
        More rows than ``neighbours``.
    neighbours : int
        k.

    Raises
    ------
    TypeError, ValueError
        Not two matrices of finite floats with as many columns, or too few rows for k.

    References
    ----------
    [1] Kynkäänniemi, Karras, Laine, Lehtinen and Aila (2019), "Improved precision and recall metric
    for assessing generative models", NeurIPS.
    """
    check_count(neighbours, "neighbours")
    data, samples = _checked(data, samples, names=("data", "samples"), rows=neighbours + 1)
    return PrecisionRecall(_covered(samples, data, neighbours), _covered(data, samples, neighbours))


def _covered(points: Tensor, balls: Tensor, neighbours: int) -> float:
    """Share of ``points`` in some ball around a row of ``balls``."""
    # The nearest row is the row itself, or one equal to it.
    radii = torch.cat(
        [
            _distances(balls[block], balls).kthvalue(neighbours + 1).values
            for block in _blocks(balls, balls)
        ]
    )
    inside = [
        (_distances(points[block], balls) <= radii).any(1) for block in _blocks(points, balls)
    ]
    return torch.cat(inside).double().mean().item()


# --------------------------------------------------------------------- modes


class ModeCount(NamedTuple):
    """What samples make of known modes."""

    modes: int  # that have samples enough
    share: float  # of samples that lie at a mode
    counts: Tensor  # (K,), samples at each


@torch.no_grad()
def count_modes(samples: Tensor, centres: Tensor, radius: float, minimum: int = 1) -> ModeCount:
    """Modes that have samples within ``radius`` of their centre, and the share of such samples.

    A sample counts for its nearest centre alone (the first, of two at one distance), and only
    within ``radius`` of it, the edge included; three standard deviations of a mode are customary.

    **Bias.** The number of modes grows with N: a mode of probability p is missed by all N samples
    with probability (1 − p)^N, and found by a single stray one. The share has no bias: its standard
    error is √(share (1 − share) / N).

    Parameters
    ----------
    samples : Tensor, shape (N, d)
    centres : Tensor, shape (K, d)
    radius : float
        In the unit of the samples.
    minimum : int
        Samples that make a mode count as found.

    Raises
    ------
    TypeError, ValueError
        Not two matrices of finite floats with as many columns; a radius that is not positive, a
        ``minimum`` that is no positive integer; two centres that are equal.
    """
    samples, centres = _checked(samples, centres, names=("samples", "centres"), rows=1)
    check_positive(radius, "radius")
    check_count(minimum, "minimum")
    if len(centres.unique(dim=0)) < len(centres):
        raise ValueError("centres: expected different ones, got two that are equal.")
    counts = torch.zeros(len(centres), dtype=torch.int64, device=centres.device)
    for block in _blocks(samples, centres):
        distance, nearest = _distances(samples[block], centres).min(1)
        counts += nearest[distance <= radius].bincount(minlength=len(centres))
    modes = int((counts >= minimum).sum())
    return ModeCount(modes, counts.sum().item() / len(samples), counts)


# --------------------------------------------------------------------- the floor of a metric


def halves(
    metric: Callable[[Tensor, Tensor], Result], x: Tensor, *, generator: Generator | None = None
) -> Result:
    """``metric`` between two halves of ``x``, split at random: what a perfect model gets at N/2.

    To be printed beside every score of a model, at as many samples.

    Raises
    ------
    TypeError, ValueError
        ``x`` is no matrix of finite floats of two rows at least; ``metric`` refuses half of them.
    """
    _check_rows(x, "x", rows=2)
    x = x[_permutation(x, generator)]
    half = len(x) // 2
    return metric(x[:half], x[half : 2 * half])


def _permutation(x: Tensor, generator: Generator | None) -> Tensor:
    return torch.randperm(len(x), generator=generator, device=source(generator)).to(x.device)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, M), from differences: a product would move those near zero."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _blocks(x: Tensor, y: Tensor) -> Iterator[slice]:
    """Rows of ``x``, so many that their pairs with all of ``y`` fit into memory."""
    size = max(1, _PAIRS // len(y))
    return (slice(start, min(start + size, len(x))) for start in range(0, len(x), size))


def _checked(
    x: object, y: object, names: tuple[str, str] = ("x", "y"), rows: int = 2
) -> tuple[Tensor, Tensor]:
    """Both in float64, if they are sets of features that can be compared."""
    for name, value in zip(names, (x, y), strict=True):
        _check_rows(value, name, rows)
    if x.shape[1] != y.shape[1] or x.dtype != y.dtype or x.device != y.device:
        raise ValueError(
            f"{names[1]}: expected features as those of {names[0]}, {x.shape[1]} columns in "
            f"{x.dtype} on {x.device}, got {y.shape[1]} in {y.dtype} on {y.device}."
        )
    return x.double(), y.double()


def _check_rows(x: object, name: str, rows: int) -> None:
    check_tensor(x, name)
    if x.dim() != 2:
        mend = (
            f"flatten with {name}.flatten(1), or take features of them"
            if x.dim() > 2
            else f"{name}.unsqueeze(1) makes rows of one value"
        )
        raise ValueError(
            f"{name}: expected a matrix of shape (N, d), got {tuple(x.shape)}; {mend}."
        )
    if len(x) < rows:
        raise ValueError(f"{name}: expected {rows} rows at least, got {len(x)}.")
