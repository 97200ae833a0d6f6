"""A Bayesian network to observe variables of, and to see what is believed of the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genlib.models.graphical import BayesNet
from genlib.widgets.page import Interactive, check_words, escaped, instructions

_MOST_NODES = 8
_LARGEST_TABLE = 2**12  # entries of the joint table, which the page sums over at every click
_HOW_TO = (
    "Click a variable to observe it: unknown, then each of its states in turn, then unknown again. "
    "By keys: arrows go from one to the next, Enter observes."
)
# In the drawing's own units.
_BOX, _LINE, _HEAD, _ACROSS, _DOWN = 204, 24, 30, 236, 46
_BAR = 60
_BENDS = (0, 1, -1, 2, -2, 3, -3)  # how far an arrow turns aside to miss a box, in half columns

Place = tuple[float, float]
Variable = int | str


class BayesNetGraph(Interactive):
    """Click on the nodes of a Bayesian network and see the posterior of all others, exactly.

    Every node shows the distribution of its variable given what is observed. The page finds it by
    summing the joint table, a product of the network's conditional tables, so it needs few
    variables of few states.

    Parameters
    ----------
    net : BayesNet
        With tables, fitted or set; up to 8 variables and 2¹² joint states.
    query : variable, optional
        The one whose posterior is said in words below; by default the first.
    start : mapping of variables to states, optional
        What is observed at the start.
    states : mapping of variables to sequences of str, optional
        Names of states; by default 0, 1, ….
    places : mapping of variables to (column, row), optional
        Where each node is drawn, in boxes; by default parents in rows above their children.
    hint : str
        What to look for, said above the figure.
    alt : str
        What there is to see, for those who cannot.

    Raises
    ------
    TypeError, ValueError
        Not a Bayesian network, or too large a one; an unknown variable or state; observations of
        probability zero at the start; two nodes in one place.
    NotFittedError
        ``net`` has no tables yet.

    Examples
    --------
    >>> import torch
    >>> net = BayesNet({"rain": [], "wet": ["rain"]})
    >>> net.set_tables([torch.tensor([0.8, 0.2]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])])
    >>> figure = BayesNetGraph(net, "rain", start={"wet": 1}, alt="Rain and wet grass.")
    """

    kind = "bayes"

    def __init__(
        self,
        net: BayesNet,
        query: Variable | None = None,
        *,
        start: Mapping[Variable, int] | None = None,
        states: Mapping[Variable, Sequence[str]] | None = None,
        places: Mapping[Variable, Place] | None = None,
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        if not isinstance(net, BayesNet):
            raise TypeError(f"net: expected a BayesNet, got {type(net).__name__}.")
        if len(net.variables) > _MOST_NODES or math.prod(net.states) > _LARGEST_TABLE:
            raise ValueError(
                f"net: expected at most {_MOST_NODES} variables and {_LARGEST_TABLE} joint states, "
                f"got {len(net.variables)} and {math.prod(net.states)}."
            )
        self.net = net
        self.query = net.variables[0] if query is None else query
        self._check_variables([self.query], "query")
        self.start = self._checked_mapping(start, "start")
        self.beliefs = [self._belief(variable) for variable in net.variables]
        names = self._checked_mapping(states, "states")
        self.states = [
            _checked_names(names.get(variable), count, variable)
            for variable, count in zip(net.variables, net.states, strict=True)
        ]
        self.places = self._layered() if places is None else self._checked_places(places)

    def _data(self) -> dict[str, Any]:
        net = self.net
        return {
            "names": list(map(str, net.variables)),
            "states": self.states,
            "families": net.families,
            "tables": [net.table(variable).flatten().tolist() for variable in net.variables],
            "query": net.column[self.query],
            "start": [self.start.get(variable, -1) for variable in net.variables],
        }

    def _body(self) -> str:
        paths = [
            self._path(parent, family[-1]) for family in self.net.families for parent in family[:-1]
        ]
        left, top, width, height = self._view(paths)
        nodes = "".join(self._node(i) for i in range(len(self.beliefs)))
        return (
            instructions(self.hint, _HOW_TO)
            + f'<svg viewBox="{left} {top} {width} {height}" role="group" '
            f'style="max-width:{width}px" aria-label="{escaped(self.alt)}">'
            f"{''.join(map(_arrow, paths))}{nodes}</svg>"
            '<div class="genlib-controls"><button type="button">Clear observations</button>'
            f'<span role="status">{escaped(self._sentence())}</span></div>'
        )

    # ------------------------------------------------------------------ what is believed

    def _belief(self, variable: Variable) -> list[float]:
        """Its distribution given what is observed at the start."""
        others = {name: state for name, state in self.start.items() if name != variable}
        found = self.net.conditional(variable, others).tolist()
        if variable not in self.start:
            return found
        if not found[self.start[variable]]:
            raise ValueError(f"start: {self.start} has probability zero under the model.")
        return [float(state == self.start[variable]) for state in range(len(found))]

    def _sentence(self) -> str:
        """The posterior of the query in words; the script says the same at every click."""
        names = dict(zip(self.net.variables, self.states, strict=True))
        if self.query in self.start:
            return f"{self.query} is observed: {names[self.query][self.start[self.query]]}."
        given = ", ".join(f"{v} = {names[v][s]}" for v, s in self._ordered(self.start))
        belief = self.beliefs[self.net.column[self.query]]
        parts = zip(names[self.query], belief, strict=True)
        return f"p({self.query}{' | ' if given else ''}{given}): " + ", ".join(
            f"{state} {p:.3f}" for state, p in parts
        )

    def _ordered(self, given: Mapping[Variable, int]) -> list[tuple[Variable, int]]:
        return [(variable, given[variable]) for variable in self.net.variables if variable in given]

    # ------------------------------------------------------------------ the drawing

    def _node(self, i: int) -> str:
        name = str(self.net.variables[i])
        observed = self.net.variables[i] in self.start
        x, y = self._corner(i)
        lines = "".join(
            f'<text x="{x + 10}" y="{at + 18}">{escaped(state)} </text>'
            f'<rect x="{x + 78}" y="{at + 5}" width="{_BAR}" height="14" fill-opacity=".15"/>'
            f'<rect class="bar" x="{x + 78}" y="{at + 5}" width="{_BAR * p}" height="14" '
            'fill="#2B8CCE"/>'
            f'<text x="{x + _BOX - 10}" y="{at + 18}" text-anchor="end">{p:.3f} </text>'
            for at, state, p in zip(
                range(y + _HEAD, y + self._height(i), _LINE),
                self.states[i],
                self.beliefs[i],
                strict=False,
            )
        )
        return (
            f'<g role="button" tabindex="{-(i > 0)}" aria-pressed="{str(observed).lower()}">'
            f'<rect class="box" x="{x}" y="{y}" width="{_BOX}" '
            f'height="{self._height(i)}" rx="8" fill="#8881" stroke="currentColor"/>'
            f'<text x="{x + 10}" y="{y + 22}" font-weight="bold">{escaped(name)} </text>{lines}</g>'
        )

    def _path(self, parent: int, child: int) -> list[Place]:
        """An arrow from box to box, straight or bent so that it crosses no other."""
        others = [i for i in range(len(self.places)) if i not in (parent, child)]
        paths = [
            [p for p in curve if not (self._inside(p, parent) or self._inside(p, child))]
            for curve in (self._curve(parent, child, bend) for bend in _BENDS)
        ]
        free = [path for path in paths if not any(self._inside(p, i) for p in path for i in others)]
        return (free or paths)[0]

    def _curve(self, parent: int, child: int, bend: int) -> Iterator[Place]:
        """Points of a parabola between the middles of two boxes."""
        (a, b), (c, d) = self._middle(parent), self._middle(child)
        length = math.hypot(c - a, d - b)
        aside = bend * _ACROSS
        across, down = (
            (a + c) / 2 - aside * (d - b) / length,
            (b + d) / 2 + aside * (c - a) / length,
        )
        for step in range(201):
            t = step / 200
            yield (
                (1 - t) ** 2 * a + 2 * t * (1 - t) * across + t**2 * c,
                (1 - t) ** 2 * b + 2 * t * (1 - t) * down + t**2 * d,
            )

    def _inside(self, point: Place, i: int, margin: int = 3) -> bool:
        x, y = self._corner(i)
        return (
            -margin < point[0] - x < _BOX + margin
            and -margin < point[1] - y < self._height(i) + margin
        )

    def _middle(self, i: int) -> Place:
        x, y = self._corner(i)
        return x + _BOX / 2, y + self._height(i) / 2

    def _corner(self, i: int) -> tuple[int, int]:
        column, row = self.places[i]
        tallest = _HEAD + _LINE * max(self.net.states)
        return round(column * _ACROSS), round(row * (tallest + _DOWN))

    def _height(self, i: int) -> int:
        return _HEAD + _LINE * self.net.states[i] + 4

    def _view(self, paths: list[list[Place]]) -> tuple[int, int, int, int]:
        """Left and top end, width and height of all boxes and arrows."""
        ends = [point for path in paths for point in path]
        for i in range(len(self.places)):
            x, y = self._corner(i)
            ends += [(x, y), (x + _BOX, y + self._height(i))]
        (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*ends, strict=True))
        return round(left) - 6, round(top) - 6, round(right - left) + 12, round(bottom - top) + 12

    def _layered(self) -> list[Place]:
        """Each node a row below its lowest parent, rows centred."""
        row: dict[int, int] = {}

        def depth(i: int) -> int:
            if i not in row:
                row[i] = max((depth(p) + 1 for p in self.net.families[i][:-1]), default=0)
            return row[i]

        rows = [depth(i) for i in range(len(self.net.variables))]
        before = [rows[:i].count(row) for i, row in enumerate(rows)]
        return [(k - (rows.count(r) - 1) / 2, r) for k, r in zip(before, rows, strict=True)]

    # ------------------------------------------------------------------ checks

    def _check_variables(self, variables: Sequence[object], name: str) -> None:
        for variable in variables:
            if variable not in self.net.column:
                raise ValueError(
                    f"{name}: expected variables among {', '.join(map(str, self.net.variables))}, "
                    f"got {variable!r}."
                )

    def _checked_mapping(self, given: object, name: str) -> dict[Variable, Any]:
        if not isinstance(given, Mapping | None):
            raise TypeError(f"{name}: expected a mapping by variable, got {given!r}.")
        self._check_variables(list(given or {}), name)
        return dict(given or {})

    def _checked_places(self, places: object) -> list[Place]:
        given = self._checked_mapping(places, "places")
        found = [given.get(variable) for variable in self.net.variables]
        for variable, place in zip(self.net.variables, found, strict=True):
            if not (
                isinstance(place, Sequence)
                and len(place) == 2
                and all(isinstance(part, int | float) and abs(part) <= 20 for part in place)
            ):
                raise ValueError(
                    f"places: expected (column, row), up to 20, for {variable!r}, got {place!r}."
                )
        for i, (column, row) in enumerate(found):
            if any(abs(column - c) < 0.9 and abs(row - r) < 0.9 for c, r in found[:i]):
                raise ValueError(
                    f"places: expected {self.net.variables[i]!r} at least 0.9 of a box away from "
                    f"all others, got {found[i]}."
                )
        return found


def _arrow(path: list[Place]) -> str:
    (a, b), (x, y) = path[-3], path[-1]
    length = math.hypot(x - a, y - b)
    u, v = 10 * (x - a) / length, 10 * (y - b) / length
    line = "L".join(f"{p:.1f} {q:.1f}" for p, q in path[::8] + path[-1:])
    return (
        f'<path d="M{line}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<path d="M{x:.1f} {y:.1f}L{x - u - v / 2:.1f} {y - v + u / 2:.1f}'
        f'L{x - u + v / 2:.1f} {y - v - u / 2:.1f}z"/>'
    )


def _checked_names(names: object, count: int, variable: Variable) -> list[str]:
    """The names of a variable's states."""
    if names is None:
        return [str(state) for state in range(count)]
    if isinstance(names, str) or not isinstance(names, Sequence) or len(set(names)) != count:
        raise ValueError(
            f"states: expected {count} different names for {variable!r}, got {names!r}."
        )
    return [check_words(name, "states") for name in names]
