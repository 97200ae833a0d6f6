"""Bayesian networks over discrete variables, and Markov chains among them.

Sources: the chapter on structure of document H; Koller and Friedman (2009), chapters 3, 9 and 17.
"""

from __future__ import annotations

import graphlib
import math
import numbers
import reprlib
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from genlib.core.discrete import place_values
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_count, check_flag
from genlib.models.graphical.elimination import (
    Scope,
    Step,
    connected,
    contraction_path,
    sum_product,
)
from genlib.models.graphical.tables import (
    LARGEST_TABLE,
    TableModel,
    amount,
    check_states,
    check_table,
)

Variable = int | str

_LONGEST = 2**20  # variables of a chain, each with Python objects of its own


class BayesNet(TableModel):
    """Bayesian network over discrete variables: p(x) = Π_i p(x_i | parents of x_i).

    Parameters
    ----------
    parents : sequence of sequences of int, or mapping of str to sequences of str
        Parents of each variable, in the order of the columns; a mapping also names them.
    states : int or sequence of int
        Number of states of every variable, or of each.
    smoothing : float
        Count added to every entry of every table; zero is maximum likelihood.
    shared_from : int, optional
        Variables from this column on share one table.

    Raises
    ------
    ValueError
        The graph has a cycle, or a parent that is no variable; or a table would be too large.

    Examples
    --------
    >>> net = BayesNet({"rain": [], "sprinkler": ["rain"], "wet": ["rain", "sprinkler"]})
    >>> net.free_parameters
    7
    """

    def __init__(
        self,
        parents: Sequence[Sequence[int]] | Mapping[str, Sequence[str]],
        states: int | Sequence[int] = 2,
        smoothing: float = 1.0,
        *,
        shared_from: int | None = None,
    ) -> None:
        graph = _graph(parents)
        names, count = tuple(graph), len(graph)
        states = check_states([states] * count if isinstance(states, int) else states)
        if len(states) != count:
            raise ValueError(f"states: expected {count}, one a variable, got {len(states)}.")
        column = {name: i for i, name in enumerate(names)}
        if shared_from is not None:
            check_count(shared_from, "shared_from", minimum=0)
        families = [[*map(column.get, graph[name]), column[name]] for name in names]
        shapes = [(math.prod(states[p] for p in f[:-1]), states[f[-1]]) for f in families]
        tables = count if shared_from is None else min(shared_from + 1, count)
        if len({tuple(states[i] for i in family) for family in families[tables - 1 :]}) > 1:
            raise ValueError(
                f"shared_from: expected columns from {shared_from} on to have tables of one shape."
            )
        super().__init__(states, shapes[:tables], smoothing)
        self.parents, self.variables, self.column, self.families = graph, names, column, families
        self.table_of = [min(i, tables - 1) for i in range(count)]
        # A step in each variable of a family moves so far in its table.
        self.strides = [place_values(self._family_states(i)) for i in range(count)]
        self._register_places()

    def _register_places(self) -> None:
        """Where an event finds its entries: starts + Σ_k steps[k] · x[columns[k]], int32."""
        longest = max(map(len, self.families))
        columns, steps = (  # short families are filled up with steps of zero
            torch.tensor([[0] * (longest - len(row)) + row for row in rows], dtype=torch.int32).T
            for rows in (self.families, self.strides)
        )
        starts = torch.tensor([self._starts[table] for table in self.table_of], dtype=torch.int32)
        self.register_buffer("columns", columns.contiguous(), persistent=False)
        self.register_buffer("steps", steps[:, :, None].contiguous(), persistent=False)
        self.register_buffer("starts", starts[:, None], persistent=False)

    # ------------------------------------------------------------------ tables

    def table(self, variable: Variable) -> Tensor:
        """p(variable | parents), float64, of the shape of the parents' states and then its own."""
        self._require_data("table")
        i = self._index(variable)
        return self._table(self.table_of[i]).view(self._family_states(i))

    def set_tables(self, tables: Mapping[Variable, Tensor] | Sequence[Tensor]) -> None:
        """Give the conditional probabilities instead of counting them.

        Parameters
        ----------
        tables : mapping or sequence
            For each variable a tensor of the shape of its parents' states and then its own, whose
            last dimension sums to one.

        Raises
        ------
        ValueError
            A table is missing, of the wrong shape, negative, or does not sum to one.
        """
        if not isinstance(tables, Mapping | Sequence):
            raise TypeError(f"tables: expected a mapping or a sequence, got {tables!r}.")
        names = self.variables[: len(self.shapes)]
        given = tables if isinstance(tables, Mapping) else dict(zip(names, tables, strict=False))
        if set(given) != set(names) or len(tables) != len(names):
            raise ValueError(
                f"tables: expected one for each of {_shortened(names)}, got {len(tables)}"
                f"{f', for {_shortened(tuple(tables))}' if isinstance(tables, Mapping) else ''}."
            )
        checked = [
            check_table(given[name], self._family_states(i), f"the table of {name!r}")
            for i, name in enumerate(names)
        ]
        self._store(torch.cat([table.flatten() for table in checked]))

    def _entries(self, x: Tensor) -> Tensor:
        # Columns side by side in memory, which a gather of whole columns only copies.
        states = x.T.to(torch.int32, memory_format=torch.contiguous_format)
        entries = self.starts.expand_as(states)
        for columns, steps in zip(self.columns, self.steps, strict=True):
            entries = entries + states.index_select(0, columns) * steps
        return entries

    def _family_states(self, i: int) -> tuple[int, ...]:
        return tuple(self.states[j] for j in self.families[i])

    def _unseen(self, table: int, row: int) -> str:
        *parents, _ = self.families[table]
        sizes = [self.states[j] for j in parents]
        values = [row // place % s for place, s in zip(place_values(sizes), sizes, strict=True)]
        seen = ", ".join(
            f"{self.variables[j]!r} = {value}" for j, value in zip(parents, values, strict=True)
        )
        return (
            f"x: no row has {seen or 'any state'}, so p({self.variables[table]!r} | its parents) "
            "is unknown there; use smoothing=1, or fewer parents."
        )

    def _index(self, variable: Variable) -> int:
        if not isinstance(variable, Hashable) or variable not in self.column:
            raise ValueError(
                f"expected one of the variables {_shortened(self.variables)}, got {variable!r}."
            )
        return self.column[variable]

    # ------------------------------------------------------------------ sampling and inference

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        """Ancestral sampling: parents before children."""
        x = torch.empty(len(self.states), n, dtype=torch.int64, device=self.device)
        for variable in graphlib.TopologicalSorter(self.parents).static_order():
            i = self.column[variable]
            *parents, _ = zip(self.families[i], self.strides[i], strict=True)
            row = sum(x[j] * step for j, step in parents) // self.states[i]
            table = self._table(self.table_of[i])
            x[i] = categorical(table[row] if parents else table[0], uniform((n,), table, generator))
        return x.T.to(self.log_table)

    @torch.no_grad()
    def conditional(
        self, query: Variable | Sequence[Variable], given: Mapping[Variable, int] | None = None
    ) -> Tensor:
        """p(query | given), exactly, by variable elimination.

        Variables that are neither asked for nor given are summed out one after another, in the
        order of weighted min-fill; see `genlib.models.graphical.elimination`. On a tree this is
        cheap; on a graph where it needs too large a table it is refused.

        Parameters
        ----------
        query : variable or sequence of variables
        given : mapping of variables to states, optional
            The evidence.

        Returns
        -------
        Tensor, float64
            Of the shape of the query's states.

        Raises
        ------
        ValueError
            An unknown variable, one asked for twice or both asked for and given, a state outside
            its range, or a table of more than 2**26 entries on the way. Also for evidence of
            probability zero, where that part of the evidence bears on the query.
        """
        self._require_data("conditional")
        several = isinstance(query, Sequence) and not isinstance(query, str)
        target = [self._index(variable) for variable in (query if several else [query])]
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise TypeError(f"given: expected a mapping of variables to states, got {given!r}.")
        evidence = {self._index(name): _alone(state) for name, state in given.items()}
        self._check_question(target, evidence)
        evidence = {i: int(state) for i, state in evidence.items()}
        scopes, logs = self._factors(target, evidence)
        path = contraction_path(scopes, self.states, target)
        self._check_sizes(path, target)
        scope, values = sum_product(scopes, logs, path)
        total = values.sum()
        if total == 0:
            raise ValueError(self._impossible(evidence))
        answer = (values / total).transpose([scope.index(i) for i in target])
        return torch.from_numpy(np.ascontiguousarray(answer)).to(self.device)

    def _check_question(self, target: list[int], evidence: Mapping[int, int]) -> None:
        if not target or len(set(target)) < len(target) or set(target) & set(evidence):
            raise ValueError(
                "query: expected variables that are all different and not given; got "
                f"{_shortened([self.variables[i] for i in target]) or 'none'}, given "
                f"{_shortened([self.variables[i] for i in evidence]) or 'none'}."
            )
        for i, state in evidence.items():
            real = isinstance(state, numbers.Real) and not isinstance(state, bool)
            if not real or state not in range(self.states[i]):
                raise ValueError(
                    f"given: expected a state of {self.variables[i]!r} in "
                    f"0 … {self.states[i] - 1}, got {state!r}."
                )

    def _factors(
        self, target: list[int], evidence: Mapping[int, int]
    ) -> tuple[list[Scope], list[np.ndarray]]:
        """Scopes and logarithms of the tables that bear on the target, with the evidence put in."""
        matter, stack = set(), [*target, *evidence]  # the tables of all others sum to one
        while stack:
            i = stack.pop()
            if i not in matter:
                matter.add(i)
                stack.extend(self.families[i][:-1])
        flat = self.log_table.cpu().numpy()
        scopes, logs = [], []
        for i in sorted(matter):
            family, table = self.families[i], self.table_of[i]
            log = flat[self._starts[table] : self._starts[table + 1]].reshape(
                [self.states[j] for j in family]
            )
            log = log[tuple([evidence.get(j, slice(None)) for j in family])]
            scopes.append(tuple([j for j in family if j not in evidence]))
            logs.append(log)
        if any(log == -math.inf for scope, log in zip(scopes, logs, strict=True) if not scope):
            raise ValueError(self._impossible(evidence))
        kept = connected(scopes, target)
        return [scopes[k] for k in kept], [logs[k] for k in kept]

    def _check_sizes(self, path: Sequence[Step], target: Sequence[int]) -> None:
        """Raise where a table on the way would be too large."""
        sizes = [math.prod([self.states[i] for i in step.scope]) for step in path]
        if max(sizes, default=0) <= LARGEST_TABLE:
            return
        size, _, step = max(
            zip(sizes, [bool(step.summed) for step in path], path, strict=True),
            key=lambda candidate: candidate[:2],
        )
        over = f"over {len(step.scope | step.summed)} variables"
        if step.summed:
            names = _shortened([self.variables[i] for i in sorted(step.summed)])
            what = f"summing out {names} from a product {over} needs a table"
        else:
            whose = "the answer" if step.scope <= set(target) else "a product on the way"
            what = f"{whose} needs a table {over}"
        raise ValueError(
            f"{what} with {amount(size)} entries, more than {LARGEST_TABLE:,}; give more evidence, "
            "or let fewer variables look at each other."
        )

    def _impossible(self, evidence: Mapping[int, int]) -> str:
        seen = reprlib.repr({self.variables[i]: state for i, state in evidence.items()})
        return f"given: {seen} has probability zero under the model."


class MarkovChain(BayesNet):
    """Each variable looks at the ``order`` before it: p(x) = p(x_1) Π_i p(x_i | x_{i−1}).

    For binary variables and order 1 there are 2n − 1 free parameters, where a joint table has 2ⁿ −
    1; a homogeneous chain has 3, whatever n.

    Parameters
    ----------
    length : int
        Number of variables, n.
    states : int
        Number of states of each.
    order : int
        How many variables back each one looks.
    homogeneous : bool
        Whether all steps share one table. The first ``order`` variables have tables of their own.
    smoothing : float
        Count added to every entry; zero is maximum likelihood.
    """

    def __init__(
        self,
        length: int,
        states: int = 2,
        order: int = 1,
        homogeneous: bool = False,
        smoothing: float = 1.0,
    ) -> None:
        check_count(length, "length", maximum=_LONGEST)
        check_count(order, "order", minimum=0)
        check_flag(homogeneous, "homogeneous")
        super().__init__(
            [range(max(0, i - order), i) for i in range(length)],
            states,
            smoothing,
            shared_from=order if homogeneous else None,
        )


def _alone(state: object) -> object:
    """The number in a tensor that holds one alone, such as a value of an event; others as they
    are.
    """
    one = isinstance(state, Tensor) and state.dim() == 0 and not state.is_meta
    return state.item() if one else state


def _graph(parents: object) -> dict[Variable, tuple[Variable, ...]]:
    """Parents by variable, checked to be variables and free of cycles."""
    if not isinstance(parents, Iterable) or isinstance(parents, str):
        raise TypeError(f"parents: expected a list for each variable, got {parents!r}.")
    graph = dict(parents if isinstance(parents, Mapping) else enumerate(parents))
    if isinstance(parents, Mapping) and not all(isinstance(name, str) for name in graph):
        raise TypeError("parents: expected names as keys; for numbers give a list of lists.")
    for variable, of in graph.items():
        if not isinstance(of, Iterable) or isinstance(of, str):
            raise TypeError(f"parents: expected a list for {variable!r}, got {of!r}.")
        graph[variable] = tuple(of)
    if not graph:
        raise ValueError("parents: expected at least one variable, got none.")
    for variable, of in graph.items():
        for parent in of:
            if not isinstance(parent, Hashable) or parent not in graph:
                raise ValueError(
                    f"parents: {parent!r}, a parent of {variable!r}, is not among the variables "
                    f"{_shortened(tuple(graph))}."
                )
        if len(set(of)) < len(of):
            raise ValueError(f"parents: {variable!r} names a parent twice: {list(of)}.")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(map(repr, error.args[1]))
        raise ValueError(
            f"parents: expected a graph without cycles, got {cycle}; no variable could be drawn "
            "first."
        ) from None
    return graph


def _shortened(names: Sequence[Variable]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown}, … ({len(names)} in all)"
