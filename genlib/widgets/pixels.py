"""What a pixel sees, and what it looks at: grids for the models of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from genlib.core.validation import check_count, check_counts, check_dense, check_tensor
from genlib.models.autoregressive.base import Autoregressive, BinaryAutoregressive
from genlib.nn.masked_conv import HorizontalConv2d, MaskedConv2d, VerticalConv2d, WindowConv2d
from genlib.widgets.grid import Cell, Grid

SEEN, MISSED, LEAKED = range(3)
_MASKS = {"A, then B": "AB", "B everywhere": "BB", "A everywhere": "AA"}
_STACKS = ("one stack", "two stacks")


def receptive_field(
    side: int = 9,
    layers: int = 8,
    *,
    kernel_size: int = 3,
    start: Mapping[str, Any] | None = None,
    cell: Cell | None = None,
    hint: str | None = None,
    alt: str | None = None,
) -> Grid:
    """Point at a pixel of a ``side`` × ``side`` image: what its output sees through a stack of
    masked convolutions.

    Controls choose one stack (PixelCNN) or two (vertical and horizontal, gated PixelCNN), the
    masks of the first layer and of the later ones, and the number of layers. What is seen is found
    by sending ones through `genlib`'s own convolutions with all weights at one.

    Parameters
    ----------
    side : int
        An odd number of rows and columns, 11 at most.
    layers : int
        Most layers after the first, 12 at most.
    kernel_size : int
        Odd, of every layer.
    start : mapping, optional
        Values of ``"stacks"`` ("one stack", "two stacks"), ``"masks"`` ("A, then B", "B
        everywhere", "A everywhere") and ``"layers"`` after the first. By default one stack with
        A, then B, and half the layers.
    cell : (int, int), optional
        Pixel to start from; by default in the row before the last, a quarter from the left.
    hint : str, optional
        What to look for; by default where the blind spot is.
    alt : str, optional
        What is seen at the start, in words; by default what the figure is of.

    Returns
    -------
    Grid
        Its panel "pixels" is linked: map (i, j) has 0 where the output at (i, j) sees the input, 1
        where the input comes before it and is not seen, 2 where it is seen and does not come
        before, NaN elsewhere.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind.
    """
    check_count(side, "side", minimum=3, maximum=11)
    check_count(layers, "layers", maximum=12)
    if side % 2 == 0:
        raise ValueError(f"side: expected an odd number, so that there is a centre, got {side}.")
    ways = {_STACKS[0]: _one_stack, _STACKS[1]: _two_stacks}
    seen = {
        (stacks, masks): _kinds_of_layers(way, _MASKS[masks], side, layers, kernel_size)
        for stacks, way in ways.items()
        for masks in _MASKS
    }
    return Grid(
        lambda stacks, masks, layers: {"pixels": seen[stacks, masks][layers]},
        {"stacks": list(_STACKS), "masks": list(_MASKS), "layers": list(range(layers + 1))},
        {"layers": (layers + 1) // 2} | dict(start or {}),
        cell=(side - 2, side // 4) if cell is None else cell,
        categories=["seen", "earlier, but not seen", "seen, but not earlier"],
        empty="not earlier",
        labels={"layers": "layers after the first"},
        hint=_blind_spot(kernel_size) if hint is None else hint,
        alt=alt
        or f"An image of {side} × {side} pixels, and which of them the output at the selected one "
        "sees. Controls choose one stack of masked convolutions or two, the masks, and the layers.",
    )


def _blind_spot(kernel_size: int) -> str:
    """Where the pixels are that one stack never sees, in words."""
    columns = kernel_size // 2
    slope = "one row for every column" if columns == 1 else f"one row for every {columns} columns"
    return (
        "Which earlier pixels does the output at a pixel depend on? Draw a line from it that rises "
        f"to the right, {slope}. With one stack, pixels in the rows above that lie to the right "
        "below this line are never seen, however many the layers. The first masked layer always "
        "stands; the slider adds others."
    )


def _kinds_of_layers(
    stack: Callable[[Tensor, str, int, int], list[Tensor]],
    masks: str,
    side: int,
    layers: int,
    kernel_size: int,
) -> list[Tensor]:
    """After 0, 1, … layers beyond the first: what each output sees, (side, side, side, side)."""
    every = torch.eye(side * side).view(-1, 1, side, side)  # images with one pixel each
    before = torch.ones(side**2, side**2).tril(-1).bool()
    maps = []
    with torch.no_grad():
        for reached in stack(every, masks, layers, kernel_size):
            seen = reached.flatten(1).T > 0  # output by input
            kinds = torch.full(seen.shape, torch.nan)
            kinds[before] = MISSED
            kinds[seen] = LEAKED
            kinds[seen & before] = SEEN
            maps.append(kinds.view(side, side, side, side))
    return maps


def _one_stack(x: Tensor, masks: str, layers: int, size: int) -> list[Tensor]:
    """Where the ones of ``x`` arrive through the layers of a PixelCNN."""
    first, later = (_all_ones(MaskedConv2d(1, 1, size, kind)) for kind in masks)
    reached = [first(x)]
    for _ in range(layers):
        reached.append(later(reached[-1]).sign())
    return reached


def _two_stacks(x: Tensor, masks: str, layers: int, size: int) -> list[Tensor]:
    """Where the ones of ``x`` arrive in the horizontal stack of a gated PixelCNN, which takes in
    what the vertical one has at its place.
    """
    first, later = (_all_ones(HorizontalConv2d(1, 1, size, kind)) for kind in masks)
    down = _all_ones(VerticalConv2d(1, 1, size))
    above = _all_ones(VerticalConv2d(1, 1, size, first=True))(x)
    reached = [(first(x) + above).sign()]
    for _ in range(layers):
        above = down(above).sign()
        reached.append((later(reached[-1]) + above).sign())
    return reached


def _all_ones(layer: WindowConv2d) -> WindowConv2d:
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def pixel_weights(
    models: Mapping[str, Autoregressive],
    pictures: Mapping[Any, Tensor],
    shape: tuple[int, int],
    *,
    start: Mapping[str, Any] | None = None,
    cell: Cell | None = None,
    hint: str | None = None,
    alt: str | None = None,
) -> Grid:
    """Point at a pixel: how much its logit moves, on average over pictures, when an earlier pixel
    is flipped.

    Parameters
    ----------
    models : mapping
        Models of binary vectors by name, whose ``conditionals(x)`` are the logits.
    pictures : mapping
        Pictures by what they show, each a tensor (N, rows · columns) of zeros and ones; several
        make a menu.
    shape : (int, int)
        Rows and columns of a picture.
    start : mapping, optional
        ``{"pictures": key}`` to start from; by default the first.
    cell : (int, int), optional
        Pixel to start from; by default one at which the left neighbour and the one above are the
        strongest in all models, if there is one (`neighbours_lead` says whether).
    hint : str, optional
        What to look for; by default how many pixels depend most on their two neighbours.
    alt : str, optional
        What is seen at the start, in words; by default what the figure is of.

    Returns
    -------
    Grid
        The mean picture, and a linked panel for each model: map (i, j) holds the mean of
        how much the logit of pixel (i, j) moves for each earlier pixel, NaN for the others.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind.
    """
    rows, columns = _checked_sides(shape)
    _check_models(models, rows * columns)
    if not isinstance(pictures, Mapping) or not pictures:
        raise TypeError(f"pictures: expected tensors by what they show, got {pictures!r:.60}.")
    for key, x in pictures.items():
        check_tensor(x, f"pictures: {key!r}")
        if x.dim() != 2 or x.shape[1] != rows * columns:
            raise ValueError(
                f"pictures: expected shape (N, {rows * columns}), {rows} × {columns} pixels, for "
                f"{key!r}, got {tuple(x.shape)}."
            )
    frames = {
        key: {"mean picture": x.mean(0).view(rows, columns)}
        | {name: influence(model, x).view(2 * (rows, columns)) for name, model in models.items()}
        for key, x in pictures.items()
    }
    linked = torch.cat([frame[name].flatten() for frame in frames.values() for name in models])
    chosen = (start or {}).get("pictures", next(iter(pictures)))
    lead = torch.stack([_lead(frames[chosen][name]) for name in models]).amin(0)
    plainest = divmod(lead.argmax().item(), columns)
    if hint is None:
        hint = _neighbours(lead, shown=cell is None)
    return Grid(
        lambda pictures: frames[pictures],
        {"pictures": list(pictures)},
        {"pictures": chosen},
        cell=plainest if cell is None else cell,
        limits={"mean picture": (0, 1)}
        | {name: (0, linked.nan_to_num().max().item() or 1) for name in models},
        empty="not earlier than the pixel",
        hint=hint,
        alt=alt
        or f"A picture of {rows} × {columns} pixels in which one is selected, and beside it for "
        f"{' and '.join(models)} how much its logit moves when an earlier pixel is flipped.",
    )


def _checked_sides(shape: object) -> tuple[int, int]:
    """Rows and columns, checked to be two counts."""
    check_counts(shape, "shape")
    if len(shape) != 2:
        raise ValueError(f"shape: expected (rows, columns), got {tuple(shape)}.")
    return tuple(shape)


def _check_models(models: object, size: int) -> None:
    """Raise unless there are models of ``size`` binary values whose conditionals are logits."""
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"models: expected models by name, got {models!r:.60}.")
    for name, model in models.items():
        if not isinstance(model, BinaryAutoregressive):
            raise TypeError(
                f"models: expected a model of binary vectors, such as FVSBN, NADE or MADE, for "
                f"{name!r}, got {type(model).__name__}."
            )
        if len(model.order) != size:
            raise ValueError(
                f"models: expected a model of {size} values for {name!r}, got one of "
                f"{len(model.order)}."
            )


@torch.no_grad()
def influence(model: Autoregressive, x: Tensor) -> Tensor:
    """Mean over the pictures ``x`` of how much the logit of i moves when j is flipped, (i, j).

    NaN where j does not come before i in the model's order.
    """
    total = torch.zeros(x.shape[1], x.shape[1])
    flips = torch.eye(x.shape[1])
    for picture in x:
        logits = model.conditionals(torch.cat([picture[None], (picture - flips).abs()]))
        total += (logits[1:] - logits[0]).abs().T
    return (total / len(x)).where(model.rank < model.rank[:, None], torch.nan)


def neighbours_lead(weights: Tensor, cell: Cell) -> bool:
    """Whether, of all earlier pixels, the left neighbour and the one above are the two largest in
    the map (r, c) of ``weights``, (rows, columns, r, c), at ``cell``.
    """
    return _lead(weights)[cell].item() > 1


def mean_by_offset(weights: Tensor) -> Tensor:
    """The mean over all pixels of the weight so many rows and columns away.

    Parameters
    ----------
    weights : Tensor, shape (rows, columns, rows, columns)
        Entry (i, j) is NaN where j is not earlier than i.

    Returns
    -------
    Tensor, shape (rows, 2 columns - 1)
        Entry (r, c) is the mean weight of the pixel r rows up and c - (columns - 1) columns to the
        right; NaN where there is none.

    Raises
    ------
    TypeError, ValueError
        ``weights`` is no such tensor.
    """
    check_dense(weights, "weights", "take a panel's values")
    paired = weights.dim() == 4 and weights.shape[2:] == weights.shape[:2]
    if not weights.is_floating_point() or not paired:
        raise ValueError(
            "weights: expected floating-point values of shape (rows, columns, rows, columns), got "
            f"{tuple(weights.shape)} of {weights.dtype}."
        )
    rows, columns = weights.shape[:2]
    row, column = torch.arange(rows), torch.arange(columns)
    up = (row[:, None] - row)[:, None, :, None].expand_as(weights)
    right = (column + columns - 1 - column[:, None])[None, :, None, :].expand_as(weights)
    there = ~weights.isnan() & (up >= 0)
    places = up[there] * (2 * columns - 1) + right[there]
    size = rows * (2 * columns - 1)
    total = weights.new_zeros(size).index_add(0, places, weights[there])
    return (total / torch.bincount(places, minlength=size)).view(rows, -1)


def _lead(weights: Tensor) -> Tensor:
    """The smaller of the weights of the left and the upper neighbour, over the largest other one;
    (rows, columns), zero in the first row and column.
    """
    rows, columns = weights.shape[:2]
    lead = torch.zeros(rows, columns)
    for row in range(1, rows):
        for column in range(1, columns):
            others = weights[row, column].nan_to_num().clone()
            near = torch.stack([others[row, column - 1], others[row - 1, column]])
            others[row, column - 1] = others[row - 1, column] = 0
            lead[row, column] = near.min() / others.max().clamp(min=1e-12)
    return lead


def _neighbours(lead: Tensor, shown: bool) -> str:
    """At how many pixels both neighbours lead, in words, and whether the one ``shown`` at the start
    was chosen for that.
    """
    count, total = (lead > 1).sum().item(), lead[1:, 1:].numel()
    words = (
        "Which earlier pixels move the logit of a pixel? With the pictures of the start, its left "
        f"neighbour and the one above are the largest two in all models at {count} of the {total} "
        "pixels that have both. "
    )
    if shown and count:
        words += "The figure starts at the one where they lead most clearly. "
    return words + "Then choose other pictures: whose map changes?"
