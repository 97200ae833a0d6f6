"""Tables of probabilities, filled by counting; and the one table that holds a joint distribution.

A joint table of n binary variables has 2ⁿ − 1 free numbers; the other models of this folder say
which variables may look at which, and need a small table for each instead. Events are rows of
floats that hold states 0, 1, …, s − 1. Source: the chapter on structure of document H.
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from genlib.core import Density, Estimator, History, NotFittedError
from genlib.core.discrete import place_values, state_space
from genlib.core.random import categorical, uniform
from genlib.core.rows import row_chunks
from genlib.core.validation import check_count, check_positive, check_tensor, first_index

LARGEST_TABLE = 2**26  # entries; half a gigabyte in float64
VALUES_AT_ONCE = 2**17  # of a pass over many rows; they fit into a cache
_TOLERANCE = 1e-5  # of the sum of given probabilities, which float32 rounds


class TableModel(Estimator, abstract=True):
    """A log mass that is a sum of entries of tables, which ``fit`` fills by counting.

    All tables lie one behind the other in ``log_table``. Each consists of rows that sum to one, a
    row for each state of the parents. A subclass says which entries an event picks (`_entries`) and
    how many rows and columns each table has (``shapes``).

    Attributes
    ----------
    states : tuple of int
        Number of states of each variable.
    shapes : list of (int, int)
        Rows and columns of each table.

    Notes
    -----
    Answers are computed in float64, from logarithms that are kept in the dtype of the model: in
    float32 a probability p is right to a part in 10⁷, or −log p parts where p is small; a model
    that was made double before it was fitted, or given its tables, answers in full.
    """

    density = Density.EXACT
    lesson = "02_structure"
    cannot: ClassVar[dict[str, str]] = {
        "encode": "all its variables are observed; there is no hidden one that would describe an "
        "event.",
    }

    states: tuple[int, ...]
    shapes: list[tuple[int, int]]

    def __init__(self, states: Sequence[int], shapes: list[tuple[int, int]], smoothing: float):
        super().__init__(torch.Size([len(states)]))
        check_positive(smoothing, "smoothing", zero=True)
        size = sum(rows * columns for rows, columns in shapes)
        if size > LARGEST_TABLE:
            raise ValueError(
                f"the tables need {amount(size)} entries, more than {LARGEST_TABLE:,}: every "
                "further parent multiplies a table by the number of its states; let fewer "
                "variables look at each other."
            )
        self.states, self.shapes, self.smoothing = tuple(states), shapes, smoothing
        self._starts = [0, *itertools.accumulate(rows * columns for rows, columns in shapes)]
        self.support = state_space(self.states)
        self.register_buffer("log_table", torch.full((size,), math.nan))

    @property
    def free_parameters(self) -> int:
        """How many numbers the tables hold when each row's last one follows from the others."""
        return sum(rows * (columns - 1) for rows, columns in self.shapes)

    def fit(self, x: Tensor, *, valid: Tensor | None = None) -> History:
        """Count: each probability is (count + smoothing) / (row's count + columns · smoothing).

        With ``smoothing=0`` this is maximum likelihood; otherwise the posterior mean under a
        symmetric Dirichlet prior with this parameter.

        Parameters
        ----------
        x : Tensor, shape (N, n)
        valid : Tensor, shape (M, n), optional
            Held-out rows; their mean negative log-likelihood is recorded as ``valid``, in nats.

        Raises
        ------
        ValueError
            Without smoothing, some state of the parents never occurs, so that nothing is known of
            what follows it.
        """
        return super().fit(x, valid=valid)

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        counts = torch.zeros(len(self.log_table), dtype=torch.float64, device=self.device)
        for part in row_chunks(x, VALUES_AT_ONCE):
            counts += torch.bincount(self._entries(part).flatten(), minlength=len(counts))
        counts += self.smoothing
        for rows in self._blocks(counts):
            rows /= rows.sum(1, keepdim=True)
        unseen = counts.isnan()  # zero by zero
        if unseen.any():
            place = first_index(unseen)[0]
            table = bisect.bisect_right(self._starts, place) - 1
            row = (place - self._starts[table]) // self.shapes[table][1]
            raise ValueError(self._unseen(table, row))
        self._store(counts)
        return History()

    def _entries(self, x: Tensor) -> Tensor:
        """Places in ``log_table`` that each row picks, integers of shape (k, N)."""
        raise NotImplementedError

    def _unseen(self, table: int, row: int) -> str:
        """Say in words which row of a table was never seen."""
        raise NotImplementedError

    def _log_prob(self, x: Tensor) -> Tensor:
        return torch.cat([self._total(part) for part in row_chunks(x, VALUES_AT_ONCE)])

    def _total(self, x: Tensor) -> Tensor:
        entries = self._entries(x)
        picked = self.log_table.index_select(0, entries.flatten()).view_as(entries)
        return picked.sum(0, dtype=torch.float64).to(self.dtype)

    def _require_data(self, method: str) -> None:
        if self.log_table[0].isnan():
            raise NotFittedError(
                f"{type(self).__name__} has no tables yet: call fit(x), or set_tables, before "
                f"{method}."
            )

    def _blocks(self, flat: Tensor) -> list[Tensor]:
        """``flat`` as matrices, one for each run of tables with equally many columns."""
        runs = itertools.groupby(self.shapes, key=operator.itemgetter(1))
        columns, rows = zip(*((c, sum(r for r, _ in run)) for c, run in runs), strict=True)
        parts = flat.split([c * r for c, r in zip(columns, rows, strict=True)])
        return [part.view(-1, c) for part, c in zip(parts, columns, strict=True)]

    def _store(self, probabilities: Tensor) -> None:
        self.log_table = probabilities.log().to(self.log_table)

    def _table(self, k: int) -> Tensor:
        """Table k: probabilities, float64 of shape (rows, columns); each row sums to one."""
        flat = self.log_table[self._starts[k] : self._starts[k + 1]]
        return flat.double().view(self.shapes[k]).softmax(1)  # of logarithms that were rounded


