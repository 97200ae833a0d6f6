"""Densities on the plane that are known exactly and drawn from exactly.

Each is a small object with ``log_prob(x)``, ``sample(n)`` and ``dataset(n)``: the truth against
which a model of its samples can be judged, at every point. Log-densities are computed in float64
inside and returned in the dtype of ``x``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core.random import integers, normal, uniform
from genlib.core.validation import check_between, check_count, check_tensor
from genlib.data.dataset import MOST_VALUES, Dataset, seeded

_FLOAT64 = torch.empty(0, dtype=torch.float64)  # what is drawn is like this
_MOST_COMPONENTS = 1024
_MOST_TERMS = 2**16  # points × components, or × nodes of quadrature: they stay in a cache


class PlanarDensity(ABC):
    """A density p on the plane, in nats.

    Attributes
    ----------
    name
        What it is called.
    components
        The number of parts (modes, arms, squares) it is an even mixture of.
    extent
        The square [−extent, extent]² holds all but at most 1e-6 of the probability.
    support
        Where the density is positive.
    """

    event_shape: ClassVar[torch.Size] = torch.Size([2])
    support: constraints.Constraint = constraints.independent(constraints.real, 1)

    def __init__(self, name: str, components: int, extent: float) -> None:
        self.name = name
        self.components = components
        self.extent = extent

    def __repr__(self) -> str:
        return f"{self.name}: density on the plane, {self.components} components"

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each row of ``x``, (N, 2) to (N,), in nats; −inf outside the support.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is not a non-empty floating-point tensor of shape (N, 2), or holds NaN.
        """
        check_tensor(x)
        if x.dim() != 2 or x.shape[1] != 2:
            raise ValueError(f"x: expected shape (N, 2), got {tuple(x.shape)}.")
        rows = max(1, _MOST_TERMS // self._terms)
        return torch.cat([self._log_prob(part) for part in x.double().split(rows)]).to(x.dtype)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """``n`` independent draws, (n, 2), in torch's default dtype."""
        return self._draw(n, generator)[0]

    def dataset(self, n: int = 10_000, seed: int = 0) -> Dataset:
        """``n`` draws, split 80/10/10; labels tell the component that each came from.

        Raises
        ------
        ValueError
            If ``n`` is less than 10, so that a split would be empty.
        """
        check_count(n, minimum=10)
        x, label = self._draw(n, seeded(seed))
        source = f"drawn from an exactly known density, seed {seed}"
        return Dataset.cut(x, label, name=self.name, source=source)

    def _draw(self, n: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Draw a component for each of ``n`` points, then the points; return both."""
        check_count(n, maximum=MOST_VALUES // 2)
        label = integers(self.components, (n,), _FLOAT64, generator)
        return self._sample(label, generator).to(torch.get_default_dtype()), label

    @property
    def _terms(self) -> int:
        """How many terms the density of one point adds up."""
        return self.components

    @abstractmethod
    def _log_prob(self, x: Tensor) -> Tensor:
        """Log-density of float64 rows."""

    @abstractmethod
    def _sample(self, component: Tensor, generator: Generator | None) -> Tensor:
        """One float64 point from each of the named components."""


class Modes(PlanarDensity):
    """Round Gaussians of standard deviation ``scale`` around ``centres`` (K, 2), equally likely."""

    def __init__(self, name: str, centres: Tensor, scale: float) -> None:
        _check_length(scale, "scale")
        super().__init__(name, len(centres), centres.abs().max().item() + 6 * scale)
        self.centres = centres
        self.scale = scale

    def _log_prob(self, x: Tensor) -> Tensor:
        weights = torch.full_like(self.centres[:, 0], 1 / len(self.centres))
        return _log_mixture(x, self.centres, weights, self.scale)

    def _sample(self, component: Tensor, generator: Generator | None) -> Tensor:
        noise = _normal(len(component), generator)
        return self.centres.double()[component] + self.scale * noise


class Curves(PlanarDensity):
    """Gaussian noise of standard deviation ``scale`` around a point drawn on one of some curves.

    The point travels a curve c with density k t^(k−1) at time t in [0, 1], where k = ``pace``:

        p(x) = ∫₀¹ k t^(k−1) N(x; c(t), scale² I) dt, averaged over the curves.

    The integral is taken by Gauss–Legendre quadrature, 16 nodes for each piece of curve of length
    3 × ``scale``: log p is off by less than 1e-9 where it is above −100.

    Parameters
    ----------
    curve
        (component (n,), t (n,)) to points (n, 2): smooth in t, float64, all curves equally fast.
    components
        The number of curves.
    """

    def __init__(
        self,
        name: str,
        curve: Callable[[Tensor, Tensor], Tensor],
        components: int,
        scale: float,
        pace: float = 1.0,
    ) -> None:
        _check_length(scale, "scale")
        self.curve = curve
        self.scale = scale
        self.pace = pace
        t = torch.linspace(0, 1, 2001, dtype=torch.float64)
        path = torch.stack([curve(torch.full((len(t),), k), t) for k in range(components)])
        super().__init__(name, components, path.abs().max().item() + 6 * scale)
        travelled = np.append(0, path[0].diff(dim=0).norm(dim=1).cumsum(0))
        pieces = travelled[-1] / (3 * scale) + 1
        if not 16 * pieces * components < _MOST_TERMS:
            raise ValueError(
                f"scale: expected at most {_MOST_TERMS // 16} pieces of curve of length 3 × scale, "
                f"got {pieces * components:.3g}; enlarge the scale."
            )
        ends = np.linspace(0, travelled[-1], math.ceil(pieces) + 1)
        self._nodes, self._weights = self._quadrature(np.interp(ends, travelled, t))

    def _quadrature(self, ends: np.ndarray) -> tuple[Tensor, Tensor]:
        """Points on all curves, and their weights, from 16 nodes between every two ``ends``."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        half = np.diff(ends)[:, None] / 2
        t = torch.as_tensor(ends[:-1, None] + half * (1 + nodes)).flatten()
        weights = torch.as_tensor(half * weights).flatten() * self.pace * t ** (self.pace - 1)
        component = torch.arange(self.components).repeat_interleave(len(t))
        points = self.curve(component, t.repeat(self.components))
        return points, (weights / self.components).repeat(self.components)

    @property
    def _terms(self) -> int:
        return len(self._nodes)

    def _log_prob(self, x: Tensor) -> Tensor:
        return _log_mixture(x, self._nodes, self._weights, self.scale)

    def _sample(self, component: Tensor, generator: Generator | None) -> Tensor:
        u = uniform((len(component),), _FLOAT64, generator)
        points = self.curve(component, u ** (1 / self.pace))
        return points + self.scale * _normal(len(component), generator)


class Checkerboard(PlanarDensity):
    """Uniform on the black squares, of side 2, of a board with ``squares`` × ``squares`` fields."""

    def __init__(self, squares: int) -> None:
        check_count(squares, "squares", maximum=math.isqrt(_MOST_COMPONENTS))
        index = torch.arange(squares)
        row, column = (index[:, None] + index[None, :]).remainder(2).eq(0).nonzero().T
        # Whole numbers, so that the edges are exact in every dtype and no draw is rounded over one.
        self.centres = 2.0 * torch.stack([column, row], 1) + 1 - squares
        self.support = _OnSquares(self.centres)
        super().__init__("checkerboard", len(self.centres), float(squares))

    def _log_prob(self, x: Tensor) -> Tensor:
        inside = self.support.check(x)
        level = -math.log(4 * self.components)
        return torch.full_like(x[:, 0], level).masked_fill(~inside, -math.inf)

    def _sample(self, component: Tensor, generator: Generator | None) -> Tensor:
        u = uniform((len(component), 2), _FLOAT64, generator)
        return self.centres.double()[component] + 2 * u - 1


class _OnSquares(constraints.Constraint):
    """Points on closed squares of side 2 around ``centres``."""

    event_dim = 1

    def __init__(self, centres: Tensor) -> None:
        self.centres = centres

    def __str__(self) -> str:
        return "the black squares of the checkerboard"

    def check(self, value: Tensor) -> Tensor:
        offset = value.unsqueeze(-2) - self.centres.to(value)
        return (offset.abs() <= 1).all(-1).any(-1)


class Pinwheel(PlanarDensity):
    """Arms of a wheel, each an oblong Gaussian that is twisted around the origin.

    With f ~ N((radius, 0), diag(radial², tangential²)) and r = ‖f‖, a draw from arm k is

        x = R(2πk/K + rate · exp(min(r / radius, 16))) f,    R(a) the rotation by the angle a.

    A rotation whose angle depends on the radius alone keeps areas, and ‖x‖ = ‖f‖ undoes it, so
    p(x) is the mean over the arms of the Gaussian at the untwisted point. (Johnson et al., 2016,
    twist by the first coordinate of f instead of its length; the pictures are alike, but that
    density has no closed form.) Beyond 16 radii, after a million turns that no figure could
    resolve, the arms are wound no further: the exponential would overflow.
    """

    def __init__(
        self, arms: int, radius: float, radial: float, tangential: float, rate: float
    ) -> None:
        check_count(arms, "arms", maximum=_MOST_COMPONENTS)
        check_between(rate, -1000, 1000, "rate")
        for name, value in {"radius": radius, "radial": radial, "tangential": tangential}.items():
            _check_length(value, name)
        self.radius = radius
        self.rate = rate
        self._scales = torch.tensor([radial, tangential], dtype=torch.float64)
        self._centre = torch.tensor([radius, 0.0], dtype=torch.float64)
        super().__init__("pinwheel", arms, radius + 6 * max(radial, tangential))

    def _log_prob(self, x: Tensor) -> Tensor:
        arm = torch.arange(self.components, device=x.device)
        f = _rotate(x[:, None, :], -self._angle(arm, x.norm(dim=1)[:, None]))
        z = (f - self._centre.to(x)) / self._scales.to(x)
        log_density = (
            -0.5 * (z**2).sum(-1) - self._scales.log().sum().item() - math.log(2 * math.pi)
        )
        return torch.logsumexp(log_density, 1) - math.log(self.components)

    def _sample(self, component: Tensor, generator: Generator | None) -> Tensor:
        f = self._centre + self._scales * _normal(len(component), generator)
        return _rotate(f, self._angle(component, f.norm(dim=1)))

    def _angle(self, arm: Tensor, r: Tensor) -> Tensor:
        return 2 * math.pi * arm / self.components + self.rate * torch.exp(
            (r / self.radius).clamp(max=16)
        )


def ring(modes: int = 8, radius: float = 2.0, scale: float = 0.1) -> Modes:
    """``modes`` round Gaussians on a circle, the first one on the x-axis.

    Eight of them with radius 2 and scale 0.02 are the ring on which Metz et al. (2017, *Unrolled
    generative adversarial networks*) count the modes that a generator has lost.
    """
    check_count(modes, "modes", maximum=_MOST_COMPONENTS)
    _check_length(radius, "radius")
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return Modes("ring", radius * torch.stack([angle.cos(), angle.sin()], 1), scale)


def grid(side: int = 5, spacing: float = 2.0, scale: float = 0.1) -> Modes:
    """``side`` × ``side`` round Gaussians, ``spacing`` apart, centred at the origin.

    The defaults with scale 0.05 are the grid of Srivastava et al. (2017, *VEEGAN*).
    """
    check_count(side, "side", maximum=math.isqrt(_MOST_COMPONENTS))
    _check_length(spacing, "spacing")
    line = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return Modes("grid", torch.cartesian_prod(line, line), scale)


def two_moons(scale: float = 0.1) -> Curves:
    """Two interleaved half circles of radius 1 with Gaussian noise.

    These are scikit-learn's ``make_moons``, moved so that their centre is the origin.
    """

    def curve(component: Tensor, t: Tensor) -> Tensor:
        half_circle = torch.stack([torch.cos(math.pi * t) - 0.5, torch.sin(math.pi * t) - 0.25], 1)
        return torch.where(component[:, None] == 0, half_circle, -half_circle)

    return Curves("two moons", curve, 2, scale)


def spirals(arms: int = 2, turns: float = 1.5, radius: float = 3.0, scale: float = 0.1) -> Curves:
    """``arms`` Archimedean spirals that leave the origin, with Gaussian noise.

    The pace grows with the radius, so that the points lie about equally dense along an arm.
    """
    check_count(arms, "arms", maximum=_MOST_COMPONENTS)
    check_between(turns, 0, 100, "turns", ends=False)
    _check_length(radius, "radius")

    def curve(component: Tensor, t: Tensor) -> Tensor:
        angle = 2 * math.pi * (turns * t + component.to(t) / arms)
        return radius * t[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    return Curves("spirals", curve, arms, scale, pace=2.0)


def checkerboard(squares: int = 4) -> Checkerboard:
    """Return the uniform density on the black squares of a board, each of side 2.

    Edges belong to the black squares; off them the log-density is −inf.
    """
    return Checkerboard(squares)


def pinwheel(
    arms: int = 5,
    radius: float = 2.0,
    radial: float = 0.6,
    tangential: float = 0.2,
    rate: float = 0.25,
) -> Pinwheel:
    """Arms of a twisted wheel: oblong Gaussians around a circle, wound up by ``rate``."""
    return Pinwheel(arms, radius, radial, tangential, rate)


def _normal(n: int, generator: Generator | None) -> Tensor:
    return normal((n, 2), _FLOAT64, generator)


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Rotate points (..., 2) by angles (...)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], -1)


def _log_mixture(x: Tensor, centres: Tensor, weights: Tensor, scale: float) -> Tensor:
    """log Σ_k w_k N(x; c_k, scale² I) for float64 rows ``x``."""
    centres = centres.to(x)
    # Differences first: |x|² − 2xᵀc + |c|² would cancel where the scale is small or x far away.
    across, up = (x[:, i, None] - centres[:, i] for i in (0, 1))
    squared = across.square_().addcmul_(up, up)
    log_terms = squared.mul_(-0.5 / scale**2).add_(weights.to(x).log())
    return torch.logsumexp(log_terms, 1) - math.log(2 * math.pi * scale**2)


def _check_length(value: object, name: str) -> None:
    """Raise unless ``value`` is a positive number whose square is one too."""
    check_between(value, 1e-100, 1e100, name)
