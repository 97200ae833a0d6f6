"""Mutual information against scikit-learn; Chow and Liu's tree against all other trees."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

import genlib as gl
from tests.models.graphical.truth import random_rows, tensor


def dependent_rows(seed, n, states):
    """Rows whose columns follow one another, more or less."""
    rng = np.random.default_rng(seed)
    x = random_rows(rng, states, n)
    for i in range(1, len(states)):
        j, share = rng.integers(i), rng.random()
        x[:, i] = np.where(rng.random(n) < share, x[:, j] % states[i], x[:, i])
    return x


def all_trees(size):
    """Edges of every spanning tree: one for each of Prüfer's sequences (Cayley: n^(n − 2))."""
    for sequence in itertools.product(range(size), repeat=size - 2):
        degree = [1 + sequence.count(i) for i in range(size)]
        edges = []
        for i in sequence:
            leaf = degree.index(1)
            edges.append((leaf, i))
            degree[leaf] -= 1
            degree[i] -= 1
        yield [*edges, tuple(i for i in range(size) if degree[i] == 1)]


def log_likelihood(x, edges):
    """Of the rows under the best tables of a tree: products over edges, divided where they meet."""

    def total(columns):
        _, which, found = np.unique(x[:, columns], axis=0, return_inverse=True, return_counts=True)
        return np.log(found / len(x))[which].sum()

    degree = np.bincount(np.ravel(edges), minlength=x.shape[1])
    pairs = sum(total(list(edge)) for edge in edges)
    return pairs - sum((degree[i] - 1) * total([i]) for i in range(x.shape[1]))


class TestMutualInformation:
    @pytest.mark.parametrize("states", [[2] * 6, [2, 5, 3, 4]])
    def test_equals_scikit_learn_s(self, states):
        x = dependent_rows(0, 700, states)
        found = gl.mutual_information(tensor(x), states)
        for i, j in itertools.product(range(len(states)), repeat=2):
            assert abs(found[i, j].item() - mutual_info_score(x[:, i], x[:, j])) < 1e-10

    def test_constant_and_independent_columns_share_nothing(self):
        x = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
        found = gl.mutual_information(x)
        np.testing.assert_allclose(found, np.diag([math.log(2), math.log(2), 0]), atol=1e-15)

    def test_in_parts_is_as_at_once(self, monkeypatch):
        x = tensor(dependent_rows(0, 300, [3] * 5))
        whole = gl.mutual_information(x, 3)
        monkeypatch.setattr("genlib.models.graphical.trees.VALUES_AT_ONCE", 15 * 7)
        assert torch.equal(gl.mutual_information(x, 3), whole)

    @pytest.mark.parametrize(
        ("x", "states", "error", "words"),
        [
            (np.zeros((3, 2)), 2, TypeError, "expected a torch.Tensor, got numpy.ndarray"),
            (torch.zeros(3, 2, dtype=torch.int64), 2, TypeError, "got torch.int64"),
            (torch.zeros(3), 2, ValueError, r"shape \(N, n\), got \(3,\)"),
            (torch.zeros(0, 2), 2, ValueError, "empty tensor"),
            (torch.full((3, 2), 2.0), 2, ValueError, r"in \{0, 1\}, got 2 at index \(0, 0\)"),
            (torch.zeros(3, 2), [2, 2, 2], ValueError, r"shape \(N, 3\), got \(3, 2\)"),
            (torch.zeros(3, 2), 1, ValueError, "states: expected at least 2, got 1"),
        ],
    )
    def test_bad_input(self, x, states, error, words):
        with pytest.raises(error, match=words):
            gl.mutual_information(x, states)
        with pytest.raises(error, match=words):
            gl.chow_liu(x, states)


class TestChowLiu:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("states", [[2] * 5, [2, 3, 4, 2, 3]])
    def test_no_other_tree_of_five_makes_the_data_likelier(self, states, seed):
        x = dependent_rows(seed, 60, states)
        parents = gl.chow_liu(tensor(x), states)
        scores = [log_likelihood(x, edges) for edges in all_trees(5)]
        assert len(scores) == 5**3
        mine = log_likelihood(x, [(i, of[0]) for i, of in enumerate(parents) if of])
        assert mine == pytest.approx(max(scores), abs=1e-9)
        model = gl.BayesNet(parents, states, smoothing=0).double()
        model.fit(tensor(x, torch.float64))
        assert model.log_prob(tensor(x, torch.float64)).sum().item() == pytest.approx(mine)

    def test_is_a_maximum_spanning_tree_of_forty(self):
        """Against Prim's algorithm on scikit-learn's mutual informations."""
        x = dependent_rows(7, 400, [2] * 40)
        weight = np.array(
            [[mutual_info_score(x[:, i], x[:, j]) for j in range(40)] for i in range(40)]
        )
        inside, total = [0], 0.0
        while len(inside) < 40:
            outside = [j for j in range(40) if j not in inside]
            block = weight[np.ix_(inside, outside)]
            total += block.max()
            inside.append(outside[block.max(0).argmax()])
        parents = gl.chow_liu(tensor(x))
        found = sum(weight[i, of[0]] for i, of in enumerate(parents) if of)
        assert found == pytest.approx(total, abs=1e-9)

    def test_finds_the_tree_that_drew_the_data(self):
        truth = [[], [0], [0], [1], [1], [4], [2]]
        model = gl.BayesNet(truth, 3)
        sharp = 0.7 * torch.eye(3) + 0.1
        model.set_tables([torch.full((3,), 1 / 3), *[sharp] * 6])
        x = model.sample(4000, generator=torch.Generator().manual_seed(0))
        assert gl.chow_liu(x, 3) == truth

    def test_every_root_gives_the_same_density(self):
        x = tensor(dependent_rows(2, 80, [2, 3, 2, 4]), torch.float64)
        densities = []
        for root in range(4):
            parents = gl.chow_liu(x, [2, 3, 2, 4], root)
            assert [i for i, of in enumerate(parents) if not of] == [root]
            model = gl.BayesNet(parents, [2, 3, 2, 4], smoothing=0).double()
            model.fit(x)
            densities.append(model.log_prob(x))
        for density in densities[1:]:
            torch.testing.assert_close(density, densities[0], rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize(
        "x",
        [
            torch.zeros(5, 4),
            torch.ones(1, 4),
            torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))),
            torch.tensor([[0.0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 1]]),
        ],
        ids=["constant", "one row", "independent", "one constant"],
    )
    def test_columns_that_tell_nothing_still_make_a_tree(self, x):
        parents = gl.chow_liu(x, root=3)
        assert parents[3] == [] and [len(of) for of in parents] == [1, 1, 1, 0]
        gl.BayesNet(parents).fit(x)

    def test_a_single_column_is_its_own_root(self):
        assert gl.chow_liu(torch.tensor([[0.0], [1.0]])) == [[]]

    @pytest.mark.parametrize("root", [-1, 4, 0.5, "a"])
    def test_a_root_that_is_no_column(self, root):
        with pytest.raises(ValueError, match=r"root: expected a column in 0 … 3, got"):
            gl.chow_liu(torch.zeros(5, 4), root=root)
