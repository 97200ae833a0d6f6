"""Principal components: as an orthogonal projection, and as a density.

Sources: the chapter on principal components of document C; Jolliffe (2002), "Principal component
analysis"; Halko, Martinsson and Tropp (2011), "Finding structure with randomness"; Tipping and
Bishop (1999), "Probabilistic principal component analysis".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from genlib.core import Density, Estimator, History
from genlib.core.random import normal
from genlib.core.rows import row_chunks
from genlib.core.validation import (
    check_choice,
    check_count,
    check_event,
    check_flag,
    check_mask,
    check_positive,
    first_index,
)

METHODS = ("svd", "eigen", "randomized")
_IN_CACHE = 2**20  # values of the rows that are centred at once, where products are short
_MORE_DIRECTIONS = 10
_POWER_STEPS = 7
_LOG_2PI = math.log(2 * math.pi)


class PCA(Estimator):
    """Principal components: the linear code of q numbers that loses least of the rows' variance.

    With the mean μ and the eigenvectors u_1, …, u_q of the sample's covariance C = XᵀX / N (X the
    centred rows) that belong to its largest eigenvalues λ_1 ≥ … ≥ λ_q::

        z = U_qᵀ (x − μ)            x̂ = μ + U_q z            mean of ‖x − x̂‖² = λ_{q+1} + … + λ_d

    Parameters
    ----------
    components : int
        q, at most the number of columns and the number of rows less one.
    method : {"svd", "eigen", "randomized"}
        How the directions are found. ``"svd"``, from a singular value decomposition of X, keeps
        singular values down to about ε s_1, ε being the precision of the rows' dtype (1.2e-7, or
        2.2e-16 for float64). ``"eigen"``, from the eigenvalues of XᵀX (of XXᵀ where there are
        fewer rows than columns), is several times faster; as it squares the singular values, what
        lies below √ε s_1 is lost. ``"randomized"`` [1] finds few components of many, fast, where
        the spectrum falls: the others disturb its directions by about (s_{q+11} / s_k)^14. Its
        draws come from torch's global generator.
    whiten : bool
        Divide each z_k by √λ_k, so that codes of the training rows have the identity as covariance;
        directions without variance are refused.

    Attributes
    ----------
    mean : Tensor, shape (d,)
    directions : Tensor, shape (q, d)
        u_1, …, u_q, of length 1 and orthogonal; of the entries of each, the one that is largest in
        absolute value is positive. Where eigenvalues are equal, only the plane is determined.
    singular_values : Tensor, shape (q,)
        Of the centred rows, largest first: s_k² = N λ_k.
    deviations : Tensor, shape (q,)
        √λ_k, in the unit of the data.
    total_deviation : Tensor, shape ()
        √(λ_1 + … + λ_d).

    Notes
    -----
    Rows are centred block by block: beside the data, ``"svd"`` and ``"eigen"`` hold d² values and
    ``"randomized"`` (q + 10) d; of fewer rows than columns, the first two hold a centred copy,
    and of rows whose squares would be lost or overflow all three hold one in another unit.

    References
    ----------
    [1] Halko, Martinsson and Tropp (2011), "Finding structure with randomness: probabilistic
    algorithms for constructing approximate matrix decompositions", SIAM Review 53, 217–288.

    Examples
    --------
    >>> model = PCA(1)
    >>> _ = model.fit(torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))
    >>> [round(value, 4) for value in (model.directions[0] * 5**0.5).tolist()]
    [1.0, 2.0]
    """

    density = Density.NONE
    lesson = "11_pca"
    cannot = {  # noqa: RUF012
        "log_prob": "a projection defines no density; ProbabilisticPCA is the Gaussian whose "
        "likelihood has the same subspace as its maximum.",
        "sample": "a projection defines no distribution of its codes; ProbabilisticPCA does.",
    }
    fitted_buffers = ("mean", "directions", "singular_values", "deviations", "total_deviation")
    mean: Tensor
    directions: Tensor
    singular_values: Tensor
    deviations: Tensor
    total_deviation: Tensor

    def __init__(self, components: int = 2, method: str = "svd", whiten: bool = False) -> None:
        super().__init__()
        check_count(components, "components")
        check_choice(method, METHODS, "method")
        check_flag(whiten, "whiten")
        self.components, self.method, self.whiten = components, method, whiten

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        rows, columns = x.shape
        if self.components > min(rows - 1, columns):
            raise ValueError(
                f"components: expected at most {min(rows - 1, columns)}, for {rows} rows of "
                f"{columns} columns (once centred, N rows span at most N − 1 directions), got "
                f"{self.components}."
            )
        unit = _unit(x)
        if unit != 1:
            x = x / unit
        mean = _mean(x)
        found = _FINDERS[self.method](x, mean, self.components)
        if not found.total > 0:
            raise ValueError("x: expected rows that differ, got rows that are all the same.")
        lengths = found.lengths[: self.components]
        directions = found.directions[: self.components]
        if self.whiten:
            rounding = torch.finfo(x.dtype).eps * rows**0.5 * mean.abs()  # in each column
            self._check_whitening(lengths, directions.abs().to(x) @ rounding)
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        self.mean = mean * unit
        self.directions = (directions * largest.sign()).to(x).contiguous()
        self.singular_values = lengths.to(x) * unit
        self.deviations = (lengths.double() * (unit / rows**0.5)).to(x)
        self.total_deviation = (found.total.sqrt() * (unit / rows**0.5)).to(x)
        return History()

    def _check_whitening(self, lengths: Tensor, rounding: Tensor) -> None:
        """Raise where a direction has no more variance than rounding gives it: that of the
        decomposition, or that of the mean, ``rounding``, (q,).
        """
        precision = torch.finfo(self.dtype).eps  # of singular values, or of their squares
        least = (10 * precision) ** 0.5 if self.method == "eigen" else 20 * precision
        lost = (lengths <= least * lengths[0]) | (lengths <= rounding)
        if lost.any():
            fewer = first_index(lost)[0]
            raise ValueError(
                f"whiten: expected variance in each of the {self.components} directions, got none "
                f"beyond rounding from direction {fewer + 1} on; ask for {fewer} components, or "
                'leave out columns that are constant or determined by others (method="svd" keeps '
                'smaller variances than "eigen").'
            )

    @property
    def explained_variance(self) -> Tensor:
        """λ_k, (q,), in the squared unit of the data, divided by N. (Scikit-learn: by N − 1.)"""
        self._require_data("explained_variance")
        return self.deviations.square()

    @property
    def total_variance(self) -> Tensor:
        """λ_1 + … + λ_d."""
        self._require_data("total_variance")
        return self.total_deviation.square()

    @property
    def explained_variance_ratio(self) -> Tensor:
        """λ_k / (λ_1 + … + λ_d), (q,)."""
        self._require_data("explained_variance_ratio")
        return (self.deviations / self.total_deviation).square()

    def decode(self, z: Tensor) -> Tensor:
        """μ + U_q z for each row of ``z``, or μ + U_q Λ_q^½ z if whitened: (N, q) → (N, d)."""
        self._require_data("decode")
        shape = torch.Size([self.components])
        check_event(z, shape, dtype=self.dtype, device=self.device, name="z")
        return self._decode(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """x̂, the point of the plane that is nearest to each row: ``decode(encode(x))``."""
        return self._decode(self.encode(x))

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean of ‖x − x̂‖² over the rows, in the squared unit of the data."""
        return (x - self._decode(self._encode(x))).square().sum(1).mean()

    def _require_validation(self) -> None:
        """There is something to watch, although there is no density."""

    def _encode(self, x: Tensor) -> Tensor:
        z = (x - self.mean) @ self.directions.T
        return z / self.deviations if self.whiten else z

    def _decode(self, z: Tensor) -> Tensor:
        scaled = z * self.deviations if self.whiten else z
        return torch.addmm(self.mean, scaled, self.directions)


