"""What lesson 05 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats
from torch.nn import functional as F

import genlib as gl
from tests.lessons.definitions import definitions, rates
from tests.parameters import scattered


@pytest.fixture(scope="module")
def lesson():
    return definitions("05_autoregressive_networks")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loop_log_prob(x, logit_of):
    """log p of one picture, one pixel after another, in Python's own floats."""
    total = 0.0
    for i, value in enumerate(x):
        logit = logit_of(i, x[:i])
        total -= math.log1p(math.exp(-logit if value else logit))
    return total


# ------------------------------------------------------------------ FVSBN


@pytest.mark.covers("A01")
@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_fvsbn_is_a_product_of_logistic_regressions(lesson, n):
    weight, bias = torch.randn(n, n, generator=generator(n)).double(), torch.randn(n).double()
    x = (torch.rand(20, n, generator=generator(1)) < 0.5).double()
    found = lesson["log_prob"](lesson["fvsbn_logits"](x, weight, bias), x)

    def logit(i, past):
        return bias[i].item() + sum(weight[i, j].item() * value for j, value in enumerate(past))

    expected = [loop_log_prob(row, logit) for row in x.tolist()]
    assert torch.allclose(found, torch.tensor(expected).double(), atol=1e-9)


@pytest.mark.covers("A01")
def test_fvsbn_samples_follow_its_probabilities(lesson):
    torch.manual_seed(3)
    weight, bias = 2 * torch.randn(4, 4), torch.randn(4)
    drawn = lesson["fvsbn_sample"](weight, bias, 20_000)
    events = gl.binary_events(4)
    p = lesson["log_prob"](lesson["fvsbn_logits"](events, weight, bias), events).exp().double()
    assert abs(p.sum() - 1) < 1e-5
    counts = (drawn[:, None] == events).all(2).sum(0)
    assert stats.chisquare(counts.numpy(), (20_000 * p / p.sum()).numpy()).pvalue > 1e-6


@pytest.mark.covers("A01")
def test_fvsbn_has_half_a_square_of_parameters():
    for n in (1, 2, 9, 100):
        assert gl.FVSBN(n).free_parameters == n * (n + 1) // 2


@pytest.mark.covers("A01")
def test_minus_log_likelihood_of_an_fvsbn_is_convex(lesson):
    """The lesson says so: no bad minima. Along random lines no chord lies below the curve."""
    x = (torch.rand(50, 6, generator=generator(4)) < 0.4).double()
    source = generator(5)
    for _ in range(200):
        (w0, w1), (b0, b1) = (
            3 * torch.randn(2, *shape, generator=source).double() for shape in ((6, 6), (6,))
        )
        at = [
            -lesson["log_prob"](lesson["fvsbn_logits"](x, w, b), x).mean()
            for w, b in ((w0, b0), ((w0 + w1) / 2, (b0 + b1) / 2), (w1, b1))
        ]
        assert at[1] <= (at[0] + at[2]) / 2 + 1e-12


@pytest.mark.covers("A01")
def test_no_fvsbn_in_any_order_beats_fair_coins_on_check_digits():
    """At zero weights the gradient vanishes for every order, and the objective is convex."""
    events = gl.binary_events(9)
    squares = events.view(-1, 3, 3)
    even = events[(squares.sum(1) % 2 == 0).all(1) & (squares.sum(2) % 2 == 0).all(1)]
    assert len(even) == 16
    for seed in range(20):
        model = gl.FVSBN(9, order=torch.randperm(9, generator=generator(seed)))
        model.loss(even).backward()
        assert all(parameter.grad.abs().max() < 1e-6 for parameter in model.parameters())


@pytest.mark.covers("A01")
def test_even_pictures_have_even_rows_and_columns(lesson):
    even = []
    for picture in itertools.product((0, 1), repeat=9):
        rows = [picture[3 * k : 3 * k + 3] for k in range(3)]
        even.append(all(sum(line) % 2 == 0 for line in (*rows, *zip(*rows, strict=True))))
    assert lesson["is_even"](gl.binary_events(9)).tolist() == even
    assert sum(even) == 16


