"""What lesson 02 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

import genlib as gl
from tests.lessons.definitions import definitions


@pytest.fixture
def lesson():
    return definitions("02_structure")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def binary(n, d, seed=0):
    return (torch.rand(n, d, generator=generator(seed)) < 0.4).float()


@pytest.mark.covers("F06")
@pytest.mark.parametrize("states", [[2], [6], [2, 3, 4], [2] * 7])
def test_free_parameters_are_joint_states_less_one(lesson, states):
    events = list(itertools.product(*map(range, states)))
    assert lesson["free_parameters"](states) == len(events) - 1


@pytest.mark.covers("F06")
def test_windows_are_pieces_of_the_images(lesson):
    torch.manual_seed(0)
    images = torch.arange(2 * 28 * 28).float().view(2, 1, 28, 28)
    for row in lesson["windows"](images, 50):
        first = int(row[0])
        expected = [first + 28 * i + j for i in range(4) for j in range(4)]
        assert row.tolist() == expected
        assert 6 <= first % 28 < 18 and 6 <= first // 28 % 28 < 18


# ------------------------------------------------------------------ chains


@pytest.mark.covers("F07")
def test_a_chain_is_fitted_by_counting_pairs(lesson):
    x = binary(30, 5)
    p = lesson["fit_chain"](x)
    assert p.shape == (2, 5)
    for i, past in itertools.product(range(5), range(2)):
        rows = [row for row in x.tolist() if (row[i - 1] if i else 0) == past]
        share = (sum(row[i] for row in rows) + 1) / (len(rows) + 2)
        assert p[past, i].item() == pytest.approx(share)


@pytest.mark.covers("F07")
def test_a_chain_is_a_product_of_its_conditionals(lesson):
    p = torch.rand(2, 6, generator=generator(1)).double()
    x = gl.binary_events(6, dtype=torch.float64)
    expected = []
    for row in x.long().tolist():
        shares = [p[past, i].item() for i, past in enumerate([0, *row[:-1]])]
        expected.append(math.prod(q if on else 1 - q for q, on in zip(shares, row, strict=True)))
    found = lesson["chain_log_prob"](p, x).exp()
    assert torch.allclose(found, torch.tensor(expected).double())
    assert found.sum().item() == pytest.approx(1)


@pytest.mark.covers("F07")
def test_a_chain_draws_what_its_probabilities_say(lesson):
    torch.manual_seed(0)
    p, events = 0.1 + 0.8 * torch.rand(2, 4, generator=generator(2)), gl.binary_events(4)
    drawn = lesson["chain_sample"](p, 20_000)
    counts = (drawn[:, None] == events).all(2).sum(0)
    expected = lesson["chain_log_prob"](p.double(), events.double()).exp()
    assert stats.chisquare(counts, (20_000 * expected).numpy()).pvalue > 1e-6


@pytest.mark.covers("F07")
@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_last_marginal_is_a_sum_over_all_events(lesson, n):
    chain = gl.MarkovChain(n).double()
    chain.fit(binary(40, n, n).double())
    events = gl.binary_events(n, dtype=torch.float64)
    expected = chain.log_prob(events).exp()[events[:, -1] == 1].sum()
    assert lesson["last_marginal"](chain, n)[1].item() == pytest.approx(expected.item())


# ------------------------------------------------------------------ networks


@pytest.mark.covers("F07")
@pytest.mark.parametrize("k", [0, 1, 4])
def test_nearest_earlier_pixels_are_earlier_and_nearest(lesson, k):
    parents = lesson["nearest_earlier"](k)
    assert len(parents) == 64
    for i, of in enumerate(parents):
        squares = [(i // 8 - j // 8) ** 2 + (i % 8 - j % 8) ** 2 for j in range(i)]
        assert len(set(of)) == len(of) == min(k, i) and all(j < i for j in of)
        assert sorted(squares[j] for j in of) == sorted(squares)[:k]


@pytest.mark.covers("F07")
def test_conditionals_by_logistic_regression_are_those_of_scikit_learn(lesson):
    """For the pixels that have parents and are not always white; penalties alike on both sides."""
    train, test = binary(300, 64, 3), binary(100, 64, 4)
    train[:, 1] = torch.where(binary(300, 1, 5)[:, 0] > 0, train[:, 0], 1 - train[:, 0])
    lesson |= {"train": train, "test": test}  # what the function takes from the lesson
    parents = [[] if i == 0 else [0] if i < 3 else [i - 2, i - 1] for i in range(64)]
    expected = 0.0
    for i, of in enumerate(parents):
        # A constant feature instead of an intercept, so that it is penalised like the weights.
        inputs = [
            np.hstack([part[:, of].numpy(), np.ones((len(part), 1))]) for part in (train, test)
        ]
        fitted = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=500)
        fitted.fit(inputs[0], train[:, i].numpy())
        log_p = fitted.predict_log_proba(inputs[1])
        expected += log_p[np.arange(100), test[:, i].long().numpy()].mean()
    assert lesson["logistic_nats"](parents) == pytest.approx(expected, abs=2e-2)


@pytest.mark.covers("F08")
def test_a_completion_holds_the_conditionals_given_the_upper_half(lesson):
    """Of a chain whose lower pixels all follow from the last known one."""
    chain = gl.MarkovChain(64, homogeneous=True).double()
    chain.set_tables([torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.3, 0.7]])])
    for last in (0.0, 1.0):
        picture = torch.zeros(64, dtype=torch.float64)
        picture[31] = last
        filled = lesson["complete"](chain, picture)
        assert torch.equal(filled[:32], picture[:32])
        p = last
        for i in range(32, 64):
            p = 0.1 * (1 - p) + 0.7 * p
            assert filled[i].item() == pytest.approx(p)


@pytest.mark.covers("F08")
def test_later_pixels_of_a_drawn_completion_fit_the_earlier_ones(lesson):
    """Pixel 32 is a coin, and all after it repeat it."""
    torch.manual_seed(0)
    chain = gl.MarkovChain(64)
    repeat = [torch.tensor([0.5, 0.5]), *torch.eye(2).repeat(63, 1, 1)]
    repeat[32] = torch.full((2, 2), 0.5)
    chain.set_tables(repeat)
    drawn = torch.stack([lesson["complete"](chain, torch.zeros(64), draw=True) for _ in range(40)])
    assert set(drawn[:, 32].tolist()) == {0.0, 1.0}  # false alarms: one in 2**39
    assert (drawn[:, 32:] == drawn[:, 32:33]).all()


@pytest.mark.covers("F08")
def test_surprise_is_minus_log_p_of_the_hidden_half(lesson):
    ink, pictures = torch.rand(5, 64, generator=generator()), binary(5, 64)
    expected = np.mean(
        [
            -sum(math.log(q if on else 1 - q) for q, on in zip(p[32:], x[32:], strict=True))
            for p, x in zip(ink.tolist(), pictures.tolist(), strict=True)
        ]
    )
    assert lesson["surprise"](ink, pictures).item() == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------ what the lesson prints


@pytest.mark.covers("F07")
def test_a_network_is_a_product_of_counted_tables():
    """p(x) = Π p(x_i | parents), with p = (count + α) / (count of parents + α · states)."""
    parents, states, alpha = [[], [0], [0, 1], [2]], [2, 3, 2, 3], 0.7
    sizes = torch.tensor(states)
    x = (torch.rand(80, 4, generator=generator(6)) * sizes).floor()
    net = gl.BayesNet(parents, states, smoothing=alpha).double()
    net.fit(x.double())
    families, contexts = Counter(), Counter()
    for row, (i, of) in itertools.product(x.long().tolist(), enumerate(parents)):
        families[i, tuple(row[j] for j in of), row[i]] += 1
        contexts[i, tuple(row[j] for j in of)] += 1
    for event in itertools.product(*map(range, states)):
        p = 1.0
        for i, of in enumerate(parents):
            seen = tuple(event[j] for j in of)
            p *= (families[i, seen, event[i]] + alpha) / (contexts[i, seen] + alpha * states[i])
        found = net.log_prob(torch.tensor([event]).double()).exp().item()
        assert found == pytest.approx(p)


@pytest.mark.covers("F07")
def test_free_parameters_of_chains_and_networks_are_those_that_the_lesson_prints():
    for n in (2, 9, 30):
        assert gl.MarkovChain(n).free_parameters == 2 * n - 1
        assert gl.MarkovChain(n, order=0).free_parameters == n
        assert gl.MarkovChain(n, homogeneous=True).free_parameters == 3
        parents = [range(max(0, i - 3), i) for i in range(n)]
        assert gl.BayesNet(parents).free_parameters == sum(2 ** len(of) for of in parents)
    assert gl.BayesNet([range(i) for i in range(9)]).free_parameters == 2**9 - 1
