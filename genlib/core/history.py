"""What happened during a fit, as a plain record that `genlib.plots.history` can draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """One row a step of the fit: an epoch, an EM iteration, a bandwidth tried.

    A row maps names to numbers. The training loop writes ``epoch``, ``seconds``, one loss a player
    (``loss`` where there is only one player) and, where there is validation data, ``valid``. Losses
    of models with a density are in nats.

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

    def append(self, **row: Any) -> None:
        """Add a row."""
        self.rows.append(row)

    @property
    def names(self) -> list[str]:
        """The columns, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def last(self) -> dict[str, Any]:
        """The newest row."""
        return self.rows[-1]

    def best(self, name: str = "valid") -> dict[str, Any]:
        """The row in which column ``name`` is smallest."""
        return min((row for row in self.rows if name in row), key=lambda row: row[name])

    def __getitem__(self, name: str) -> list[Any]:
        """Column ``name``: one value for each row that has it."""
        if name not in self.names:
            raise KeyError(
                f"the history has no column {name!r}; it has {', '.join(self.names) or 'none'}"
            )
        return [row[name] for row in self.rows if name in row]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)
