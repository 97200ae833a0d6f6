"""Figures in one style: legible in print and on a dark page, in colours that colour-blind readers
can tell apart.

Every function draws on ``ax`` if one is given, else on a new figure, and returns the axes. Models
are seen only through their queries, and classes of models through their declarations.
"""

from __future__ import annotations

import base64
import html
import importlib
import io
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from genlib.core import Density, History, Model
from genlib.core.validation import check_count, check_positive, check_tensor

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
    "svg.hashsalt": "genlib",  # the same figure is the same file
}
_FRAME = 0.6  # the grey around each of several images
_DPI = 200  # of what is not drawn but made of pixels: sharp on dense screens
_LARGEST_DRAWING = 150_000  # characters; a figure with more is smaller as pixels


# The taxonomy of densities: what is said of p(x), and the ways of saying it.
_FAMILIES = {
    "explicit: p(x) is written down": {
        Density.EXACT: "exactly",
        Density.BOUND: "up to a bound",
        Density.ENERGY: "up to the constant Z",
        Density.UNNORMALISED: "with no constant Z",
    },
    "implicit: p(x) only by its samples": {
        Density.IMPLICIT: "directly",
        Density.CHAIN: "by a Markov chain",
    },
    "no p(x)": {Density.NONE: "for other uses"},
}
_NAMES_WIDTH = 42  # characters of a line of names in the taxonomy


def use_style() -> None:
    """Make `STYLE` matplotlib's default for the rest of the session.

    In a notebook, figures are shown as drawings (SVG), sharp at any size, or, where a drawing would
    be too large, in pixels fit for dense screens.
    """
    mpl.rcParams.update(STYLE)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        # Imported now, it cannot put its own format in place of ours at the first figure.
        importlib.import_module("matplotlib_inline.backend_inline")
        formatter = shell.display_formatter
        formatter.formatters["image/png"].pop(Figure, None)
        formatter.mimebundle_formatter.for_type(Figure, _shown)


def _shown(figure: Figure, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
    """``figure`` for a notebook: its data, and how wide to show them, by their type."""
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", dpi=_DPI, metadata={"Date": None})
    if len(drawing.getvalue()) <= _LARGEST_DRAWING:
        return {"image/svg+xml": drawing.getvalue()}, {}
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_DPI)
    encoded = base64.b64encode(pixels.getvalue()).decode()
    return {"image/png": encoded}, {"image/png": {"width": _width(figure)}}


def _width(figure: Figure) -> int:
    """Of a figure in CSS pixels, 96 an inch."""
    return round(96 * figure.get_size_inches()[0])


