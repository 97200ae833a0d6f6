"""What lesson 06 writes by hand, against independent truth and on inputs it has no time for."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import norm as scipy_norm
from torch import nn
from torch.nn import functional as F

import genlib as gl
from tests.lessons.definitions import definitions
from tests.models.autoregressive import sequence_truth as truth
from tests.parameters import scattered


@pytest.fixture(scope="module")
def lesson():
    return definitions("06_sequence_models")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def symbols(n, length, states, seed=0):
    return torch.randint(states, (n, length), generator=generator(seed)).double()


# ------------------------------------------------------------------ recurrence


@pytest.mark.covers("A05")
@pytest.mark.parametrize(("length", "states", "hidden"), [(1, 2, 1), (5, 3, 4), (17, 7, 5)])
def test_lstm_by_hand_is_that_of_numpy(lesson, length, states, hidden):
    model = scattered(gl.LSTM(length, states, hidden), 0.5).double()
    x = symbols(4, length, states)
    found = lesson["lstm_logits"](x, *lesson["weights_of"](model))
    for row, logits in zip(x, found, strict=True):
        expected, _ = truth.lstm(model, row.numpy())
        assert np.allclose(logits.numpy(), expected, atol=1e-10)


@pytest.mark.covers("A05")
def test_lstm_cell_is_torch_s(lesson):
    cell = scattered(nn.LSTMCell(3, 4), 0.5).double()
    e, h, c = (torch.randn(5, k, generator=generator(k)).double() for k in (3, 4, 4))
    found = lesson["lstm_cell"](
        e, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh
    )
    for ours, torchs in zip(found, cell(e, (h, c)), strict=True):
        assert torch.allclose(ours, torchs, atol=1e-12)


@pytest.mark.covers("A05")
def test_gradient_of_a_plain_network_is_a_product_of_jacobians(lesson):
    model = scattered(lesson["PlainRNN"](5, 6), 0.5).double()
    x = symbols(1, 12, 5)
    read = F.pad(x.long(), (1, 0), value=5)[:, :-1]
    states = model.rnn(model.embedding(read))[0][0].detach()
    logits = model.conditionals(x)[0, -1].detach()
    score = F.one_hot(x[0, -1].long(), 5) - logits.softmax(0)
    gradient, expected = model.head.weight.T @ score, []
    for state in states.flip(0):
        gradient = (1 - state**2) * gradient
        expected.append((gradient @ model.rnn.weight_ih_l0).norm())
        gradient = gradient @ model.rnn.weight_hh_l0
    assert torch.allclose(lesson["reach"](model, x), torch.stack(expected), rtol=1e-8)


@pytest.mark.covers("A05", "A06")
@pytest.mark.parametrize("kind", ["LSTM", "CausalTransformer"])
def test_reach_is_the_gradient_of_each_embedding_alone(lesson, kind):
    sizes = {"LSTM": {"hidden": 5}, "CausalTransformer": {"width": 4, "heads": 2, "layers": 2}}
    model = scattered(getattr(gl, kind)(6, 3, **sizes[kind]), 0.5).double()
    x = symbols(1, 6, 3)
    found = lesson["reach"](model, x).flip(0)

    def log_p(shift):
        hook = model.embedding.register_forward_hook(lambda module, read, out: out + shift)
        value = model.conditionals(x)[0, -1].log_softmax(0)[x[0, -1].long()].item()
        hook.remove()
        return value

    for place in range(6):
        gradient = []
        for unit in range(model.embedding.embedding_dim):
            shift = torch.zeros(6, model.embedding.embedding_dim).double()
            shift[place, unit] = 1e-5
            gradient.append((log_p(shift) - log_p(-shift)) / 2e-5)
        assert math.isclose(found[place], np.linalg.norm(gradient), rel_tol=1e-5, abs_tol=1e-9)


# ------------------------------------------------------------------ attention


@pytest.mark.covers("A06")
@pytest.mark.parametrize(("length", "size"), [(1, 1), (2, 5), (9, 3)])
def test_attention_is_a_mixture_of_values_by_the_new_query_and_past_keys(lesson, length, size):
    q, k, v = torch.randn(3, 2, length, size, generator=generator(length)).double()
    mixture, weights = lesson["attend"](q, k, v)
    for row in range(2):
        for i in range(length):
            scores = [(q[row, i] @ k[row, j]).item() / size**0.5 for j in range(i + 1)]
            a = softmax(scores)
            assert np.allclose(weights[row, i, : i + 1], a, atol=1e-12)
            assert (weights[row, i, i + 1 :] == 0).all()
            expected = sum(a[j] * v[row, j] for j in range(i + 1))
            assert torch.allclose(mixture[row, i], expected, atol=1e-12)


@pytest.mark.covers("A06")
def test_attention_survives_large_scores_and_does_not_look_ahead(lesson):
    q, k, v = torch.randn(3, 6, 4, generator=generator())
    mixture, _ = lesson["attend"](1e4 * q, k, v)
    assert mixture.isfinite().all()
    k[-1], v[-1] = 1e6, 1e6
    again, _ = lesson["attend"](1e4 * q, k, v)
    assert torch.equal(mixture[:-1], again[:-1])


@pytest.mark.covers("A06")
@pytest.mark.parametrize("heads", [1, 3])
def test_transformer_by_hand_is_that_of_numpy(lesson, heads):
    model = scattered(gl.CausalTransformer(7, 4, width=6, heads=heads, layers=2), 0.5).double()
    x = symbols(2, 7, 4)
    logits, maps = lesson["by_hand_like"](model)(x)
    logits = logits.detach().numpy()
    for row in range(2):
        expected, attention = truth.transformer(model, x[row].numpy())
        assert np.allclose(logits[row], expected, atol=1e-9)
        found = torch.stack(maps, 1)[row].detach().numpy()
        assert np.allclose(found, attention, atol=1e-9)


@pytest.mark.covers("A06")
def test_normalised_vectors_have_mean_zero_and_variance_one_before_gain_and_shift(lesson):
    norm = lesson["LayerNorm"](5).double()
    h = 3 * torch.randn(4, 2, 5, generator=generator()).double() + 7
    rows = h.numpy()
    mean, variance = rows.mean(-1, keepdims=True), rows.var(-1, keepdims=True)
    expected = (rows - mean) / np.sqrt(variance + 1e-5)
    assert np.allclose(norm(h).detach().numpy(), expected, atol=1e-12)
    with torch.no_grad():
        norm.gain.copy_(torch.arange(1.0, 6))
        norm.shift.copy_(torch.arange(5.0) - 9)
    changed = expected * np.arange(1, 6) + np.arange(5) - 9
    assert np.allclose(norm(h).detach().numpy(), changed, atol=1e-12)


@pytest.mark.covers("A06")
def test_gelu_is_t_times_the_gaussian_distribution_function(lesson):
    t = torch.linspace(-6, 6, 61, dtype=torch.float64)
    assert np.allclose(lesson["gelu"](t).numpy(), t.numpy() * scipy_norm.cdf(t.numpy()), atol=1e-12)


@pytest.mark.covers("A05")
def test_the_product_of_jacobians_is_the_derivative(lesson):
    u = torch.randn(4, 4, generator=generator()).double()
    start, *inputs = torch.randn(6, 4, generator=generator(1)).double()
    product, end = lesson["product_of_jacobians"](u, start, inputs)

    def last(h):
        for z in inputs:
            h = torch.tanh(u @ h + z)
        return h

    assert torch.allclose(end, last(start), atol=1e-12)
    assert torch.allclose(product, torch.autograd.functional.jacobian(last, start), atol=1e-10)


# ------------------------------------------------------------------ text, tasks and costs


@pytest.mark.covers("A05", "A06")
def test_bits_by_place_are_the_model_s_own(lesson):
    model = scattered(gl.LSTM(5, 3, hidden=4), 0.5).double()
    x = symbols(300, 5, 3)  # more than one part of 128
    bits = lesson["bits_by_place"](model, x)
    assert bits.shape == (5,)
    expected = -model.log_prob(x).detach().mean() / math.log(2)
    assert math.isclose(bits.sum(), expected, rel_tol=1e-9)


@pytest.mark.covers("A06")
@pytest.mark.parametrize("temperature", [0.5, 3])
def test_bits_at_a_temperature_are_those_of_the_scaled_logits(lesson, temperature):
    model = scattered(gl.LSTM(3, 2, hidden=4), 1.0).double()
    events = gl.binary_events(3, dtype=torch.float64)
    total = 0.0
    for event in events:
        powers = model.conditionals(event[None])[0].softmax(1) ** (1 / temperature)
        p = powers / powers.sum(1, keepdim=True)
        expected = -p[torch.arange(3), event.long()].log2()
        bits = lesson["bits_by_place"](model, event[None], temperature)
        assert torch.allclose(bits, expected, rtol=1e-9)
        total += 2 ** -bits.sum().item()
    assert math.isclose(total, 1, rel_tol=1e-9)  # p_T is a model too


@pytest.mark.covers("A05", "A06")
def test_bits_from_the_fourth_symbol_leave_out_the_first_three(lesson):
    model = scattered(gl.LSTM(6, 3, hidden=4), 0.5).double()
    x = symbols(20, 6, 3)
    short = gl.LSTM(3, 3, hidden=4).double()  # the same weights, three symbols long
    short.load_state_dict(model.state_dict())
    nats = (short.log_prob(x[:, :3]) - model.log_prob(x)).mean().item()
    assert math.isclose(lesson["bits_from_fourth"](model, x), nats / 3 / math.log(2), rel_tol=1e-9)


@pytest.mark.covers("A05")
def test_windows_are_stretches_of_the_training_text_from_any_place(lesson, monkeypatch):
    monkeypatch.setitem(lesson, "known", torch.arange(70.0))
    torch.manual_seed(0)
    windows = lesson["windows"](200)
    assert windows.shape == (200, lesson["LENGTH"])
    assert (windows.diff() == 1).all()
    assert windows[:, 0].unique().tolist() == list(range(6))


@pytest.mark.covers("A05", "A06")
@pytest.mark.parametrize("name", ["valid_bits", "valid_nats", "cost_of_copy"])
def test_the_cost_that_chooses_rates_is_that_of_held_out_rows(lesson, monkeypatch, name):
    model = scattered(gl.LSTM(4, 2, hidden=3), 0.5)
    valid, test = symbols(9, 4, 2).float(), symbols(9, 4, 2, seed=1).float()
    for split in ("rows", "strokes"):
        monkeypatch.setitem(lesson, split, SimpleNamespace(valid=valid, test=test, train=test))
    monkeypatch.setitem(lesson, "to_copy", valid)
    monkeypatch.setitem(lesson, "K", 2)
    p = model.conditionals(valid).detach().softmax(-1).gather(2, valid.long()[..., None])[..., 0]
    expected = {
        "valid_bits": -p.log2().mean(),
        "valid_nats": -p.log().sum(1).mean(),
        "cost_of_copy": -p[:, 2:].log2().mean(),
    }[name]
    assert math.isclose(lesson[name](model), expected, rel_tol=1e-5)


@pytest.mark.covers("A05")
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_tables_count(lesson, order):
    alphabet = 5  # of the lesson's 64 symbols, so that contexts repeat
    known = torch.randint(alphabet, (400,), generator=generator(order))
    rows = torch.randint(alphabet, (6, 10), generator=generator(9)).float()
    text, cost = known.tolist(), []
    longer = Counter(tuple(text[i : i + order + 1]) for i in range(len(text) - order))
    shorter = Counter()
    for gram, count in longer.items():
        shorter[gram[:-1]] += count
    for row in rows.long().tolist():
        for i in range(3, 10):
            gram = tuple(row[i - order : i + 1])
            p = (longer[gram] + 1 / 32) / (shorter[gram[:-1]] + lesson["STATES"] / 32)
            cost.append(-math.log2(p))
    found = lesson["table_bits"](known, rows, [order])
    assert math.isclose(found, np.mean(cost), rel_tol=1e-4)


@pytest.mark.covers("A05")
def test_a_table_is_the_prior_of_the_next(lesson):
    known = torch.randint(5, (400,), generator=generator())
    rows = torch.randint(5, (6, 10), generator=generator(9)).float()
    text, beta, cost = known.tolist(), lesson["STATES"] / 8, []
    for row in rows.long().tolist():
        for i in range(3, 10):
            p = 1 / lesson["STATES"]
            for order in range(3):
                places = [j for j in range(order, 400) if text[j - order : j] == row[i - order : i]]
                hits = sum(text[j] == row[i] for j in places)
                p = (hits + beta * p) / (len(places) + beta)
            cost.append(-math.log2(p))
    found = lesson["table_bits"](known, rows, range(3), 1 / 8)
    assert math.isclose(found, np.mean(cost), rel_tol=1e-4)


@pytest.mark.covers("A05")
def test_bits_after_a_short_past_are_those_of_the_last_few_alone(lesson, monkeypatch):
    model = scattered(gl.LSTM(64, 3, hidden=4), 0.5).double()
    test = symbols(8, 64, 3)
    monkeypatch.setitem(lesson, "rows", SimpleNamespace(test=test))
    for past in (1, 5, 32):
        cost = []
        for row in test[::4]:
            for i in (32, 40, 48, 56):
                alone = F.pad(row[i - past : i + 1], (0, 63 - past))[None]
                log_p = model.conditionals(alone)[0, past].log_softmax(0)
                cost.append(-log_p[row[i].long()].item() / math.log(2))
        assert math.isclose(lesson["bits_after"](model, past), np.mean(cost), rel_tol=1e-9)


@pytest.mark.covers("A05")
def test_what_is_shared_is_the_longest_common_stretch(lesson):
    random = np.random.default_rng(0)
    for _ in range(50):
        passage, text = ("".join(random.choice(list("ab"), n)) for n in (12, 60))
        stretches = {passage[i:j] for i in range(12) for j in range(i + 1, 13)}
        longest = max(len(stretch) for stretch in stretches if stretch in text)
        found = lesson["shared"](passage, text)
        assert len(found) == longest and found in passage and found in text
    assert lesson["shared"]("xyz", "ab") == ""


@pytest.mark.covers("A05", "A06")
def test_the_copy_task_copies(lesson, monkeypatch):
    for K in (1, 12):
        monkeypatch.setitem(lesson, "K", K)
        x = lesson["twice"](500)
        assert x.shape == (500, 2 * K)
        assert torch.equal(x[:, :K], x[:, K:])
        assert set(x.flatten().tolist()) == set(range(8))


@pytest.mark.covers("A05", "A06")
def test_the_rate_falls_to_zero_and_costs_are_told_ten_times(lesson):
    model = gl.LSTM(3, 2, hidden=2)
    rates, batch = [], torch.zeros(4, 3)
    before = [p.detach().clone() for p in model.parameters()]

    def cost(model):
        pairs = zip(model.parameters(), before, strict=True)
        rates.append(max((p - q).abs().max().item() for p, q in pairs))
        before[:] = [p.detach().clone() for p in model.parameters()]
        return len(rates)

    curve = lesson["train"](model, lambda: batch, cost, steps=10, lr=0.1)
    assert curve == dict(zip(range(1, 11), range(1, 11), strict=True))
    # Adam's first step is as long as the rate; the gradients' direction stays, so the others too.
    assert math.isclose(rates[0], 0.1, rel_tol=1e-2)
    assert rates[-1] < 0.02 < rates[4] < 0.08


@pytest.mark.covers("A05", "A06")
@pytest.mark.parametrize(("slope", "length"), [(50.0, 1.0), (0.01, 0.1)])
def test_only_gradients_longer_than_one_are_rescaled(lesson, slope, length):
    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(100))

        def loss(self, x):
            return slope * self.w.sum()

    model, lengths = Slope(), []

    def cost(model):
        lengths.append(model.w.grad.norm().item())

    lesson["train"](model, lambda: None, cost, steps=10, lr=0.1)
    assert lengths == pytest.approx([length] * 10, rel=1e-4)


@pytest.mark.covers("A05", "A06")
def test_the_best_rate_is_the_one_of_least_cost(lesson, monkeypatch):
    costs = {0.005: 3.0, 0.01: 1.0, 0.02: 2.0}
    monkeypatch.setitem(
        lesson, "train", lambda model, draw, cost, steps, lr: {1: 0.0, steps: costs[lr]}
    )
    assert lesson["best_rate"](lambda: None, None, None) == 0.01


@pytest.mark.covers("A05")
def test_depth_is_the_longest_chain(lesson):
    x = torch.randn(3, requires_grad=True)
    y = x.tanh()
    assert lesson["depth"](y) == 2  # tanh, and what puts the gradient into x
    short, long = x.exp(), y.tanh().tanh().tanh()
    assert lesson["depth"](short + long) == 6
    for _ in range(3000):  # longer than Python's own stack
        y = y.tanh()
    assert lesson["depth"](y) == 3002


@pytest.mark.covers("A06")
def test_the_cache_reads_each_position_once_and_changes_nothing(lesson):
    model = gl.CausalTransformer(9, 5, width=8, heads=2, layers=2)
    kept, few, _ = lesson["positions_read"](model, cache=True)
    again, many, _ = lesson["positions_read"](model, cache=False)
    assert torch.equal(kept, again)
    assert (few, many) == (9, 45)


@pytest.mark.covers("A06")
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_temperature_draws_symbol_by_symbol_and_not_from_the_sharpened_density(temperature):
    model = scattered(gl.CausalTransformer(3, 2, width=4, heads=2, layers=1), 1.5, seed=3).double()
    events, n = gl.binary_events(3, dtype=torch.float64), 40_000
    draws = model.generate(None, n, temperature, generator=generator(1))
    places = (draws @ torch.tensor([4.0, 2.0, 1.0]).double()).long()
    share = torch.bincount(places, minlength=8).double() / n
    order = (events @ torch.tensor([4.0, 2.0, 1.0]).double()).long()
    scaled = (model.conditionals(events) / temperature).log_softmax(-1)
    stepwise = scaled.gather(2, events.long()[..., None]).sum((1, 2)).exp()
    error = 5 * (stepwise * (1 - stepwise) / n).sqrt() + 1e-9
    assert ((share[order] - stepwise).abs() < error).all()
    sharpened = (model.log_prob(events) / temperature).softmax(0)
    assert torch.allclose(stepwise, sharpened, atol=1e-3) == (temperature == 1)
