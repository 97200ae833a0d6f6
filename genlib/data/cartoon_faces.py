"""Cartoon faces: colour pictures whose every cause is known.

A face is painted in layers, from the background to the glasses, each with a soft edge. Eyes, nose,
mouth and glasses lie on a ball that turns, so that the pose moves and narrows them. All factors are
drawn independently and returned: what a representation makes of them can be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.distributions.constraints import interval

from genlib.core.validation import check_count, check_event, check_flag, check_labels
from genlib.data.dataset import MOST_VALUES, Dataset, seeded
from genlib.data.storage import float32_by_default, kept

HAIR = ("short", "long", "curly", "none")
_VERSION = 1  # part of the cache's key: to be raised when images change
_IMAGES_AT_ONCE = 64
_LARGEST_TURN = 0.6  # radians
_SKIN = ((1.00, 0.87, 0.77), (0.36, 0.22, 0.15))  # from the lightest to the darkest
_HAIR_COLOURS = ((0.10, 0.08, 0.08), (0.42, 0.26, 0.13), (0.87, 0.69, 0.35), (0.66, 0.24, 0.12))
_RANGES = {
    "smile": (-1.0, 1.0),
    "pose": (-_LARGEST_TURN, _LARGEST_TURN),
    "skin": (0.0, 1.0),
    "size": (0.85, 1.15),
    "background": (0.0, 1.0),
}
_KINDS = {"glasses": 2, "hair": len(HAIR), "hair_colour": len(_HAIR_COLOURS)}


def cartoon_faces(n: int = 10_000, size: int = 32, seed: int = 0, *, cache: bool = True) -> Dataset:
    """Return ``n`` cartoon faces with the factors that made them.

    Images are (N, 3, size, size), red, green and blue with values k/255. Labels are the kinds of
    hair, 0 … 3. The split is 80/10/10. The same arguments give the same data; the faces do not
    depend on ``size``.

    ``factors``, float32 (N,) unless said otherwise, all independent of each other:

    - ``smile``: from −1, corners of the mouth down, to 1, up; uniform;
    - ``pose``: how far the head is turned, in radians, positive to the picture's right; uniform in
      ±0.6;
    - ``glasses``: 0 or 1, int64; two in five wear them;
    - ``hair``: short, long, curly or none, 0 … 3, int64;
    - ``hair_colour``: black, brown, blond or red, 0 … 3, int64;
    - ``skin``: from 0, light, to 1, dark; uniform;
    - ``size``: of the head, relative to its mean; uniform in 0.85 … 1.15;
    - ``background``: hue of the background in [0, 1); uniform.

    Parameters
    ----------
    n
        Number of images in all, at least 10, and not more than 2³¹ values.
    size
        Side of an image in pixels, 16 to 256.
    cache
        Keep the images in genlib's cache folder, and read them from there the next time.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``size`` is out of range.

    Warns
    -----
    UserWarning
        If the cached file is damaged or holds something else (it is not used, but made anew), or
        if it cannot be written.
    """
    check_count(size, "size", minimum=16, maximum=256)
    check_count(n, minimum=10, maximum=MOST_VALUES // (3 * size**2))
    check_flag(cache, "cache")
    seeded(seed)  # or say what is wrong with it
    arguments = {"n": n, "size": size, "seed": seed}
    key = {"version": _VERSION, **arguments}
    parts = (
        kept("cartoon faces", key, lambda: _drawn(**arguments)) if cache else _drawn(**arguments)
    )
    pixels = parts.pop("pixels")
    return Dataset.cut(
        pixels.float() / 255,
        parts["hair"].clone(),
        parts,
        name=f"cartoon faces {size} × {size}",
        source=f"drawn by genlib, seed {seed}",
        licence="MIT",
    )


@float32_by_default()
def draw_faces(factors: Mapping[str, Tensor], size: int = 32) -> Tensor:
    """Draw the faces that ``factors`` describe, (N, 3, size, size) with values k/255.

    Parameters
    ----------
    factors
        Name → values (N,), all those that `cartoon_faces` lists.
    size
        Side of an image in pixels.

    Raises
    ------
    KeyError
        A factor is missing.
    TypeError, ValueError
        A factor is not of the dtype and in the range that `cartoon_faces` says, or they are not of
        the same number.
    """
    missing = (_RANGES.keys() | _KINDS.keys()) - factors.keys()
    if missing:
        raise KeyError(
            f"factors: expected {', '.join([*_RANGES, *_KINDS])}; {min(missing)} is missing."
        )
    for name, (low, high) in _RANGES.items():
        check_event(factors[name], torch.Size(), interval(low, high), name=name)
    counts = {name: len(factors[name]) for name in _RANGES}
    if len(set(counts.values())) > 1:
        raise ValueError(f"factors: expected as many of each, got {counts}.")
    for name, kinds in _KINDS.items():
        check_labels(factors[name], counts["smile"], kinds, name)
    check_count(size, "size", minimum=16, maximum=256)
    parts = [
        _paint({name: values[rows] for name, values in factors.items()}, size)
        for rows in torch.arange(len(factors["smile"])).split(_IMAGES_AT_ONCE)
    ]
    return torch.cat(parts)


@float32_by_default()
def _drawn(n: int, size: int, seed: int) -> dict[str, Tensor]:
    """Pixels (n, 3, size, size) uint8, and the factors by name."""
    factors = _draw_factors(n, seeded(seed))
    pixels = (255 * draw_faces(factors, size)).round().to(torch.uint8)
    return {"pixels": pixels, **factors}


def _draw_factors(n: int, generator: Generator) -> dict[str, Tensor]:
    def uniform(name: str) -> Tensor:
        low, high = _RANGES[name]
        return low + (high - low) * torch.rand(n, generator=generator)

    def one_of(name: str) -> Tensor:
        return torch.randint(_KINDS[name], (n,), generator=generator)

    return {
        "smile": uniform("smile"),
        "pose": uniform("pose"),
        "glasses": (torch.rand(n, generator=generator) < 0.4).long(),
        "hair": one_of("hair"),
        "hair_colour": one_of("hair_colour"),
        "skin": uniform("skin"),
        "size": uniform("size"),
        "background": uniform("background"),
    }


# Painting. Lengths are fractions of the head's half height, from its middle; y points downwards.


class _Canvas:
    """Some pictures, painted layer upon layer."""

    def __init__(self, colour: Tensor, scale: Tensor, size: int) -> None:
        ruler = (torch.arange(size) + 0.5) / size - 0.5
        self.x = ruler[None, None, :] / scale[:, None, None]
        self.y = (ruler[None, :, None] - 0.03) / scale[:, None, None]
        self.image = colour[:, :, None, None].expand(-1, -1, size, size)
        self.sharpness = (size * scale)[:, None, None]  # pixels a unit of length

    def paint(self, distance: Tensor, colour: Tensor, opacity: Tensor | float = 1.0) -> None:
        """Cover what lies inside, where ``distance`` is negative, by ``colour``, (n, 3)."""
        inside = (0.5 - distance * self.sharpness).clamp(0, 1)
        if isinstance(opacity, Tensor):
            opacity = opacity.to(inside)[:, None, None]
        inside = (inside * opacity)[:, None]
        self.image = (1 - inside) * self.image + inside * colour[:, :, None, None]

    def ellipse(self, x: Tensor | float, y: float, width: Tensor | float, height: float) -> Tensor:
        """About the distance to an ellipse with these half axes, negative inside."""
        width, across = (_column(value) for value in (width, x))
        u, v = (self.x - across) / width, (self.y - y) / height
        least = torch.minimum(torch.as_tensor(width), torch.as_tensor(height))
        return ((u.square() + v.square()).sqrt() - 1) * least

    def curve(self, xs: Tensor, ys: Tensor, radius: float) -> Tensor:
        """Distance to a line through points (n, m), as thick as twice the ``radius``."""
        a = torch.stack([xs, ys], -1)[:, :, None, None]
        start, step = a[:, :-1], a[:, 1:] - a[:, :-1]
        at = torch.stack(
            [self.x.expand(-1, self.y.shape[1], -1), self.y.expand(-1, -1, self.x.shape[2])], -1
        )[:, None]
        along = ((at - start) * step).sum(-1) / step.square().sum(-1).clamp_min(1e-12)
        nearest = start + along.clamp(0, 1)[..., None] * step
        return (at - nearest).square().sum(-1).amin(1).sqrt() - radius


def _paint(factors: dict[str, Tensor], size: int) -> Tensor:
    """A few faces, (n, 3, size, size) with values k/255."""
    skin = _between(_SKIN, factors["skin"])
    hair = torch.tensor(_HAIR_COLOURS)[factors["hair_colour"]]
    canvas = _Canvas(_pastel(factors["background"]), 0.36 * factors["size"], size)
    turn, kind = factors["pose"], factors["hair"]

    def seen(x: float) -> tuple[Tensor, Tensor]:
        """Where a place x of the face comes to lie, and how narrow it looks."""
        angle = math.asin(x) + turn
        return 0.86 * angle.sin(), angle.cos().clamp_min(0.15)

    is_ = {name: kind == number for number, name in enumerate(HAIR)}
    canvas.paint(canvas.ellipse(0.0, 0.25, 0.98, 1.15), hair, is_["long"])
    canvas.paint(canvas.ellipse(0.0, 1.9, 1.1, 0.8), 0.55 * _pastel(factors["background"] + 0.5))
    canvas.paint(canvas.ellipse(0.0, 1.0, 0.3, 0.5), 0.92 * skin)
    for side in (-1, 1):
        ear = 0.86 * side * turn.cos()
        canvas.paint(canvas.ellipse(ear, 0.05, 0.13, 0.2), 0.94 * skin)
    canvas.paint(canvas.ellipse(0.0, 0.0, 0.84, 1.0), skin)
    _paint_hair(canvas, hair, is_, turn)
    dark = torch.full_like(skin, 0.12)
    white = torch.ones_like(skin)
    for side in (-0.4, 0.4):
        x, narrow = seen(side)
        canvas.paint(canvas.ellipse(x, -0.12, 0.17 * narrow, 0.13), white)
        canvas.paint(canvas.ellipse(x + 0.05 * turn, -0.11, 0.085 * narrow, 0.1), dark)
        brow = x[:, None] + 0.2 * narrow[:, None] * torch.tensor([-1.0, 0.0, 1.0])
        heights = torch.tensor([-0.33, -0.37, -0.33]).expand(len(brow), -1)
        canvas.paint(canvas.curve(brow, heights, 0.03), 0.7 * hair)
    x, narrow = seen(0.0)
    canvas.paint(canvas.ellipse(x + 0.1 * turn, 0.16, 0.09, 0.14), 0.82 * skin)
    _paint_mouth(canvas, factors["smile"], x, narrow)
    _paint_glasses(canvas, seen, dark, factors["glasses"])
    return (255 * canvas.image.clamp(0, 1)).round() / 255


def _paint_hair(canvas: _Canvas, colour: Tensor, is_: dict[str, Tensor], turn: Tensor) -> None:
    """A cap above a hairline that turns with the head, with locks where it is curly."""
    head, hairline = canvas.ellipse(0.0, -0.08, 0.9, 1.02), canvas.y + 0.5
    parting = 0.22 * (canvas.x - 0.9 * turn.sin()[:, None, None]).square()
    cap = torch.maximum(head, hairline - parting)
    canvas.paint(cap, colour, ~is_["none"])
    for number in range(7):
        angle = math.pi * (1 + number / 6)
        x, y = 0.86 * math.cos(angle), 0.76 * math.sin(angle) - 0.2
        lock = canvas.ellipse(x, y, 0.24, 0.24)
        canvas.paint(lock, colour, is_["curly"])


def _paint_mouth(canvas: _Canvas, smile: Tensor, x: Tensor, narrow: Tensor) -> None:
    """A bow whose corners rise by the smile."""
    across = torch.linspace(-1, 1, 9)
    width = (0.32 + 0.06 * smile.abs())[:, None] * narrow[:, None]
    xs = x[:, None] + width * across
    ys = 0.52 - 0.2 * smile[:, None] * (across.square() - 0.5)
    canvas.paint(canvas.curve(xs, ys, 0.05), torch.tensor([[0.62, 0.18, 0.2]]).expand(len(x), -1))


def _paint_glasses(canvas: _Canvas, seen: Callable, colour: Tensor, worn: Tensor) -> None:
    """Two rings and a bridge."""
    inner = []
    for side in (-0.4, 0.4):
        x, narrow = seen(side)
        ring = canvas.ellipse(x, -0.1, 0.27 * narrow, 0.25).abs() - 0.035
        canvas.paint(ring, colour, worn)
        inner.append(x - math.copysign(0.27, side) * narrow)
    bridge = canvas.curve(torch.stack(inner, 1), torch.full((len(worn), 2), -0.12), 0.03)
    canvas.paint(bridge, colour, worn)


def _between(ends: tuple[tuple[float, ...], ...], share: Tensor) -> Tensor:
    """A colour between two, (n, 3)."""
    first, last = torch.tensor(ends)
    return torch.lerp(first, last, share[:, None])


def _pastel(hue: Tensor) -> Tensor:
    """A light colour of each hue, (n, 3)."""
    phases = 2 * math.pi * (hue[:, None] + torch.tensor([0.0, 1 / 3, 2 / 3]))
    return 0.75 + 0.17 * phases.cos()


def _column(value: Tensor | float) -> Tensor | float:
    """A number for each picture, to be met with its pixels."""
    return value[:, None, None] if isinstance(value, Tensor) else value