@pytest.mark.covers("A01", "A02")
def test_a_model_is_seen_as_made_at_random_and_trained(lesson, monkeypatch):
    monkeypatch.setitem(lesson, "even", gl.binary_events(4)[:3])
    made, random, trained = lesson["in_three_states"](gl.FVSBN(4))
    assert all((parameter == 0).all() for parameter in made.parameters())
    assert random.lower.abs().max() > 1 and random.bias.std() > 0.5
    assert lesson["scores"](trained, gl.binary_events(4)[:3]).sum() > 3 * -4 * math.log(2)


@pytest.mark.covers("A01", "A02")
def test_the_rule_for_all_models_lets_the_rate_fall_to_zero(lesson):
    """`finish` asks for 100 rows at a time, and so many steps as that makes."""
    asked = {}

    class Model:
        def fit(self, x, **settings):
            asked.update(settings, rows=len(x))

    lesson["finish"](Model(), epochs=2, lr=0.5, x=torch.zeros(250, 3), valid=torch.ones(7, 3))
    schedule, stop = asked["hooks"]
    assert isinstance(stop, gl.EarlyStopping)
    assert asked["rows"] == 250 and len(asked["valid"]) == 7 and asked["batch_size"] == 100
    steps = 3 * asked["epochs"]
    *taken, after = rates(schedule, asked["lr"], steps)
    assert taken == pytest.approx([0.5 * (1 - step / steps) for step in range(steps)])
    assert after == 0


# ------------------------------------------------------------------ NADE


@pytest.mark.covers("A02")
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 5), (9, 3), (40, 17)])
def test_the_running_sum_is_the_definition_and_genlibs(lesson, n, d):
    model = scattered(gl.NADE(n, hidden=d), seed=n).double()
    weights = model.w, model.c, model.v, model.b
    x = (torch.rand(15, n, generator=generator(d)) < 0.5).double()
    running = lesson["nade_logits"](x, range(n), *weights)
    assert torch.allclose(running, model.conditionals(x), atol=1e-9)

    w, c, v, b = (part.tolist() for part in weights)

    def logit(i, past):
        sums = [c[k] + sum(value * w[j][k] for j, value in enumerate(past)) for k in range(d)]
        return b[i] + sum(v[i][k] / (1 + math.exp(-a)) for k, a in enumerate(sums))

    expected = torch.tensor([loop_log_prob(row, logit) for row in x.tolist()]).double()
    assert torch.allclose(lesson["log_prob"](running, x), expected, atol=1e-8)


@pytest.mark.covers("A02")
@pytest.mark.parametrize("n", [1, 2, 9])
def test_in_any_order_the_logits_are_genlibs_by_column(lesson, n):
    order = torch.randperm(n, generator=generator(n))
    model = scattered(gl.NADE(n, hidden=7, order=order), seed=n).double()
    weights = model.w, model.c, model.v, model.b
    x = (torch.rand(15, n, generator=generator(1)) < 0.5).double()
    assert torch.allclose(
        lesson["nade_logits"](x, order.tolist(), *weights), model.conditionals(x), atol=1e-9
    )


@pytest.mark.covers("A02")
@pytest.mark.parametrize("n", [1, 2, 9])
def test_nade_samples_by_hand_are_genlibs_for_the_same_uniforms(lesson, n):
    """A picture has x_i = 1 exactly where u_i < p(x_i = 1 | x_<i), by genlib's conditionals."""
    order = torch.randperm(n, generator=generator(n))
    model = scattered(gl.NADE(n, hidden=7, order=order), seed=n).double()
    u = torch.rand(500, n, generator=generator(2), dtype=torch.float64)
    with torch.no_grad():
        drawn = lesson["nade_sample"](u, order, model.w, model.c, model.v, model.b)
        assert torch.equal(drawn == 1, u < model.conditionals(drawn).sigmoid())
    assert ((drawn == 0) | (drawn == 1)).all()


