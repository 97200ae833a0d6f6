"""Principal components, as a density.

Sources: the chapter on principal components of document C; Tipping and Bishop (1999),
"Probabilistic principal component analysis".
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from genlib.core import Density, Estimator, History
from genlib.core.random import normal
from genlib.core.validation import check_count, check_event, check_positive


class ProbabilisticPCA(Estimator):
    """Probabilistic PCA: x = W z + μ + σ ε with z ~ N(0, I_q), ε ~ N(0, I_d): a log density, exact.

    The maximum of the likelihood is known [1]: with the eigenvalues λ_1 ≥ … ≥ λ_d of the sample's
    covariance (divided by N) and their vectors U::

        σ² = (λ_{q+1} + … + λ_d) / (d − q)        W = U_q (Λ_q − σ² I)^½

    Parameters
    ----------
    latent : int
        q, fewer than there are dimensions.
    floor : float
        Least σ², in the squared unit of the data: where q directions hold all there is, the
        likelihood has no maximum.

    Attributes
    ----------
    mean : Tensor, shape (d,)
    weight : Tensor, shape (d, q)
        W, its columns orthogonal, the longest first; unique up to rotations of z.
    variance : Tensor, shape ()
        σ².

    Notes
    -----
    ``encode`` gives E[z | x] = M⁻¹ Wᵀ (x − μ) with M = WᵀW + σ² I, (N, q).

    References
    ----------
    [1] Tipping and Bishop (1999), "Probabilistic principal component analysis", Journal of the
    Royal Statistical Society B 61, 611–622.
    """

    density = Density.EXACT
    lesson = "11_pca"
    fitted_buffers = ("mean", "weight", "variance")
    mean: Tensor
    weight: Tensor
    variance: Tensor

    def __init__(self, latent: int = 2, floor: float = 1e-9) -> None:
        super().__init__()
        check_count(latent, "latent")
        check_positive(floor, "floor")
        self.latent, self.floor = latent, floor

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        if self.latent >= x.shape[1]:
            raise ValueError(
                f"latent: expected fewer than the {x.shape[1]} dimensions of the rows, got "
                f"{self.latent}; with as many, use Gaussian."
            )
        mean = x.double().mean(0)
        apart = x.double() - mean
        values, vectors = torch.linalg.eigh(apart.T @ apart / len(x))
        values, vectors = values.flip(0), vectors.flip(1)  # the largest first
        variance = values[self.latent :].mean().clamp_min(self.floor)
        lengths = (values[: self.latent] - variance).clamp_min(0).sqrt()
        found = mean, vectors[:, : self.latent] * lengths, variance
        self.mean, self.weight, self.variance = (part.to(x) for part in found)
        return History()

    def covariance(self) -> Tensor:
        """W Wᵀ + σ² I, (d, d)."""
        self._require_data("covariance")
        eye = torch.eye(len(self.mean)).to(self.weight)
        return self.weight @ self.weight.T + self.variance * eye

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z] = W z + μ for each row of ``z``: (N, q) → (N, d)."""
        self._require_data("decode")
        check_event(z, torch.Size([self.latent]), dtype=self.dtype, device=self.device, name="z")
        return z @ self.weight.T + self.mean

    def posterior_covariance(self) -> Tensor:
        """Cov[z | x] = σ² M⁻¹, (q, q), the same for every x."""
        self._require_data("posterior_covariance")
        return self.variance * torch.cholesky_inverse(self._factor())

    def _log_prob(self, x: Tensor) -> Tensor:
        # With z = E[z | x] the quadratic form is ‖x − μ − W z‖² / σ² + ‖z‖². (As a difference,
        # ‖x − μ‖² − …, it would lose all digits where σ is small.) det = σ^{2(d − q)} det M.
        d, q, z = x.shape[1], self.latent, self._encode(x)
        squares = (x - self.decode(z)).square().sum(1) / self.variance + z.square().sum(1)
        log_det = (d - q) * self.variance.log() + 2 * self._factor().diagonal().log().sum()
        return -0.5 * (squares + log_det + d * math.log(2 * math.pi))

    def _encode(self, x: Tensor) -> Tensor:
        return torch.cholesky_solve(((x - self.mean) @ self.weight).T, self._factor()).T

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        z = normal((n, self.latent), self.mean, generator)
        noise = normal((n, len(self.mean)), self.mean, generator)
        return self.decode(z) + self.variance.sqrt() * noise

    def _factor(self) -> Tensor:
        """Cholesky factor of M = WᵀW + σ² I."""
        m = self.weight.T @ self.weight
        return torch.linalg.cholesky(m + self.variance * torch.eye(len(m)).to(m))