class _Found(NamedTuple):
    """Singular values and right singular vectors of centred rows X."""

    lengths: Tensor  # largest first, q at least
    directions: Tensor  # (q at least, d)
    total: Tensor  # Σ ‖x − μ‖², float64


def _by_svd(x: Tensor, mean: Tensor, components: int) -> _Found:
    """From X = Q R, whose R is found block by block: it has the singular values of X."""
    if len(x) < x.shape[1]:  # Xᵀ = Q R, and R has few columns
        basis, factor = torch.linalg.qr((x - mean).T)
        left, lengths, _ = torch.linalg.svd(factor)
        return _Found(lengths, (basis @ left).T, lengths.double().square().sum())
    factor = x[:0]
    for part in x.split(2 * max(x.shape[1], 512)):
        stacked = torch.cat([factor, part - mean])
        factor = torch.linalg.qr(stacked, mode="r").R
    _, lengths, directions = torch.linalg.svd(factor, full_matrices=False)
    return _Found(lengths, directions, lengths.double().square().sum())


def _by_eigen(x: Tensor, mean: Tensor, components: int) -> _Found:
    """From the eigenvectors of XᵀX, or of XXᵀ where that is the smaller one."""
    if len(x) < x.shape[1]:
        apart = x - mean
        squares, vectors = torch.linalg.eigh(_products(apart.T))
        left = vectors.flip(1)[:, :components]
        # Columns of XᵀU are orthogonal but for rounding; QR gives even those of length 0 a place.
        directions = torch.linalg.qr(apart.T @ left).Q.T
    else:
        products = torch.zeros(x.shape[1], x.shape[1]).to(x.device, torch.float64)
        for part in row_chunks(x):
            products += _products(part - mean)
        squares, vectors = torch.linalg.eigh(products.to(x))
        directions = vectors.flip(1).T
    squares = squares.flip(0).clamp_min(0)
    return _Found(squares.sqrt(), directions, squares.double().sum())


