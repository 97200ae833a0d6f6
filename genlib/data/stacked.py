"""Stacked digits: three grey pictures as the colours of one, so that there are a thousand modes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genlib.core.validation import check_count
from genlib.data.dataset import MOST_VALUES, Dataset, Splits, seeded

_COLOURS = 3


def stacked(data: Dataset, n: int = 10_000, seed: int = 0) -> Dataset:
    """Return ``n`` colour images whose red, green and blue are grey images of ``data``.

    The three are drawn independently, with replacement, from the same split of ``data``, so that no
    grey image is in two splits. Labels are K² r + K g + b, where r, g and b are those of the three
    and K is the number of classes: with ten digits 0 … 999, whose modes a generator may miss [1].
    The split is 80/10/10.

    Parameters
    ----------
    data : Dataset
        Grey images (N, 1, H, W) in three splits, with labels 0 … K − 1; `strokes` or `mnist`.
    n : int
        Number of images in all, at least 10.
    seed : int

    Raises
    ------
    TypeError, ValueError
        ``data`` has no labels, no three splits, or images of another kind; ``n`` is out of range.

    References
    ----------
    [1] Metz, Poole, Pfau and Sohl-Dickstein (2017), "Unrolled generative adversarial networks",
    ICLR, section 3.3.1.

    Examples
    --------
    >>> from genlib.data import strokes
    >>> stacked(strokes(50, size=8), 20).train.shape
    torch.Size([16, 3, 8, 8])
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data: expected a Dataset, got {type(data).__name__}.")
    shape = data.event_shape
    if len(shape) != 3 or shape[0] != 1 or data.labels is None or len(data.splits.items()) < 3:
        raise ValueError(
            "data: expected grey images (N, 1, H, W) with labels in three splits, got "
            f"{tuple(data.train.shape)} in {len(data.splits.items())} splits, "
            f"{'without' if data.labels is None else 'with'} labels."
        )
    check_count(n, "n", minimum=10, maximum=MOST_VALUES // (_COLOURS * shape.numel()))
    generator, held_out = seeded(seed), n // 10
    sizes = {"train": n - 2 * held_out, "valid": held_out, "test": held_out}
    given = torch.cat([part.flatten() for _, part in data.labels.items()])
    if given.min() < 0:
        raise ValueError(f"data: expected labels 0, 1, …, got {given.min().item()}.")
    classes = int(given.max()) + 1
    images, labels = {}, {}
    for name, rows in data.splits.items():
        chosen = torch.randint(len(rows), (sizes[name], _COLOURS), generator=generator)
        chosen = chosen.to(rows.device)
        images[name] = rows[chosen].flatten(1, 2)
        labels[name] = _one_label(getattr(data.labels, name)[chosen], classes)
    return replace(data, **images, labels=Splits(**labels), factors={}, name=f"stacked {data.name}")


def _one_label(labels: Tensor, classes: int) -> Tensor:
    """(N, 3) as one number each, the first the most significant digit."""
    weights = torch.tensor([classes**2, classes, 1], device=labels.device)
    return (labels * weights).sum(1)
