"""What every sequence model owes: the sum, the draws, completions, prompts, and refusals."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

import genlib as gl
from genlib.core.random import categorical
from genlib.models.autoregressive.lstm import LSTM
from genlib.models.autoregressive.sequence import _softmax
from genlib.models.autoregressive.transformer import CausalTransformer

MODELS = {
    "lstm": lambda length, states: LSTM(length, states, hidden=10),
    "deep lstm": lambda length, states: LSTM(length, states, hidden=6, layers=2, embedding=3),
    "transformer": lambda length, states: CausalTransformer(length, states, width=8, heads=2),
}
FALSE_ALARM = 1e-6

each = pytest.mark.parametrize("name", MODELS)


def uneven(name, length, states, dtype=torch.float32):
    """A model whose conditionals are far from even, and depend on what came before."""
    model = MODELS[name](length, states).to(dtype)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.7)
    return model


def seeded(n=0):
    return torch.Generator().manual_seed(n)


def assert_drawn_from(p, numbers):
    """Exact binomial tests of how often each event was drawn, at `FALSE_ALARM` over all."""
    p, n = p.double().numpy(), len(numbers)
    counts = torch.bincount(numbers, minlength=len(p)).numpy()
    for event, (count, share) in enumerate(zip(counts, p, strict=True)):
        tail = stats.binomtest(int(count), n, min(share, 1)).pvalue
        assert tail > FALSE_ALARM / len(p), (event, count, n * share)


def number(x, states):
    """Rows as numbers, the last column fastest."""
    return (x.long() * states ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)


@each
class TestDensity:
    @pytest.mark.covers("A05", "A06")
    @pytest.mark.parametrize(("length", "states"), [(1, 2), (8, 2), (5, 3), (20, 256)])
    def test_each_conditional_sees_only_the_past(self, name, length, states):
        gl.verify.causal(uneven(name, length, states))

    @pytest.mark.covers("A05", "A06")
    @pytest.mark.parametrize(("length", "states"), [(1, 2), (8, 2), (5, 3)])
    def test_it_sums_to_one_and_is_what_is_drawn(self, name, length, states):
        model = uneven(name, length, states)
        gl.verify.normalised(model)
        gl.verify.samples_match(model, draws=10_000)

    @pytest.mark.covers("A05", "A06")
    def test_it_is_the_product_of_the_conditionals(self, name):
        model = uneven(name, 6, 5)
        x = model.sample(20)
        probabilities = model.conditionals(x).softmax(-1)
        product = [
            math.prod(p[int(value)] for p, value in zip(factors, row, strict=True))
            for factors, row in zip(probabilities.tolist(), x.tolist(), strict=True)
        ]
        assert model.log_prob(x).exp().tolist() == pytest.approx(product, rel=1e-4)

    def test_float64_is_float64_throughout(self, name):
        model = uneven(name, 4, 3, torch.float64)
        x = model.sample(5)
        answers = [x, model.log_prob(x), model.conditionals(x), model.encode(x)]
        assert {answer.dtype for answer in answers} == {torch.float64}
        with pytest.raises(TypeError, match=r"torch.float64, got torch.float32"):
            model.log_prob(x.float())

    def test_saving_keeps_the_density(self, name, tmp_path):
        model = uneven(name, 4, 3)
        model.save(tmp_path / "model")
        x = model.sample(5)
        assert torch.equal(gl.load(tmp_path / "model").log_prob(x), model.log_prob(x))

    @pytest.mark.covers("A05", "A06")
    def test_it_learns_a_rule(self, name):
        """Rows that count upwards modulo three: the start is a die, the rest is certain."""
        x = ((torch.randint(3, (256, 1)) + torch.arange(4)) % 3).float()
        model = MODELS[name](4, 3)
        model.fit(x, epochs=12, batch_size=32, lr=3e-2, progress=False)
        assert -model.log_prob(x).mean().item() == pytest.approx(math.log(3), abs=0.15)
        assert (model.sample(200).diff() % 3 == 1).float().mean() > 0.95
        # The end tells the beginning, which the draws themselves could only guess.
        known = torch.tensor([False, False, True, True])
        assert (model.complete(x, known, particles=30) == x).float().mean() > 0.95


@each
class TestDraws:
    @pytest.mark.covers("A06")
    @pytest.mark.parametrize("states", [2, 7])
    def test_with_and_without_memory_they_are_the_same(self, name, states):
        model = uneven(name, 30, states)
        naive = model.generate(None, 50, cache=False, generator=seeded())
        assert torch.equal(model.sample(50, generator=seeded()), naive)
        assert len(naive.unique(dim=0)) > 10

    @pytest.mark.covers("A06")
    def test_with_and_without_memory_the_logits_are_the_same(self, name):
        model = uneven(name, 40, 5)
        x = model.sample(10)
        symbols, memory, logits = model._symbols(x)[:, :-1], model._initial_state(10), []
        with torch.no_grad():
            for part in symbols.split([7] + [1] * 33, 1):  # some at once, as from a prompt
                features, memory = model._read(part, memory)
                logits.append(model.head(features))
            torch.testing.assert_close(
                torch.cat(logits, 1), model.conditionals(x), rtol=0, atol=1e-5
            )

    def test_the_generator_alone_decides(self, name):
        model = uneven(name, 12, 3)
        x, mask = model.sample(8), torch.arange(12) < 4

        def draws(seed):
            return torch.cat([
                model.sample(8, generator=seeded(seed)),
                model.complete(x, mask, generator=seeded(seed)),
                model.generate(x[0, :3], 8, 0.7, generator=seeded(seed)),
            ])  # fmt: skip

        first, before = draws(1), torch.get_rng_state()
        again = draws(1)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(first, again)
        assert not torch.equal(first, draws(2))

    @pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-24])
    def test_what_cannot_be_is_never_drawn(self, name, u):
        model = MODELS[name](3, 9)
        model.head.weight.data.zero_()
        model.head.bias.data = torch.tensor([-1e3, 0, 1, -1e3, 2, 3, 4, -1e3, -1e3])
        logits = model.conditionals(torch.zeros(1, 3))[0]
        drawn = categorical(logits.softmax(-1), torch.full((3,), u))
        assert set(drawn.tolist()) <= {1, 2, 4, 5, 6}


@each
class TestComplete:
    @pytest.mark.covers("A05", "A06")
    def test_after_a_known_beginning_it_is_a_draw_from_p(self, name):
        model = uneven(name, 5, 3)
        x = torch.tensor([[2.0, 0, 0, 0, 0]]).expand(20_000, 5)
        out = model.complete(x, torch.arange(5) < 2)
        assert torch.equal(out[:, :2], x[:, :2])
        events = F.pad(gl.discrete_events([3] * 3), (2, 0))
        events[:, 0] = 2
        p = model.log_prob(events).softmax(0).detach()
        assert_drawn_from(p, number(out[:, 2:], 3))

    def test_each_row_may_know_another_number_of_symbols(self, name):
        model = uneven(name, 6, 4)
        x = model.sample(7)
        mask = torch.arange(6) < torch.arange(7)[:, None]
        out = model.complete(x, mask, generator=seeded())
        assert torch.equal(out[mask], x[mask])
        assert torch.equal(out[6], x[6])
        assert torch.equal(out[:1], model.complete(x, torch.zeros(6, dtype=torch.bool),
                                                   generator=seeded())[:1])  # fmt: skip
        model.check(out)

    def test_x_stays_as_it_was(self, name):
        model = uneven(name, 6, 4)
        x = model.sample(7)
        before = x.clone()
        model.complete(x, torch.arange(6) < 2)
        assert torch.equal(x, before)

    def test_known_symbols_ahead_need_particles(self, name):
        x, mask = torch.zeros(1, 4), torch.tensor([True, False, True, True])
        with pytest.raises(ValueError, match="known value 2 comes after unknown"):
            MODELS[name](4, 2).complete(x, mask)


@each
class TestGenerate:
    @pytest.mark.parametrize("temperature", [0.5, 1, 2.0])
    def test_each_symbol_is_drawn_at_the_temperature(self, name, temperature):
        model = uneven(name, 4, 3)
        out = model.generate(torch.tensor([1.0]), 20_000, temperature)
        events = F.pad(gl.discrete_events([3] * 3), (1, 0), value=1)
        steps = (model.conditionals(events) / temperature).log_softmax(-1)[:, 1:]
        log_p = steps.gather(2, events[:, 1:, None].long()).sum((1, 2))
        assert_drawn_from(log_p.exp().detach(), number(out[:, 1:], 3))

    def test_at_temperature_one_it_completes(self, name):
        model = uneven(name, 9, 4)
        prompt = torch.tensor([3.0, 0, 2])
        x = F.pad(prompt, (0, 6)).expand(10, 9)
        completed = model.complete(x, torch.arange(9) < 3, generator=seeded())
        assert torch.equal(model.generate(prompt, 10, generator=seeded()), completed)
        assert torch.equal(
            model.generate(None, 10, generator=seeded()), model.sample(10, generator=seeded())
        )

    def test_cold_draws_are_the_likeliest_symbols(self, name):
        model = uneven(name, 9, 4)
        out = model.generate(None, 3, 1e-6)
        assert torch.equal(model.conditionals(out).argmax(-1).float(), out)

    def test_a_prompt_may_fill_the_row(self, name):
        prompt = torch.tensor([3.0, 0, 2])
        assert torch.equal(uneven(name, 3, 4).generate(prompt, 2), prompt.expand(2, 3))

    @pytest.mark.parametrize(
        ("prompt", "n", "temperature", "error", "words"),
        [
            (torch.zeros(7), 1, 1.0, ValueError, r"at most 6 symbols.*got shape \(7,\)"),
            (torch.zeros(1, 3), 1, 1.0, ValueError, r"one row.*got shape \(1, 3\)"),
            (torch.tensor([0.0, 4.0]), 1, 1.0, ValueError, r"prompt: .*\{0, …, 3\}, got 4 at"),
            (torch.zeros(0), 1, 1.0, ValueError, "prompt: expected at least one value"),
            (torch.tensor([1, 2]), 1, 1.0, TypeError, r"prompt.float\(\)"),
            ("abc", 1, 1.0, TypeError, "prompt: expected a torch.Tensor, got str"),
            (None, 0, 1.0, ValueError, "n: expected at least 1"),
            (None, 1, 0.0, ValueError, "temperature: expected a finite positive"),
        ],
    )
    def test_bad_prompts(self, name, prompt, n, temperature, error, words):
        with pytest.raises(error, match=words):
            MODELS[name](6, 4).generate(prompt, n, temperature)


@each
class TestDoor:
    @pytest.mark.parametrize("value", [-1, 4, 0.5, math.nan])
    @pytest.mark.parametrize("query", ["log_prob", "conditionals", "encode", "fit"])
    def test_what_is_no_symbol_is_refused(self, name, value, query):
        x = torch.zeros(3, 5)
        x[1, 2] = value
        words = "finite" if math.isnan(value) else r"\{0, …, 3\}"
        with pytest.raises(ValueError, match=rf"expected .*{words}.*at index \(1, 2\)"):
            getattr(MODELS[name](5, 4), query)(x)

    @pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,), (3, 5, 1)])
    def test_rows_have_one_length(self, name, shape):
        with pytest.raises(ValueError, match="x: expected"):
            MODELS[name](5, 4).log_prob(torch.zeros(shape))

    def test_bad_settings(self, name):
        for length, states, words in [
            (0, 2, "length: expected at least 1"),
            (3, 1, "states: expected at least 2"),
        ]:
            with pytest.raises(ValueError, match=words):
                MODELS[name](length, states)
        with pytest.raises(TypeError, match="states: expected an integer"):
            MODELS[name](3, 2.0)


@pytest.mark.covers("A05", "A06")
@pytest.mark.parametrize("kind", [LSTM, CausalTransformer])
def test_what_comes_before_a_known_symbol_is_drawn_as_if_it_were_not_known(kind):
    sizes = {"hidden": 3} if kind is LSTM else {"width": 4, "heads": 2, "layers": 1}
    gl.seed(0)
    model, n = kind(3, 2, **sizes), 4_000
    x = torch.tensor([0.0, 0, 1]).expand(n, -1)
    known = torch.tensor([False, False, True])
    drawn = model.complete(x, known, particles=1, generator=torch.Generator().manual_seed(0))
    p = model.log_prob(gl.binary_events(3)).detach().double().softmax(0).view(4, 2).sum(1)
    pairs = (drawn[:, 0] * 2 + drawn[:, 1]).long()
    assert (drawn[:, 2] == 1).all()
    assert stats.chisquare(torch.bincount(pairs, minlength=4), n * p).pvalue > 1e-6


@pytest.mark.parametrize("temperature", [1e-320, 1e-8, 1e308])
def test_a_softmax_is_one_at_any_temperature(temperature):
    logits = torch.tensor([[0.0, 1.0, -3.0], [50.0, 40.0, 49.0]])
    expected = torch.full((2, 3), 1 / 3)
    if temperature < 1:
        expected = F.one_hot(logits.argmax(1), 3)
    torch.testing.assert_close(_softmax(logits, temperature), expected.double())
