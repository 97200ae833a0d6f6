"""Every model of the course refuses the same bad input at the same door, and stays as it was."""

import math
import re

import pytest
import torch
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import finite_events, state_counts

MODELS = {
    "FVSBN": lambda: gl.FVSBN(4),
    "NADE": lambda: gl.NADE(4, 3),
    "RNADE": lambda: gl.RNADE(4, 3, 2),
    "MADE": lambda: gl.MADE(4, [5]),
    "LSTM": lambda: gl.LSTM(4, 3, 5),
    "CausalTransformer": lambda: gl.CausalTransformer(4, 3, 8, 1, 2),
    "PixelCNN": lambda: gl.PixelCNN((1, 2, 2), 4, 1),
    "GatedPixelCNN": lambda: gl.GatedPixelCNN((1, 2, 2), 4, 1),
    "PixelCNNPP": lambda: gl.PixelCNNPP((1, 4, 4), 4, 1, 2, components=None, scales=2),
    "PixelRNN": lambda: gl.PixelRNN((1, 2, 2), 4, 1),
    "MultiScalePixelCNN": lambda: gl.MultiScalePixelCNN((1, 4, 4), 4, 1),
    "Gaussian": gl.Gaussian,
    "Laplace": gl.Laplace,
    "Histogram": lambda: gl.Histogram(4, low=-9.0, high=9.0),
    "Parzen": gl.Parzen,
    "KNearest": lambda: gl.KNearest(2),
    "PCA": lambda: gl.PCA(2),
    "ICA": gl.ICA,
    "SparseCoding": lambda: gl.SparseCoding(6),
    "ProbabilisticPCA": lambda: gl.ProbabilisticPCA(2),
    "Categorical": lambda: gl.Categorical([2, 3, 2, 2]),
    "MarkovChain": lambda: gl.MarkovChain(4, 2),
    "BayesNet": lambda: gl.BayesNet([[], [0], [0], [1, 2]]),
    "NaiveBayes": gl.NaiveBayes,
    "Autoencoder": lambda: gl.Autoencoder(4, 2, ()),
    "SparseAutoencoder": lambda: gl.SparseAutoencoder(4, 3),
    "DenoisingAutoencoder": lambda: gl.DenoisingAutoencoder(4, 3),
    "ContractiveAutoencoder": lambda: gl.ContractiveAutoencoder(4, 3),
    "BoltzmannMachine": lambda: gl.BoltzmannMachine(4, 2),
    "RBM": lambda: gl.RBM(4, 3),
    "GaussianRBM": lambda: gl.GaussianRBM(4, 3),
    "DBN": lambda: gl.DBN([4, 3, 2]),
    "DeepAutoencoder": lambda: gl.DeepAutoencoder([4, 3, 2]),
    "Classifier": lambda: gl.Classifier((1, 2, 2), 3, (4,), 5),
    "DCGAN": lambda: gl.DCGAN((1, 2, 2), 3, (4,)),
    "StackedAutoencoder": lambda: gl.StackedAutoencoder([gl.Autoencoder(4, 3, ())], 2),
}


def good_rows(model, n=40):
    """Events of the model's support; real matrices where the data decide the shape."""
    generator = torch.Generator().manual_seed(0)
    shape = model.event_shape or torch.Size([4])
    if model.support.is_discrete and state_counts(model.support, shape.numel()):
        events = finite_events(model.support, shape)
        if events is not None:
            return events[torch.randint(len(events), (n,), generator=generator)]
        return (torch.rand((n, *shape), generator=generator) < 0.5).float()
    draw = torch.rand if model.support is constraints.unit_interval else torch.randn
    return draw((n, *shape), generator=generator)


def fitted(name, models=MODELS):
    gl.seed(0)
    model = models[name]()
    x = good_rows(model)
    if isinstance(model, gl.NaiveBayes):
        model.fit(x, (x[:, 0] > 0).long())
    elif model.fitted_buffers or "table" in dir(model):
        model.fit(x)
    return model.eval(), x


def altered(x, index, value):
    x = x.clone()
    x.view(len(x), -1)[1, index] = value
    return x


