"""What lesson 14 writes by hand, against sums over all states and on inputs it has no time for."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, logsumexp
from scipy.stats import binom

from tests.lessons.definitions import definitions


@pytest.fixture
def lesson():
    return definitions("14_restricted_boltzmann_machines")


def machine(D, H, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    return [scale * torch.randn(*shape, **draw) for shape in ((D, H), (1, D), (1, H))]


def listed(parts):
    """−E(x, h) of all pairs, a sum at a time; all x; all h."""
    W, b, c = (part.numpy() for part in parts)
    xs = np.array([*itertools.product((0, 1), repeat=b.shape[1])])
    hs = np.array([*itertools.product((0, 1), repeat=c.shape[1])])
    logs = np.zeros((len(xs), len(hs)))
    for (m, x), (n, h) in itertools.product(enumerate(xs), enumerate(hs)):
        total = sum(b[0, i] * x[i] for i in range(len(x)))
        total += sum(c[0, j] * h[j] for j in range(len(h)))
        for i, j in itertools.product(range(len(x)), range(len(h))):
            total += x[i] * W[i, j] * h[j]
        logs[m, n] = total
    return logs, torch.from_numpy(xs).double(), torch.from_numpy(hs).double()


# ------------------------------------------------------------------ energies and conditionals


@pytest.mark.covers("B01")
def test_the_energy_counts_each_pair_once(lesson):
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(5, 5, generator=generator).double().triu(1)
    bias = torch.randn(5, generator=generator).double()
    s = (torch.rand(9, 5, generator=generator) < 0.5).double()
    found = lesson["joint_energy"](s, half + half.T, bias)
    for row, value in zip(s, found, strict=True):
        pairs = sum(half[i, j] * row[i] * row[j] for i, j in itertools.combinations(range(5), 2))
        assert value.item() == pytest.approx((-pairs - bias @ row).item(), abs=1e-12)


@pytest.mark.covers("B02")
@pytest.mark.covers("B03")
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_conditionals_and_free_energies_are_sums_over_the_list(lesson, scale):
    parts = machine(4, 3, seed=1, scale=scale)
    logs, xs, hs = listed(parts)
    np.testing.assert_allclose(lesson["free_energy"](xs, *parts), -logsumexp(logs, 1), rtol=1e-9)
    p_h = np.exp(log_softmax(logs, 1)) @ hs.numpy()
    p_x = np.exp(log_softmax(logs, 0)).T @ xs.numpy()
    np.testing.assert_allclose(lesson["hidden_given"](xs, *parts), p_h, atol=1e-9)
    np.testing.assert_allclose(lesson["visible_given"](hs, *parts), p_x, atol=1e-9)


@pytest.mark.covers("B02")
def test_many_machines_at_once_are_each_their_own(lesson):
    several = [machine(4, 3, seed=seed) for seed in range(5)]
    together = [torch.stack(parts) for parts in zip(*several, strict=True)]
    _, xs, hs = listed(several[0])
    for name, rows in (("free_energy", xs), ("hidden_given", xs), ("visible_given", hs)):
        found = lesson[name](rows, *together)
        for one, parts in zip(found, several, strict=True):
            assert torch.allclose(one, lesson[name](rows, *parts))
    x = xs.expand(5, -1, -1)
    found = lesson["statistics"](x, together)
    for k, parts in enumerate(several):
        for part, own in zip(found, lesson["statistics"](xs, parts), strict=True):
            assert torch.allclose(part[k], own)


# ------------------------------------------------------------------ phases and chains


@pytest.mark.covers("B04")
def test_phases_are_the_gradient_by_autograd(lesson):
    parts = machine(4, 3, seed=2)
    _, xs, _ = listed(parts)
    lesson["images"] = xs
    data = torch.rand(16, generator=torch.Generator().manual_seed(3)).double().softmax(0)
    for part in parts:
        part.requires_grad_()
    energy = lesson["free_energy"](xs, *parts)
    (data @ (energy.neg() - energy.neg().logsumexp(0))).backward()
    with torch.no_grad():
        phases = lesson["phase"](data, parts), lesson["phase"](lesson["p_model"](parts), parts)
    for part, plus, minus in zip(parts, *phases, strict=True):
        assert torch.allclose(part.grad, plus - minus)


@pytest.mark.covers("B04")
def test_transitions_are_sums_over_hidden_states_and_leave_the_model(lesson):
    parts = machine(3, 2, seed=4)
    logs, xs, hs = listed(parts)
    lesson.update(images=xs, hiddens=hs)
    expected = np.exp(log_softmax(logs, 1)) @ np.exp(log_softmax(logs, 0)).T
    T = lesson["transition"](parts)
    np.testing.assert_allclose(T, expected, atol=1e-12)
    p = lesson["p_model"](parts)
    np.testing.assert_allclose(p @ T, p, atol=1e-12)
    flow = p[:, None] * T
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)  # detailed balance
    lesson["p_data"] = torch.eye(8).double()[5]
    for k in (0, 1, 7):
        end = lesson["p_data"].numpy() @ np.linalg.matrix_power(expected, k)
        found = lesson["cd_expected"](k, lesson["p_data"], parts, T)
        on = lesson["hidden_given"](xs, *parts)
        wanted = torch.outer(xs[5], on[5]) - (xs * torch.from_numpy(end)[:, None]).T @ on
        assert torch.allclose(found, wanted)


@pytest.mark.covers("B04")
@pytest.mark.parametrize("k", [1, 2, 5])
def test_cd_is_unbiased_for_the_end_of_the_chain(lesson, k):
    """All entries within 5.5 standard errors: by chance once in a million."""
    parts = machine(3, 2, seed=5, scale=2.0)
    logs, xs, _ = listed(parts)
    T = np.exp(log_softmax(logs, 1)) @ np.exp(log_softmax(logs, 0)).T
    p = np.linalg.matrix_power(T, k)[5]
    on = expit(xs.numpy() @ parts[0].numpy() + parts[2].numpy())
    each = xs.numpy()[:, :, None] * on[:, None]
    mean, second = np.tensordot(p, each, 1), np.tensordot(p, each**2, 1)
    torch.manual_seed(0)
    rows = xs[5].expand(40_000, 3)
    found = lesson["cd"](rows, parts, k)
    negative = each[5] - found[0].numpy()
    error = np.sqrt((second - mean**2) / len(rows))
    assert (np.abs(negative - mean) <= 5.5 * error + 1e-9).all()
    ends = lesson["gibbs"](rows, parts, k)
    assert ((ends == 0) | (ends == 1)).all() and torch.equal(rows[0], xs[5])
    share = (ends @ torch.tensor([4.0, 2, 1]).double()).long().bincount(minlength=8) / len(rows)
    assert (np.abs(share.numpy() - p) <= 5.5 * np.sqrt(p * (1 - p) / len(rows)) + 1e-9).all()


@pytest.mark.covers("B04")
def test_norms_a_relative_error_and_a_cosine(lesson):
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert lesson["compare"](a, b) == pytest.approx([5, 4, 0.8, 0.6])
    assert lesson["compare"](2 * b, b) == pytest.approx([5, 5, 1, 1])


@pytest.mark.covers("B04")
def test_the_reconstruction_error_is_a_sum_over_pixels(lesson):
    parts = machine(4, 3, seed=6)
    _, xs, _ = listed(parts)
    W, b, c = (part.numpy() for part in parts)
    total = 0.0
    for x in xs.numpy():
        again = expit(expit(x @ W + c) @ W.T + b)
        total += ((x - again) ** 2).sum() / len(xs)
    assert lesson["reconstruction_error"](xs, parts).item() == pytest.approx(total)


# ------------------------------------------------------------------ true likelihoods, and training


@pytest.mark.covers("B05")
def test_likelihoods_phases_and_samples_of_many_machines(lesson):
    several = [machine(4, 3, seed=seed) for seed in range(3)]
    together = [torch.stack(parts) for parts in zip(*several, strict=True)]
    logs, xs, hs = listed(several[1])
    lesson.update(listed=hs, BATCH=30_000)
    data = xs[[1, 1, 6, 12]]
    found = lesson["log_likelihood"](data, together)[1].item()
    wanted = logsumexp(logs, 1)[[1, 1, 6, 12]].mean() - logsumexp(logs)
    assert found == pytest.approx(wanted)
    p = np.exp(logs - logsumexp(logs))
    x_h = xs.numpy().T @ p @ hs.numpy()
    exact = [part[1].numpy() for part in lesson["model_phase"](together)]
    for part, value in zip(
        exact, (x_h, p.sum(1)[None] @ xs.numpy(), p.sum(0)[None] @ hs.numpy()), strict=True
    ):
        np.testing.assert_allclose(part, value, atol=1e-9)
    torch.manual_seed(0)
    rows = lesson["model_samples"](together)[1]
    share = (rows @ torch.tensor([8.0, 4, 2, 1]).double()).long().bincount(minlength=16)
    q = p.sum(1)  # 16 frequencies within 5.5 standard errors: by chance once in 10⁶
    assert (np.abs(share.numpy() / 30_000 - q) <= 5.5 * np.sqrt(q * (1 - q) / 30_000)).all()


@pytest.mark.covers("B05")
def test_the_data_are_a_mixture_of_flipped_patterns(lesson):
    x = torch.cat([lesson["gl"].binary_events(4).repeat_interleave(12, 1)[:, :16]] * 2)
    patterns = lesson["gl"].data.bars_and_stripes(4).train
    lesson["patterns"] = patterns
    for row, value in zip(x, lesson["true_log_p"](x), strict=True):
        total = 0.0
        for pattern in patterns:
            flips = int((row != pattern).sum())
            total += 0.01**flips * 0.99 ** (16 - flips) / 30
        assert value.item() == pytest.approx(math.log(total), rel=1e-4)
    torch.manual_seed(0)
    noisy = lesson["noisy"](20_000)
    nearest = torch.cdist(noisy, patterns, p=1).min(1).values
    flips = nearest.mean().item() / 16  # hardly ever is another pattern nearer
    assert flips == pytest.approx(0.01, abs=5.5 * (0.01 * 0.99 / 320_000) ** 0.5)


@pytest.mark.covers("B05")
@pytest.mark.parametrize("way", ["cd", "pcd", "samples", "exact"])
def test_training_raises_the_likelihood(lesson, way):
    torch.manual_seed(0)
    patterns = lesson["gl"].data.bars_and_stripes(4).train
    lesson.update(patterns=patterns, listed=lesson["gl"].binary_events(8))
    lesson["rows"] = {"train": lesson["noisy"](4000)}
    trained = lesson["train"](way, [0.3, 1.0], 400)
    assert trained[0].shape == (10, 16, 8)
    found = lesson["log_likelihood"](lesson["rows"]["train"], trained).view(2, 5).mean(1)
    assert found[1] > found[0] + 0.1 > -16 * math.log(2) + 0.1  # uniform: −11.1


@pytest.mark.covers("B05")
def test_persistent_chains_go_on_and_others_do_not(lesson):
    """What `gibbs` is given: the data once, then its own last result; the data always."""
    patterns = lesson["gl"].data.bars_and_stripes(4).train
    lesson["rows"] = {"train": patterns[torch.arange(4000) % 30]}
    starts, ends = [], []

    def remembered(x, machine, k):
        starts.append(x)
        ends.append((torch.rand_like(x) < 0.5).float())
        assert k == 3
        return ends[-1]

    lesson["gibbs"] = remembered
    lesson["train"]("pcd", [0.1], 3, k=3)
    assert torch.equal(starts[1], ends[0]) and torch.equal(starts[2], ends[1])
    starts.clear()
    lesson["train"]("cd", [0.1], 2, k=3, copies=4)
    on_data = (torch.cdist(starts[1], patterns.expand(5, -1, -1), p=1).min(2).values == 0).all()
    assert on_data and starts[1].shape == (5, 400, 16)
    assert torch.equal(starts[1][:, :100], starts[1][:, 300:])


# ------------------------------------------------------------------ log Z


@pytest.mark.covers("B05")
def test_annealing_is_unbiased_whatever_the_number_of_temperatures(lesson):
    """The mean weight of 20,000 chains against the list: within five standard errors."""
    parts = machine(4, 3, seed=7, scale=2.0)
    logs, xs, _ = listed(parts)
    log_z = logsumexp(logs)
    torch.manual_seed(0)
    base = torch.tensor([[0.5, -1.0, 0.0, 2.0]]).double()
    picks = torch.multinomial(torch.from_numpy(np.exp(logsumexp(logs, 1) - log_z)), 20_000, True)
    for temperatures in (1, 4, 30):
        z, error, size = lesson["ais"](parts, base, temperatures, chains=20_000)
        assert abs(z - log_z) < 5 * error and 1 < size < 20_000
        z, error, _ = lesson["ais"](parts, base, temperatures, x=xs[picks])
        assert abs(z - log_z) < 5 * error
    assert error < 0.02


@pytest.mark.covers("B05")
def test_one_temperature_is_importance_sampling_with_its_error_and_size(lesson):
    parts = machine(3, 2, seed=8)
    base = torch.tensor([[0.5, -1.0, 0.0]]).double()
    torch.manual_seed(3)
    z, error, size = lesson["ais"](parts, base, 1, chains=50)
    torch.manual_seed(3)
    x = lesson["bernoulli"](base.sigmoid().expand(50, -1)).numpy()
    W, b, c = (part.numpy() for part in parts)
    log_w = x @ b[0] + np.logaddexp(0, x @ W + c).sum(1) - x @ base.numpy()[0] - 2 * math.log(2)
    w = np.exp(log_w)
    log_z0 = np.logaddexp(0, base.numpy()).sum() + 2 * math.log(2)
    assert z == pytest.approx(log_z0 + math.log(w.mean()))
    assert error == pytest.approx(w.std(ddof=1) / w.mean() / math.sqrt(50))
    assert size == pytest.approx(w.sum() ** 2 / (w**2).sum())


@pytest.mark.covers("B05")
@pytest.mark.parametrize(
    ("temperatures", "base", "c"), [(1, -2.0, -58.0), (30, -2.0, -58.0), (300, 0.9, -61.0)]
)
def test_how_seldom_a_chain_of_the_trap_gets_across(lesson, temperatures, base, c):
    """The pixels are exchangeable: the chain of their number is exact, 17 states at each β."""
    k = np.arange(17)
    p = binom.pmf(k, 16, expit(base))
    for beta in np.linspace(0, 1, temperatures + 1)[1:]:
        bias = (1 - beta) * base - 2 * beta
        across = p @ expit(beta * (6 * k + c))
        p = across * binom.pmf(k, 16, expit(bias + 6 * beta))
        p += (1 - across) * binom.pmf(k, 16, expit(bias))
    assert lesson["crossing"](temperatures, base, c) == pytest.approx(across, rel=1e-6)


@pytest.mark.covers("B05")
@pytest.mark.parametrize("c", [-58.0, -61.0])
def test_the_machine_of_two_modes_has_these_two_terms(lesson, c):
    (W, b, c_), off, on, log_z = lesson["two_modes"](c)
    k = np.arange(17)
    ways = np.log([math.comb(16, j) for j in k])
    assert (W == 6).all() and (b == -2).all() and c_.item() == c
    assert off == pytest.approx(logsumexp(ways - 2 * k))
    assert on == pytest.approx(c + logsumexp(ways + 4 * k))
    assert log_z == pytest.approx(np.logaddexp(off, on))
    torch.manual_seed(0)
    lit = lesson["exact_samples"](20_000, [W, b, c_], off, on, log_z).mean(1) > 0.5
    p = math.exp(on - log_z)
    assert abs(lit.double().mean() - p) < 5.5 * (p * (1 - p) / 20_000) ** 0.5 + 1e-3
