"""Stroke digits: a handwriting whose every cause is known.

A digit is drawn as a person draws it. A skeleton from `genlib.data.skeletons` is bent by random,
smooth displacements, turned into smooth curves, slanted, rotated, stretched, fitted into the image
as MNIST's digits are, and inked by a round pen: the ink at a pixel depends on its distance to the
curve. The size, weight and slant of the writing imitate MNIST, and so do the image conventions, so
that `strokes` and `mnist` can replace each other; only here the factors behind each image are
returned too, and there is no end of images.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from genlib.core.validation import check_between, check_count, check_flag
from genlib.data.dataset import MOST_VALUES, Dataset, seeded
from genlib.data.skeletons import SKELETONS, Point, Variant
from genlib.data.storage import float32_by_default, kept

_VERSION = 2  # part of the cache's key: to be raised when images change, or how they are kept
_LARGEST_SIDE = 1024
_IMAGES_AT_ONCE = 16  # keeps the distances of a tile in the processor's cache


def strokes(
    n: int = 10_000,
    size: int = 28,
    seed: int = 0,
    *,
    variation: float = 1.0,
    cache: bool = True,
) -> Dataset:
    """Return ``n`` handwritten-looking digits with the factors that made them.

    Images are (N, 1, size, size) with values k/255, ink 1 on paper 0, digits in a box of 20/28 of
    the image around their centre of mass, as in MNIST; labels 0 … 9, all equally often. The split
    is 80/10/10. The same arguments give the same data; the shapes do not depend on ``size``.

    ``factors``, float32 (N,) unless said otherwise:

    - ``variant``: which of its digit's skeletons was used, int64;
    - ``slant``: shear angle in radians, positive to the right;
    - ``rotation``: in radians, positive clockwise;
    - ``aspect``: factor on the width of the skeleton;
    - ``scale``: size relative to the box of 20/28;
    - ``width``: of the pen, as a fraction of the image's side;
    - ``shift``: offset from the middle (right, down), as fractions of the side, (N, 2);
    - ``haste``: from 0, corners are kept, to 1, they are rounded off.

    Parameters
    ----------
    n
        Number of images in all, at least 10, and not more than 2³¹ pixels.
    size
        Side of an image in pixels, 8 to 1024.
    variation
        Factor on all random deviations. 0 draws each variant in one clean way.
    cache
        Keep the images in genlib's cache folder, and read them from there the next time.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``size`` is out of range, or ``variation`` is not in [0, 2].

    Warns
    -----
    UserWarning
        If the cached file is damaged or holds something else (it is not used, but made anew), or
        if it cannot be written.
    """
    check_count(size, "size", minimum=8, maximum=_LARGEST_SIDE)
    check_count(n, minimum=10, maximum=MOST_VALUES // size**2)
    check_between(variation, 0, 2, "variation")
    check_flag(cache, "cache")
    seeded(seed)  # or say what is wrong with it
    arguments = {"n": n, "size": size, "seed": seed, "variation": float(variation)}
    key = {"version": _VERSION, **arguments}
    parts = (
        kept("stroke digits", key, lambda: _drawn(**arguments)) if cache else _drawn(**arguments)
    )
    pixels, labels = parts.pop("pixels"), parts.pop("labels")
    return Dataset.cut(
        pixels.unsqueeze(1).float() / 255,
        labels,
        parts,
        name=f"stroke digits {size} × {size}",
        source=f"drawn by genlib, seed {seed}",
        licence="MIT",
    )


# Drawing. Lengths are fractions of the image's side, except in `_render`; y points downwards.


@float32_by_default()
def _drawn(n: int, size: int, seed: int, variation: float) -> dict[str, Tensor]:
    """Pixels (n, size, size) uint8, labels (n,), and the factors by name."""
    generator = seeded(seed)
    labels = (torch.arange(n) % len(SKELETONS))[torch.randperm(n, generator=generator)]
    factors = _draw_factors(labels, variation, generator)
    segments = max(48, size)
    paths = _draw_paths(labels, factors, segments, variation, generator)
    pressure = _draw_pressure(n, segments, variation, generator)
    radii = factors["width"][:, None] / 2 * pressure
    pixels = _render(size * _placed(paths, radii, factors), size * radii, size)
    return {"pixels": pixels, "labels": labels, **factors}


def _draw_factors(labels: Tensor, variation: float, generator: Generator) -> dict[str, Tensor]:
    """Factors of each image; the figures are chosen to resemble MNIST."""
    n = len(labels)

    def deviation(scale: float, *shape: int) -> Tensor:
        normal = torch.empty(n, *shape)
        torch.nn.init.trunc_normal_(normal, 0, 1, -2.5, 2.5, generator=generator)
        return variation * scale * normal

    return {
        "variant": _draw_variants(labels, generator),
        "slant": 0.17 + deviation(0.20),
        "rotation": deviation(0.08),
        "aspect": torch.exp(0.05 + deviation(0.22)),
        "scale": torch.exp(deviation(0.04) - 0.04),
        "width": 2.6 / 28 * torch.exp(deviation(0.26)),
        "shift": deviation(0.4 / 28, 2),
        "haste": 0.5 + min(variation, 1) * (torch.rand(n, generator=generator) - 0.5),
    }


def _draw_variants(labels: Tensor, generator: Generator) -> Tensor:
    """Which of its digit's skeletons each image uses, by their weights."""
    weights = torch.zeros(len(SKELETONS), max(map(len, SKELETONS)))
    for digit, variants in enumerate(SKELETONS):
        weights[digit, : len(variants)] = torch.tensor([variant.weight for variant in variants])
    return torch.multinomial(weights[labels], 1, generator=generator)[:, 0]