def _products(x: Tensor) -> Tensor:
    """XᵀX. On a CPU NumPy's product sees that it is symmetric, and computes half of it."""
    if x.device.type != "cpu":
        return x.T @ x
    rows = x.numpy()
    return torch.from_numpy(rows.T @ rows)


def _by_chance(x: Tensor, mean: Tensor, components: int) -> _Found:
    """From the span of (XᵀX)^7 applied to random directions, a few more than asked for."""
    count = min(components + _MORE_DIRECTIONS, *x.shape)
    basis = torch.linalg.qr(normal((x.shape[1], count), mean)).Q
    for _ in range(_POWER_STEPS):
        image = torch.zeros_like(basis)
        for part in row_chunks(x, _IN_CACHE):
            apart = part - mean
            image.addmm_(apart.T, apart @ basis)
        basis = torch.linalg.qr(image).Q
    factor, total = basis[:0], torch.zeros((), dtype=torch.float64, device=x.device)
    for part in row_chunks(x, _IN_CACHE):
        apart = part - mean
        total += apart.square().sum()
        factor = torch.linalg.qr(torch.cat([factor, apart @ basis]), mode="r").R
    _, lengths, inside = torch.linalg.svd(factor, full_matrices=False)
    return _Found(lengths, inside @ basis.T, total)


_FINDERS = dict(zip(METHODS, (_by_svd, _by_eigen, _by_chance), strict=True))


def _unit(x: Tensor) -> float:
    """1; or where squares of the rows would be lost or overflow, a power of 2 of their size."""
    low, high = (bound.item() for bound in x.aminmax())
    size, numbers = max(-low, high), torch.finfo(x.dtype)
    if size == 0 or numbers.tiny**0.25 < size < numbers.max**0.25:
        return 1.0
    return 2.0 ** round(math.log2(size))