BAD = {
    "a list": lambda x: x.tolist(),
    "an array": lambda x: x.numpy(),
    "nothing": lambda x: None,
    "float64": lambda x: x.double(),
    "half": lambda x: x.half(),
    "integers": lambda x: x.long(),
    "bytes": lambda x: x.byte(),
    "booleans": lambda x: x.bool(),
    "complex": lambda x: x.to(torch.complex64),
    "sparse": lambda x: x.to_sparse(),
    "meta": lambda x: x.to("meta"),
    "no rows": lambda x: x[:0],
    "one event": lambda x: x[0],
    "a scalar": lambda x: x.sum(),
    "a value too few": lambda x: x.flatten(1)[:, :-1],
    "a value too many": lambda x: torch.cat([x.flatten(1), x.flatten(1)[:, :1]], 1),
    "a dimension more": lambda x: x[..., None],
    "NaN": lambda x: altered(x, 0, math.nan),
    "infinity": lambda x: altered(x, -1, -math.inf),
}
OUTSIDE = {"a half": 0.5, "minus one": -1.0, "seven": 7.0}
WORDS = re.compile(r"expected|got|the model computes in|found")


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model, before):
    """Whether all is as it was, NaN included."""
    after = snapshot(model)
    return all(
        torch.equal(before[name].nan_to_num(-7.0), value.nan_to_num(-7.0))
        for name, value in after.items()
    )


def asks(model, x):
    """Every public question to which ``x`` is handed, by name; ``fit`` where the shape is known."""
    names = ("log_prob", "encode", "conditionals", "unnormalised_log_prob", "predict")
    names += ("reconstruct", "reconstruction_error", "objective", "penalty", "logits")
    for name in names:
        if name in ("log_prob", "encode") and not model.answers(name):
            continue
        if name == "predict" and isinstance(model, gl.DBN):  # without labels
            continue
        if callable(getattr(model, name, None)):
            yield name, lambda name=name: getattr(model, name)(x)
    if hasattr(model, "complete"):
        mask = torch.zeros(model.event_shape, dtype=torch.bool)
        yield "complete", lambda: model.complete(x, mask)


@pytest.mark.parametrize("name", MODELS)
def test_bad_input_is_refused_in_words(name):
    model, x = fitted(name)
    before = snapshot(model)
    cases = {what: make(x) for what, make in BAD.items()}
    if model.support.is_discrete:
        cases |= {what: altered(x, 0, value) for what, value in OUTSIDE.items() if value != 7}
        cases |= {"far outside": altered(x, 0, 1e6)}
    for what, bad in cases.items():
        for question, ask in asks(model, bad):
            with pytest.raises((TypeError, ValueError)) as refusal:
                ask()
            assert WORDS.search(str(refusal.value)), f"{question} of {what}: {refusal.value}"
    assert unchanged(model, before)


@pytest.mark.parametrize("name", MODELS)
def test_a_refused_fit_changes_nothing(name):
    model, x = fitted(name)
    if isinstance(model, gl.NaiveBayes):
        y = (x[:, 0] > 0).long()
        fits = [lambda bad: model.fit(bad, y), lambda bad: model.fit(x, y, valid=(bad, y))]
    else:
        fits = [model.fit]
        if not isinstance(model, gl.KNearest):
            fits.append(lambda bad: model.fit(x, valid=bad))
    before = snapshot(model)
    for what in ("a list", "float64", "sparse", "meta", "no rows", "one event", "NaN"):
        for fit in fits:
            with pytest.raises((TypeError, ValueError)) as refusal:
                fit(BAD[what](x))
            assert WORDS.search(str(refusal.value)), f"fit of {what}: {refusal.value}"
    assert unchanged(model, before)


@pytest.mark.parametrize("name", MODELS)
def test_contiguous_or_not_the_answer_is_the_same(name):
    model, x = fitted(name)
    variants = {
        "strided": torch.stack([x, x], -1)[..., 0],
        "with a gradient": x.clone().requires_grad_(),
        "a parameter": torch.nn.Parameter(x.clone()),
        "minus zero": torch.where(x == 0, -0.0, x),
    }
    for question, ask in asks(model, x):
        if question == "complete":
            continue
        expected = ask().detach()
        for what, variant in variants.items():
            again = dict(asks(model, variant))[question]()
            assert torch.equal(again.detach(), expected), f"{question}, {what}"


@pytest.mark.parametrize("name", MODELS)
def test_what_was_saved_answers_the_same(name, tmp_path):
    model, x = fitted(name)
    model.save(tmp_path / "model")
    loaded = gl.load(tmp_path / "model")
    assert type(loaded) is type(model) and loaded.dtype == model.dtype
    for (question, ask), (_, again) in zip(asks(model, x), asks(loaded, x), strict=True):
        if question != "complete":
            assert torch.equal(ask(), again()), question
    if model.answers("sample"):
        draws = [m.sample(5, generator=torch.Generator().manual_seed(1)) for m in (model, loaded)]
        assert torch.equal(*draws)
