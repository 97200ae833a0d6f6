"""Sums over products of tables: exact inference by variable elimination.

The answer of a Bayesian network to a question is a product of tables of a few variables each,
summed over those that are neither asked for nor given. In which order they are summed out decides
how large the tables on the way become. The best order is hard to find; *weighted min-fill* finds a
good one fast: eliminate next the variable whose neighbours have the least to add until all are
adjacent to each other, where a missing pair weighs as much as a table over both.

Each sum is a stack of matrix products, in NumPy, whose small ones cost a fraction of torch's.
Tables hold probabilities up to a constant, divided by their largest where a product might leave the
range of float64. Where a single table spans more than that range, all is done again in logarithms:
no positive number ever becomes zero.

Sources: Kjærulff (1990) for the order; Koller and Friedman (2009), chapter 9.
"""

from __future__ import annotations

import bisect
import functools
import heapq
import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

Scope = tuple[int, ...]

_LARGEST_LOG = 340.0  # numbers in exp(±340) have products, and sums of them, in float64
# Entries of tables that are multiplied faster than a plan is made for them, and far more slowly.
_SMALL, _LARGE = 2**8, 2**15


class Step(NamedTuple):
    """Multiply two tables, or take one alone, and sum over the variables that no other holds.

    Tables are numbered: first those given, then the results of the steps.
    """

    left: int
    right: int | None
    summed: frozenset[int]
    scope: frozenset[int]  # of the result


class Table(NamedTuple):
    """Numbers with a dimension for each variable of ``scope``, known up to a constant factor; the
    logarithms of the positive ones lie between ``low`` and ``high``.
    """

    scope: Scope
    values: np.ndarray
    low: float
    high: float


class Arithmetic(NamedTuple):
    """How numbers are multiplied and added."""

    product: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (B, L, V), (B, R, V) -> (B, L, R)
    total: Callable[[np.ndarray, int], np.ndarray]  # along one axis
    bounded: Callable[[Table], Table]  # a table that may be multiplied by another


class OutOfRangeError(ArithmeticError):
    """A table whose positive numbers span more than float64 can hold."""


# ---------------------------------------------------------------------- which, and in which order


def connected(scopes: Sequence[Scope], target: Iterable[int]) -> list[int]:
    """Which of ``scopes`` share variables with ``target``, directly or through others.

    The rest is a factor of both p(query, given) and p(given).
    """
    holders = defaultdict(list)
    for k, scope in enumerate(scopes):
        for i in scope:
            holders[i].append(k)
    kept, stack = set(), list(target)
    while stack:
        for k in holders.pop(stack.pop(), ()):
            if k not in kept:
                kept.add(k)
                stack.extend(scopes[k])
    return sorted(kept)


def elimination_order(
    scopes: Sequence[Scope], states: Sequence[int], target: Collection[int]
) -> list[int]:
    """All variables but the ``target``, by weighted min-fill.

    ``fill[i]`` is twice the weight of the pairs of neighbours of i that are not adjacent. It is
    kept up to date with every change of the graph, so that a sparse graph costs little.
    """

    def weight(variables: Iterable[int]) -> int:
        return sum([states[j] for j in variables])

    near = defaultdict(set)
    for scope in scopes:
        for i in scope:
            near[i].update(scope)
    for i, around in near.items():
        around.discard(i)
    fill = {
        i: sum([states[a] * (weight(around - near[a]) - states[a]) for a in around])
        for i, around in near.items()
    }

    def entry(i: int) -> tuple[int, int, int]:
        return fill[i], math.prod([states[j] for j in near[i]]), i  # of equals, the smaller table

    heap = [entry(i) for i in near if i not in target]
    heapq.heapify(heap)
    order = []
    while heap:
        least, _, i = heapq.heappop(heap)
        if i not in near or least != fill[i]:  # eliminated, or changed since
            continue
        order.append(i)
        around = near.pop(i)
        for a in around:
            near[a].discard(i)
        changed, rest = set(around), set(around) if least else set()
        while rest:  # make all neighbours adjacent
            a = rest.pop()
            for b in rest - near[a]:
                both = near[a] & near[b]
                for c in both:
                    fill[c] -= 2 * states[a] * states[b]
                changed |= both
                fill[a] += 2 * states[b] * weight(near[a] - both)
                fill[b] += 2 * states[a] * weight(near[b] - both)
                near[a].add(b)
                near[b].add(a)
        for a in around:
            fill[a] -= 2 * states[i] * weight(near[a] - around)
        for c in changed.difference(target):
            heapq.heappush(heap, entry(c))
    return order


