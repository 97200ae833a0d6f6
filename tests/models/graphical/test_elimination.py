"""Variable elimination: the order against its definition, sums against einsum and enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special

import genlib as gl
from genlib.models.graphical import elimination
from genlib.models.graphical.elimination import (
    connected,
    contraction_path,
    elimination_order,
    sum_product,
)
from tests.models.graphical.truth import Net, events, random_net, random_table


def random_scopes(rng, variables=9, tables=14):
    """Scopes of up to four variables each; together they hold every variable."""
    scopes = [tuple(rng.permutation(variables)[: rng.integers(1, 5)]) for _ in range(tables)]
    scopes += [(i,) for i in range(variables)]
    return [tuple(map(int, scope)) for scope in scopes], rng.integers(2, 5, variables).tolist()


def contracted(tables, scopes, target):
    """The sum over the product by `numpy.einsum`, normalised."""
    operands = [part for pair in zip(tables, scopes, strict=True) for part in pair]
    total = np.einsum(*operands, list(target), optimize="greedy")
    return total / total.sum()


def answered(scopes, states, logs, target):
    scope, values = sum_product(scopes, logs, contraction_path(scopes, states, target))
    assert sorted(scope) == sorted(target)
    return (values / values.sum()).transpose([scope.index(i) for i in target])


class TestOrder:
    @pytest.mark.parametrize("seed", range(30))
    def test_each_variable_is_the_one_with_the_least_fill(self, seed):
        """From scratch at each step: the weight of the missing pairs, then the table's size."""
        scopes, states = random_scopes(np.random.default_rng(seed))
        target = [0, 5]
        edges = {frozenset(pair) for scope in scopes for pair in itertools.combinations(scope, 2)}
        left = set(range(9))
        for variable in elimination_order(scopes, states, target):
            costs = {}
            for i in left - set(target):
                near = [j for j in left if frozenset([i, j]) in edges]
                missing = [p for p in itertools.combinations(near, 2) if frozenset(p) not in edges]
                size = math.prod(states[j] for j in near)
                costs[i] = sum(states[a] * states[b] for a, b in missing), size, i, near
            assert variable == min(costs, key=costs.get)
            edges |= {frozenset(p) for p in itertools.combinations(costs[variable][3], 2)}
            left.remove(variable)
        assert left == set(target)

    def test_a_tree_is_eliminated_from_its_leaves(self):
        rng = np.random.default_rng(0)
        scopes = [(int(rng.integers(i)), i) for i in range(1, 200)]
        path = contraction_path(scopes, [3] * 200, [0])
        assert max(len(step.scope) for step in path) == 1

    @pytest.mark.parametrize("length", [50, 400])
    def test_the_work_on_a_chain_is_in_proportion_to_its_length(self, length):
        scopes = [(0,), *[(i, i + 1) for i in range(length - 1)]]
        path = contraction_path(scopes, [4] * length, [length - 1])
        assert len(path) == length - 1
        assert sum(4 ** len(step.scope) for step in path) <= 16 * length

    @pytest.mark.parametrize("seed", range(20))
    def test_of_three_large_tables_the_pair_with_the_smallest_product_comes_first(self, seed):
        rng = np.random.default_rng(seed)
        states = rng.integers(5, 9, 7).tolist()
        scopes = [(0, *map(int, rng.permutation(range(1, 7))[:3])) for _ in range(3)]
        first, *_ = contraction_path(scopes, states, sorted({*itertools.chain(*scopes)} - {0}))
        products = {
            pair: math.prod(states[i] for i in {*scopes[pair[0]], *scopes[pair[1]]})
            for pair in itertools.combinations(range(3), 2)
        }
        assert products[tuple(sorted(first[:2]))] == min(products.values())

    def test_where_tables_are_large_the_better_of_two_orders_is_taken(self, monkeypatch):
        better = 0
        for seed in range(30):
            rng = np.random.default_rng(seed)
            scopes, states = random_scopes(rng, variables=20, tables=16)
            scopes = [scopes[k] for k in connected(scopes, [0])]
            entries = []
            for large in (math.inf, 0):
                monkeypatch.setattr(elimination, "_LARGE", large)
                path = contraction_path(scopes, states, [0])
                entries.append(sum(math.prod(states[i] for i in step.scope) for step in path))
            assert entries[1] <= entries[0]
            better += entries[1] < entries[0]
            tables = [rng.random([states[i] for i in scope]) for scope in scopes]
            found = answered(scopes, states, [np.log(table) for table in tables], [0])
            np.testing.assert_allclose(found, contracted(tables, scopes, [0]), rtol=1e-12)
        assert better > 0