@pytest.mark.covers("A02")
def test_parameter_formulas_count_tensors():
    """Those of the lesson's table: with weights shared, and with a network for each pixel."""
    for n, d in itertools.product((2, 9, 50), (1, 4, 30)):
        model = gl.NADE(n, d)
        shared = n * (2 * d + 1) + d
        assert model.free_parameters == shared == sum(p.numel() for p in model.parameters())
        networks = [
            torch.nn.Sequential(torch.nn.Linear(i, d), torch.nn.Linear(d, 1)) for i in range(1, n)
        ]
        separate = sum(p.numel() for network in networks for p in network.parameters())
        first = d + d + 1  # nothing into the hidden units but their bias
        assert sum(d * (i - 1) + d + d + 1 for i in range(1, n + 1)) == separate + first


@pytest.mark.covers("A02")
@pytest.mark.parametrize("n", [2, 4])
def test_the_orderless_loss_is_the_mean_over_all_orders(lesson, n):
    model = scattered(gl.NADE(n, hidden=5, orderless=True), seed=n).double()
    x = gl.binary_events(n, dtype=torch.float64)
    orders = list(itertools.permutations(range(n)))
    mean = -torch.stack([model.ensemble([order]).double().log_prob(x) for order in orders]).mean(0)
    total = torch.zeros(len(x)).double()
    for k in range(n):
        for some in itertools.combinations(range(n), k):
            given = torch.zeros(n).double()
            given[list(some)] = 1
            total += lesson["masked_cost"](model, x, given) / math.comb(n, k) / n
    assert torch.allclose(total, mean, atol=1e-9)


@pytest.mark.covers("A02")
def test_an_orderless_model_can_be_put_into_any_order(lesson):
    model = scattered(gl.NADE(6, hidden=4, orderless=True)).double()
    first = torch.tensor([False, True, True, False, False, True])
    ordered = lesson["beginning_with"](model, first).double()
    assert ordered.order.tolist() == [1, 2, 5, 0, 3, 4]
    x = gl.binary_events(6, dtype=torch.float64)
    given = lesson["given_logits"](model, x, first.double())
    assert torch.allclose(ordered.conditionals(x)[:, 0], given[:, 0], atol=1e-9)


@pytest.mark.covers("A02")
def test_nats_of_two_parts_add_up_and_are_the_conditionals_of_each(lesson):
    model = scattered(gl.NADE(5, hidden=4, order=[3, 0, 4, 1, 2])).double()
    x = gl.binary_events(5, dtype=torch.float64)
    part = torch.tensor([True, False, False, True, True])
    nats = [lesson["nats_of"](model, x, some) for some in (part, ~part)]
    assert torch.allclose(sum(nats), -model.log_prob(x), atol=1e-9)
    p = model.conditionals(x).sigmoid()
    expected = -torch.where(x == 1, p, 1 - p).log()
    assert torch.allclose(nats[0], expected[:, 0] + expected[:, 3] + expected[:, 4], atol=1e-9)


@pytest.mark.covers("A02")
def test_the_order_from_the_middle_goes_outwards(lesson):
    order = lesson["by_distance"](torch.arange(196).view(14, 14)).tolist()
    away = [math.dist(divmod(pixel, 14), (6.5, 6.5)) for pixel in order]
    assert sorted(order) == list(range(196))
    assert away == sorted(away)


@pytest.mark.covers("A02")
def test_paired_differences_are_those_of_the_t_test(lesson):
    values, others = torch.randn(2, 30, generator=generator()).double()
    mean, error = lesson["paired"](values, others)
    assert mean == pytest.approx((values - others).mean().item())
    assert mean / error == pytest.approx(stats.ttest_rel(values, others).statistic)


