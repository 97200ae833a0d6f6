"""Bayesian networks and Markov chains against enumeration, counting and transfer matrices."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from scipy import special, stats

import genlib as gl
from tests.models.graphical.truth import (
    Net,
    conditional,
    counts,
    events,
    random_net,
    random_rows,
    random_table,
    tensor,
)

NAMES = [f"v{i}" for i in range(10)]
SPRINKLER = {"rain": [], "sprinkler": ["rain"], "wet": ["rain", "sprinkler"]}


def question(rng, net):
    """Variables to ask for, and states of others that occur together."""
    size = len(net.states)
    order = rng.permutation(size)
    asked = int(rng.integers(1, min(size, 3) + 1))
    told = order[asked : asked + int(rng.integers(0, size - asked + 1))]
    joint = net.joint().ravel()
    event = events(net.states)[rng.choice(len(joint), p=joint / joint.sum())]
    return order[:asked].tolist(), {int(i): int(event[i]) for i in told}


class TestEnumeration:
    @pytest.mark.covers("F07")
    @pytest.mark.parametrize("seed", range(200))
    def test_conditionals_and_log_prob_of_a_random_net(self, seed):
        rng = np.random.default_rng(seed)
        net = random_net(rng)
        named = bool(seed % 2)
        names = NAMES[: len(net.states)] if named else None
        exact, rounded = net.model(names=names), net.model(torch.float32, names)
        joint = net.joint()
        for _ in range(4):
            query, given = question(rng, net)
            expected = conditional(joint, query, given)
            if named:
                query, given = [NAMES[i] for i in query], {NAMES[i]: s for i, s in given.items()}
            np.testing.assert_allclose(exact.conditional(query, given), expected, atol=1e-12)
            np.testing.assert_allclose(rounded.conditional(query, given), expected, atol=1e-6)
        rows = events(net.states)
        with np.errstate(divide="ignore"):
            expected = np.log(net.probabilities(rows))
        np.testing.assert_allclose(exact.log_prob(tensor(rows, torch.float64)), expected)
        np.testing.assert_allclose(rounded.log_prob(tensor(rows)), expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("seed", range(20))
    def test_evidence_of_probability_zero_says_so(self, seed):
        net = random_net(np.random.default_rng(seed), size=6, zeros=0.4)
        impossible = np.argwhere(net.joint().sum(0) == 0)
        assert len(impossible) > 0
        given = {i + 1: int(state) for i, state in enumerate(impossible[0])}
        with pytest.raises(ValueError, match=r"given: \{1: .*\} has probability zero"):
            net.model().conditional(0, given)

    def test_a_single_variable_is_asked_with_or_without_brackets(self):
        model = random_net(np.random.default_rng(1), size=4).model(names=NAMES[:4])
        assert torch.equal(model.conditional("v2"), model.conditional(["v2"]))
        assert model.conditional(("v3", "v0")).shape == (model.states[3], model.states[0])

    def test_a_state_may_come_from_an_event(self):
        net = random_net(np.random.default_rng(2), size=4, zeros=0)
        model, x = net.model(), tensor([[1, 1, 0, 1]])
        told = model.conditional(0, {2: x[0, 2].item(), 3: x[0, 3]})
        assert torch.equal(told, model.conditional(0, {2: 0, 3: 1}))


class TestLargeNets:
    @pytest.mark.covers("F07")
    @pytest.mark.parametrize("order", ["sorted", "shuffled"])
    def test_a_hub_with_700_observed_children_does_not_underflow(self, order):
        """Half of the children speak for one state and half for the other, by 10³ each: on the way
        to the answer the odds pass through 10^1050.
        """
        rng = np.random.default_rng(0)
        children = 700
        table = np.array([[0.999, 0.001], [0.001, 0.999]])
        net = Net(
            [[], *[[0]] * children], [2] * (children + 1), [np.array([0.3, 0.7]), *[table] * 700]
        )
        seen = np.repeat([0, 1], children // 2)
        seen = seen if order == "sorted" else rng.permutation(seen)
        model = net.model()
        given = {i + 1: int(state) for i, state in enumerate(seen)}
        np.testing.assert_allclose(model.conditional(0, given), [0.3, 0.7], atol=1e-9)
        del given[children]
        logs = np.log([0.3, 0.7]) + np.log(table)[:, seen[:-1]].sum(1)
        np.testing.assert_allclose(model.conditional(0, given), special.softmax(logs), atol=1e-9)
        heard = special.softmax(logs) @ table
        np.testing.assert_allclose(model.conditional(children, given), heard, atol=1e-9)

    def test_a_state_ruled_out_late_is_not_forgotten_early(self):
        """The evidence is certain for one state, and rules out the one it first favours."""
        children = 300
        table = np.array([[1.0, 0.0], [1e-3, 1 - 1e-3]])
        net = Net([[], *[[0]] * children], [2] * 301, [np.array([0.5, 0.5]), *[table] * children])
        given = dict.fromkeys(range(1, children), 0) | {children: 1}
        assert net.model().conditional(0, given).tolist() == [0, 1]

    @pytest.mark.covers("F07")
    def test_a_chain_of_64_by_forward_and_backward(self):
        rng = np.random.default_rng(0)
        length, s = 64, 3
        net = Net([[], *[[i] for i in range(length - 1)]], [s] * length, [])
        net.tables = [random_table(rng, net.states, i, net.parents) for i in range(length)]
        model, given = net.model(), {5: 2, 30: 0, 31: 1, 63: 2}
        told = [np.eye(s)[given[i]] if i in given else np.ones(s) for i in range(length)]
        forward = [net.tables[0] * told[0]]
        for i in range(1, length):
            forward.append((forward[-1] / forward[-1].sum()) @ net.tables[i] * told[i])
        backward = [np.ones(s)]
        for i in range(length - 1, 0, -1):
            backward.append(net.tables[i] @ (told[i] * backward[-1] / backward[-1].sum()))
        for i, (f, b) in enumerate(zip(forward, reversed(backward), strict=True)):
            if i not in given:
                expected = f * b / (f * b).sum()
                np.testing.assert_allclose(model.conditional(i, given), expected, atol=1e-12)

    def test_a_tree_of_64_by_transfer_matrices(self):
        rng = np.random.default_rng(3)
        parents = [[], *[[int(rng.integers(i))] for i in range(1, 64)]]
        states = rng.integers(2, 5, 64).tolist()
        tables = [random_table(rng, states, i, parents) for i in range(64)]
        model = Net(parents, states, tables).model()
        from_root = [np.eye(states[0])]
        for i in range(1, 64):
            from_root.append(from_root[parents[i][0]] @ tables[i])
        for i in range(1, 64):
            np.testing.assert_allclose(model.conditional(i), tables[0] @ from_root[i], atol=1e-12)
            pair = tables[0][:, None] * from_root[i]
            np.testing.assert_allclose(model.conditional([i, 0]), pair.T, atol=1e-12)
            np.testing.assert_allclose(model.conditional(i, {0: 1}), from_root[i][1], atol=1e-12)

    def test_too_large_a_table_is_refused_in_words(self):
        free = gl.BayesNet([[]] * 27)
        free.set_tables([torch.tensor([0.5, 0.5])] * 27)
        with pytest.raises(
            ValueError, match=r"the answer needs a table over 27 variables with 134,217,728 entries"
        ):
            free.conditional(range(27))
        pairs = list(itertools.combinations(range(60), 2))
        tangled = gl.BayesNet([*[[]] * 60, *map(list, pairs)])
        tangled.set_tables(
            [*[torch.tensor([0.5, 0.5])] * 60, *[torch.full((2, 2, 2), 0.5)] * len(pairs)]
        )
        given = dict.fromkeys(range(60, 60 + len(pairs)), 1)
        with pytest.raises(ValueError, match=r"summing out 1 .* 60 variables .*about 10\^18"):
            tangled.conditional(0, given)
        assert tangled.conditional(0, {60: 1}).tolist() == [0.5, 0.5]

    def test_too_many_parents_are_refused_in_words(self):
        with pytest.raises(ValueError, match=r"134,217,7\d\d entries, more than 67,108,864: every"):
            gl.BayesNet([[]] * 26 + [list(range(26))])
        with pytest.raises(ValueError, match=r"need about 10\^5664 entries"):
            gl.BayesNet([*[[]] * 2351, range(2351)], states=256)


class TestFit:
    @pytest.mark.parametrize("smoothing", [0, 0.5, 1.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_tables_are_the_mean_of_the_posterior_over_counts(self, seed, smoothing):
        rng = np.random.default_rng(seed)
        net = random_net(rng, size=6)
        x = random_rows(rng, net.states, 4000)
        model = gl.BayesNet(net.parents, net.states, smoothing).double()
        model.fit(tensor(x, torch.float64))
        for i, table in enumerate(counts(x, net.parents, net.states)):
            expected = np.apply_along_axis(
                lambda row: stats.dirichlet.mean(row + smoothing + 1e-300), -1, table
            )
            np.testing.assert_allclose(model.table(i), expected, rtol=1e-12)

    def test_no_other_tables_make_the_data_likelier(self):
        rng = np.random.default_rng(0)
        net = random_net(rng, size=5)
        x = random_rows(rng, net.states, 500)
        model = gl.BayesNet(net.parents, net.states, smoothing=0).double()
        model.fit(tensor(x, torch.float64))
        fitted = [model.table(i).numpy() for i in range(5)]
        best = np.log(Net(net.parents, net.states, fitted).probabilities(x)).sum()
        assert model.log_prob(tensor(x, torch.float64)).sum().item() == pytest.approx(best)
        for step in (1e-3, 1e-2, 0.1, 1):
            for _ in range(20):
                other = [
                    (1 - step) * table + step * random_table(rng, net.states, i, net.parents)
                    for i, table in enumerate(fitted)
                ]
                tried = Net(net.parents, net.states, other).probabilities(x)
                assert np.log(tried).sum() < best

    def test_an_unseen_state_of_the_parents_is_named(self):
        x = torch.tensor([[0.0, 0, 0], [1, 0, 1], [1, 1, 1]])
        with pytest.raises(
            ValueError,
            match=r"has 'rain' = 0, 'sprinkler' = 1, so p\('wet' \| its parents\).*smoothing=1",
        ):
            gl.BayesNet(SPRINKLER, smoothing=0).fit(x)
        model = gl.BayesNet(SPRINKLER, smoothing=1)
        model.fit(x)
        assert model.table("wet")[0, 1].tolist() == pytest.approx([0.5, 0.5])

    @pytest.mark.parametrize("rows", [1, 7, 1000])
    def test_in_parts_is_as_at_once(self, rows, monkeypatch):
        rng = np.random.default_rng(0)
        net = random_net(rng, size=7)
        x = tensor(random_rows(rng, net.states, 1000))
        models = [gl.BayesNet(net.parents, net.states) for _ in range(2)]
        models[0].fit(x)
        whole = models[0].log_prob(x)
        monkeypatch.setattr("genlib.models.graphical.tables.VALUES_AT_ONCE", 7 * rows)
        models[1].fit(x)
        assert torch.equal(models[0].log_table, models[1].log_table)
        assert torch.equal(models[1].log_prob(x), whole)

    def test_held_out_rows_are_recorded_in_nats(self):
        x, held_out = torch.tensor([[0.0], [0], [0], [1]]), torch.tensor([[0.0], [1]])
        history = gl.BayesNet([[]], smoothing=0).fit(x, valid=held_out)
        assert history.last["valid"] == pytest.approx(-math.log(0.75 * 0.25) / 2)

    def test_a_fit_that_fails_changes_nothing(self):
        model = gl.BayesNet(SPRINKLER, smoothing=0)
        x = tensor(events([2, 2, 2]))
        model.fit(x)
        before = model.log_table.clone()
        for rows, valid in [
            (x[:3], None),
            (x + 1, None),
            (x[:, :2], None),
            (1 - x[:, [0, 0, 0]], None),
            (x[[0, *range(8)]], x + 0.5),
            (x[[0, *range(8)]], x[:, :1]),
        ]:
            with pytest.raises(ValueError, match=r"expected|no row has"):
                model.fit(rows, valid=valid)
        tables = {name: model.table(name) for name in SPRINKLER}
        with pytest.raises(ValueError, match=r"'wet': .* sum to one"):
            model.set_tables(tables | {"rain": torch.tensor([0.1, 0.9]), "wet": tables["wet"] * 2})
        assert torch.equal(model.log_table, before)


class TestParameterCounts:
    @pytest.mark.covers("F06", "F07")
    @pytest.mark.parametrize("n", [1, 2, 5, 12])
    def test_of_n_binary_variables(self, n):
        assert gl.BayesNet([[]] * n).free_parameters == n
        assert gl.MarkovChain(n, order=0).free_parameters == n
        assert gl.MarkovChain(n).free_parameters == 2 * n - 1
        assert gl.BayesNet([range(i) for i in range(n)]).free_parameters == 2**n - 1
        assert gl.MarkovChain(n, order=n - 1).free_parameters == 2**n - 1
        assert gl.MarkovChain(n, homogeneous=True).free_parameters == (3 if n > 1 else 1)

    @pytest.mark.covers("F06", "F07")
    @pytest.mark.parametrize("seed", range(10))
    def test_of_a_net_grow_with_the_states_of_the_parents(self, seed):
        net = random_net(np.random.default_rng(seed))
        expected = sum(table.size - table[..., 0].size for table in net.tables)
        assert net.model().free_parameters == expected
        assert expected == sum(
            (s - 1) * math.prod(net.states[j] for j in of)
            for s, of in zip(net.states, net.parents, strict=True)
        )

    @pytest.mark.covers("F06", "F07")
    @pytest.mark.parametrize(("s", "order"), [(2, 1), (2, 3), (5, 2), (27, 1)])
    def test_of_a_homogeneous_chain_do_not_depend_on_its_length(self, s, order):
        """The first ``order`` variables make a full table of s^order, then one table serves all."""
        for length in (order + 1, order + 9):
            chain = gl.MarkovChain(length, s, order, homogeneous=True)
            assert chain.free_parameters == s**order - 1 + s**order * (s - 1)


class TestChainRule:
    @pytest.mark.covers("F07")
    @pytest.mark.parametrize("states", [(2, 2, 2, 2), (3, 2, 4)])
    def test_all_earlier_variables_as_parents_give_the_joint_table(self, states):
        rng = np.random.default_rng(0)
        rows = np.concatenate([events(states), random_rows(rng, states, 300)])
        x, n = tensor(rows, torch.float64), len(states)
        chain = gl.BayesNet([range(i) for i in range(n)], states, smoothing=0).double()
        table = gl.Categorical(states, smoothing=0).double()
        chain.fit(x)
        table.fit(x)
        assert chain.free_parameters == table.free_parameters
        everything = tensor(events(states), torch.float64)
        torch.testing.assert_close(
            chain.log_prob(everything), table.log_prob(everything), rtol=1e-12, atol=1e-12
        )
        share = np.bincount(np.ravel_multi_index(rows.T, states)) / len(rows)
        np.testing.assert_allclose(chain.log_prob(everything).exp(), share, rtol=1e-12)


class TestMarkovChain:
    @pytest.mark.covers("F07")
    @pytest.mark.parametrize(("s", "order"), [(2, 1), (3, 2), (2, 0), (2, 9)])
    def test_is_the_product_of_its_transitions(self, s, order):
        rng = np.random.default_rng(0)
        x = random_rows(rng, [s] * 7, 400)
        model = gl.MarkovChain(7, s, order).double()
        model.fit(tensor(x, torch.float64))
        parents = [list(range(max(0, i - order), i)) for i in range(7)]
        tables = [c + 1 for c in counts(x, parents, [s] * 7)]
        net = Net(parents, [s] * 7, [t / t.sum(-1, keepdims=True) for t in tables])
        np.testing.assert_allclose(
            model.log_prob(tensor(x, torch.float64)), np.log(net.probabilities(x)), rtol=1e-10
        )

    @pytest.mark.covers("F07")
    @pytest.mark.parametrize(("s", "order"), [(2, 1), (3, 1), (2, 2)])
    def test_homogeneous_pools_the_steps(self, s, order):
        rng = np.random.default_rng(0)
        x = random_rows(rng, [s] * 9, 200)
        model = gl.MarkovChain(9, s, order, homogeneous=True, smoothing=0.5).double()
        model.fit(tensor(x, torch.float64))
        windows = np.concatenate([x[:, i - order : i + 1] for i in range(order, 9)])
        pooled = np.zeros([s] * (order + 1))
        np.add.at(pooled, tuple(windows.T), 1)
        pooled = (pooled + 0.5) / (pooled + 0.5).sum(-1, keepdims=True)
        for i in range(order, 9):
            np.testing.assert_allclose(model.table(i), pooled)
        first = np.bincount(x[:, 0], minlength=s) + 0.5
        np.testing.assert_allclose(model.table(0), first / first.sum())

    def test_homogeneous_reaches_far_by_powers_of_the_transition_matrix(self):
        model = gl.MarkovChain(40, 3, homogeneous=True).double()
        rng = np.random.default_rng(0)
        first, step = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
        model.set_tables([torch.from_numpy(first), torch.from_numpy(step)])
        for i in (1, 7, 39):
            reached = np.linalg.matrix_power(step, i)
            np.testing.assert_allclose(model.conditional(i), first @ reached, atol=1e-12)
            np.testing.assert_allclose(model.conditional(i, {0: 2}), reached[2], atol=1e-12)

    @pytest.mark.covers("F07")
    def test_a_long_chain_is_as_its_recursion_says(self):
        """4,000 steps: fit by counting pairs, log mass by adding, the last given the first by
        powers; and nothing that the model holds grows faster than its length.
        """
        rng = np.random.default_rng(0)
        x = random_rows(rng, [3] * 4000, 50)
        model = gl.MarkovChain(4000, 3).double()
        model.fit(tensor(x, torch.float64))
        pairs = np.ones((3999, 3, 3))
        np.add.at(pairs, (np.arange(3999), x[:, :-1], x[:, 1:]), 1)
        pairs /= pairs.sum(2, keepdims=True)
        first = (np.bincount(x[:, 0], minlength=3) + 1) / 53
        expected = np.log(first[x[:, 0]]) + np.log(pairs[np.arange(3999), x[:, :-1], x[:, 1:]]).sum(
            1
        )
        np.testing.assert_allclose(model.log_prob(tensor(x, torch.float64)), expected, rtol=1e-12)
        reached = np.eye(3)[2]
        for step in pairs[:60]:
            reached = reached @ step
        np.testing.assert_allclose(model.conditional(60, {0: 2}), reached, atol=1e-12)
        reached = first
        for step in pairs:
            reached = reached @ step
        np.testing.assert_allclose(model.conditional(3999), reached, atol=1e-12)
        assert sum(buffer.numel() for buffer in model.buffers()) < 15 * 4000

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"length": 0}, ValueError, "length: expected at least 1, got 0"),
            ({"length": 2.0}, TypeError, "length: expected an integer, got 2.0"),
            ({"length": 3, "order": -1}, ValueError, "order: expected at least 0, got -1"),
            ({"length": 3, "states": 1}, ValueError, "states: expected at least 2, got 1"),
            ({"length": 40, "order": 30}, ValueError, "entries, more than 67,108,864"),
            ({"length": 2**40}, ValueError, "length: expected at most 1048576"),
            ({"length": 3, "homogeneous": "no"}, TypeError, "homogeneous: expected True or False"),
        ],
    )
    def test_bad_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.MarkovChain(**settings)


class TestGraph:
    @pytest.mark.parametrize(
        ("parents", "error", "words"),
        [
            ([[1], [0]], ValueError, r"without cycles, got (0 → 1 → 0|1 → 0 → 1)"),
            ({"a": ["c"], "b": ["a"], "c": ["b"]}, ValueError,
             r"('a' → 'b' → 'c' → 'a'|'b' → 'c' → 'a' → 'b'|'c' → 'a' → 'b' → 'c')"),
            ([[], [1]], ValueError, "got 1 → 1; no variable could be drawn first"),
            ([[], [2]], ValueError, "2, a parent of 1, is not among the variables 0, 1"),
            ([[], [-1]], ValueError, "-1, a parent of 1, is not among"),
            ({"a": [], "b": ["x"]}, ValueError, "'x', a parent of 'b', is not among .* 'a', 'b'"),
            ([[], [0, 0]], ValueError, r"1 names a parent twice: \[0, 0\]"),
            ([], ValueError, "at least one variable, got none"),
            ({}, ValueError, "at least one variable, got none"),
            ({0: [], 1: [0]}, TypeError, "expected names as keys"),
            ([0, 1], TypeError, "expected a list for 0, got 0"),
            ({"rain": [], "wet": "rain"}, TypeError, "expected a list for 'wet', got 'rain'"),
            (3, TypeError, "expected a list for each variable, got 3"),
            ([[]] * 20 + [[20]], ValueError, "got 20 → 20"),
            ([[]] * 20 + [[99]], ValueError, r"0, 1, .* 7, … \(21 in all\)"),
        ],
    )  # fmt: skip
    def test_bad_graphs(self, parents, error, words):
        with pytest.raises(error, match=words):
            gl.BayesNet(parents)

    @pytest.mark.parametrize("seed", range(20))
    def test_a_cycle_is_named_along_its_arrows(self, seed):
        rng = random.Random(seed)
        size = rng.randint(2, 9)
        order = rng.sample(range(size), size)
        parents = [[] for _ in range(size)]
        for place, i in enumerate(order):
            parents[i] = rng.sample(order[:place], rng.randint(0, min(place, 2)))
        first, last = order[0], order[-1]
        parents[last] = sorted({*parents[last], first})
        parents[first] = [last]
        with pytest.raises(ValueError, match="without cycles") as raised:
            gl.BayesNet(parents)
        path = str(raised.value).split("got ")[1].split(";")[0].split(" → ")
        assert path[0] == path[-1] and len(path) > 2
        assert all(int(a) in parents[int(b)] for a, b in itertools.pairwise(path))

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"states": [2]}, ValueError, "states: expected 2, one a variable, got 1"),
            ({"states": 1}, ValueError, "states: expected at least 2, got 1"),
            ({"states": [2, 0]}, ValueError, "states: expected at least 2, got 0"),
            ({"states": 2.0}, TypeError, "expected an integer, or one a variable, got 2.0"),
            ({"states": [2, 2.5]}, TypeError, "states: expected an integer, got 2.5"),
            ({"states": True}, TypeError, "states: expected an integer, got True"),
            (
                {"smoothing": -1},
                ValueError,
                "smoothing: expected a finite number, zero or positive, got -1",
            ),
            ({"smoothing": math.nan}, ValueError, "smoothing: .* got nan"),
            (
                {"smoothing": "a"},
                TypeError,
                "smoothing: expected a number, zero or positive, got 'a'",
            ),
            ({"shared_from": -1}, ValueError, "shared_from: expected at least 0, got -1"),
            ({"shared_from": 0}, ValueError, "columns from 0 on to have tables of one shape"),
            ({"shared_from": 1.0}, TypeError, "shared_from: expected an integer, got 1.0"),
        ],
    )
    def test_bad_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.BayesNet([[], [0]], **settings)


class TestTables:
    good = {  # noqa: RUF012
        "rain": torch.tensor([0.8, 0.2]),
        "sprinkler": torch.tensor([[0.6, 0.4], [0.99, 0.01]]),
        "wet": torch.tensor([[[1, 0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]),
    }

    def test_given_tables_are_kept_and_used(self):
        """The textbook's net, by hand: p(rain | wet)."""
        model = gl.BayesNet(SPRINKLER).double()
        model.set_tables(self.good)
        for name, table in self.good.items():
            np.testing.assert_allclose(model.table(name), table, atol=1e-7)
        dry, rainy = 0.8 * 0.4 * 0.9, 0.2 * (0.99 * 0.8 + 0.01 * 0.99)
        found = model.conditional("rain", {"wet": 1})[1].item()
        assert found == pytest.approx(rainy / (dry + rainy), abs=1e-7)

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"rain": torch.tensor([0.8, 0.3])}, ValueError, "'rain': .*sum to one, got 1.1"),
            ({"sprinkler": torch.tensor([[0.5, 0.5], [0.5, 0.4]])}, ValueError,
             "'sprinkler': .*sum to one in row 1, got 0.9"),
            ({"rain": torch.tensor([1.2, -0.2])}, ValueError, r"got -0.2 at index \(1,\)"),
            ({"rain": torch.tensor([0.2, math.nan])}, ValueError, "got nan"),
            ({"wet": torch.ones(2, 2)}, ValueError, r"'wet': .*\(2, 2, 2\), got \(2, 2\)"),
            ({"rain": [0.8, 0.2]}, TypeError, "'rain': expected a torch.Tensor, got list"),
            ({"rain": torch.tensor([1, 0])}, TypeError, "got torch.int64"),
            ({"snow": torch.tensor([0.8, 0.2])}, ValueError, "'wet', got 4, for 'rain', .*'snow'"),
        ],
    )  # fmt: skip
    def test_bad_tables(self, change, error, words):
        with pytest.raises(error, match=words):
            gl.BayesNet(SPRINKLER).set_tables(self.good | change)

    def test_a_missing_table(self):
        some = {"rain": self.good["rain"], "wet": self.good["wet"]}
        with pytest.raises(ValueError, match="'sprinkler', 'wet', got 2, for 'rain', 'wet'"):
            gl.BayesNet(SPRINKLER).set_tables(some)
        with pytest.raises(ValueError, match="one for each of 0, 1, got 1"):
            gl.BayesNet([[], []]).set_tables([torch.tensor([0.5, 0.5])])
        with pytest.raises(ValueError, match="one for each of 0, got 2"):
            gl.BayesNet([[]]).set_tables([torch.tensor([0.5, 0.5])] * 2)