def _draw_paths(
    labels: Tensor,
    factors: dict[str, Tensor],
    segments: int,
    variation: float,
    generator: Generator,
) -> Tensor:
    """Starts and ends of the segments of each pen path, (n, 2, segments, 2)."""
    paths = torch.empty(len(labels), 2, segments, 2)
    for digit, variants in enumerate(SKELETONS):
        for index, variant in enumerate(variants):
            rows = ((labels == digit) & (factors["variant"] == index)).nonzero()[:, 0]
            path = _pen_path(variant, segments)
            noise = torch.randn(len(rows), len(path.points), 2, generator=generator)
            points = (path.points + variation * path.spread @ noise)[:, None]
            haste = factors["haste"][rows, None, None, None]
            paths[rows] = (1 - haste) * (path.sharp @ points) + haste * (path.rounded @ points)
    return paths


def _draw_pressure(n: int, segments: int, variation: float, generator: Generator) -> Tensor:
    """Pen width along each path relative to its mean, (n, segments): three slow waves around 1."""
    along = torch.linspace(0, math.pi, segments)
    waves = torch.cos(torch.arange(1, 4)[:, None] * along)
    return 1 + variation * 0.06 * torch.randn(n, len(waves), generator=generator) @ waves


def _placed(paths: Tensor, radii: Tensor, factors: dict[str, Tensor]) -> Tensor:
    """Slant, rotate and stretch the paths, and fit them into the unit square as MNIST does."""
    column = {name: values[:, None, None] for name, values in factors.items()}
    x, y = paths.unbind(-1)
    x = column["aspect"] * x - torch.tan(column["slant"]) * y
    cos, sin = column["rotation"].cos(), column["rotation"].sin()
    x, y = cos * x - sin * y, sin * x + cos * y
    paths = torch.stack([x, y], -1)

    extent = (paths.amax((1, 2)) - paths.amin((1, 2))).amax(1)
    box = factors["scale"] * 20 / 28 - factors["width"]  # the pen's width belongs to the digit
    paths = paths * (box / extent)[:, None, None, None]

    ink = radii * (paths[:, 1] - paths[:, 0]).norm(dim=-1)
    middle = (paths.mean(1) * ink[..., None]).sum(1) / ink.sum(1, keepdim=True)
    return paths + (0.5 + factors["shift"] - middle)[:, None, None, :]


def _render(paths: Tensor, radii: Tensor, size: int) -> Tensor:
    """Ink of a round pen along the segments, (n, size, size) uint8; lengths in pixels.

    With d the distance from a pixel's centre to the segment and r the pen's radius there, the ink
    falls from 1 to 0 linearly over some 1.15 pixels around d = r. Distances are measured in units
    of r, so that the nearest segment of the widest pen wins.
    """
    start, end = paths.unbind(1)
    length = (end - start).norm(dim=-1).clamp(min=1e-6)
    along = (end - start) / length[..., None] / radii[..., None]  # unit vectors, in units of r
    middle, half = (start + end) / 2, length / 2 / radii
    across = torch.stack([-along[..., 1], along[..., 0]], -1)
    slope = radii.mean(1) / 1.15
    ruler = torch.arange(size) + 0.5
    pixels = torch.empty(len(paths), size, size, dtype=torch.uint8)

    def coordinate(axis: Tensor, tile: slice) -> Tensor:
        """Coordinates of all pixels along one axis of each segment's frame, (tile, S, y, x)."""
        x, y = ((ruler - middle[tile, :, i, None]) * axis[tile, :, i, None] for i in (0, 1))
        return x[:, :, None, :] + y[:, :, :, None]

    for first in range(0, len(paths), _IMAGES_AT_ONCE):
        tile = slice(first, first + _IMAGES_AT_ONCE)
        past_end = coordinate(along, tile).abs_().sub_(half[tile, :, None, None]).clamp_(min=0)
        sideways = coordinate(across, tile)
        squared = past_end.square_().addcmul_(sideways, sideways).amin(1)
        ink = 0.5 + (1 - squared.sqrt_()) * slope[tile, None, None]
        pixels[tile] = (255 * ink.clamp_(0, 1)).round_().to(torch.uint8)
    return pixels


