"""What every discrete graphical model owes: sums to one, draws what it states, saves, refuses."""

import math
import warnings

import numpy as np
import pytest
import torch

import genlib as gl
from tests.models.graphical.truth import events, tensor

WEATHER = {"season": [], "rain": ["season"], "wet": ["rain", "season"], "slip": ["wet"]}
MODELS = {
    "die": lambda: gl.Categorical(6),
    "binary table": lambda: gl.Categorical((2,) * 5, smoothing=0.3),
    "table": lambda: gl.Categorical((2, 3, 2)),
    "binary chain": lambda: gl.MarkovChain(7),
    "chain": lambda: gl.MarkovChain(5, states=3, order=2),
    "homogeneous chain": lambda: gl.MarkovChain(6, states=3, homogeneous=True, smoothing=0.5),
    "binary net": lambda: gl.BayesNet([[2], [], [1], [0, 2], []]),
    "named net": lambda: gl.BayesNet(WEATHER, states=[4, 2, 2, 3]),
    "full net": lambda: gl.BayesNet([range(i) for i in range(4)], states=[2, 3, 3, 2]),
}


def nested(x):
    """Rows as a nested tensor; torch warns that such are a prototype."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor(list(x))


def in_rows(x):
    """A sparse tensor in compressed rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x.to_sparse_csr()


# Tensors that a look at their values would fail on, and things that are none.
NO_EVENTS = [
    (lambda x: x.to_sparse(), TypeError, "expected a dense tensor, got one of layout"),
    (in_rows, TypeError, "expected a dense tensor, got one of layout"),
    (nested, TypeError, "got a nested one"),
    (lambda x: x.to("meta"), ValueError, "expected values, got a tensor on the meta device"),
    (lambda x: x.to(torch.complex64), TypeError, "got torch.complex64"),
    (lambda x: x.bool(), TypeError, "got torch.bool"),
    (lambda x: x.half(), TypeError, "got torch.float16"),
    (lambda x: x.tolist(), TypeError, "expected a torch.Tensor, got list"),
    (lambda x: "x", TypeError, "expected a torch.Tensor, got str"),
    (lambda x: None, TypeError, "expected a torch.Tensor, got NoneType"),
]


def fitted(name, dtype=torch.float32):
    """The model, fitted to a few rows that leave its tables uneven."""
    model = MODELS[name]().to(dtype)
    rng = np.random.default_rng(0)
    x = events(model.states)
    model.fit(tensor(x[rng.integers(0, len(x), 25)], dtype))
    return model