def contraction_path(
    scopes: Sequence[Scope], states: Sequence[int], target: Collection[int]
) -> list[Step]:
    """Steps whose last result is the product of all tables, summed over all but the ``target``.

    Where the tables become large, a second order is tried, in which variables of many states weigh
    more: as if each had the square of their number.
    """
    path, mean = _path_in_order(scopes, states, target, elimination_order(scopes, states, target))
    if mean > _LARGE:
        second = elimination_order(scopes, [count**2 for count in states], target)
        other, other_mean = _path_in_order(scopes, states, target, second)
        path = other if other_mean < mean else path
    return path


def _path_in_order(
    scopes: Sequence[Scope], states: Sequence[int], target: Iterable[int], order: Iterable[int]
) -> tuple[list[Step], float]:
    """`contraction_path` in a given order, and the mean number of entries of all tables on it.

    Of the tables that hold the variable next in order the small ones are multiplied first; of three
    that are not small, the two whose product is smallest. Every product is summed at once over all
    variables that no other table holds.
    """
    scopes, steps = [frozenset(scope) for scope in scopes], []
    sizes = [math.prod([states[i] for i in scope]) for scope in scopes]
    holders = defaultdict(set)  # of tables that are still to be used
    for k, scope in enumerate(scopes):
        for i in scope:
            holders[i].add(k)
    kept = frozenset(target)

    def product_size(pair: tuple[int, int]) -> int:
        return math.prod([states[i] for i in scopes[pair[0]] | scopes[pair[1]]])

    for variable in (*order, None):
        if variable is None:
            tables = set().union(*(holders[i] for i in target))
        elif not (tables := holders[variable]):
            continue  # summed already
        tables = sorted(tables, key=sizes.__getitem__)
        if variable is not None and len(tables) == 1:
            tables.append(None)  # one table alone to sum
        while len(tables) > 1:
            left, right = tables[:2]
            if len(tables) > 2 and sizes[tables[2]] > _SMALL:
                left, right = min(itertools.combinations(tables[:3], 2), key=product_size)
            used = {left, right}
            union = scopes[left] if right is None else scopes[left] | scopes[right]
            summed = frozenset([i for i in union if holders[i] <= used]) - kept
            steps.append(Step(left, right, summed, union - summed))
            product = len(scopes)
            scopes.append(union - summed)
            sizes.append(math.prod([states[i] for i in scopes[product]]))
            for i in union:
                holders[i] -= used
            for i in scopes[product]:
                holders[i].add(product)
            for k in used:
                tables.remove(k)
            bisect.insort(tables, product, key=sizes.__getitem__)
    return steps, sum(sizes) / len(sizes)


# ---------------------------------------------------------------------- sums and products


def sum_product(
    scopes: Sequence[Scope], logs: Sequence[np.ndarray], path: Sequence[Step]
) -> tuple[Scope, np.ndarray]:
    """Sum over the product of tables, which are given by their logarithms, along ``path``.

    Returns
    -------
    scope, array of float64
        The variables of the result's dimensions; the result, up to a constant factor.
    """
    # Until it has seen one as large freed, glibc gives every large block back to the system, whose
    # pages then cost more than the products that fill them.
    np.empty(2**21)
    flat = np.concatenate([table.ravel() for table in logs], dtype=np.float64)
    # torch's exp2 is many times faster than an exp where logarithms are −∞.
    probabilities = torch.from_numpy(flat * (1 / math.log(2))).exp2_().numpy()
    try:
        low = _log_of_least(probabilities)
        table = _follow(path, _cut(scopes, logs, probabilities, low), _PROBABILITIES)
        return table.scope, table.values
    except OutOfRangeError:
        table = _follow(path, _cut(scopes, logs, flat, 0.0), _LOGARITHMS)
        top = max(table.values.max(), -sys.float_info.max)  # −∞ − (−∞) would be NaN
        return table.scope, np.exp(table.values - top)


def _cut(
    scopes: Sequence[Scope], like: Sequence[np.ndarray], flat: np.ndarray, low: float
) -> list[Table]:
    """``flat`` as tables of the shapes of ``like``."""
    tables, start = [], 0
    for scope, table in zip(scopes, like, strict=True):
        values = flat[start : start + table.size].reshape(table.shape)
        tables.append(Table(scope, values, low, 0.0))
        start += table.size
    return tables