def _mean(x: Tensor) -> Tensor:
    """The mean, and of a column of one value that value: what is left by a first pass over the
    rows, which rounds, is the mean of the second.
    """
    mean = torch.zeros(x.shape[1]).to(x)
    for _ in range(2):
        total = torch.zeros_like(mean, dtype=torch.float64)
        for part in row_chunks(x, _IN_CACHE):
            total += (part - mean).sum(0)
        mean = (mean + total / len(x)).to(x)
    return mean


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

    Of rows with missing values, ``fit(x, observed=known)`` maximises the likelihood of those that
    are known, by EM with z as the latent variable: the likelihood never falls, and ends in a local
    maximum that is not known in closed form. ``known`` is bool, (N, d) or (d,); the other values
    are not looked at, but must be finite: ``fit(x.nan_to_num(), observed=~x.isnan())``. Then
    ``fit`` also takes ``iterations=1000``, the most that it makes, and ``tolerance=1e-6``: it stops
    where a step gains less, in nats a row. The History has a row for each, with the loss before it.
    It is right where values are missing at random: whether one is missing may depend on those
    that are known, and not on itself.

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

    def _estimate(
        self,
        x: Tensor,
        *,
        held_out: tuple[Tensor, ...],
        observed: Tensor | None = None,
        iterations: int = 1000,
        tolerance: float = 1e-6,
    ) -> History:
        check_count(iterations, "iterations")
        check_positive(tolerance, "tolerance", zero=True)
        if self.latent >= x.shape[1]:
            raise ValueError(
                f"latent: expected fewer than the {x.shape[1]} dimensions of the rows, got "
                f"{self.latent}; with as many, use Gaussian."
            )
        if observed is None:
            self._set(self._maximum(x.double()))
            return History()
        known = check_mask(observed, x, "observed")
        never = ~known.any(0)
        if never.any():
            raise ValueError(
                f"observed: expected each column to be known in some row, got column "
                f"{first_index(never)[0]} known in none; leave it out."
            )
        return self._climb(x, known, iterations, tolerance)

    def _maximum(self, x: Tensor) -> _Parameters:
        """The maximum of the likelihood of complete rows, float64."""
        mean = x.mean(0)
        apart = x - mean
        values, vectors = torch.linalg.eigh(apart.T @ apart / len(x))
        values, vectors = values.flip(0), vectors.flip(1)  # the largest first
        variance = values[self.latent :].mean().clamp_min(self.floor)
        lengths = (values[: self.latent] - variance).clamp_min(0).sqrt()
        return _Parameters(mean, vectors[:, : self.latent] * lengths, variance)

    def _climb(self, x: Tensor, known: Tensor, iterations: int, tolerance: float) -> History:
        """EM from the maximum for rows that are completed by the means of their columns."""
        wide = x.double().where(known, 0.0)
        means = wide.sum(0) / known.sum(0)
        current = self._maximum(wide.where(known, means))
        history, before = History(), math.inf
        for iteration in range(1, iterations + 1):
            log_p, following = _em_step(wide, known, current, self.floor)
            loss = -log_p / len(x)
            history.append(iteration=iteration, loss=loss)
            if before - loss < tolerance:
                break
            before, current = loss, following
        u, lengths, _ = torch.linalg.svd(current.weight, full_matrices=False)
        self._set(current._replace(weight=u * lengths))
        return history

    def _set(self, found: _Parameters) -> None:
        self.mean, self.weight, self.variance = (part.to(self.mean) for part in found)

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

    def marginal_log_prob(self, x: Tensor, observed: Tensor) -> Tensor:
        """Log density of the known values of each row, the others integrated out, in nats.

        Parameters
        ----------
        x : Tensor, shape (N, d)
            Values that are not known must be finite, and are not looked at.
        observed : Tensor of bool, shape (N, d) or (d,)
            Which values are known.

        Returns
        -------
        Tensor, shape (N,)
            0 for a row of which nothing is known.
        """
        return torch.cat([part.log_p for part in self._given(x, observed, "marginal_log_prob")])

    def predict_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """E[x | known values of the row], (N, d): a known value is itself; ``observed`` as for
        `marginal_log_prob`.
        """
        parts = self._given(x, observed, "predict_missing")
        expected = self.decode(torch.cat([part.codes for part in parts]))
        return torch.where(check_mask(observed, x, "observed"), x, expected)

    def _given(self, x: Tensor, observed: Tensor, method: str) -> list[_Posterior]:
        self._require_data(method)
        self.check(x)
        known = check_mask(observed, x, "observed")
        parameters = _Parameters(*(p.double() for p in (self.mean, self.weight, self.variance)))
        found = [_posterior(*part, parameters) for part in _blocks(x, known, self.latent)]
        return [_Posterior(*(value.to(x) for value in part)) for part in found]

    def _log_prob(self, x: Tensor) -> Tensor:
        # With z = E[z | x] the quadratic form is ‖x − μ − W z‖² / σ² + ‖z‖². (As a difference,
        # ‖x − μ‖² − …, it would lose all digits where σ is small.) det = σ^{2(d − q)} det M.
        d, q, z = x.shape[1], self.latent, self._encode(x)
        squares = (x - self.decode(z)).square().sum(1) / self.variance + z.square().sum(1)
        log_det = (d - q) * self.variance.log() + 2 * self._factor().diagonal().log().sum()
        return -0.5 * (squares + log_det + d * _LOG_2PI)

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