@pytest.mark.parametrize("name", MODELS)
class TestContract:
    @pytest.mark.covers("F07")
    def test_probabilities_sum_to_one_and_samples_follow_them(self, name):
        model = fitted(name)
        gl.verify.normalised(model)
        gl.verify.samples_match(model, draws=20_000)

    def test_the_generator_or_the_seed_decides_the_draw(self, name):
        model = fitted(name)
        draws = [model.sample(50, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
        assert torch.equal(*draws)
        state = torch.get_rng_state()
        model.sample(50, generator=torch.Generator().manual_seed(7))
        assert torch.equal(torch.get_rng_state(), state)
        gl.seed(3)
        first = model.sample(50)
        gl.seed(3)
        assert torch.equal(first, model.sample(50)) and not torch.equal(first, draws[0])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_saving_keeps_everything(self, name, dtype, tmp_path):
        model = fitted(name, dtype)
        model.save(tmp_path / "model")
        loaded = gl.load(tmp_path / "model")
        assert type(loaded) is type(model) and loaded.dtype == dtype
        assert (loaded.states, loaded.smoothing) == (model.states, model.smoothing)
        assert loaded.free_parameters == model.free_parameters
        x = tensor(events(model.states), dtype)
        assert torch.equal(loaded.log_prob(x), model.log_prob(x))
        if isinstance(model, gl.BayesNet):
            last = model.variables[-1]
            assert loaded.parents == model.parents
            assert torch.equal(loaded.conditional(last), model.conditional(last))

    def test_a_model_that_has_counted_nothing_can_be_saved(self, name, tmp_path):
        MODELS[name]().save(tmp_path / "model")
        with pytest.raises(gl.NotFittedError):
            gl.load(tmp_path / "model").sample(1)

    def test_float64_is_float64_throughout(self, name):
        model = fitted(name, torch.float64)
        x = tensor(events(model.states), torch.float64)
        assert model.log_prob(x).dtype == model.sample(3).dtype == torch.float64
        assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
        with pytest.raises(TypeError, match=r"computes in torch.float64, got torch.float32"):
            model.log_prob(x.float())

    def test_refitting_forgets(self, name):
        model, other = fitted(name), MODELS[name]()
        x = tensor(events(model.states))[:9]
        model.fit(x)
        other.fit(x)
        assert torch.equal(model.log_table, other.log_table)

    def test_nothing_is_answered_before_there_are_tables(self, name):
        model = MODELS[name]()
        x = tensor(events(model.states))
        asks = [lambda: model.log_prob(x), lambda: model.sample(1)]
        if isinstance(model, gl.BayesNet):
            first = model.variables[0]
            asks += [lambda: model.table(first), lambda: model.conditional(first)]
        else:
            asks += [lambda: model.table]
        for ask in asks:
            with pytest.raises(gl.NotFittedError, match=r"call fit\(x\), or set_tables, before"):
                ask()

    def test_representation_is_refused_with_a_reason(self, name):
        with pytest.raises(
            gl.CannotAnswerError, match=r"no hidden one that .*\(lesson 02_structure\)"
        ):
            fitted(name).encode(torch.zeros(1, 1))

    @pytest.mark.parametrize("method", ["fit", "log_prob"])
    def test_an_event_holds_states(self, name, method):
        model = fitted(name)
        before = model.log_table.clone()
        good = tensor(events(model.states))[:4]
        wide = good.shape[1]
        for change, error, words in [
            (lambda x: x.fill_(model.states[0]), ValueError, r"got [2-6] at index \(0, 0\)"),
            (lambda x: x.sub_(1), ValueError, r"got -1 at index"),
            (lambda x: x.add_(0.5), ValueError, r"got 0.5 at index \(0, 0\)"),
            (lambda x: x.fill_(math.nan), ValueError, r"got nan at index \(0, 0\)"),
            (lambda x: x.fill_(math.inf), ValueError, r"got inf at index \(0, 0\)"),
            (lambda x: torch.cat([x, x], 1), ValueError, rf"\(N, {wide}\), got \(4, {2 * wide}\)"),
            (lambda x: x[0], ValueError, "a single event needs a batch dimension"),
            (lambda x: x[:0], ValueError, "empty tensor"),
            (lambda x: x.long(), TypeError, r"got torch.int64; convert with x.float\(\)"),
            (lambda x: x.double(), TypeError, "computes in torch.float32, got torch.float64"),
            (lambda x: x.numpy(), TypeError, "got numpy.ndarray"),
            *NO_EVENTS,
        ]:
            with pytest.raises(error, match=words):
                getattr(model, method)(change(good.clone()))
        assert torch.equal(model.log_table, before)

    def test_labels_are_refused(self, name):
        model = fitted(name)
        with pytest.raises(ValueError, match="has no labels; leave y out"):
            model.sample(2, torch.zeros(2, dtype=torch.int64))


def test_a_state_of_probability_zero_is_never_drawn():
    model = gl.BayesNet([[], [0]], states=3).double()
    table = torch.tensor([[0, 1, 0], [0.5, 0, 0.5], [1, 0, 0]]).double()
    model.set_tables([torch.tensor([0.0, 0.5, 0.5]), table])
    x = model.sample(20_000)
    assert torch.isfinite(model.log_prob(x)).all()
    assert len(x.unique(dim=0)) == 3


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("p", [[0, 1, 0], [0, 0.3, 0.7], [0.3, 0.7, 0], [1 / 3, 1 / 3, 1 / 3]])
def test_nor_at_either_end_of_the_unit_interval(u, p, monkeypatch):
    table = torch.tensor(p, dtype=torch.float64)
    models = [gl.BayesNet([[]], states=3).double(), gl.Categorical(3).double()]
    models[0].set_tables([table])
    models[1].set_tables(table)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, u, dtype=torch.float64))
    possible = [state for state, share in enumerate(p) if share > 0]
    for model in models:
        assert model.sample(1).item() == possible[-1 if u else 0]


@pytest.mark.parametrize("likelihood", ["bernoulli", "multinomial", "gaussian"])
@pytest.mark.parametrize(("change", "error", "words"), NO_EVENTS)
def test_naive_bayes_and_trees_refuse_what_is_no_event(likelihood, change, error, words):
    model, y = gl.NaiveBayes(likelihood), torch.tensor([0, 1, 0, 1])
    x = torch.tensor([[0.0, 1], [1, 0], [2, 3], [3, 1]])
    x = x.clamp(max=1) if likelihood == "bernoulli" else x
    model.fit(x, y)
    wrong = change(x)
    asks = [lambda: model.fit(wrong, y), lambda: model.fit(x, y, valid=(wrong, y))]
    asks += [
        lambda ask=ask: ask(wrong)
        for ask in (model.log_prob, model.encode, model.predict, model.joint_log_prob)
    ]
    if likelihood == "bernoulli" and words != "got torch.float16":
        asks += [lambda: gl.mutual_information(wrong), lambda: gl.chow_liu(wrong)]
    for ask in asks:
        with pytest.raises(error, match=words):
            ask()
    if likelihood != "multinomial" and words != "got torch.bool":
        with pytest.raises((TypeError, ValueError), match="observed: expected"):
            model.predict_missing(x, wrong)


@pytest.mark.parametrize(
    ("change", "error", "words"), [case for case in NO_EVENTS if case[2] != "got torch.float16"]
)
def test_tables_are_tensors_of_numbers(change, error, words):
    half = torch.full((2, 2), 0.5)
    with pytest.raises(error, match=words):
        gl.Categorical((2, 2)).set_tables(change(half))
    with pytest.raises(error, match=words):
        gl.BayesNet([[], [0]]).set_tables([half[0], change(half)])
