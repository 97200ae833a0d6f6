"""Loaders for data that change from epoch to epoch, and for two sets without pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions.constraints import unit_interval
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset, default_collate

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


def unpaired_loader(x: Tensor, y: Tensor, batch_size: int = 128) -> DataLoader:
    """Batches of rows of two sets, of any sizes, in which no row belongs to another.

    A pass goes once over the larger set, in a new order. The smaller one is gone through as often
    as that takes, each time in a new order, so that its rows come equally often, to within one. The
    orders come from torch's global generator.

    Parameters
    ----------
    x, y : Tensor, shapes (N, \\*event) and (M, \\*other)
    batch_size : int
        Rows of each set in a batch; the last may have fewer.

    Returns
    -------
    DataLoader
        For `Model.fit`; yields ``(x, y)``.

    Raises
    ------
    TypeError, ValueError
        A set is no tensor of numbers, or has no rows; or ``batch_size`` is no positive integer.

    Examples
    --------
    >>> loader = unpaired_loader(torch.zeros(10, 4), torch.zeros(3, 2), batch_size=5)
    >>> [(len(x), len(y)) for x, y in loader]
    [(5, 5), (5, 5)]
    """
    check_tensor(x, "x")
    check_tensor(y, "y")
    check_count(batch_size, "batch_size")
    data, order = _Unpaired(x, y), _TwoOrders(len(x), len(y))
    return DataLoader(data, batch_size, sampler=order, collate_fn=_as_drawn)


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


class _Unpaired(TensorDataset):
    """Rows of two tensors, asked for by pairs of numbers."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.tensors = (x, y)  # not of one length, as the base class would have them

    def __len__(self) -> int:
        return max(map(len, self.tensors))

    def __getitems__(self, pairs: list[tuple[int, int]]) -> tuple[Tensor, ...]:
        numbers = torch.tensor(pairs).unbind(1)
        return tuple(part[rows] for part, rows in zip(self.tensors, numbers, strict=True))


class _TwoOrders(Sampler):
    """Pairs of numbers below two sizes, as many as the larger size."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return max(self.sizes)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        orders = []
        for size in self.sizes:
            times = -(-len(self) // size)
            order = torch.cat([torch.randperm(size) for _ in range(times)])
            orders.append(order[: len(self)].tolist())
        return iter(list(zip(*orders, strict=True)))


def _as_drawn(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return batch
