"""What lesson 04 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import genlib as gl
from tests.lessons.definitions import definitions, run_cell


@pytest.fixture(scope="module")
def lesson():
    return definitions("04_maximum_likelihood")


@pytest.fixture(scope="module")
def ids():
    """At least 400 kB of text as whole numbers, and how many different ones there are."""
    text = gl.data.text()
    assert len(text.encode()) >= 400_000
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    return [letters[letter] for letter in text], len(letters)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_density(x, mean, sigma):
    return math.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def random_distributions(n, states, seed=0):
    """Pairs from nearly even to nearly certain, with exact zeros in some of the first ones."""
    rng = np.random.default_rng(seed)
    evenness = 10 ** rng.uniform(-1.5, 1.5, size=n)
    pairs = np.stack([[rng.dirichlet(np.full(states, a)) for a in evenness] for _ in range(2)])
    pairs[0][rng.random((n, states)) < 0.1] = 0
    pairs += 1e-12 * (pairs.sum(-1, keepdims=True) == 0)
    return torch.tensor(pairs / pairs.sum(-1, keepdims=True))


# ------------------------------------------------------------------ the divergence


@pytest.mark.covers("F14")
@pytest.mark.parametrize("states", [2, 3, 17, 256])
def test_kl_is_scipys_and_torchs_and_never_negative(lesson, states):
    p, q = random_distributions(2000, states)
    found = lesson["kl"](p, q)
    assert torch.allclose(found, torch.tensor(stats.entropy(p.T, q.T)), rtol=1e-9, atol=1e-12)
    even = [0.99 * d + 0.01 / states for d in (p, q)]  # torch clamps what is nearly zero
    torchs = torch.distributions.kl_divergence(*map(torch.distributions.Categorical, even))
    assert torch.allclose(lesson["kl"](*even), torchs, rtol=1e-9, atol=1e-12)
    assert found.min() > -1e-14 and lesson["kl"](p, p).abs().max() < 1e-12
    near = p * (1 + 1e-6 * torch.randn(p.shape, generator=generator(), dtype=torch.float64))
    assert lesson["kl"](p, near / near.sum(-1, keepdim=True)).min() > -1e-14


@pytest.mark.covers("F14")
def test_zeros_cost_nothing_or_everything(lesson):
    kl = lesson["kl"]
    assert kl([0.0, 1.0], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert kl([0.0, 1.0], [0.0, 1.0]) == 0
    assert kl([0.5, 0.5, 0.0], [0.5, 0.5, 0.0]) == 0
    assert kl([0.5, 0.5], [1.0, 0.0]) == math.inf
    assert kl([0.5, 0.5], [1.0, 1e-300]) == pytest.approx(0.5 * math.log(0.25 * 1e300))
    assert kl(torch.full((3, 2, 4), 0.25), torch.full((3, 2, 4), 0.25)).shape == (3, 2)


# ------------------------------------------------------------------ the code


def exact_interval(message, tables):
    """Start and length of a message's interval, cut in true proportions by exact fractions."""
    low, width = Fraction(0), Fraction(1)
    for symbol, table in zip(message, tables, strict=True):
        low += width * Fraction(table[symbol], table[-1])
        width *= Fraction(table[symbol + 1] - table[symbol], table[-1])
    return low, width


