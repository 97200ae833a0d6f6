"""What happened during a fit, as a plain record that `genlib.plots.history` can draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """One row a step of the fit: an epoch, an EM iteration, a bandwidth tried.

    A row maps names to numbers. The training loop writes ``epoch``, ``seconds``, one loss a player
    (``loss`` where there is only one player) and, where there is validation data, ``valid``. Losses
    of models with a density are in nats.

    Raises
    ------
    TypeError
        If ``rows`` is not a list of mappings.

    Examples
    --------
    >>> history = History()
    >>> history.append(epoch=1, loss=2.5)
    >>> history.append(epoch=2, loss=2.0)
    >>> history["loss"]
    [2.5, 2.0]
    >>> history.best("loss")
    {'epoch': 2, 'loss': 2.0}
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.rows, list):
            raise TypeError(f"rows: expected a list of dictionaries, got {self.rows!r}.")
        for i, row in enumerate(self.rows):
            if not isinstance(row, Mapping):
                raise TypeError(f"rows: expected a list of dictionaries, got {row!r} at index {i}.")

    def append(self, **row: Any) -> None:
        """Add a row."""
        self.rows.append(row)

    @property
    def names(self) -> list[str]:
        """The columns, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def last(self) -> dict[str, Any]:
        """The newest row.

        Raises
        ------
        IndexError
            If there is no row yet.
        """
        if not self.rows:
            raise IndexError("the history has no rows, and so no last one.")
        return self.rows[-1]

    def best(self, name: str = "valid") -> dict[str, Any]:
        """The first row in which column ``name`` is smallest; one that is NaN there is never best.

        Raises
        ------
        KeyError
            If no row has the column.
        ValueError
            If the column is NaN in every row.
        """
        values = self[name]
        if all(map(math.isnan, values)):
            raise ValueError(
                f"{name}: expected a number to choose the best row by, got only NaN "
                f"({len(values)} times)."
            )
        rows = (row for row in self.rows if not math.isnan(row.get(name, math.nan)))
        return min(rows, key=lambda row: row[name])

    def __getitem__(self, name: str) -> list[Any]:
        """Column ``name``: one value for each row that has it.

        Raises
        ------
        KeyError
            If no row has the column.
        """
        if name not in self.names:
            raise KeyError(
                f"the history has no column {name!r}; it has {', '.join(self.names) or 'none'}."
            )
        return [row[name] for row in self.rows if name in row]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)