# From skeletons to curves


@dataclass(frozen=True)
class _PenPath:
    """A skeleton ready for use: everything about it is linear in its K control points.

    ``points`` (K, 2); ``spread`` (K, K), the factor by which white noise becomes displacements of
    the points; ``sharp`` and ``rounded`` (2, segments, K), from points to the segments' starts and
    ends along the curves, with corners kept or rounded off.
    """

    points: Tensor
    spread: Tensor
    sharp: Tensor
    rounded: Tensor


@functools.cache
def _pen_path(variant: Variant, segments: int) -> _PenPath:
    curves = [_Curve(stroke) for stroke in variant.strokes()]
    counts = _shared_out(segments, [curve.length for curve in curves])
    bases = {"sharp": [], "rounded": []}
    for curve, count in zip(curves, counts, strict=True):
        sharp = curve.basis(count)
        bases["sharp"].append(sharp)
        bases["rounded"].append(_smoothing(count, curve.length) @ sharp)
    return _PenPath(
        points=_tensor(np.concatenate([curve.points for curve in curves])),
        spread=_tensor(_spread(curves)),
        **{name: _starts_and_ends(blocks) for name, blocks in bases.items()},
    )


class _Curve:
    """A stroke as a curve through its points: smooth pieces that share a point where they meet."""

    def __init__(self, pieces: list[list[Point]]) -> None:
        self.points = np.array(pieces[0] + [point for piece in pieces[1:] for point in piece[1:]])
        self.breaks = np.cumsum([0] + [len(piece) - 1 for piece in pieces])
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        self.knots = np.concatenate([[0.0], np.cumsum(steps)])
        self.length = self.knots[-1]

    def basis(self, count: int) -> np.ndarray:
        """Weights (count + 1, K) of the points in so many equal steps along the curve."""
        from scipy.interpolate import CubicSpline  # a third of a second, for new digits only

        at = np.linspace(0, self.length, count + 1)
        weights = np.zeros((len(at), len(self.points)))
        for first, last in itertools.pairwise(self.breaks):
            piece = slice(first, last + 1)
            inside = (at >= self.knots[first]) & (at <= self.knots[last])
            spline = CubicSpline(self.knots[piece], np.eye(last + 1 - first), bc_type="natural")
            weights[inside] = 0
            weights[inside, piece] = spline(at[inside])
        return weights


def _smoothing(count: int, length: float) -> np.ndarray:
    """Weights of a running mean over 0.07 along a curve, narrower near its ends, which stay."""
    at = np.linspace(0, length, count + 1)
    width = np.clip(np.minimum(at, length - at) / 2, 1e-6, 0.07)
    weights = np.exp(-0.5 * ((at[:, None] - at) / width[:, None]) ** 2)
    return weights / weights.sum(1, keepdims=True)


def _spread(curves: list[_Curve]) -> np.ndarray:
    """Cholesky factor of the covariance of the points' displacements, in units of their height.

    Three causes add up: the paper's plane bends, the hand strays along a stroke, a point slips.
    """
    points = np.concatenate([curve.points for curve in curves])
    # Far apart on this scale: different strokes stray independently.
    knots = np.concatenate([curve.knots + 100 * i for i, curve in enumerate(curves)])
    apart = ((points[:, None] - points) ** 2).sum(-1)
    along = (knots[:, None] - knots) ** 2
    bend = 0.055**2 * np.exp(-apart / (2 * 0.45**2))
    stray = 0.035**2 * np.exp(-along / (2 * 0.30**2))
    return np.linalg.cholesky(bend + stray + 0.008**2 * np.eye(len(points)))


def _shared_out(segments: int, lengths: list[float]) -> list[int]:
    """Divide the segments among the strokes by their lengths, at least two for each."""
    counts = [max(2, round(segments * length / sum(lengths))) for length in lengths]
    counts[int(np.argmax(counts))] += segments - sum(counts)
    return counts


def _starts_and_ends(blocks: list[np.ndarray]) -> Tensor:
    """Stack the strokes' weights, leaving out the step from one stroke to the next."""
    from scipy.linalg import block_diag

    starts = block_diag(*blocks)
    lasts = np.cumsum([len(block) for block in blocks]) - 1
    firsts = lasts - [len(block) - 1 for block in blocks]
    return _tensor(np.stack([np.delete(starts, lasts, 0), np.delete(starts, firsts, 0)]))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