class TestSums:
    @pytest.mark.parametrize("arithmetic", ["probabilities", "logarithms"])
    @pytest.mark.parametrize(
        ("scopes", "target"),
        [([(0, 1), (1, 2, 3), (4, 0)], [2]), ([(0, 1)], [1]), ([(0,), (1, 2)], [2])],
    )
    def test_a_variable_of_one_table_alone_is_summed_too(
        self, scopes, target, arithmetic, monkeypatch
    ):
        if arithmetic == "logarithms":
            monkeypatch.setattr(elimination, "_LARGEST_LOG", -1.0)
        rng, states = np.random.default_rng(0), [2, 3, 4, 2, 3]
        tables = [rng.random([states[i] for i in scope]) for scope in scopes]
        kept = connected(scopes, target)
        tables, scopes = [tables[k] for k in kept], [scopes[k] for k in kept]
        found = answered(scopes, states, [np.log(table) for table in tables], target)
        np.testing.assert_allclose(found, contracted(tables, scopes, target), rtol=1e-12)

    @pytest.mark.parametrize("seed", range(40))
    @pytest.mark.parametrize("target", [[0], [3, 1], [8, 2, 5]])
    @pytest.mark.parametrize("arithmetic", ["probabilities", "logarithms"])
    def test_are_those_of_einsum(self, seed, target, arithmetic, monkeypatch):
        if arithmetic == "logarithms":
            monkeypatch.setattr(elimination, "_LARGEST_LOG", -1.0)
        rng = np.random.default_rng(seed)
        scopes, states = random_scopes(rng)
        tables = [rng.random([states[i] for i in scope]) ** 3 for scope in scopes]
        for table in tables:
            table[(rng.random(table.shape) < 0.03) & (table.ndim > 1)] = 0
        kept = connected(scopes, target)
        with np.errstate(divide="ignore"):
            logs = [np.log(tables[k]) for k in kept]
        found = answered([scopes[k] for k in kept], states, logs, target)
        np.testing.assert_allclose(found, contracted(tables, scopes, target), atol=1e-12)

    def test_what_is_not_connected_is_left_out(self):
        scopes = [(0, 1), (2,), (1, 4), (3, 2), (5, 4)]
        assert connected(scopes, [0]) == [0, 2, 4]
        assert connected(scopes, [3]) == [1, 3]
        assert connected(scopes, [7]) == []

    def test_a_grid_by_einsum(self):
        """5 × 5 variables, each with the one above and the one on its left for parents."""
        rng = np.random.default_rng(0)
        parents = [
            [5 * r + c - step for step, there in ((5, r), (1, c)) if there]
            for r in range(5)
            for c in range(5)
        ]
        states = rng.integers(2, 4, 25).tolist()
        tables = [random_table(rng, states, i, parents) for i in range(25)]
        net = Net(parents, states, tables).model()
        given = {24: 1, 12: 0}
        told = [*tables, *(np.eye(states[i])[s] for i, s in given.items())]
        scopes = [*([*of, i] for i, of in enumerate(parents)), *([i] for i in given)]
        for query in ([0], [11, 23]):
            expected = contracted(told, scopes, query)
            np.testing.assert_allclose(net.conditional(query, given), expected, atol=1e-12)


class TestRange:
    """Numbers that span more than float64 does."""

    @pytest.mark.parametrize("seed", range(10))
    @pytest.mark.parametrize("least", [1e-100, 1e-300, 5e-324])
    def test_tiny_probabilities_are_no_zeros(self, seed, least):
        rng = np.random.default_rng(seed)
        net = random_net(rng, size=7, zeros=0)
        for table in net.tables:
            rare = rng.random(table.shape) < 0.4
            rare[..., 0] = False
            table[rare] = least
            table[..., 0] = 1 - table[..., 1:].sum(-1)
        rows = events(net.states)
        logs = sum(
            np.log(table)[(*rows[:, of].T, rows[:, i])]
            for i, (of, table) in enumerate(zip(net.parents, net.tables, strict=True))
        )
        model, (query, *told) = net.model(), rng.permutation(7).tolist()
        for count in (0, 3, 6):
            given = {i: net.states[i] - 1 for i in told[:count]}
            match = (rows[:, list(given)] == list(given.values())).all(1)
            by_state = [
                special.logsumexp(logs[match & (rows[:, query] == state)])
                for state in range(net.states[query])
            ]
            found, expected = model.conditional(query, given), special.softmax(by_state)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-307)

    def test_a_rare_state_that_is_certain_in_the_end(self):
        """Forty steps of 10⁻³⁰⁰ against forty of 10⁻²⁹⁹, and evidence that allows only those."""
        odds = torch.tensor([[1.0, 1e-300], [1.0, 1e-299]], dtype=torch.float64)
        net = gl.BayesNet([[], *[[0]] * 40, [0]]).double()
        last = torch.tensor([[1.0, 0.0], [1 - 1e-300, 1e-300]], dtype=torch.float64)
        prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
        net.set_tables([prior, *[odds] * 40, last])
        given = dict.fromkeys(range(1, 41), 1)
        np.testing.assert_allclose(net.conditional(0, given), [1e-40, 1], rtol=1e-9)
        assert net.conditional(0, given | {41: 1}).tolist() == [0, 1]

    def test_evidence_of_probability_zero_is_zero_in_logarithms_too(self):
        odds = torch.tensor([[1.0, 1e-300], [1.0, 0.0]], dtype=torch.float64)
        net = gl.BayesNet([[], [0], [0]]).double()
        last = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        net.set_tables([torch.tensor([0.5, 0.5], dtype=torch.float64), odds, last])
        with pytest.raises(ValueError, match="has probability zero"):
            net.conditional(0, {1: 1, 2: 1})