class _Parameters(NamedTuple):
    """Of probabilistic PCA, in float64."""

    mean: Tensor
    weight: Tensor
    variance: Tensor


class _Posterior(NamedTuple):
    """What the known values of some rows say."""

    log_p: Tensor  # their log density, (n,)
    codes: Tensor  # E[z | known], (n, q)
    covariances: Tensor  # Cov[z | known], (n, q, q)


def _blocks(x: Tensor, known: Tensor, latent: int) -> list[tuple[Tensor, Tensor]]:
    """Rows and what is known of them, in parts that leave room for a matrix for each row."""
    rows = max(1, _IN_CACHE // max(x.shape[1], (latent + 1) ** 2))
    return list(zip(x.split(rows), known.split(rows), strict=True))


def _posterior(x: Tensor, known: Tensor, parameters: _Parameters) -> _Posterior:
    """As in `ProbabilisticPCA`, with the rows of W and μ that belong to the known values."""
    mean, weight, variance = parameters
    mask, q = known.to(weight), weight.shape[1]
    squares = (mask @ _outer(weight).flatten(1)).unflatten(1, (q, q))  # WᵀW of the known rows
    factor = torch.linalg.cholesky(squares + variance * torch.eye(q).to(weight))
    apart = (x.to(weight) - mean).where(known, 0.0)
    z = torch.cholesky_solve((apart @ weight)[..., None], factor)[..., 0]
    left = (apart - z @ weight.T).where(known, 0.0)
    quadratic = left.square().sum(1) / variance + z.square().sum(1)
    count = mask.sum(1)
    log_det = (count - q) * variance.log() + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    log_p = -0.5 * (quadratic + log_det + count * _LOG_2PI)
    return _Posterior(log_p, z, variance * torch.cholesky_inverse(factor))


def _em_step(
    x: Tensor, known: Tensor, parameters: _Parameters, floor: float
) -> tuple[float, _Parameters]:
    """Log-likelihood of the known values, and the parameters that EM goes on to.

    Each column is regressed on the codes and a constant, by the moments of the codes under their
    posterior; σ² is the mean of what is left of the known values.
    """
    mean, weight, _ = parameters
    q, log_p = weight.shape[1], 0.0
    inputs = torch.zeros(len(mean), q + 1, q + 1).to(weight)  # Σ E[(z, 1)(z, 1)ᵀ] for each column
    products = torch.zeros(len(mean), q + 1).to(weight)  # Σ (x − μ) E[(z, 1)]
    squares = torch.zeros_like(mean)
    for part, mask in _blocks(x, known, q):
        found = _posterior(part, mask, parameters)
        log_p += found.log_p.sum().item()
        apart = (part - mean).where(mask, 0.0)
        codes = torch.cat([found.codes, torch.ones(len(part), 1).to(weight)], 1)
        second = _outer(codes)
        second[:, :q, :q] += found.covariances
        inputs += (mask.to(weight).T @ second.flatten(1)).view_as(inputs)
        products += apart.T @ codes
        squares += apart.square().sum(0)
    slopes = torch.linalg.solve(inputs, products)
    left = (squares - (slopes * products).sum(1)).sum() / known.sum()
    return log_p, _Parameters(mean + slopes[:, q], slopes[:, :q], left.clamp_min(floor))


def _outer(x: Tensor) -> Tensor:
    return x[..., :, None] * x[..., None, :]