def long_number(message, table):
    """The coder with one unbounded number instead of bytes and carries."""
    full, least = 1 << 48, 1 << 40
    low, width, shifts = 0, full, 0
    for symbol in message:
        step = width // table[-1]
        low, width = low + step * table[symbol], step * (table[symbol + 1] - table[symbol])
        while width < least:
            low, width, shifts = low << 8, width << 8, shifts + 1
    return (-(-low // least)).to_bytes(shifts + 1, "big")


def running(frequencies):
    return [0, *itertools.accumulate(frequencies)]


ADVERSARIAL = {
    "empty": ([], [1] * 256),
    "one symbol": ([255], [1] * 256),
    "an alphabet of one": ([0] * 100_000, [1]),
    "an alphabet of one, large count": ([0] * 1000, [1 << 24]),
    "every byte": ([*range(256)] * 20, [1] * 256),
    "just below one half": ([1] * 50_000 + [0], [1, 2, 1]),
    "just above one half": ([1] * 50_000 + [2], [1, 2, 1]),
    "below, then above": (([1] * 997 + [2] + [1] * 991 + [0]) * 10, [1, 2, 1]),
    "0111… of coins": ([0] + [1] * 20_000, [1, 1]),
    "1000… of coins": ([1] + [0] * 20_000, [1, 1]),
    "one in a million, once": ([0] * 50_000 + [1] + [0] * 50_000, [999_999, 1]),
    "one in a million, always": ([1] * 5000, [999_999, 1]),
    "the top of every interval": ([2] * 20_000, [5, 4, 7]),
    "the bottom of every interval": ([0] * 20_000, [5, 4, 7]),
    "the largest total": ([0, 1, 2] * 3000, [1, (1 << 24) - 2, 1]),
    "impossible symbols that do not come": ([1, 3] * 500, [0, 3, 0, 2, 0]),
}


@pytest.mark.covers("F14")
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_coder_is_exact_and_within_a_byte_on_awkward_messages(lesson, name):
    message, frequencies = ADVERSARIAL[name]
    static = lesson["static"]
    code = lesson["encode"](message, static(frequencies))
    assert lesson["decode"](code, len(message), static(frequencies)) == message
    ideal = -sum(math.log2(frequencies[s] / sum(frequencies)) for s in message)
    assert lesson["information"](message, static(frequencies)) == pytest.approx(ideal, abs=1e-4)
    assert ideal - 1e-6 <= 8 * len(code) <= ideal + 8 + 2**-15 * len(message) + 1e-6
    assert code == long_number(message, running(frequencies))


@pytest.mark.covers("F14")
def test_the_coder_is_exact_on_a_thousand_random_models_and_messages(lesson):
    rng = np.random.default_rng(0)
    for _ in range(1000):
        states = int(rng.integers(1, 12))
        frequencies = rng.integers(1, 10 ** rng.integers(1, 7), size=states).tolist()
        message = rng.integers(states, size=rng.integers(0, 60)).tolist()
        code = lesson["encode"](message, lesson["static"](frequencies))
        assert lesson["decode"](code, len(message), lesson["static"](frequencies)) == message
        assert code == long_number(message, running(frequencies))


@pytest.mark.covers("F14")
def test_the_code_is_a_number_in_the_messages_interval(lesson):
    rng = np.random.default_rng(1)
    for states in (2, 3, 16):  # totals that divide 2^48: nothing is rounded
        table = running([1] * states if states != 3 else [1, 2, 1])
        for _ in range(50):
            message = rng.integers(states, size=12).tolist()
            code = lesson["encode"](message, lesson["static"](np.diff(table).tolist()))
            low, width = exact_interval(message, [table] * 12)
            assert low <= Fraction(int.from_bytes(code, "big"), 256 ** len(code)) < low + width


@pytest.mark.covers("F14")
@pytest.mark.parametrize("order", [0, 1, 2])
def test_tables_hold_the_smoothed_counts_of_each_context(lesson, order):
    known, states, gain = torch.randint(3, (200,), generator=generator(order)), 3, 16
    tables, text = lesson["counted"](known, states, order, gain), known.tolist()
    grams = Counter(tuple(text[i : i + order + 1]) for i in range(len(text) - order))
    assert len(tables) == states**order
    for place, context in enumerate(itertools.product(range(states), repeat=order)):
        counts = [grams[*context, symbol] for symbol in range(states)]
        for symbol, count in enumerate(counts):
            start, end = tables[place][symbol : symbol + 2]
            share = (count + 1 / gain) / (sum(counts) + states / gain)
            assert (end - start) / tables[place][-1] == pytest.approx(share, rel=1e-12)


@pytest.mark.covers("F14")
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_long_text_comes_back_within_a_permille_of_the_cross_entropy(lesson, ids, order):
    message, states = ids
    tables = lesson["counted"](torch.tensor(message[:200_000]), states, order, 16)
    message, model = message[150_000:250_000], lesson["contextual"](tables, states, order)
    code = lesson["encode"](message, model)
    assert lesson["decode"](code, len(message), model) == message
    ideal = lesson["information"](message, model)
    assert ideal <= 8 * len(code) <= min(1.001 * ideal, ideal + 8 + 2**-15 * len(message))


@pytest.mark.covers("F14")
@pytest.mark.parametrize("order", [0, 1, 2])
def test_counts_by_sorting_are_those_of_the_tables(lesson, ids, order):
    known, unseen, states = torch.tensor(ids[0][:100_000]), ids[0][200_000:210_000], ids[1]
    started = torch.tensor([0] * order + unseen)  # as the tables start
    counts = lesson["ngram_counts"](known, started, states, order, skip=order)
    bits = -lesson["ngram_nats"](*counts, states, 1 / 32).sum() / math.log(2)
    model = lesson["contextual"](lesson["counted"](known, states, order, 32), states, order)
    assert bits == pytest.approx(lesson["information"](unseen, model), rel=1e-7)


@pytest.mark.covers("F14")
def test_a_model_may_learn_on_the_way(lesson, ids):
    message, states = ids[0][:3000], ids[1]

    def model(message, t):
        counts = Counter(message[max(t - 500, 0) : t])
        return running([8 * counts[symbol] + 1 for symbol in range(states)])

    code = lesson["encode"](message, model)
    assert lesson["decode"](code, len(message), model) == message
    assert 8 * len(code) == pytest.approx(lesson["information"](message, model), abs=9)


@pytest.mark.covers("F14")
@pytest.mark.parametrize("seed", range(3))
def test_the_excess_of_a_wrong_code_is_the_divergence(lesson, seed):
    rng = np.random.default_rng(seed)
    true, believed = rng.integers(1, 500, size=(2, 9))
    p, q = true / true.sum(), believed / believed.sum()
    n = 100_000
    counts = np.round(n * p).astype(int)  # a message with (nearly) the source's own frequencies
    message = rng.permutation(np.repeat(np.arange(9), counts))
    lengths = [
        8 * len(lesson["encode"](message.tolist(), lesson["static"](f.tolist())))
        for f in (true, believed)
    ]
    excess = (lengths[1] - lengths[0]) / len(message)
    drift = np.abs(counts / counts.sum() - p) @ np.abs(np.log2(p / q))
    bits = lesson["kl"](p, q).item() / math.log(2)
    assert excess == pytest.approx(bits, abs=drift + 16 / len(message) + 2**-15)


@pytest.mark.covers("F14")
def test_a_symbol_of_probability_zero_is_refused(lesson):
    with pytest.raises(ValueError, match="symbol 1 has probability zero"):
        lesson["encode"]([0, 1], lesson["static"]([3, 0, 1]))


# ------------------------------------------------------------------ likelihood


@pytest.mark.covers("F15")
def test_minus_mean_log_likelihood_is_entropy_plus_divergence(lesson):
    x = torch.randint(12, (500,), generator=generator())
    share = torch.bincount(x, minlength=12).double() / 500
    for q in random_distributions(50, 12, seed=3)[1]:
        loss = -q[x].log().mean().item()
        bill = stats.entropy(share) + lesson["kl"](share, q).item()
        assert loss == pytest.approx(bill, abs=1e-10)


@pytest.mark.covers("F15")
def test_coverage_counts_the_intervals_that_hold_the_truth(lesson):
    scores = torch.tensor([[0.0, 2.0], [0.0, 0.2], [5.0, 5.0]]).double()
    # means 1, 0.1, 5 and standard errors 1, 0.1, 0
    assert lesson["coverage"](scores, 0.0) == 2
    assert lesson["coverage"](scores, 2.95) == 1
    assert lesson["coverage"](scores, 5.0) == 1
    # normal scores: exactly Student's t; false alarms one in a million
    scores = torch.randn(5000, 12, generator=generator(), dtype=torch.float64)
    law = stats.binom(5000, 1 - 2 * stats.t(11).sf(1.96))
    assert law.ppf(5e-7) <= lesson["coverage"](scores + 3, 3.0) <= law.isf(5e-7)


@pytest.mark.covers("F15")
def test_the_error_of_a_mean_is_that_of_scipy():
    flat, deep = torch.randn(2, 40_000, generator=generator()).double() ** 2
    lists = {"α added": [None] * 4 + [flat], "shorter context as prior": [None] * 4 + [deep]}
    cell = {"unseen_bits": lists}
    run_cell("04_maximum_likelihood", "paired", cell)
    for name, values in {"α added": flat, "difference": flat - deep}.items():
        blocks = (values[:36_000].view(-1, size).mean(1) for size in (1, 1000, 4000))
        assert cell["errors"][name] == pytest.approx([stats.sem(block) for block in blocks])


@pytest.mark.covers("F15")
def test_bits_per_dimension_do_not_depend_on_the_units(lesson):
    levels = torch.randint(256, (100, 6), generator=generator()).double() + 0.5
    found = []
    for top in (1.0, 256.0, 3.7):
        x = levels / 256 * top
        normal = torch.distributions.Normal(*torch.tensor([0.4, 0.3]).double() * top)
        nats = normal.log_prob(x).sum(1).mean().item()
        found.append(lesson["bits_per_dim"](nats, 6, top / 256))
    assert found == pytest.approx([found[0]] * 3, abs=1e-12)
    assert lesson["bits_per_dim"](0.0, 6, 1 / 17) == pytest.approx(math.log2(17))


@pytest.mark.covers("F15")
@pytest.mark.parametrize("w", [1.0, 0.3, 0.01])
def test_the_comb_gives_each_level_its_probability_and_loses_the_divergence(lesson, w):
    P = torch.tensor([0.1, 0.5, 0.4]).double()
    v = (torch.arange(300_000).double() + 0.5) / 100_000  # 100,000 places a level
    density = lesson["comb"](v, P, w).exp()
    mass = density.view(3, -1).mean(1)
    assert torch.allclose(mass, P, rtol=1e-4)
    inside = density.view(3, -1)[0] / density.view(3, -1)[0].sum()
    uniform = torch.full_like(inside, 1 / len(inside))
    exact = P.log()[0] - lesson["kl"](uniform, inside)
    assert lesson["comb"](v[:100_000], P, w).mean() == pytest.approx(exact.item(), abs=1e-4)


@pytest.mark.covers("F15")
def test_the_gradient_of_an_exponential_family_is_data_less_model(lesson):
    T = torch.randn(7, 3, generator=generator(), dtype=torch.float64)
    log_h = torch.randn(7, generator=generator(1), dtype=torch.float64)
    theta = torch.randn(3, generator=generator(2), dtype=torch.float64, requires_grad=True)
    log_z, model = lesson["family"](theta, T, log_h)
    weights = [
        math.exp(h + sum(a * b for a, b in zip(theta.tolist(), row, strict=True)))
        for h, row in zip(log_h.tolist(), T.tolist(), strict=True)
    ]
    assert log_z.item() == pytest.approx(math.log(sum(weights)))
    by_hand = sum(w * row for w, row in zip(weights, T, strict=True)) / sum(weights)
    assert torch.allclose(model, by_hand)
    data = torch.tensor([0, 3, 3, 6])
    mean = (log_h[data] + T[data] @ theta).mean() - log_z
    (slope,) = torch.autograd.grad(mean, theta)
    assert torch.allclose(slope, T[data].mean(0) - model)
    hessian = torch.autograd.functional.hessian(lambda t: lesson["family"](t, T, log_h)[0], theta)
    p = torch.tensor(weights).double() / sum(weights)
    assert torch.allclose(hessian, T.T @ (p[:, None] * T) - torch.outer(model, model))


@pytest.mark.covers("F15")
@pytest.mark.parametrize("constant", [False, True])
def test_the_loss_of_the_network_is_the_gaussians_and_its_slopes_are_the_printed_ones(
    lesson, constant
):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x, y = torch.randn(2, 20, 1)
    outputs = net(x).detach().requires_grad_()
    mean, v = outputs.split(1, 1)
    if constant:
        v = net[2].bias[1].detach().expand(20, 1)
    found = lesson["minus_log_q"](net, x, y, constant)
    law = torch.distributions.Normal(mean, (v / 2).exp())
    assert torch.allclose(found, -law.log_prob(y), atol=1e-5)
    if not constant:
        (slopes,) = torch.autograd.grad(law.log_prob(y).sum(), outputs)
        variance = v.exp()
        wanted = torch.cat([(y - mean) / variance, 0.5 * ((y - mean) ** 2 / variance - 1)], 1)
        assert torch.allclose(slopes, wanted, atol=1e-4)
    logits = torch.randn(5, requires_grad=True)
    (slope,) = torch.autograd.grad(logits.log_softmax(0)[2], logits)
    assert torch.allclose(slope, torch.eye(5)[2] - logits.softmax(0), atol=1e-6)


@pytest.mark.covers("F15")
@pytest.mark.parametrize("order", [0, 1, 3])
def test_counts_by_sorting_are_counts(lesson, order):
    random = generator(order)
    known, asked = (torch.randint(4, (n,), generator=random) for n in (3000, 200))
    whole, context = lesson["ngram_counts"](known, asked, 4, order, skip=5)
    grams, contexts = Counter(), Counter()
    for i in range(order, 3000):
        gram = tuple(known[i - order : i + 1].tolist())
        grams[gram] += 1
        contexts[gram[:-1]] += 1
    for t, (found, before) in enumerate(zip(whole.tolist(), context.tolist(), strict=True), 5):
        gram = tuple(asked[t - order : t + 1].tolist())
        assert (found, before) == (grams[gram], contexts[gram[:-1]])


@pytest.mark.covers("F15")
def test_every_context_gets_a_distribution(lesson):
    known = torch.randint(3, (40,), generator=generator())
    for context in itertools.product(range(3), repeat=3):
        flat, deep = 0.0, 0.0
        for symbol in range(3):
            asked = torch.tensor([*context, symbol])
            counts = [lesson["ngram_counts"](known, asked, 3, k, skip=3) for k in range(4)]
            flat += lesson["ngram_nats"](*counts[3], 3, 0.3).exp().item()
            deep += lesson["hierarchical_nats"](counts, 3, 1.7).exp()[:, 0]
        assert flat == pytest.approx(1, abs=1e-6)
        assert torch.allclose(deep, torch.ones(4).double())


@pytest.mark.covers("F15")
@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_each_order_is_the_prior_of_the_next(lesson, beta):
    known, asked = (torch.randint(3, (n,), generator=generator(n)) for n in (60, 30))
    counts = [lesson["ngram_counts"](known, asked, 3, k, skip=2) for k in range(3)]
    found = lesson["hierarchical_nats"](counts, 3, beta)
    text, row = known.tolist(), asked.tolist()

    def share(context, symbol):
        """The prediction after a context, from that after all of it but its first symbol."""
        n = len(context)
        places = [text[i : i + n] == context for i in range(len(text) - n)]
        count = sum(places)
        whole = sum(at and text[i + n] == symbol for i, at in enumerate(places))
        shorter = share(context[1:], symbol) if n else 1 / 3
        return (whole + beta * shorter) / (count + beta)

    expected = [[math.log(share(row[t - k : t], row[t])) for t in range(2, 30)] for k in range(3)]
    assert torch.allclose(found, torch.tensor(expected).double(), atol=1e-9)


@pytest.mark.covers("F15")
def test_the_test_of_a_variance_alarms_as_often_as_it_says(lesson):
    values = 2 * torch.randn(500, 20, generator=generator(), dtype=torch.float64)
    alarms = sum(lesson["chi2_test"](row, 4.0) < 0.1 for row in values)
    law = stats.binom(500, 0.1)
    assert law.ppf(5e-7) <= alarms <= law.isf(5e-7)
    assert lesson["chi2_test"](values.flatten(), 4.4) < 1e-6
    assert lesson["chi2_test"](values.flatten(), 3.6) < 1e-6


# ------------------------------------------------------------------ the two directions


@pytest.mark.covers("F16")
@pytest.mark.parametrize("distance", [2.0, 5.0, 7.0])
@pytest.mark.parametrize("weight", [0.5, 0.8])
def test_both_ends_of_the_alpha_divergences_are_quadratures(lesson, distance, weight):
    log_p = lesson["two_modes"](distance, weight)
    log_q = torch.distributions.Normal(0.4, 1.7).log_prob(lesson["GRID"])

    def p(x):
        left, right = (normal_density(x, side * distance / 2, 1) for side in (-1, 1))
        return weight * left + (1 - weight) * right

    def q(x):
        return normal_density(x, 0.4, 1.7)

    reach = {"epsabs": 1e-10, "limit": 200}
    forward = integrate.quad(lambda x: p(x) * math.log(p(x) / q(x)), -11, 11, **reach)[0]
    reverse = integrate.quad(lambda x: q(x) * math.log(q(x) / p(x)), -11, 11, **reach)[0]
    half = integrate.quad(lambda x: math.sqrt(p(x) * q(x)), -12, 12, **reach)[0]
    for alpha, exact in ((1, forward), (0, reverse), (0.5, 4 * (1 - half))):
        found = lesson["alpha_divergence"](log_p, log_q, alpha).item()
        assert found == pytest.approx(exact, abs=1e-6)


@pytest.mark.covers("F16")
@pytest.mark.parametrize("weight", [0.3, 0.5, 0.8])
def test_one_mode_costs_minus_the_log_of_its_weight(lesson, weight):
    target = lesson["two_modes"](8.0, weight)
    for side, share in ((-1, weight), (1, 1 - weight)):
        log_q = torch.distributions.Normal(4.0 * side, 1.0).log_prob(lesson["GRID"])
        nats = lesson["alpha_divergence"](target, log_q, 0).item()
        assert nats == pytest.approx(-math.log(share), abs=2e-3)


@pytest.mark.covers("F16")
def test_each_direction_is_infinite_where_the_lesson_says(lesson):
    even = torch.tensor([0.5, 0.5]).double()
    for power in (2, 20, 200, 300):
        epsilon = 10.0**-power
        lopsided = torch.tensor([1 - epsilon, epsilon], dtype=torch.float64)
        exact = -0.5 * math.log(4 * epsilon * (1 - epsilon))
        assert lesson["kl"](even, lopsided).item() == pytest.approx(exact, rel=1e-9)
        assert lesson["kl"](lopsided, even) <= math.log(2)
    certain = torch.tensor([1.0, 0.0])
    assert lesson["kl"](even, certain) == math.inf  # p_r > 0 where p_θ = 0: forward
    assert lesson["kl"](certain, even) == pytest.approx(math.log(2))  # p_r = 0 < p_θ: harmless