def images(
    x: Tensor, columns: int | None = None, *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw a batch of images in a grid, row by row, each in a grey frame of one pixel.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (N, H, W), values in [0, 1]
        Grey (C = 1) or colour (C = 3). Values outside [0, 1] are an error, not clipped.
    columns : int, optional
        By default as many as make the grid about twice as wide as high; at most 100, or N.
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
    if columns is None:
        columns = min(len(x), math.ceil(math.sqrt(2 * len(x))))
    check_count(columns, "columns", maximum=max(len(x), 100))
    tiled = _tile(x, columns)
    height, width = tiled.shape[:2]
    ax = _axes(ax, figsize=(6.4, 6.4 * height / width))
    # The first image's first pixel is at (0, 0), within its frame.
    extent = (-1.5, width - 1.5, height - 1.5, -1.5)
    ax.imshow(tiled.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, extent=extent)
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def image_rows(
    rows: Mapping[str, Tensor],
    shape: Sequence[int] | None = None,
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw rows of images, one below the other, each with its name to the left.

    Parameters
    ----------
    rows : mapping of str to Tensor
        As many images in each, as `images` takes them.
    shape : sequence of int, optional
        Of one image, where they are flattened.
    """
    if not isinstance(rows, Mapping) or not rows:
        raise TypeError(f"rows: expected images by name, at least one, got {type(rows).__name__}.")
    for name, x in rows.items():
        check_tensor(x, f"rows[{name!r}]")
    counts = {name: len(x) for name, x in rows.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"rows: expected as many images in each row, got {counts}.")
    parts = [x if shape is None else x.reshape(-1, *shape) for x in rows.values()]
    ax = images(torch.cat(parts), max(counts.values()), ax=ax, title=title)
    height, width = parts[0].shape[-2:]
    for row, name in enumerate(rows):
        middle = row * (height + 1) + (height - 1) / 2
        ax.text(-0.2 * width, middle, name, ha="right", va="center", fontsize=10)
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
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a torch.Tensor, got {type(x).__name__}.")
    _check_real(x, "x")
    if x.dim() == 0:
        raise ValueError("x: expected shape (N,), got one number.")
    if not isinstance(ys, Mapping) or not ys:
        raise TypeError(f"ys: expected curves by name, at least one, got {type(ys).__name__}.")
    values = {name: _numbers(y, f"ys: {name!r}") for name, y in ys.items()}
    for name, y in values.items():
        if y.shape[:1] != x.shape[:1] or y.dim() > 2:
            raise ValueError(f"ys: expected {len(x)} values of {name!r}, got {tuple(y.shape)}.")
    ax = _lines({name: (x.detach().cpu(), y) for name, y in values.items()}, ax)
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

    Raises
    ------
    TypeError, ValueError
        As `grid`; also if ``log_prob`` returns another shape, or NaN.
    """
    if not callable(log_prob) or isinstance(log_prob, Model):
        raise TypeError(
            f"log_prob: expected a function such as model.log_prob, got {type(log_prob).__name__}."
        )
    if vmax is not None:
        check_positive(vmax, "vmax")
    centres = grid(low, high, resolution)
    with torch.no_grad():
        values = log_prob(centres)
    if not isinstance(values, Tensor) or values.shape != centres.shape[:1]:
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"log_prob: expected a tensor of shape ({len(centres)},), got {came}.")
    _check_real(values, "log_prob")
    if values.isnan().any():
        where = centres[values.isnan().nonzero()[0, 0].cpu()].tolist()
        raise ValueError(f"log_prob: expected numbers or −inf, got NaN at {where}.")
    ax = _axes(ax, figsize=(4, 4))
    picture = ax.imshow(
        values.exp().reshape(resolution, resolution).cpu().numpy(),
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

    Raises
    ------
    TypeError, ValueError
        If ``low`` and ``high`` are not two finite numbers each, the first below the second in both
        coordinates, or ``resolution`` is not in 1 … 4096.
    """
    check_count(resolution, "resolution", maximum=4096)
    _check_corner(low, "low")
    _check_corner(high, "high")
    if not all(high[i] > low[i] for i in range(2)):
        raise ValueError(f"high: expected more than low, {tuple(low)}, got {tuple(high)}.")
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
    """Draw the losses of a fit, and all else that it recorded, against the epoch."""
    if not isinstance(record, History):
        raise TypeError(f"record: expected a History, got {type(record).__name__}.")
    epochs = record["epoch"]
    lines = {
        # Not every epoch need have every number.
        name: ([row["epoch"] for row in record if name in row], record[name])
        for name in record.names
        if name not in ("epoch", "seconds")
    }
    if not lines:
        raise ValueError(f"record: expected losses beside its {len(epochs)} epochs, got none.")
    ax = _lines(lines, ax)
    ax.set(xlabel="epoch", ylabel=ylabel)
    return ax


def taxonomy(models: Iterable[type[Model]] | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the tree of the ways to answer the density query, with each model on its branch.

    The tree is read off what the classes declare as ``density``; a branch without a model is drawn
    empty.

    Parameters
    ----------
    models : iterable of subclasses of Model, optional
        By default all of genlib's, in the order of their definition.
    """
    models = _declared(models)
    names = {
        kind: textwrap.wrap(
            ", ".join(model.__name__ for model in models if model.density is kind), _NAMES_WIDTH
        )
        for kind in Density
    }
    rows = sum(max(1, len(lines)) + 0.8 for lines in names.values())
    ax = _axes(ax, figsize=(6.4, 0.3 + 0.2 * rows))  # legible on a phone
    ax.set(xlim=(0, 100), ylim=(rows, -0.3))
    ax.set_axis_off()
    top = 0.0
    for i, (family, branches) in enumerate(_FAMILIES.items()):
        middles = []
        for kind, how in branches.items():
            middles.append(top + max(1, len(names[kind])) / 2)
            _branch(ax, middles[-1], how, names[kind], COLOURS[i])
            top += max(1, len(names[kind])) + 0.8
        trunk = sum(middles) / len(middles)
        ax.plot([20, 20], [middles[0], middles[-1]], color=COLOURS[i])
        ax.plot([18.5, 20], [trunk, trunk], color=COLOURS[i])
        head, _, rest = family.partition(" p(x) ")
        words = f"{head}\n{textwrap.fill(f'p(x) {rest}', 12)}" if rest else family
        style = {"color": COLOURS[i], "weight": "bold", "fontsize": 9}
        ax.text(17.5, trunk, words, ha="right", va="center", **style)
    return ax


def _branch(ax: Axes, y: float, how: str, names: Sequence[str], colour: str) -> None:
    """One way of answering, at height ``y``, with lines of names beside it."""
    ax.plot([20, 21.5], [y, y], color=colour)
    ax.text(22.5, y, how, va="center", color=colour, fontsize=9)
    ax.plot([46, 47.5], [y, y], color=colour, ls="-" if names else ":")
    words = "\n".join(names) if names else "(none yet)"
    style = {"color": "black" if names else "0.5", "fontsize": 9, "linespacing": 1.25}
    ax.text(48.5, y, words, va="center", **style)


@dataclass(frozen=True)
class AnswerSheet:
    """Which model answers which query: a table in a notebook, in a terminal, and as ``rows``.

    Attributes
    ----------
    rows : sequence of (model, density, sample, encode)
        The class's name and its three answers: how it gives a density, then "yes" or "no".
    reasons : sequence of mapping
        For each row, the sentence behind each query that has no answer.
    """

    rows: Sequence[tuple[str, str, str, str]]
    reasons: Sequence[Mapping[str, str]]

    def __repr__(self) -> str:
        table = [("model", "density", "sample", "encode"), *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        cells = (map(str.ljust, row, widths) for row in table)
        return "\n".join("  ".join(row).rstrip() for row in cells)

    def _repr_html_(self) -> str:
        """A row for all models that answer alike, for the same reasons."""
        alike: dict[str, list[str]] = {}
        for row, reasons in zip(self.rows, self.reasons, strict=True):
            alike.setdefault(self._cells(row, reasons), []).append(row[0])
        head = "".join(
            f'<th style="text-align:left">{name}</th>' for name in ("model", *_QUERIES.values())
        )
        body = "".join(f"<tr>{self._names(names)}{cells}</tr>" for cells, names in alike.items())
        return (
            '<div class="genlib-answers" style="overflow-x:auto"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    @staticmethod
    def _names(names: Sequence[str]) -> str:
        listed = ", ".join(f"<code>{html.escape(name)}</code>" for name in names)
        return f'<td style="text-align:left;vertical-align:top">{listed}</td>'

    @staticmethod
    def _cells(row: Sequence[str], reasons: Mapping[str, str]) -> str:
        cells = []
        for query, answer in zip(_QUERIES, row[1:], strict=True):
            reason = html.escape(reasons.get(query, ""))
            because = f"<br><small>{reason}</small>" if reason else ""
            answer = html.escape(answer)
            cells.append(f'<td style="text-align:left;vertical-align:top">{answer}{because}</td>')
        return "".join(cells)


_QUERIES = {"log_prob": "density", "sample": "sample", "encode": "encode"}


def answers(models: Iterable[type[Model]] | None = None) -> AnswerSheet:
    """Tabulate which model answers which of the three queries, from what the classes declare.

    Parameters
    ----------
    models : iterable of subclasses of Model, optional
        By default all of genlib's, in the order of their definition.

    Examples
    --------
    >>> class Coin(Model):
    ...     density = Density.IMPLICIT
    ...     cannot = {"encode": "a coin has no inside."}
    ...
    ...     def _sample(self, n, generator):
    ...         return torch.rand(n, generator=generator).round()
    >>> answers([Coin])
    model  density   sample  encode
    Coin   implicit  yes     no
    """
    models = _declared(models)
    rows = [
        (
            model.__name__,
            model.density.value,
            *("yes" if model.answers(query) else "no" for query in ("sample", "encode")),
        )
        for model in models
    ]
    reasons = [{q: why for q, why in m.cannot.items() if not m.answers(q)} for m in models]
    return AnswerSheet(rows, reasons)


def as_jpeg(figure: Figure | None = None, quality: int = 85) -> Image:
    """Show a figure that is mostly photograph as JPEG, a fraction of the size of the usual PNG.

    Renders ``figure``, by default the current one, closes it, and returns an object that a notebook
    displays.
    """
    check_count(quality, "quality", maximum=100)
    from IPython.display import Image

    figure = plt.gcf() if figure is None else figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=_DPI, pil_kwargs={"quality": quality})
    plt.close(figure)
    return Image(buffer.getvalue(), format="jpeg", width=_width(figure))


def _axes(ax: Axes | None, **figure: object) -> Axes:
    return plt.subplots(**figure)[1] if ax is None else ax


def _lines(lines: Mapping[str, tuple[Any, Any]], ax: Axes | None) -> Axes:
    """Draw named lines (x, y), with a legend where there are several."""
    ax = _axes(ax)
    dashes = ["-", "--", "-.", ":"]
    for i, (name, (x, y)) in enumerate(lines.items()):
        ax.plot(x, y, dashes[i % len(dashes)], label=name)
    if len(lines) > 1:
        ax.legend()
    return ax


def _numbers(values: object, name: str) -> Tensor:
    """Real numbers as a tensor on the CPU, without its history."""
    try:
        numbers = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected numbers, got {type(values).__name__}.") from error
    _check_real(numbers, name)
    return numbers


def _check_real(values: Tensor, name: str) -> None:
    """Raise where ``values`` are complex numbers, of which a figure would show one part alone."""
    if values.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {values.dtype}.")


def _check_corner(corner: object, name: str) -> None:
    """Raise unless ``corner`` is two finite numbers."""
    if isinstance(corner, Tensor):
        corner = corner.tolist()
    if not isinstance(corner, Sequence) or not all(isinstance(c, int | float) for c in corner):
        raise TypeError(f"{name}: expected two numbers, got {corner!r}.")
    if len(corner) != 2 or not all(abs(c) < 1e30 for c in corner):
        raise ValueError(f"{name}: expected two finite numbers, got {corner!r}.")


def _declared(models: Iterable[type[Model]] | None) -> list[type[Model]]:
    """The given classes of models, or all of genlib's own."""
    if models is None:
        models = [m for m in Model.registry.values() if m.__module__.startswith("genlib.models.")]
    if not isinstance(models, Iterable):
        raise TypeError(f"models: expected subclasses of Model, got {models!r}.")
    models = list(models)
    for model in models:
        if not (isinstance(model, type) and issubclass(model, Model)):
            raise TypeError(f"models: expected subclasses of Model, got {model!r}.")
    return models


def _tile(x: Tensor, columns: int) -> Tensor:
    """One picture (H', W', C) of images (N, C, H, W), each in a grey frame of one pixel.

    Neither black nor white, the frame shows where an image ends, whatever stands at its border.
    """
    count, channels, height, width = x.shape
    rows = math.ceil(count / columns)
    tiled = torch.ones(rows * (height + 1) + 1, columns * (width + 1) + 1, channels)
    for i, image in enumerate(x):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        tiled[top : top + height + 2, left : left + width + 2] = _FRAME
        tiled[top + 1 : top + 1 + height, left + 1 : left + 1 + width] = image.permute(1, 2, 0)
    return tiled