@pytest.mark.covers("A02")
def test_only_the_average_of_probabilities_is_normalised():
    model = scattered(gl.NADE(8, hidden=6, orderless=True), seed=2).double()
    x = gl.binary_events(8, dtype=torch.float64)
    orders = [torch.randperm(8, generator=generator(seed)) for seed in range(5)]
    each = torch.stack([model.ensemble([order]).double().log_prob(x) for order in orders])
    mixture = model.ensemble(orders).double().log_prob(x)
    assert abs(mixture.exp().sum() - 1) < 1e-9
    assert torch.allclose(mixture.exp(), each.exp().mean(0))
    assert (mixture >= each.mean(0)).all() and each.mean(0).exp().sum() < 0.99


# ------------------------------------------------------------------ completions


def tiny_nade(n, seed=0):
    return scattered(
        gl.NADE(n, hidden=5, order=torch.randperm(n, generator=generator(seed))), seed=seed
    ).double()


@pytest.mark.covers("A01")
@pytest.mark.parametrize("seed", range(3))
def test_clamped_draws_with_their_weights_are_the_conditional(lesson, seed):
    """Draws in reading order, as in the lesson; expectation of the weights is p(known)."""
    torch.manual_seed(seed)
    model = scattered(gl.NADE(6, hidden=5), seed=seed)
    x, known = (torch.rand(6) < 0.5).float(), torch.tensor([0, 1, 0, 0, 1, 1]).bool()
    drawn, log_weight = lesson["clamped"](model, x, known, 20_000)
    assert (drawn[:, known] == x[known]).all()
    events = gl.binary_events(6)
    events = events[(events[:, known] == x[known]).all(1)]
    joint = model.log_prob(events).detach()
    weights = log_weight.double().exp()
    error = weights.std() / math.sqrt(len(weights))
    assert abs(weights.mean() - joint.exp().sum()) < 5 * error + 1e-6
    share = ((drawn[:, None] == events).all(2).double() * weights[:, None]).sum(0) / weights.sum()
    ess = lesson["effective"](log_weight).item()
    assert ess == pytest.approx((weights.sum() ** 2 / (weights**2).sum()).item(), rel=1e-4)
    assert 0.5 * (share - joint.softmax(0)).abs().sum() < 3 / math.sqrt(ess)


@pytest.mark.covers("A01")
def test_exact_completions_are_all_that_agree_with_what_is_known(lesson, monkeypatch):
    monkeypatch.setitem(lesson, "events", gl.binary_events(6))
    model = scattered(gl.NADE(6, hidden=5))
    x, known = gl.binary_events(6)[37], torch.tensor([1, 0, 0, 1, 0, 1]).bool()
    completions, p = lesson["exact_completions"](model, x, known)
    assert len(completions.unique(dim=0)) == 8 and (completions[:, known] == x[known]).all()
    joint = model.log_prob(completions).exp()
    assert torch.allclose(p, joint / joint.sum(), atol=1e-6)


@pytest.mark.covers("A01")
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_weights_of_digits_are_what_the_model_gives_the_rows_at_the_bottom(
    lesson, monkeypatch, rows
):
    """The last 14 values are one row; those before them are as drawn."""
    model = scattered(gl.NADE(28, hidden=5), 0.5).double()
    drawn, picture = (torch.rand(7, 28, generator=generator()) < 0.5).double().split([6, 1])
    for name, value in {"n": 28, "nade": model, "drawn": drawn}.items():
        monkeypatch.setitem(lesson, name, value)
    found = lesson["log_weights"](picture[0], rows)
    seen = 28 - 14 * rows
    tried = torch.cat([drawn[:, :seen], picture[:, seen:].expand(6, -1)], 1)
    p = model.conditionals(tried).sigmoid()
    met = torch.where(tried == 1, p, 1 - p)[:, seen:].prod(1)
    assert torch.allclose(found, met.log(), atol=1e-9)


@pytest.mark.covers("A01")
def test_the_effective_sample_size_between_its_ends(lesson):
    assert lesson["effective"](torch.full((50,), -900.0)).item() == pytest.approx(50)
    assert lesson["effective"](torch.tensor([0.0] + [-500.0] * 9)).item() == pytest.approx(1)


