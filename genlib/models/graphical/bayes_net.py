"""Bayesian networks over discrete variables, and Markov chains among them.

Sources: the chapter on structure of document H; Koller and Friedman (2009), chapters 3, 9 and 17.
"""

from __future__ import annotations

import graphlib
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from genlib.core.discrete import pick, place_values
from genlib.core.validation import check_count
from genlib.models.graphical.tables import (
    LARGEST_TABLE,
    TableModel,
    amount,
    check_states,
    check_table,
)

Variable = int | str
Factor = tuple[list[int], Tensor]  # variables, and logarithms with a dimension for each


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
        self._register_places()

    def _register_places(self) -> None:
        """Where an event finds its entries: ``x @ places + starts``."""
        sizes = torch.tensor([0, *(rows * columns for rows, columns in self.shapes)])
        places = torch.zeros(len(self.states), len(self.states), dtype=torch.int64)
        for i, family in enumerate(self.families):
            places[family, i] = torch.tensor(place_values(self._family_states(i)))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0)[self.table_of], persistent=False)

    # ------------------------------------------------------------------ tables

    def table(self, variable: Variable) -> Tensor:
        """p(variable | parents), float64, of the shape of the parents' states and then its own."""
        self._require_data("table")
        i = self._index(variable)
        return self._probabilities()[self.table_of[i]].view(self._family_states(i))

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
        self._store(checked)

    def _entries(self, x: Tensor) -> Tensor:
        # Exact in float64, and many times faster than products of integers.
        return (x.double() @ self.places.double()).long() + self.starts

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
        if variable not in self.column:
            raise ValueError(
                f"expected one of the variables {_shortened(self.variables)}, got {variable!r}."
            )
        return self.column[variable]

    # ------------------------------------------------------------------ sampling and inference

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        """Ancestral sampling: parents before children."""
        tables = self._probabilities()
        x = torch.zeros(n, len(self.states), dtype=torch.int64, device=self.device)
        for variable in graphlib.TopologicalSorter(self.parents).static_order():
            i = self.column[variable]
            *parents, _ = self.families[i]
            row = (x[:, parents] * self.places[parents, i]).sum(1) // self.states[i]
            u = torch.rand(n, generator=generator, dtype=torch.float64).to(self.device)
            x[:, i] = pick(tables[self.table_of[i]][row], u)
        return x.to(self.log_table)

    @torch.no_grad()
    def conditional(
        self, query: Variable | Sequence[Variable], given: Mapping[Variable, int] | None = None
    ) -> Tensor:
        """p(query | given), exactly, by variable elimination.

        Variables that are neither asked for nor given are summed out one after another, each time
        the one whose sum leaves the smallest table. On a tree this is cheap; on a graph whose
        smallest tables are too large it is refused.

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
        several = isinstance(query, Iterable) and not isinstance(query, str)
        wanted = list(query) if several else [query]
        target = [self._index(variable) for variable in wanted]
        evidence = {self._index(variable): state for variable, state in (given or {}).items()}
        self._check_question(target, evidence)
        evidence = {i: int(state) for i, state in evidence.items()}
        factors = _connected(self._factors(target, evidence), target)
        for i in self._elimination_order([scope for scope, _ in factors], target):
            factors = self._summed_out(i, factors)
        table = _summed_product(factors, target)
        total = table.flatten().logsumexp(0)
        if total == -math.inf:
            seen = reprlib.repr({self.variables[i]: state for i, state in evidence.items()})
            raise ValueError(f"given: {seen} has probability zero under the model.")
        return (table - total).exp()

    def _check_question(self, target: list[int], evidence: Mapping[int, int]) -> None:
        if not target or len(set(target)) < len(target) or set(target) & set(evidence):
            raise ValueError(
                "query: expected variables that are all different and not given; got "
                f"{_shortened([self.variables[i] for i in target]) or 'none'}, given "
                f"{_shortened([self.variables[i] for i in evidence]) or 'none'}."
            )
        for i, state in evidence.items():
            if isinstance(state, bool) or state not in range(self.states[i]):
                raise ValueError(
                    f"given: expected a state of {self.variables[i]!r} in "
                    f"0 … {self.states[i] - 1}, got {state!r}."
                )

    def _factors(self, target: list[int], evidence: Mapping[int, int]) -> list[Factor]:
        """Logarithms of the tables that matter (others sum to one), with the evidence put in."""
        matter, stack = set(), [*target, *evidence]
        while stack:
            i = stack.pop()
            if i not in matter:
                matter.add(i)
                stack.extend(self.families[i][:-1])
        tables = self._split(self.log_table.double())
        factors = []
        for i in sorted(matter):
            family = self.families[i]
            table = tables[self.table_of[i]].view(self._family_states(i))
            place = tuple(evidence.get(j, slice(None)) for j in family)
            factors.append(([j for j in family if j not in evidence], table[place]))
        return factors

    def _elimination_order(self, scopes: list[list[int]], target: list[int]) -> list[int]:
        """All variables but the target, each time the one that leaves the smallest table."""
        near = {i: set() for scope in scopes for i in scope}
        for scope in scopes:
            for i in scope:
                near[i].update(set(scope) - {i})
        order = []
        while hidden := near.keys() - set(target):
            i = min(hidden, key=lambda j: (self._table_size(near[j]), j))
            self._check_size({*near[i], i}, f"summing out {self.variables[i]!r}")
            around = near.pop(i)
            for j in around:
                near[j].update(around - {j})
                near[j].discard(i)
            order.append(i)
        self._check_size(set(target), "the answer")
        return order

    def _summed_out(self, i: int, factors: list[Factor]) -> list[Factor]:
        """Multiply the factors that contain variable ``i``, and sum over it."""
        touched = [factor for factor in factors if i in factor[0]]
        scope = sorted({j for variables, _ in touched for j in variables} - {i})
        rest = [factor for factor in factors if i not in factor[0]]
        return [*rest, (scope, _summed_product(touched, scope))]

    def _table_size(self, scope: set[int]) -> int:
        return math.prod(self.states[i] for i in scope)

    def _check_size(self, scope: set[int], what: str) -> None:
        if self._table_size(scope) > LARGEST_TABLE:
            raise ValueError(
                f"{what} needs a table over {len(scope)} variables with "
                f"{amount(self._table_size(scope))} entries, more than {LARGEST_TABLE:,}; give "
                "more evidence, or let fewer variables look at each other."
            )


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
        check_count(length, "length")
        check_count(order, "order", minimum=0)
        super().__init__(
            [range(max(0, i - order), i) for i in range(length)],
            states,
            smoothing,
            shared_from=order if homogeneous else None,
        )


def _connected(factors: Sequence[Factor], target: Sequence[int]) -> list[Factor]:
    """The factors that share variables with ``target``, directly or through others, and constants.

    The rest is a factor of both p(query, given) and p(given).
    """
    reached, kept, rest = set(target), [], list(factors)
    while near := [factor for factor in rest if not factor[0] or reached & set(factor[0])]:
        kept += near
        rest = [factor for factor in rest if factor[0] and not reached & set(factor[0])]
        reached.update(i for scope, _ in near for i in scope)
    return kept


def _summed_product(factors: Sequence[Factor], scope: list[int]) -> Tensor:
    """Logarithm of the factors' product, summed over all variables outside ``scope``."""
    outside = {i for variables, _ in factors for i in variables} - set(scope)
    dimensions = [*scope, *sorted(outside)]
    total = torch.zeros((), dtype=torch.float64)
    for variables, table in factors:
        size = dict(zip(variables, table.shape, strict=True))
        order = sorted(range(len(variables)), key=lambda k: dimensions.index(variables[k]))
        total = total + table.permute(order).reshape([size.get(i, 1) for i in dimensions])
    return total.logsumexp([*range(len(scope), len(dimensions))]) if outside else total


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
            if parent not in graph:
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
