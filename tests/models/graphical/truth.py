"""Independent answers: every event listed, probabilities multiplied out, rows counted."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

import genlib as gl


def events(states):
    """All events as rows of integers, the last column fastest."""
    return np.array(list(itertools.product(*map(range, states))))


@dataclass
class Net:
    """A Bayesian network in plain arrays."""

    parents: list[list[int]]
    states: list[int]
    tables: list[np.ndarray]

    def probabilities(self, x):
        """The product of the conditional probabilities that each row of ``x`` picks."""
        p = np.ones(len(x))
        for i, (of, table) in enumerate(zip(self.parents, self.tables, strict=True)):
            p *= table[(*x[:, of].T, x[:, i])]
        return p

    def joint(self):
        return self.probabilities(events(self.states)).reshape(self.states)

    def model(self, dtype=torch.float64, names=None):
        """The same network as genlib has it; variables are called ``names`` where there are any."""
        parents = self.parents
        if names:
            parents = {names[i]: [names[j] for j in of] for i, of in enumerate(self.parents)}
        model = gl.BayesNet(parents, self.states).to(dtype)
        tables = [torch.from_numpy(table) for table in self.tables]
        model.set_tables(dict(zip(names, tables, strict=True)) if names else tables)
        return model


def random_net(rng, size=None, zeros=0.15):
    """A network over up to 10 variables of 2 to 4 states, in any order, with ``zeros`` in its
    tables.
    """
    size = size or int(rng.integers(1, 11))
    states = rng.choice([2, 3, 4] if size < 8 else [2, 2, 3], size).tolist()
    order = rng.permutation(size)
    parents = [[] for _ in range(size)]
    for place, i in enumerate(order):
        count = rng.integers(0, min(place, 3) + 1)
        parents[i] = rng.choice(order[:place], count, replace=False).tolist()
    return Net(parents, states, [random_table(rng, states, i, parents, zeros) for i in range(size)])


def random_table(rng, states, i, parents, zeros=0.0):
    shape = [*(states[j] for j in parents[i]), states[i]]
    table = rng.dirichlet(np.ones(states[i]), shape[:-1])
    table[rng.random(shape) < zeros] = 0
    dead = table.sum(-1) == 0
    table[dead, rng.integers(states[i])] = 1
    return table / table.sum(-1, keepdims=True)


def conditional(joint, query, given):
    """p(query | given) from the whole table; None where the evidence has probability zero."""
    rest = joint[tuple(given.get(i, slice(None)) for i in range(joint.ndim))]
    left = [i for i in range(joint.ndim) if i not in given]
    rest = rest.sum(tuple(k for k, i in enumerate(left) if i not in query))
    kept = [i for i in left if i in query]
    answer = rest.transpose([kept.index(i) for i in query])
    return answer / answer.sum() if answer.sum() > 0 else None


def counts(x, parents, states):
    """How often each state of each variable stood beside each state of its parents."""
    tables = []
    for i, of in enumerate(parents):
        table = np.zeros([states[j] for j in [*of, i]])
        np.add.at(table, (*x[:, of].T, x[:, i]), 1)
        tables.append(table)
    return tables


def random_rows(rng, states, n):
    return np.stack([rng.integers(0, s, n) for s in states], 1)


def tensor(x, dtype=torch.float32):
    return torch.as_tensor(x).to(dtype)
