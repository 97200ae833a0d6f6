"""Loaders for data that change from epoch to epoch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.constraints import unit_interval
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from genlib.core.validation import check_count, check_tensor, first_index


def binarizing_loader(
    grey: Tensor, batch_size: int = 100, *, labels: Tensor | None = None
) -> DataLoader:
    """Batches of rows in a new order, their bits drawn anew, in every pass.

    Each value is 1 with a probability equal to the grey value: the *dynamic* binarisation, in which
    a model never sees the same row twice. Bits and order come from torch's global generator.

    Parameters
    ----------
    grey : Tensor, shape (N, \\*event)
        Values in [0, 1].
    batch_size : int
    labels : Tensor, optional
        One a row, for models that learn from both.

    Returns
    -------
    DataLoader
        For `Model.fit`; yields ``(x,)``, rows of 0 and 1, or ``(x, y)``.

    Raises
    ------
    TypeError, ValueError
        The values are no probabilities, there is not one label a row, or ``batch_size`` is no
        positive integer.

    Examples
    --------
    >>> loader = binarizing_loader(torch.full((10, 4), 0.5), batch_size=5)
    >>> [x.shape for (x,) in loader]
    [torch.Size([5, 4]), torch.Size([5, 4])]
    """
    check_tensor(grey, "grey")
    if not unit_interval.check(grey).all():
        outside = first_index(~unit_interval.check(grey))
        raise ValueError(
            f"grey: expected values in [0, 1], got {grey[outside].item():g} at index {outside}; "
            "values are read as probabilities here."
        )
    check_count(batch_size, "batch_size")
    if labels is not None and len(labels) != len(grey):
        raise ValueError(
            f"labels: expected one for each of {len(grey)} rows, got {len(labels)} labels."
        )
    return DataLoader(_Binarized(grey, labels), batch_size, shuffle=True, collate_fn=_as_drawn)


def rows_of(loader: DataLoader) -> tuple[Tensor, ...] | None:
    """All that a loader passes over, as tensors of rows (and labels), where they lie in its data
    set so; grey values stand for the bits that are drawn from them.
    """
    dataset = loader.dataset
    if isinstance(dataset, _Binarized):
        return (dataset.grey,) if dataset.labels is None else (dataset.grey, dataset.labels)
    as_they_lie = type(dataset) is TensorDataset and loader.collate_fn is default_collate
    return dataset.tensors if as_they_lie else None


class _Binarized(Dataset):
    """Rows of 0 and 1, drawn anew every time that they are asked for."""

    def __init__(self, grey: Tensor, labels: Tensor | None) -> None:
        self.grey, self.labels = grey, labels

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, row: int) -> Tensor:
        return torch.bernoulli(self.grey[row])

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, ...]:
        x = torch.bernoulli(self.grey[rows])
        return (x,) if self.labels is None else (x, self.labels[rows])


def _as_drawn(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return batch
