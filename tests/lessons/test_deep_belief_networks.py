"""What lesson 15 writes by hand, against sums over all states and on inputs it has no time for."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Categorical, kl_divergence
from torch.nn import functional as F

import genlib as gl
from tests.lessons.definitions import definitions

LESSON = "15_deep_belief_networks"


@pytest.fixture(scope="module")
def lesson():
    return definitions(LESSON)


def binary(n):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def units(logits, state):
    """Probability of a state of independent units, in a loop."""
    p = [1 / (1 + math.exp(-v)) for v in logits.tolist()]
    return math.prod(a if s else 1 - a for a, s in zip(p, state.tolist(), strict=True))


def machine(visible, hidden, seed=0):
    rbm = gl.RBM(visible, hidden).double().requires_grad_(False)
    for k, part in enumerate((rbm.W, rbm.b, rbm.c)):
        part.data = normals(*part.shape, seed=seed + k)
    return rbm


def boltzmann(rbm):
    """p(v, h) of all states, in loops."""
    pairs = [
        [v @ rbm.W @ h + v @ rbm.b + h @ rbm.c for h in binary(len(rbm.c))]
        for v in binary(len(rbm.b))
    ]
    weights = torch.tensor(pairs).exp()
    return weights / weights.sum()


def surely(drawn, p):
    """Rows follow the probabilities of all states; a chi-squared test. False alarm: 1e-6."""
    number = drawn.double() @ 2.0 ** torch.arange(drawn.shape[1] - 1, -1, -1).double()
    counts = torch.bincount(number.long(), minlength=len(p)).numpy()
    p = p.detach().numpy()
    assert stats.chisquare(counts, len(drawn) * p / p.sum()).pvalue > 1e-6


# ------------------------------------------------------------------ two causes, one effect


@pytest.mark.covers("B07")
def test_the_joint_of_a_belief_network_is_a_product_over_units(lesson):
    a, V, b = normals(2), 2 * normals(3, 2, seed=1), normals(3, seed=2)
    found = lesson["sbn_joint"](a, V, b).exp()
    expected = [[units(a, h) * units(V @ h + b, x) for h in binary(2)] for x in binary(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)


@pytest.mark.covers("B07")
def test_total_correlation_is_the_divergence_from_the_product_of_the_marginals(lesson):
    p = normals(4, 8).softmax(1)
    states, found = binary(3), lesson["total_correlation"](p)
    for row, value in zip(p, found, strict=True):
        on = row @ states
        product = torch.stack([torch.tensor(units(on.logit(), s)) for s in states])
        expected = kl_divergence(Categorical(row), Categorical(product.double()))
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    alike = torch.tensor([0.5, 0, 0, 0, 0, 0, 0, 0.5]).double()
    assert lesson["total_correlation"](alike).item() == pytest.approx(2 * math.log(2))


# ------------------------------------------------------------------ why a second cannot hurt


@pytest.mark.covers("B07")
def test_bound_and_log_p_are_the_sums_over_h_written_out(lesson):
    first, top = machine(4, 8), machine(8, 3, seed=5)
    net, x = lesson["loaded"]([first, top]), binary(4)
    net.up[0].weight.data += 0.5 * normals(8, 4, seed=9)  # another q than the machine's
    lesson["H"] = states = binary(8)
    bound, log_p = lesson["judged"](x, net)
    prior = boltzmann(top).sum(1)
    for n, row in enumerate(x):
        like = torch.tensor([units(first.W @ h + first.b, row) for h in states]).double()
        field = net.up[0](row)
        q = torch.tensor([units(field, h) for h in states]).double()
        assert log_p[n].item() == pytest.approx((prior * like).sum().log().item(), rel=1e-6)
        expected = (q * (like.log() + prior.log() - q.log())).sum()
        assert bound[n].item() == pytest.approx(expected.item(), rel=1e-6)
        assert bound[n] < log_p[n]


@pytest.mark.covers("B07")
def test_a_transposed_machine_on_top_leaves_the_first_as_it_was(lesson):
    first, lesson["H"] = machine(5, 8), binary(8)
    stack = lesson["loaded"]([first, lesson["transposed"](first)])
    bound, log_p = lesson["judged"](binary(5), stack)
    expected = boltzmann(first).sum(1).log()
    torch.testing.assert_close(log_p, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(bound, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.covers("B07")
def test_the_free_energy_sums_the_hidden_units_out_for_probabilities_too(lesson):
    rbm, v = machine(3, 4), normals(5, 3, seed=7).sigmoid()
    expected = [
        -math.log(sum(math.exp(row @ rbm.W @ h + row @ rbm.b + h @ rbm.c) for h in binary(4)))
        for row in v
    ]
    np.testing.assert_allclose(lesson["free_energy"](v, rbm).detach(), expected, rtol=1e-6)


# ------------------------------------------------------------------ four readings


@pytest.mark.covers("B07")
def test_couplings_are_means_over_what_is_given(lesson):
    p = normals(8, 4, 4).flatten().softmax(0).view(8, 4, 4)
    total = lesson["total_correlation"]
    assert lesson["coupling"](p, 2) == pytest.approx(total(p.sum((0, 1))).item())
    expected = sum(p[i].sum() * total(p[i].sum(1) / p[i].sum()) for i in range(8))
    assert lesson["coupling"](p, 1, 0) == pytest.approx(expected.item())
    expected = sum(
        p[i, :, k].sum() * total(p[i, :, k] / p[i, :, k].sum()) for i in range(8) for k in range(4)
    )
    assert lesson["coupling"](p, 1, 0, 2) == pytest.approx(expected.item())


@pytest.mark.covers("B07")
def test_greedy_hands_samples_up(lesson, monkeypatch):
    seen, fit = [], gl.RBM.fit
    monkeypatch.setattr(
        gl.RBM, "fit", lambda self, x, **rest: (seen.append(x), fit(self, x, **rest))
    )
    gl.seed(0)
    x = torch.bernoulli(torch.full((300, 6), 0.5))
    machines = lesson["greedy"](x, [6, 4, 3], epochs=2, lr=0.1)
    assert [tuple(m.W.shape) for m in machines] == [(6, 4), (4, 3)]
    assert torch.equal(seen[0], x) and seen[1].shape == (300, 4)
    assert ((seen[1] == 0) | (seen[1] == 1)).all() and not seen[1].requires_grad
    p = machines[0].hidden_probabilities(x).detach()
    z = (seen[1] - p).sum(0) / (p * (1 - p)).sum(0).sqrt()
    assert z.abs().max() < stats.norm.isf(0.5e-6 / 4)


@pytest.mark.covers("B07")
def test_generated_rows_follow_the_network_that_the_machines_make(lesson):
    first, top = machine(3, 2), machine(2, 3, seed=5)
    first.W.data *= 3
    top.W.data, top.c.data = 2 * top.W, top.c + 1.5
    torch.manual_seed(0)
    like = torch.tensor(
        [[units(first.W @ h + first.b, x) for h in binary(2)] for x in binary(3)]
    ).double()
    surely(lesson["generate"]([first, top], 20_000, steps=100), like @ boltzmann(top).sum(1))


@pytest.mark.covers("B07")
def test_log_p_of_the_belief_network_is_the_sum_over_both_hidden_layers(lesson):
    first, top, c = machine(3, 2), machine(2, 2, seed=5), normals(2, seed=9)
    lesson["H"] = states = binary(2)
    found = lesson["sbn_log_p"](binary(3), [first, top], c)
    for x, value in zip(binary(3), found, strict=True):
        expected = sum(
            units(c, g) * units(top.W @ g + top.b, h) * units(first.W @ h + first.b, x)
            for g in states
            for h in states
        )
        assert value.item() == pytest.approx(math.log(expected), rel=1e-6)


@pytest.mark.covers("B07")
def test_minimised_finds_a_minimum_and_leaves_its_start(lesson):
    start = torch.zeros(2)
    found = lesson["minimised"](
        lambda v: (v - torch.tensor([1.0, 2])).square().sum(), start, 500, 0.1
    )
    torch.testing.assert_close(found, torch.tensor([1.0, 2]), rtol=1e-3, atol=1e-3)
    assert not start.any() and not found.requires_grad


# ------------------------------------------------------------------ up and down


@pytest.mark.covers("B08")
@pytest.mark.parametrize("k", [1, 3])
def test_up_down_has_the_gradients_of_its_three_phases(lesson, k):
    """Against autograd of each phase, at the states that it draws from the same seed."""
    net = lesson["loaded"]([machine(3, 2), machine(2, 3, seed=5)], k=k)
    net.up[0].weight.data += normals(2, 3, seed=8)
    x = binary(3).repeat(5, 1)
    torch.manual_seed(3)
    found = lesson["up_down"](x, net)
    torch.manual_seed(3)
    with torch.no_grad():
        h = v = torch.bernoulli(net.up[0](x).sigmoid())
        for _ in range(k):
            above = torch.bernoulli(net.top.hidden_probabilities(v))
            v = torch.bernoulli((above @ net.top.W.T + net.top.b).sigmoid())
        dream = torch.bernoulli(net.down[0](v).sigmoid())
    wake = -Bernoulli(logits=net.down[0](h)).log_prob(x).sum(1).mean()
    sleep = -Bernoulli(logits=net.up[0](dream)).log_prob(v).sum(1).mean()
    contrast = net.top.free_energy(h).mean() - net.top.free_energy(v).mean()
    (wake + sleep + contrast).backward()
    expected = {name: p.grad for name, p in net.named_parameters()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.covers("B08")
def test_the_two_divergences_are_torchs(lesson):
    jumped, logits = normals(4).softmax(0), normals(2, seed=1)
    lesson["states"], lesson["jumped"] = binary(2), jumped
    q = torch.tensor([units(logits, h) for h in binary(2)]).double()
    forward, backward = (Categorical(v) for v in (jumped, q))
    found = lesson["two_ways"](logits)
    assert found[0].item() == pytest.approx(kl_divergence(backward, forward).item(), rel=1e-6)
    assert found[1].item() == pytest.approx(kl_divergence(forward, backward).item(), rel=1e-6)


# ------------------------------------------------------------------ digits with labels


@pytest.mark.covers("B09")
def test_a_dream_is_a_chain_with_its_label_held(lesson):
    """The mean of p(x | h1) over many chains, against the chain's distribution step by step."""
    gl.seed(0)
    net = gl.DBN([3, 2, 3], classes=10).double()
    for k, p in enumerate(net.parameters()):
        p.data = normals(*p.shape, seed=20 + k)
    x = torch.tensor([[1.0, 0, 1]]).double().expand(20_000, -1)
    y = torch.full((20_000,), 7)
    frames = lesson["dream"](net, x, y, (0, 1, 3))
    h, g, top = binary(2), binary(3), net.top
    at = torch.tensor([units(net.up[0](x[0]), s) for s in h]).double()
    label = F.one_hot(torch.tensor(7), 10).double()
    up = torch.tensor(
        [[units(torch.cat([s, label]) @ top.W + top.c, t) for t in g] for s in h]
    ).double()
    down = torch.tensor([[units((top.W @ t + top.b)[:2], s) for s in h] for t in g]).double()
    means = net.down[0](h).sigmoid().detach()
    for steps in range(4):
        if steps in frames:
            spread = (at @ means**2 - (at @ means) ** 2).clamp_min(1e-12).sqrt() / 20_000**0.5
            z = (frames[steps].mean(0) - at @ means) / spread
            assert z.abs().max() < stats.norm.isf(0.5e-6 / 9)
        at = at @ up @ down
    assert list(frames) == [0, 1, 3]
