"""Distances between two clusters and one Gaussian that the reader moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genlib.core.validation import check_between
from genlib.widgets.controls import bar, buttons
from genlib.widgets.page import Interactive, escaped, instructions, minus

NAMES = (
    "forward KL",
    "reverse KL",
    "total variation",
    "Jensen–Shannon",
    "Wasserstein",
    "MMD²",
)
WEIGHT, SCALE = 0.65, 0.6  # of the left cluster; the deviation of both
_GRID = 321  # places on [−16, 16]
_FRAME = {"width": 480, "height": 230, "left": 12, "right": 12, "top": 12, "bottom": 195}
_RANGE = (-8.0, 8.0)
_CENTRES, _WIDTHS = (-6.0, 6.0), (0.2, 5.0)  # where the Gaussian may be moved
_MEANS = [round(-6 + 0.1 * k, 2) for k in range(121)]
_DEVIATIONS = [round(0.2 * 25 ** (k / 80), 3) for k in range(81)]
_SEPARATIONS = [round(0.5 * k, 1) for k in range(17)]
_HOW_TO = (
    "Drag the dot on the peak to move the Gaussian, the dot on its side to widen it; or use the "
    "sliders. By keys: ↑ ↓ choose a dot, ← → move it. Each button descends from where the Gaussian "
    "stands."
)
_ACTIONS = {"restart": "Start again"}


class Distances(Interactive):
    """Two clusters of data and a Gaussian to drag, with up to six distances between the two, and
    a descent to a minimum of each.

    The data have the density 0.65 N(−s/2, 0.6²) + 0.35 N(s/2, 0.6²), where s is the separation.
    Integrals are sums over 321 places on [−16, 16]. Forward and reverse Kullback–Leibler and
    Jensen–Shannon divergences are in nats; the squared MMD has a Gaussian kernel of width one. A
    descent tries steps in (mean, log deviation) in eight directions and takes the best; where none
    lowers the distance, steps become half as long. It ends in the nearest minimum, which need not
    be the lowest.

    Parameters
    ----------
    separation : float
        To start from: 0 to 8 in steps of 0.5.
    mean, deviation : float
        Of the Gaussian to start from, in [−6, 6] and [0.2, 5].
    names : sequence of str
        Which distances to show: by default all of "forward KL", "reverse KL", "total variation",
        "Jensen–Shannon", "Wasserstein", "MMD²". They stand in this order.
    hint : str
        What to look for.
    alt : str, optional
        What the figure shows, for those who cannot see it.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind.
    """

    kind = "distances"
    shared = ("handles.js",)

    def __init__(
        self,
        separation: float = 4.0,
        mean: float = -2.0,
        deviation: float = 1.0,
        *,
        names: Sequence[str] = NAMES,
        hint: str = "Descend by each distance from the same start: which stay on the left cluster, "
        "and which widen to cover both? Then set mean 0: two of them now end in another minimum.",
        alt: str = "The density of two clusters of data and that of one Gaussian, and a table of "
        "distances between them, which change as the Gaussian is moved.",
    ) -> None:
        super().__init__(alt, hint)
        check_between(separation, _SEPARATIONS[0], _SEPARATIONS[-1], "separation")
        if separation not in _SEPARATIONS:
            raise ValueError(f"separation: expected one of {_SEPARATIONS}, got {separation!r}.")
        if not names or isinstance(names, str) or not set(names) <= set(NAMES):
            raise ValueError(f"names: expected some of {NAMES}, got {names!r}.")
        check_between(mean, *_CENTRES, "mean")
        check_between(deviation, *_WIDTHS, "deviation")
        self.separation, self.mean, self.deviation = separation, mean, deviation
        self.names = [name for name in NAMES if name in names]

    def distances(self) -> dict[str, float]:
        """The distances shown, at the start."""
        x = torch.linspace(-16, 16, _GRID, dtype=torch.float64)
        log_q = _log_normal(x, self.mean, self.deviation)
        values = _all_distances(_clusters(self.separation, x), log_q, x)
        return {name: values[name] for name in self.names}

    def _data(self) -> dict[str, Any]:
        return {
            "frame": _FRAME,
            "range": _RANGE,
            "grid": _GRID,
            "weight": WEIGHT,
            "scale": SCALE,
            "separations": _SEPARATIONS,
            "means": _MEANS,
            "deviations": _DEVIATIONS,
            "centres": _CENTRES,
            "widths": _WIDTHS,
            "shown": [NAMES.index(name) for name in self.names],
            "start": [self.separation, self.mean, self.deviation],
        }

    def _body(self) -> str:
        controls = {"separation": _SEPARATIONS, "mean": _MEANS, "deviation": _DEVIATIONS}
        start = {
            "separation": self.separation,
            "mean": _nearest(_MEANS, self.mean),
            "deviation": _nearest(_DEVIATIONS, self.deviation),
        }
        rows = "".join(
            f'<tr><th scope="row">{name}</th><td>{value:.3f}</td><td class="genlib-action">'
            f'<button type="button" data-action="{i}">Descend <span class="genlib-unseen">'
            f"by {name}</span></button></td></tr>"
            for i, (name, value) in enumerate(self.distances().items())
        )
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            '<div class="genlib-beside">'
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<svg viewBox="0 0 {_FRAME["width"]} {_FRAME["height"]}" aria-hidden="true">'
            f"{self._drawing()}</svg></div>"
            f'<table class="genlib-table"><thead><tr><th scope="col">distance</th>'
            '<th scope="col">value</th><th scope="col" class="genlib-action">descend</th></tr>'
            f"</thead><tbody>{rows}</tbody></table></div>"
            + bar(controls, start, "")
            + buttons(_ACTIONS)
        )

    def _drawing(self) -> str:
        left, bottom = _FRAME["left"], _FRAME["bottom"]
        right = _FRAME["width"] - _FRAME["right"]
        low, high = _RANGE
        ticks = "".join(
            f'<text x="{left + (x - low) / (high - low) * (right - left):.1f}" y="{bottom + 26}" '
            f'text-anchor="middle">{minus(x)}</text>'
            for x in range(-6, 7, 2)
        )
        return (
            f'<path d="M{left} {bottom}H{right}" stroke="currentColor"/>{ticks}'
            '<path data-part="data" fill="currentColor" fill-opacity=".25"/>'
            '<path data-part="model" fill="none" stroke="#D55E00" stroke-width="2.5"/>'
            '<g fill="#D55E00" stroke="currentColor"><circle data-part="mean"/>'
            '<circle data-part="deviation" fill-opacity=".6"/></g>'
        )


def _nearest(values: list[float], value: float) -> float:
    return min(values, key=lambda each: abs(each - value))


def _log_normal(x: Tensor, mean: float, deviation: float) -> Tensor:
    return torch.distributions.Normal(mean, deviation).log_prob(x)


def _clusters(separation: float, x: Tensor) -> Tensor:
    """Log density of the data over ``x``."""
    left = _log_normal(x, -separation / 2, SCALE) + math.log(WEIGHT)
    return torch.logaddexp(left, _log_normal(x, separation / 2, SCALE) + math.log(1 - WEIGHT))


def _all_distances(log_p: Tensor, log_q: Tensor, x: Tensor) -> dict[str, float]:
    step = x[1] - x[0]
    p, q = log_p.exp(), log_q.exp()
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    kernel = torch.exp(-0.5 * (x[:, None] - x) ** 2)
    values = (
        (p * (log_p - log_q)).sum() * step,
        (q * (log_q - log_p)).sum() * step,
        (p - q).abs().sum() * step / 2,
        (p * (log_p - log_m) + q * (log_q - log_m)).sum() * step / 2,
        torch.cumulative_trapezoid(p - q, x).abs().sum() * step,
        ((p - q) @ kernel @ (p - q)) * step**2,
    )
    return dict(zip(NAMES, (value.item() for value in values), strict=True))