def _follow(path: Sequence[Step], tables: Sequence[Table], arithmetic: Arithmetic) -> Table:
    """The result of the last step."""
    tables = [arithmetic.bounded(table) for table in tables]
    for step in path:
        left, tables[step.left] = tables[step.left], None  # frees its memory after this step
        if step.right is None:
            result = _sum(left, step.summed, arithmetic)
        else:
            right, tables[step.right] = tables[step.right], None
            result = _multiply(left, right, step.summed, arithmetic)
        tables.append(arithmetic.bounded(result))
    return tables[-1]


def _sum(table: Table, summed: Collection[int], arithmetic: Arithmetic) -> Table:
    rest = [i for i in table.scope if i not in summed]
    rows, shape = _matrices(table, [], rest, list(summed))
    values = arithmetic.total(rows[0], 1).reshape(shape)
    return Table(tuple(rest), values, table.low, table.high + math.log(rows.shape[2]))


def _sum_own(table: Table, other: Table, summed: Collection[int], arithmetic: Arithmetic) -> Table:
    """``table`` without the variables to be summed that ``other`` does not hold."""
    own = [i for i in table.scope if i in summed and i not in other.scope]
    return _sum(table, own, arithmetic) if own else table


def _multiply(a: Table, b: Table, summed: Collection[int], arithmetic: Arithmetic) -> Table:
    """The product of two tables, summed: a matrix product for each state of the other variables
    that they share.
    """
    a, b = _sum_own(a, b, summed, arithmetic), _sum_own(b, a, summed, arithmetic)
    # In the order of the larger table, which then is copied in long runs, or not at all.
    first, second = (a, b) if a.values.size > b.values.size else (b, a)
    shared, inner = [], []
    for i in first.scope:
        if i in second.scope:
            (inner if i in summed else shared).append(i)
    only_a = [i for i in a.scope if i not in b.scope]
    only_b = [i for i in b.scope if i not in a.scope]
    left, shape_a = _matrices(a, shared, only_a, inner)
    right, shape_b = _matrices(b, shared, only_b, inner)
    values = arithmetic.product(left, right).reshape(shape_a + shape_b[len(shared) :])
    high = a.high + b.high + math.log(left.shape[2])
    return Table((*shared, *only_a, *only_b), values, a.low + b.low, high)


def _matrices(
    table: Table, shared: list[int], only: list[int], summed: list[int]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """``table`` with three dimensions: the states of ``shared``, of ``only``, of ``summed``; and
    the shape of the first two groups.
    """
    states = dict(zip(table.scope, table.values.shape, strict=True))
    shape = tuple([states[i] for i in (*shared, *only)])
    count, rows = math.prod(shape[: len(shared)]), math.prod(shape[len(shared) :])
    # What lies innermost stays there, for a copy in long runs; matrices may be read transposed.
    transposed = table.scope and table.scope[-1] in only
    order = (*shared, *summed, *only) if transposed else (*shared, *only, *summed)
    values = table.values.transpose([table.scope.index(i) for i in order])
    if transposed:
        return values.reshape(count, -1, rows).swapaxes(1, 2), shape
    return values.reshape(count, rows, -1), shape


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left @ right.swapaxes(1, 2)


def _log_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`_product` of numbers that are given, and answered, by their logarithms."""
    terms = (left[:, :, None, k] + right[:, None, :, k] for k in range(left.shape[2]))
    return functools.reduce(np.logaddexp, terms)


def _shifted(table: Table) -> Table:
    """``table``, divided by its largest number where a product might leave float64's range."""
    if table.low >= -_LARGEST_LOG and table.high <= _LARGEST_LOG:
        return table
    largest = table.values.max()
    if largest == 0:
        return table._replace(low=0.0, high=0.0)
    low = _log_of_least(table.values) - math.log(largest)
    if low < -_LARGEST_LOG:
        raise OutOfRangeError
    return Table(table.scope, table.values / largest, low, 0.0)


def _log_of_least(values: np.ndarray) -> float:
    """Logarithm of the least positive number; zero where there is none."""
    # Positive floats are in the order of their bits, and those of zero, less one, are the largest.
    least = ((values.view(np.uint64) - 1).min(keepdims=True) + 1).view(np.float64).item()
    return math.log(least) if least else 0.0


_PROBABILITIES = Arithmetic(_product, np.sum, _shifted)
_LOGARITHMS = Arithmetic(_log_product, np.logaddexp.reduce, lambda table: table)
