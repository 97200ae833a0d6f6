"""The classifier whose features judge samples."""

import re

import pytest
import torch
from torch.nn import functional as F

import genlib as gl


@pytest.fixture
def model():
    gl.seed(0)
    return gl.Classifier((2, 8, 8), classes=3, channels=(4, 6), features=5).double()


def written_out(model, x):
    """Features and logits, by torch's functions and the model's weights."""
    first, second, dense = (model.body[i] for i in (0, 2, 5))
    for layer in (first, second):
        x = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1).clamp_min(0)
    features = (x.flatten(1) @ dense.weight.T + dense.bias).clamp_min(0)
    return features, features @ model.head.weight.T + model.head.bias


def test_answers_are_those_of_the_layers_written_out(model):
    x, y = torch.rand(7, 2, 8, 8).double(), torch.arange(7) % 3
    features, logits = written_out(model, x)
    torch.testing.assert_close(model.encode(x), features)
    torch.testing.assert_close(model.predict_proba(x), logits.exp() / logits.exp().sum(1)[:, None])
    assert torch.equal(model.predict(x), logits.argmax(1))
    wanted = (logits.logsumexp(1) - logits[torch.arange(7), y]).mean()
    torch.testing.assert_close(model.loss(x, y), wanted)


def test_it_learns_labels(model):
    x = torch.rand(300, 2, 8, 8).double()
    y = torch.randint(3, (300,))
    x[torch.arange(300), 0, y, y] = 1.0
    x[:, 1] = y[:, None, None] / 2
    history = model.fit(x, y, epochs=15, lr=1e-2, batch_size=20)
    assert (model.predict(x) == y).double().mean() > 0.95
    assert history.last["loss"] < 0.3 < history.rows[0]["loss"]


def test_questions_that_it_cannot_answer_and_settings_that_it_cannot_have(model):
    for ask in (lambda: model.log_prob(torch.rand(2, 2, 8, 8).double()), lambda: model.sample(3)):
        with pytest.raises(gl.CannotAnswerError, match="Classifier cannot answer"):
            ask()
    for settings, words in (
        ({"classes": 1}, "classes"),
        ({"channels": ()}, "channels: expected at least one convolution"),
        ({"shape": (1, 6, 6)}, "6"),
        ({"features": 0}, "features"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(words)):
            gl.Classifier(**({"shape": (1, 8, 8)} | settings))
    for given in ({}, {"valid": torch.rand(4, 2, 8, 8).double()}):
        rows = [torch.rand(4, 2, 8, 8).double(), torch.tensor([0, 1, 2, 0])]
        with pytest.raises(ValueError, match="expected images with labels"):
            model.fit(*rows[: 1 + len(given)], epochs=1, **given)
    with pytest.raises(ValueError, match="x: "):
        model.predict_proba(2 + torch.rand(2, 2, 8, 8).double())
    with pytest.raises(ValueError, match="x: "):
        model.encode(2 + torch.rand(2, 2, 8, 8).double())
    with pytest.raises(ValueError, match="y"):
        model.fit(torch.rand(4, 2, 8, 8).double(), torch.tensor([0, 1, 2, 3]), epochs=1)


def test_saving(model, tmp_path):
    model.float().save(tmp_path / "model")
    x = torch.rand(3, 2, 8, 8)
    assert torch.equal(gl.load(tmp_path / "model").encode(x), model.encode(x))