class TestQuestions:
    @pytest.fixture
    def model(self):
        model = gl.BayesNet(SPRINKLER, states=[2, 3, 2])
        model.fit(tensor(events([2, 3, 2])))
        return model

    @pytest.mark.parametrize(
        ("query", "given", "words"),
        [
            ("snow", None, "one of the variables 'rain', 'sprinkler', 'wet', got 'snow'"),
            (0, None, "one of the variables .* got 0"),
            ("rain", {"snow": 1}, "got 'snow'"),
            ("rain", {"sprinkler": 3}, "a state of 'sprinkler' in 0 … 2, got 3"),
            ("rain", {"sprinkler": -1}, "got -1"),
            ("rain", {"sprinkler": 0.5}, "got 0.5"),
            ("rain", {"sprinkler": math.nan}, "got nan"),
            ("rain", {"sprinkler": "on"}, "got 'on'"),
            ("rain", {"sprinkler": True}, "got True"),
            ("rain", {"sprinkler": None}, "got None"),
            ("rain", {"rain": 1}, "not given; got 'rain', given 'rain'"),
            (["rain", "rain"], None, "all different .* got 'rain', 'rain', given none"),
            ([], None, "got none, given none"),
            ([["rain"]], None, r"one of the variables .* got \['rain'\]"),
            ({"rain", "wet"}, None, "one of the variables .* got {"),
            (torch.tensor(1), None, r"one of the variables .* got tensor\(1\)"),
            ("rain", {"sprinkler": torch.tensor([1, 0])}, "0 … 2, got tensor"),
            ("rain", {"sprinkler": torch.tensor(1, device="meta")}, "0 … 2, got tensor"),
            ("rain", {"sprinkler": [1]}, r"0 … 2, got \[1\]"),
            ("rain", {"sprinkler": 2**70}, "0 … 2, got 1180591620717411303424"),
        ],
    )
    def test_bad_questions(self, model, query, given, words):
        with pytest.raises(ValueError, match=words):
            model.conditional(query, given)

    @pytest.mark.parametrize("given", [["sprinkler"], "sprinkler", 3, 0, False, torch.tensor([])])
    def test_evidence_is_a_mapping(self, model, given):
        with pytest.raises(TypeError, match="given: expected a mapping of variables to states"):
            model.conditional("rain", given)

    def test_a_table_of_no_variable(self, model):
        with pytest.raises(ValueError, match=r"one of the variables .* got 'snow'"):
            model.table("snow")