@pytest.mark.covers("A01")
@pytest.mark.parametrize("seed", range(3))
def test_known_first_is_exact(seed):
    """genlib's completion, all 2^u answers against enumeration, by a chi-squared test."""
    model = tiny_nade(6, seed)
    known = torch.zeros(6, dtype=torch.bool)
    known[model.order[:3]] = True
    x = gl.binary_events(6, dtype=torch.float64)[37]
    events = gl.binary_events(6, dtype=torch.float64)
    events = events[(events[:, known] == x[known]).all(1)]
    p = model.log_prob(events).detach().softmax(0)
    drawn = model.complete(x.repeat(20_000, 1), known, generator=generator(seed))
    counts = (drawn[:, None] == events).all(2).sum(0)
    assert counts.sum() == 20_000
    assert stats.chisquare(counts.numpy(), (20_000 * p).numpy()).pvalue > 1e-6


@pytest.mark.covers("A01")
def test_distance_is_total_variation(lesson):
    completions = torch.tensor([[0.0], [1.0]])
    draws = torch.tensor([[0.0], [0.0], [1.0], [0.0]])
    p = torch.tensor([0.25, 0.75]).double()
    assert lesson["distance"](draws, completions, p) == pytest.approx(0.5)
    weights = torch.tensor([1.0, 0.0, 3.0, 0.0]).double()
    assert lesson["distance"](draws, completions, p, weights) == pytest.approx(0.0, abs=1e-12)


# ------------------------------------------------------------------ masks


def reachable(masks):
    """Which inputs each output depends on, by walking along the connections."""
    sees = [{j} for j in range(masks[0].shape[1])]
    for mask in masks:
        sees = [set().union(*(sees[k] for k in row.nonzero()[:, 0].tolist())) for row in mask]
    return sees


@pytest.mark.covers("A04")
@pytest.mark.parametrize("hidden", [[8], [30], [8, 12], [25, 9, 16]])
def test_masks_leave_exactly_the_paths_that_are_allowed(lesson, hidden):
    n = 9
    degrees = [torch.arange(1, n + 1), *(torch.arange(units) % (n - 1) + 1 for units in hidden)]
    masks = lesson["made_masks"](degrees)
    assert reachable(masks) == [set(range(i)) for i in range(n)]
    assert torch.equal(lesson["paths"](masks) > 0, torch.ones(n, n).tril(-1) > 0)


@pytest.mark.covers("A04")
@pytest.mark.parametrize("seed", range(3))
def test_a_masked_network_is_a_density_and_its_twin_without_masks_is_not(lesson, seed):
    torch.manual_seed(seed)
    n, units = 7, 12
    degrees = [torch.randperm(n) + 1, torch.randint(1, n, (units,)), torch.randint(1, n, (units,))]
    masks = lesson["made_masks"](degrees)
    layers = [(torch.randn(m.shape), torch.randn(len(m))) for m in masks]
    x = gl.binary_events(n)
    total = lesson["log_prob"](lesson["made_logits"](x, layers, masks), x).exp().sum()
    assert abs(total - 1) < 1e-4
    whole = [torch.ones_like(mask) for mask in masks]
    total = lesson["log_prob"](lesson["made_logits"](x, layers, whole), x).exp().sum()
    assert abs(total - 1) > 1e-3


@pytest.mark.covers("A04")
def test_the_identity_is_the_perfect_autoencoder_and_no_density(lesson):
    x = gl.binary_events(9)
    score = lesson["log_prob"](40 * (2 * x - 1), x)
    assert score.exp().sum().item() == pytest.approx(512)


