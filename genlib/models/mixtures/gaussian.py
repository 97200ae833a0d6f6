"""Mixtures of Gaussians.

Sources: the chapters on latent variables and on patch models of document H; McLachlan and Peel
(2000), "Finite mixture models"; Hathaway (1985), "A constrained formulation of maximum-likelihood
estimation for normal mixture distributions".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from genlib.core.random import normal
from genlib.core.rows import row_chunks
from genlib.core.validation import check_choice, check_positive
from genlib.kernels.gmm import gmm_log_joint, gmm_moments
from genlib.models.mixtures.em import Mixture, Statistics

COVARIANCES = ("full", "tied", "diagonal", "spherical")
_LOG_2PI = math.log(2 * math.pi)
_IN_CACHE = 2**18
_LOST = 1e-10  # share of the rows below which a component has none


class GaussianMixture(Mixture):
    """Mixture of Gaussians, p(x) = Σ_k π_k N(x; μ_k, Σ_k), a log density, exact.

    Parameters
    ----------
    components : int
        K.
    covariance : {"full", "tied", "diagonal", "spherical"}
        A Σ_k for each component, d(d + 1)/2 numbers; one for all; variances along the axes; or one
        variance for each.
    floor : float
        Least eigenvalue of a covariance, in the squared unit of the data. Without one the
        likelihood has no maximum: a component that shrinks onto one row sends it to infinity.

    Attributes
    ----------
    log_weights : Tensor, shape (K,)
        log π_k; −∞ for a component that has lost all its rows.
    means : Tensor, shape (K, d)
    scales : Tensor
        Cholesky factors of the covariances, (K, d, d) or for ``"tied"`` (d, d); standard deviations
        (K, d) or (K,).

    Notes
    -----
    ``encode`` gives the responsibilities p(k | x). The M-step raises eigenvalues below the floor to
    it, which is the maximum among covariances that respect it: the likelihood never falls.

    Examples
    --------
    >>> model = GaussianMixture(2, covariance="spherical")
    >>> _ = model.fit(torch.tensor([[0.0], [1.0], [9.0], [10.0]]))
    >>> [round(mean, 4) for mean in model.means.flatten().sort().values.tolist()]
    [0.5, 9.5]
    """

    fitted_buffers = ("means", "scales", "log_weights")
    means: Tensor
    scales: Tensor

    def __init__(self, components: int = 10, covariance: str = "full", floor: float = 1e-6) -> None:
        super().__init__(components)
        check_choice(covariance, COVARIANCES, "covariance")
        check_positive(floor, "floor")
        self.covariance, self.floor = covariance, floor

    # ------------------------------------------------------------------ further queries

    def covariances(self) -> Tensor:
        """Σ_k of every component, (K, d, d), in float64."""
        self._require_data("covariances")
        return self._parts.covariances()

    def posterior_mean(self, y: Tensor, noise: float) -> Tensor:
        """E[x | y] where y = x + N(0, noise²): the best estimate of clean rows in squared error.

        Given k, x is Gaussian too, and its mean is a Wiener filter; the components are weighted by
        their responsibilities for y::

            Σ_k p(k | y) (μ_k + (y − μ_k) (Σ_k + σ² I)⁻¹ Σ_k)

        Parameters
        ----------
        y : Tensor, shape (N, d)
        noise : float
            σ, the standard deviation of the noise.

        Returns
        -------
        Tensor, shape (N, d)
        """
        self._require_data("posterior_mean")
        self.check(y, "y")
        check_positive(noise, "noise")
        clean = self._parts.covariances()
        factors = torch.linalg.cholesky(clean + noise**2 * torch.eye(clean.shape[-1]).to(clean))
        responsibilities = Matrices(self.means, factors).joint(y, self.log_weights).softmax(1)
        out = torch.zeros_like(y)
        filters = torch.cholesky_solve(clean, factors).to(y)
        for r, mean, gain in zip(responsibilities.T, self.means, filters, strict=True):
            out += r[:, None] * torch.addmm(mean, y - mean, gain)
        return out

    @property
    def free_parameters(self) -> int:
        """How many numbers `fit` chooses: weights, means, and covariances."""
        self._require_data("free_parameters")
        k, d = self.means.shape
        matrix = d * (d + 1) // 2
        spread = {"full": k * matrix, "tied": matrix, "diagonal": k * d, "spherical": k}
        return k - 1 + k * d + spread[self.covariance]

    def bic(self, x: Tensor) -> float:
        """Bayesian information criterion on the rows ``x`` to which the model was fitted, in nats:
        free_parameters/2 · log N − Σ log p(x). Less is better. (In other places it is stated at
        twice this, on the scale of the deviance −2 log p; the order of models is the same.)
        """
        log_p = self.log_prob(x).double().sum().item()
        return self.free_parameters / 2 * math.log(len(x)) - log_p

    # ------------------------------------------------------------------ EM

    @property
    def _along_axes(self) -> bool:
        return self.covariance in ("diagonal", "spherical")

    @property
    def _parts(self) -> Axes | Matrices:
        """The components, each with a covariance of its own."""
        if self._along_axes:
            scales = self.scales if self.covariance == "diagonal" else self.scales[:, None]
            return Axes(self.means, scales.double().expand(self.means.shape))
        return Matrices(self.means, self.scales.double().expand(self.components, -1, -1))

    def _joint(self, x: Tensor) -> Tensor:
        return self._parts.joint(x, self.log_weights)

    def _draw(self, k: Tensor, generator: Generator | None) -> Tensor:
        return self._parts.draw(k, normal((len(k), self.means.shape[1]), self.means, generator))

    def _statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        parts = self._parts
        log_p, found = parts.statistics(x, self.log_weights)
        lost = found.weight < _LOST * found.weight.sum()
        if lost.any():  # what is left of them are averages of nothing: they stay as they are
            old = Statistics(torch.zeros_like(found.weight), self.means.double(), parts.spread())
            found = Statistics(*_chosen(lost, old, found))
        return log_p, found

    def _maximise(self, statistics: Statistics) -> None:
        weight, mean, scatter = statistics
        share = weight / weight.sum()
        if self.covariance == "tied":
            scatter = torch.einsum("k,kde->de", share, scatter)
        elif self.covariance == "spherical":
            scatter = scatter.mean(1)
        if self._along_axes:
            scales = scatter.clamp_min(self.floor).sqrt()
        else:
            scales = _floored_cholesky(scatter, self.floor)
        found = share.log(), mean, scales
        self.log_weights, self.means, self.scales = (part.to(self.log_weights) for part in found)

    def _hard_statistics(self, x: Tensor, label: Tensor) -> Statistics:
        parts = [x[label == k].double() for k in range(self.components)]
        weight = torch.tensor([float(len(part)) for part in parts], dtype=torch.float64)
        means = torch.stack([part.mean(0) for part in parts])
        return Statistics(weight.to(means), means, torch.stack([*map(self._scatter, parts)]))

    def _random_statistics(self, x: Tensor) -> Statistics:
        rows = torch.randperm(len(x))[: self.components].to(x.device)
        wide = x.double()
        weight = torch.ones(self.components).to(wide)
        return Statistics(weight, wide[rows], torch.stack([self._scatter(wide)] * len(rows)))

    def _scatter(self, x: Tensor) -> Tensor:
        """Covariance of some rows, (d, d), or along the axes, (d,)."""
        apart = x - x.mean(0)
        return apart.square().mean(0) if self._along_axes else apart.T @ apart / len(x)


class Matrices(NamedTuple):
    """Gaussian components with covariances L Lᵀ."""

    means: Tensor  # (K, d)
    factors: Tensor  # L, (K, d, d), in float64

    def joint(self, x: Tensor, log_weights: Tensor) -> Tensor:
        """log π_k N(x; μ_k, Σ_k), (N, K)."""
        return gmm_log_joint(x, *self._kernel_form(log_weights))

    def statistics(self, x: Tensor, log_weights: Tensor) -> tuple[Tensor, Statistics]:
        """log p(x), (N,), and the rows' statistics, from moments of the whitened rows."""
        log_p, zeroth, first, second = gmm_moments(x, *self._kernel_form(log_weights))
        delta = first / _at_least_tiny(zeroth)[:, None]
        inner = second / _at_least_tiny(zeroth)[:, None, None] - _outer(delta)
        mean = self.means.double() + (delta[:, None] @ self.factors.mT)[:, 0]
        return log_p, Statistics(zeroth, mean, self.factors @ inner @ self.factors.mT)

    def draw(self, k: Tensor, noise: Tensor) -> Tensor:
        """A row from each component ``k`` by standard normal ``noise``, (n, d)."""
        out = self.means[k]
        for number in k.unique().tolist():
            rows = k == number
            out[rows] += noise[rows] @ self.factors[number].T.to(noise)
        return out

    def covariances(self) -> Tensor:
        """Σ_k, (K, d, d)."""
        return self.factors @ self.factors.mT

    spread = covariances

    def _kernel_form(self, log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means, whiteners W with Σ⁻¹ = W Wᵀ, and log π + log |det W| − (d/2) log 2π."""
        eye = torch.eye(self.means.shape[1]).to(self.factors)
        whiteners = torch.linalg.solve_triangular(self.factors, eye, upper=False).mT
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        log_peaks = log_weights - log_det - len(eye) / 2 * _LOG_2PI
        return self.means, whiteners.to(self.means).contiguous(), log_peaks.to(self.means)


class Axes(NamedTuple):
    """Gaussian components whose values are independent."""

    means: Tensor  # (K, d)
    deviations: Tensor  # (K, d), in float64

    def joint(self, x: Tensor, log_weights: Tensor) -> Tensor:
        """log π_k N(x; μ_k, diag σ_k²), (N, K)."""
        log_peaks = self._log_peaks(log_weights)
        blocks = (self._whitened(part) for part in self._blocks(x))
        return torch.cat([log_peaks - 0.5 * y.square().sum(-1) for y in blocks])

    def statistics(self, x: Tensor, log_weights: Tensor) -> tuple[Tensor, Statistics]:
        """log p(x), (N,), and the rows' statistics, from moments of the whitened rows."""
        log_peaks, log_p = self._log_peaks(log_weights), []
        zeroth = torch.zeros_like(self.deviations[:, 0])
        first, second = torch.zeros_like(self.deviations), torch.zeros_like(self.deviations)
        for y in map(self._whitened, self._blocks(x)):
            t = log_peaks - 0.5 * y.square().sum(-1)
            log_p.append(t.logsumexp(1))
            r = (t - log_p[-1][:, None]).exp()
            zeroth += r.sum(0)
            first += torch.einsum("nk,nkd->kd", r, y)
            second += torch.einsum("nk,nkd->kd", r, y.square())
        delta = first / _at_least_tiny(zeroth)[:, None]
        inner = second / _at_least_tiny(zeroth)[:, None] - delta.square()
        mean = self.means.double() + delta * self.deviations
        return torch.cat(log_p), Statistics(zeroth, mean, inner * self.deviations.square())

    def draw(self, k: Tensor, noise: Tensor) -> Tensor:
        """A row from each component ``k`` by standard normal ``noise``, (n, d)."""
        return self.means[k] + self.deviations[k].to(noise) * noise

    def covariances(self) -> Tensor:
        """Σ_k, (K, d, d)."""
        return torch.diag_embed(self.spread())

    def spread(self) -> Tensor:
        """Variances, (K, d)."""
        return self.deviations.square()

    def _log_peaks(self, log_weights: Tensor) -> Tensor:
        log_det = self.deviations.log().sum(1)
        return (log_weights - log_det - self.means.shape[1] / 2 * _LOG_2PI).to(self.means)

    def _whitened(self, x: Tensor) -> Tensor:
        """(x − μ_k) / σ_k, (n, K, d)."""
        return (x[:, None] - self.means) / self.deviations.to(x)

    def _blocks(self, x: Tensor) -> tuple[Tensor, ...]:
        """Rows whose differences from all means fit into a cache."""
        return row_chunks(x, max(1, _IN_CACHE // len(self.means)))


def _chosen(where: Tensor, a: Statistics, b: Statistics) -> list[Tensor]:
    """Each part of ``a`` for the components ``where``, else that of ``b``."""
    pairs = zip(a, b, strict=True)
    return [x.where(where.view(-1, *[1] * (x.dim() - 1)), y) for x, y in pairs]


def _outer(x: Tensor) -> Tensor:
    return x[..., :, None] * x[..., None, :]


def _at_least_tiny(x: Tensor) -> Tensor:
    return x.clamp_min(torch.finfo(x.dtype).tiny)


def _floored_cholesky(covariance: Tensor, floor: float) -> Tensor:
    """Cholesky factors of covariances whose eigenvalues below ``floor`` are raised to it."""
    eye = torch.eye(covariance.shape[-1]).to(covariance)
    covariance = (covariance + covariance.mT) / 2
    _, below = torch.linalg.cholesky_ex(covariance - floor * eye)  # fails where one lies below
    if below.any():
        values, vectors = torch.linalg.eigh(covariance)
        raised = (vectors * values.clamp_min(floor)[..., None, :]) @ vectors.mT
        covariance = raised.where((below != 0)[..., None, None], covariance)
    return torch.linalg.cholesky(covariance)