class Categorical(TableModel):
    """One table for all variables together: a probability for every joint state.

    The model without assumptions, and the reason for all the others: n binary variables need 2ⁿ − 1
    free parameters.

    Parameters
    ----------
    states : int or sequence of int
        Number of states of the one variable, or of each.
    smoothing : float
        Count added to every entry.

    Examples
    --------
    >>> die = Categorical(6, smoothing=0)
    >>> _ = die.fit(torch.tensor([[0.0], [5.0], [5.0], [5.0]]))
    >>> die.log_prob(torch.tensor([[5.0]])).exp().item()
    0.75
    """

    def __init__(self, states: int | Sequence[int] = 2, smoothing: float = 1.0) -> None:
        states = check_states([states] if isinstance(states, int) else states)
        super().__init__(states, [(1, math.prod(states))], smoothing)

    @property
    def table(self) -> Tensor:
        """Probability of every joint state, of shape ``states``, float64."""
        self._require_data("table")
        return self._table(0).view(self.states)

    def set_tables(self, table: Tensor) -> None:
        """Give the probabilities instead of counting them.

        Parameters
        ----------
        table : Tensor, shape ``states``

        Raises
        ------
        ValueError
            The shape differs, an entry is negative, or they do not sum to one.
        """
        flat = check_table(table, self.states, "table", joint=True)
        self._store(flat.flatten())

    def _entries(self, x: Tensor) -> Tensor:
        places = torch.tensor(place_values(self.states), device=x.device)
        return (x.long() * places).sum(1)[None]

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        table = self._table(0)[0]
        state = categorical(table, uniform((n,), table, generator))[:, None]
        places = torch.tensor(place_values(self.states), device=state.device)
        sizes = torch.tensor(self.states, device=state.device)
        return (state // places % sizes).to(self.log_table)


def amount(count: int) -> str:
    """``count`` in digits where a reader takes them in, else as a power of ten."""
    return f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"


def check_table(table: object, shape: tuple[int, ...], name: str, joint: bool = False) -> Tensor:
    """``table`` in float64, checked to have this shape and to sum to one: altogether where it is a
    joint table, else along its last dimension.
    """
    check_tensor(table, name)
    if table.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(table.shape)}.")
    if (table < 0).any():
        index = first_index(table < 0)
        raise ValueError(
            f"{name}: expected probabilities, got {table[index]:.6g} at index {index}."
        )
    rows = table.double().reshape(1 if joint else -1, math.prod(shape) if joint else shape[-1])
    off = (rows.sum(1) - 1).abs() > _TOLERANCE
    if off.any():
        row = first_index(off)[0]
        where = "" if len(rows) == 1 else f" in row {row}"
        raise ValueError(
            f"{name}: expected probabilities that sum to one{where}, got {rows[row].sum():.6g}."
        )
    return rows / rows.sum(1, keepdim=True)


def check_states(states: Sequence[int]) -> tuple[int, ...]:
    """``states`` as a tuple, checked to be at least one number, each of at least two."""
    if not isinstance(states, Iterable):
        raise TypeError(f"states: expected an integer, or one a variable, got {states!r}.")
    for count in states:
        check_count(count, "states", minimum=2)
    if not len(states):
        raise ValueError("states: expected at least one variable, got none.")
    return tuple(states)