@pytest.mark.covers("A04")
@pytest.mark.parametrize("kind", ["FVSBN", "NADE", "orderless NADE", "MADE", "deep MADE"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_all_models_sum_to_one_whatever_their_weights(kind, scale):
    order = torch.randperm(9, generator=generator(9))
    model = {
        "FVSBN": lambda: gl.FVSBN(9, order=order),
        "NADE": lambda: gl.NADE(9, 20, order=order),
        "orderless NADE": lambda: gl.NADE(9, 20, order=order, orderless=True),
        "MADE": lambda: gl.MADE(9, [20], order=order),
        "deep MADE": lambda: gl.MADE(9, [20, 15, 20], order=order),
    }[kind]()
    scattered(model, scale).double()
    total = model.log_prob(gl.binary_events(9, dtype=torch.float64)).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-9)
    gl.verify.causal(model)


@pytest.mark.covers("A04")
def test_the_peeking_model_is_caught_at_every_place(lesson):
    """The lesson lets all pixels see themselves; one is enough for the check to notice."""
    for place in range(6):
        model = lesson["Peeking"](6)
        with torch.no_grad():
            model.own[place] = 0.5
        with pytest.raises(gl.verify.VerificationError, match=f"output {place} depends on input"):
            gl.verify.causal(model)


# ------------------------------------------------------------------ real values


@pytest.mark.covers("A03")
def test_mixtures_of_gaussians_are_scipys(lesson):
    source = generator(6)
    for K in (1, 2, 9):
        logits, mean = 2 * torch.randn(2, 40, K, generator=source).double()
        scale = 0.1 + torch.rand(40, K, generator=source).double()
        x = 3 * torch.randn(40, generator=source).double()
        found = lesson["mixture_log_prob"](x, logits.log_softmax(1), mean, scale)
        density = stats.norm(mean.numpy(), scale.numpy()).pdf(x[:, None].numpy())
        expected = (torch.tensor(density) * logits.softmax(1)).sum(1).log()
        assert torch.allclose(found, expected, atol=1e-9)


@pytest.mark.covers("A03")
def test_rnade_by_hand_is_genlibs_and_integrates_to_one(lesson):
    model = scattered(gl.RNADE(2, hidden=6, components=3), 0.7, seed=8).double()
    x = torch.randn(200, 2, generator=generator(1)).double()
    assert torch.allclose(lesson["rnade_log_prob"](model, x), model.log_prob(x), atol=1e-9)

    axis = torch.linspace(-12, 12, 601).double()
    plane = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = lesson["rnade_log_prob"](model, plane).exp().view(601, 601).numpy()
    total = integrate.simpson(integrate.simpson(density, x=axis.numpy()), x=axis.numpy())
    assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.covers("A03")
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_rnade_looks_only_back_and_samples_what_it_states(order):
    model = scattered(gl.RNADE(3, hidden=5, components=2, order=order), 0.5, seed=3)
    gl.verify.causal(model)
    gl.verify.samples_match(model, draws=20_000, generator=generator())


# ------------------------------------------------------------------ the source with known entropy


@pytest.mark.covers("A01")
def test_noisy_bars_are_drawn_as_their_density_says(lesson):
    torch.manual_seed(0)
    source = lesson["NoisyBars"](flips=0.1)
    events = gl.binary_events(16)
    p = source.log_prob(events).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-3)
    drawn = source.sample(50_000)
    found = -source.log_prob(drawn)
    entropy = -(p * p.log()).sum().item()
    error = found.std().item() / math.sqrt(len(found))
    assert abs(found.mean().item() - entropy) < 5 * error
    assert F.mse_loss(drawn.mean(0), torch.full((16,), 0.5)).item() < 1e-3
    assert lesson["NoisyBars"]().flips == 0.05  # as the text says


@pytest.mark.covers("A01", "A02")
def test_divergence_is_torchs(lesson):
    log_p, log_q = torch.randn(2, 20, generator=generator()).double().log_softmax(1)
    expected = F.kl_div(log_q, log_p, log_target=True, reduction="sum").item()
    assert lesson["divergence"](log_p, log_q) == pytest.approx(expected)
    assert lesson["divergence"](log_p, log_p) == 0
