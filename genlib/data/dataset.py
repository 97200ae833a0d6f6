"""One type for every data set: three splits, what is known of each example, where it is from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Generator, Tensor

from genlib.core.random import source
from genlib.core.validation import check_between, check_count, check_dense, first_index

SPLITS = ("train", "valid", "test")
MOST_VALUES = 2**31  # that are drawn or cut out in one call; more is a mistake, or wants parts


@dataclass(frozen=True, eq=False)
class Splits:
    """A training, a validation and a test part; the latter two may be ``None``."""

    train: Tensor
    valid: Tensor | None = None
    test: Tensor | None = None

    @classmethod
    def cut(cls, rows: Tensor) -> Splits:
        """Cut ``rows`` 80/10/10, as they come."""
        _check_dense(rows, "rows")
        held_out = len(rows) // 10
        return cls(*rows.split([len(rows) - 2 * held_out, held_out, held_out]))

    def items(self) -> list[tuple[str, Tensor]]:
        """Name and tensor of each part that is there."""
        parts = [(name, getattr(self, name)) for name in SPLITS]
        return [(name, part) for name, part in parts if part is not None]

    def map(self, function: Callable[[str, Tensor], Tensor]) -> Splits:
        """Replace each part that is there by ``function(name, part)``."""
        return Splits(**{name: function(name, part) for name, part in self.items()})


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples in three splits, with their labels and factors.

    A data set is a value: methods return new data sets, which carry labels and factors along, and
    never change this one.

    Parameters
    ----------
    train, valid, test
        Examples, shape ``(N, *event)``; images (N, C, H, W) with values in [0, 1]. ``valid`` and
        ``test`` may be ``None``.
    labels
        The class of each example, int64 (N,), in the same splits; ``None`` where there are none.
    factors
        Name → the values from which each example was made, (N,) or (N, k), in the same splits;
        empty where nobody knows.
    name, source, licence
        What the data are, where they come from, and on what terms.
    binarization
        How values were made 0 or 1: ``"threshold"``, ``"fixed sample"`` or ``"dynamic sample"``;
        ``None`` where they were not. Log-likelihoods under different binarisations do not compare.

    Raises
    ------
    TypeError
        If a split is not a tensor, dtypes disagree, labels are not integers, or labels or factors
        are no `Splits`.
    ValueError
        If a split is empty or holds NaN or infinity, event shapes or devices disagree, or labels
        or factors do not fit the examples.
    """

    train: Tensor
    valid: Tensor | None = None
    test: Tensor | None = None
    labels: Splits | None = None
    factors: Mapping[str, Splits] = field(default_factory=dict)
    name: str = "data"
    source: str = ""
    licence: str = ""
    binarization: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.factors, Mapping):
            raise TypeError(f"factors: expected a mapping of Splits, got {self.factors!r}.")
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))
        for name, part in {"train": self.train, **dict(self.splits.items())}.items():
            _check_examples(name, part, self.train)
        for name, parts in self._companions().items():
            _check_companion(name, parts, self.splits)
        if self.labels is not None:
            _check_labels(self.labels)

    @classmethod
    def cut(
        cls, rows: Tensor, labels: Tensor, factors: Mapping[str, Tensor] | None = None, **about: str
    ) -> Self:
        """Cut labelled rows, which come in no order, 80/10/10; ``about``: name, source, licence."""
        return cls(
            **dict(Splits.cut(rows).items()),
            labels=Splits.cut(labels),
            factors={name: Splits.cut(values) for name, values in (factors or {}).items()},
            **about,
        )

    def __repr__(self) -> str:
        lines = [f"Dataset: {self.name}"]
        for name, part in self.splits.items():
            low, high = part.min().item(), part.max().item()
            dtype = str(part.dtype).removeprefix("torch.")
            lines.append(f"  {name:<6} {tuple(part.shape)} {dtype} in [{low:.4g}, {high:.4g}]")
        if self.labels is not None:
            lines.append(f"  labels {', '.join(map(str, self.labels.train.unique().tolist()))}")
        if self.factors:
            lines.append(f"  factors {', '.join(self.factors)}")
        return "\n".join(lines)

    @property
    def splits(self) -> Splits:
        """The examples, as one record."""
        return Splits(self.train, self.valid, self.test)

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one example."""
        return self.train.shape[1:]

    def binarized(self, threshold: float = 0.5) -> Self:
        """Set values above ``threshold`` to 1 and the others to 0.

        Raises
        ------
        TypeError, ValueError
            If ``threshold`` is not inside (0, 1), or the values are not floating point, not in
            [0, 1], or 0 and 1 already.
        """
        check_between(threshold, 0, 1, "threshold", ends=False)
        self._check_grey()
        return self._with(
            self.splits.map(lambda _, part: (part > threshold).to(part.dtype)),
            name=f"{self.name}, binarised at {threshold:g}",
            binarization="threshold",
        )

    def stochastically_binarized(self, seed: int = 0) -> Self:
        """Draw every value once and for good: 1 with a probability equal to the grey value.

        This is the *fixed* (static) binarisation: ``seed`` decides every bit, and training sees
        the same bits in every epoch. Models overfit to it sooner than to `dynamically_binarized`
        data, and the two give different log-likelihoods.

        Raises
        ------
        TypeError, ValueError
            If the values are not floating point, not in [0, 1], or 0 and 1 already.
        """
        self._check_grey()
        generator = seeded(seed)
        # The test set is drawn first, so that its bits are the same beside any training set.
        drawn = {name: _bernoulli(part, generator) for name, part in reversed(self.splits.items())}
        return self._with(
            Splits(**drawn),
            name=f"{self.name}, binarised by one fixed draw (seed {seed})",
            binarization="fixed sample",
        )

    def dynamically_binarized(self, generator: Generator | None = None, seed: int = 0) -> Self:
        """Draw the training split afresh: call this again for every epoch.

        This is the *dynamic* binarisation: each call draws new training bits from ``generator``
        (torch's global one if ``None``). Validation and test splits are those of
        ``stochastically_binarized(seed)`` in every call, so that the scores of epochs compare.

        Raises
        ------
        TypeError, ValueError
            If the values are not floating point, not in [0, 1], or 0 and 1 already.

        Examples
        --------
        >>> import genlib as gl
        >>> grey = gl.data.strokes(20, cache=False)
        >>> first, second = grey.dynamically_binarized(), grey.dynamically_binarized()
        >>> bool((first.train != second.train).any()), bool((first.valid != second.valid).any())
        (True, False)
        """
        return replace(
            self.stochastically_binarized(seed),
            train=_bernoulli(self.train, generator),
            name=f"{self.name}, binarised anew at each call",
            binarization="dynamic sample",
        )

    def flat(self) -> Self:
        """Make each example a vector: ``(N, *event)`` becomes (N, D)."""
        return self._with(self.splits.map(lambda _, part: part.reshape(len(part), -1)))

    def subset(
        self,
        train: int,
        valid: int | None = None,
        test: int | None = None,
        *,
        seed: int | None = None,
    ) -> Self:
        """Keep so many examples of each split, with their labels and factors.

        Parameters
        ----------
        train, valid, test
            How many to keep. A split whose number is ``None`` stays whole: after ``subset(100)``,
            a hundred training examples are still judged by the full test set.
        seed
            ``None`` keeps the first ones; an integer draws them without replacement.

        Raises
        ------
        ValueError
            If a split has fewer examples than asked for, or is not there.
        """
        generator = None if seed is None else seeded(seed)
        sizes = {name: len(part) for name, part in self.splits.items()}
        rows = {}
        for name, count in (("train", train), ("valid", valid), ("test", test)):
            if count is None:
                continue
            check_count(count, name)
            size = sizes.get(name, 0)
            if count > size:
                raise ValueError(f"{name}: asked for {count} examples of {size} ({self.name}).")
            order = torch.arange(size)
            if generator is not None:
                order = torch.randperm(size, generator=generator)
            rows[name] = order[:count].to(self.train.device)
        return self._map(lambda name, part: part[rows[name]] if name in rows else part)

    def of_classes(self, classes: Collection[int]) -> Self:
        """Keep the examples whose label is in ``classes``; labels keep their values.

        Raises
        ------
        TypeError, ValueError
            If ``classes`` is no collection of integers, there are no labels, or a split has no
            example of a class.
        """
        if self.labels is None:
            raise ValueError(f"of_classes: {self.name} has no labels.")
        if isinstance(classes, str) or not isinstance(classes, Collection):
            raise TypeError(f"classes: expected a collection of labels, got {classes!r}.")
        for name, part in self.labels.items():
            present = part.unique().tolist()
            if not len(classes) or not all(label in present for label in classes):
                came = list(classes)
                raise ValueError(f"classes: expected some of {present} ({name}), got {came}.")
        wanted = torch.tensor(sorted(classes), device=self.train.device)
        rows = dict(self.labels.map(lambda _, part: torch.isin(part, wanted)).items())
        return self._map(lambda name, part: part[rows[name]])

    def to(self, device: torch.device | str) -> Self:
        """Move all tensors to ``device``."""
        device = torch.device(device)  # a tensor's `to` would also take a dtype
        return self._map(lambda _, part: part.to(device))

    def _companions(self) -> dict[str, Splits]:
        labels = {} if self.labels is None else {"labels": self.labels}
        return labels | {f"factors[{name!r}]": parts for name, parts in self.factors.items()}

    def _with(self, examples: Splits, **changes: Any) -> Self:
        """Return this data set with other examples in the same order, and other changes."""
        return replace(self, **dict(examples.items()), **changes)

    def _map(self, function: Callable[[str, Tensor], Tensor]) -> Self:
        """Apply ``function(split, tensor)`` to examples, labels and factors alike."""
        return self._with(
            self.splits.map(function),
            labels=None if self.labels is None else self.labels.map(function),
            factors={name: parts.map(function) for name, parts in self.factors.items()},
        )

    def _check_grey(self) -> None:
        """Raise unless the values can be read as probabilities, and some are neither 0 nor 1."""
        if not self.train.is_floating_point():
            raise TypeError(
                f"{self.name}: expected floating-point values in [0, 1], got {self.train.dtype}; "
                "bring 256-level pixels there with .float() / 255."
            )
        for name, part in self.splits.items():
            if part.min() < 0 or part.max() > 1:
                outside = first_index((part < 0) | (part > 1))
                raise ValueError(
                    f"{name}: expected values in [0, 1], got {part[outside].item():g} at index "
                    f"{outside}; values are read as probabilities here."
                )
        if all(bool(((part == 0) | (part == 1)).all()) for _, part in self.splits.items()):
            raise ValueError(
                f"{self.name}: the values are 0 and 1 already "
                f"(binarization: {self.binarization or 'none needed'})."
            )


def seeded(seed: int) -> Generator:
    """Return a generator of its own for data that ``seed`` decides."""
    check_count(seed, "seed", minimum=0, maximum=2**63 - 1)
    return Generator().manual_seed(seed)


def _bernoulli(p: Tensor, generator: Generator | None) -> Tensor:
    """Draw 1 with probability ``p`` where the generator lives, and return it to where ``p`` is."""
    return torch.bernoulli(p.to(source(generator)), generator=generator).to(p.device)


def _check_dense(x: object, name: str) -> None:
    check_dense(x, name, f"convert it with torch.as_tensor({name})")


def _check_examples(name: str, part: object, train: Tensor) -> None:
    _check_dense(part, name)
    if part.dim() == 0 or part.numel() == 0:
        raise ValueError(f"{name}: expected shape (N, ...) with N ≥ 1, got {tuple(part.shape)}.")
    if part.dtype != train.dtype:
        raise TypeError(f"{name}: expected {train.dtype} as in train, got {part.dtype}.")
    if part.device != train.device:
        raise ValueError(f"{name}: expected device {train.device} as train, got {part.device}.")
    if part.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"{name}: expected examples of shape {tuple(train.shape[1:])} as in train, "
            f"got {tuple(part.shape[1:])}."
        )
    if part.is_floating_point() and not torch.isfinite(part).all():
        index = first_index(~torch.isfinite(part))
        raise ValueError(f"{name}: expected finite values, got {part[index].item()} at {index}.")


def _check_companion(name: str, parts: object, examples: Splits) -> None:
    """Raise unless labels or a factor have one entry for each example of each split."""
    if not isinstance(parts, Splits):
        raise TypeError(f"{name}: expected a Splits, got {type(parts).__name__}.")
    for split, part in parts.items():
        _check_dense(part, f"{name}.{split}")
        if part.dim() == 0:
            raise ValueError(f"{name}.{split}: expected shape (N, ...), got ().")
    expected = {split: len(part) for split, part in examples.items()}
    found = {split: len(part) for split, part in parts.items()}
    if found != expected:
        raise ValueError(f"{name}: expected one entry for each example, {expected}; got {found}.")


def _check_labels(labels: Splits) -> None:
    for name, part in labels.items():
        if part.dtype != torch.int64 or part.dim() != 1:
            raise TypeError(
                f"labels.{name}: expected integers (torch.int64) of shape ({len(part)},), "
                f"got {part.dtype} of shape {tuple(part.shape)}."
            )
