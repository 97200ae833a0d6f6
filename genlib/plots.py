"""Figures in one style: legible in print and on a dark page, in colours that colour-blind readers
can tell apart.

Every function draws on ``ax`` if one is given, else on a new figure, and returns the axes. Models
are seen only through their queries.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from genlib.core import History
from genlib.core.validation import check_count, check_tensor

if TYPE_CHECKING:
    from IPython.display import Image

# Okabe and Ito's palette: eight colours that stay apart under the common kinds of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

STYLE = {
    "figure.figsize": (6.4, 3.4),
    "figure.dpi": 100,
    "figure.facecolor": "white",  # opaque, so that axes stay readable on a dark page
    "savefig.facecolor": "white",
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Make `STYLE` matplotlib's default for the rest of the session."""
    mpl.rcParams.update(STYLE)


def images(
    x: Tensor, columns: int | None = None, *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw a batch of images in a grid, row by row.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (N, H, W), values in [0, 1]
        Grey (C = 1) or colour (C = 3). Values outside [0, 1] are an error, not clipped.
    columns : int, optional
        By default as many as make the grid about twice as wide as high.
    """
    check_tensor(x, "x")
    x = x.detach().cpu()
    x = x[:, None] if x.dim() == 3 else x
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise ValueError(
            f"x: expected images of shape (N, 1 or 3, H, W) or (N, H, W), got {tuple(x.shape)}."
        )
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"x: expected values in [0, 1], got [{x.min():g}, {x.max():g}].")
    columns = columns or min(len(x), math.ceil(math.sqrt(2 * len(x))))
    check_count(columns, "columns")
    tiled = _tile(x, columns)
    ax = _axes(ax, figsize=(6.4, 6.4 * tiled.shape[0] / tiled.shape[1]))
    ax.imshow(tiled.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def curves(
    x: Tensor,
    ys: Mapping[str, Tensor],
    *,
    ax: Axes | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Axes:
    """Draw named curves over ``x``, shape (N,), in colours and dashes that also differ in print."""
    ax = _axes(ax)
    dashes = ["-", "--", "-.", ":"]
    for i, (name, y) in enumerate(ys.items()):
        ax.plot(
            x.detach().cpu(), torch.as_tensor(y).detach().cpu(), dashes[i % len(dashes)], label=name
        )
    if len(ys) > 1:
        ax.legend()
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax


def density(
    log_prob: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    *,
    resolution: int = 200,
    ax: Axes | None = None,
    title: str = "",
    vmax: float | None = None,
) -> AxesImage:
    """Draw exp(log_prob) over the rectangle from ``low`` to ``high``, each two numbers, as a map.

    ``log_prob`` maps points (N, 2) to (N,) nats: a model's method, or any function. Returns the
    image, for a colour bar.
    """
    check_count(resolution, "resolution")
    ax = _axes(ax, figsize=(4, 4))
    with torch.no_grad():
        values = log_prob(grid(low, high, resolution)).exp().reshape(resolution, resolution)
    picture = ax.imshow(
        values.cpu().numpy(),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        vmin=0,
        vmax=vmax,
        aspect="auto",
    )
    ax.set_title(title)
    return picture


def grid(low: Sequence[float], high: Sequence[float], resolution: int) -> Tensor:
    """Centres of a resolution × resolution grid of cells, shape (resolution², 2), first coordinate
    fastest.
    """
    steps = (torch.arange(resolution) + 0.5) / resolution
    horizontal, vertical = (low[i] + (high[i] - low[i]) * steps for i in range(2))
    return torch.cartesian_prod(vertical, horizontal).flip(1)


def points(x: Tensor, *, ax: Axes | None = None, title: str = "", **settings: object) -> Axes:
    """Scatter rows (N, 2)."""
    check_tensor(x, "x")
    if x.dim() != 2 or x.shape[1] != 2:
        raise ValueError(f"x: expected points of shape (N, 2), got {tuple(x.shape)}.")
    ax = _axes(ax, figsize=(4, 4))
    ax.scatter(*x.detach().cpu().T, **{"s": 4, "alpha": 0.5, "linewidths": 0, **settings})
    ax.set_title(title)
    return ax


def history(record: History, *, ax: Axes | None = None, ylabel: str = "loss (nats)") -> Axes:
    """Draw the losses of a fit against the epoch."""
    names = [name for name in record.names if name not in ("epoch", "seconds")]
    ax = curves(
        torch.tensor(record["epoch"]), {name: torch.tensor(record[name]) for name in names}, ax=ax
    )
    ax.set(xlabel="epoch", ylabel=ylabel)
    return ax


def as_jpeg(figure: Figure | None = None, quality: int = 85) -> Image:
    """Show a figure that is mostly photograph as JPEG, a fraction of the size of the usual PNG.

    Renders ``figure``, by default the current one, closes it, and returns an object that a notebook
    displays.
    """
    from IPython.display import Image

    figure = plt.gcf() if figure is None else figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": quality})
    plt.close(figure)
    return Image(buffer.getvalue(), format="jpeg")


def _axes(ax: Axes | None, **figure: object) -> Axes:
    return plt.subplots(**figure)[1] if ax is None else ax


def _tile(x: Tensor, columns: int, gap: int = 1) -> Tensor:
    """One picture (H', W', C) of images (N, C, H, W) with white gaps between them."""
    count, channels, height, width = x.shape
    rows = math.ceil(count / columns)
    tiled = torch.ones(rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    for i, image in enumerate(x):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        tiled[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return tiled
