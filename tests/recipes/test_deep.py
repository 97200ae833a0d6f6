"""Recipes of stacks of machines, on rows of seconds."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import genlib as gl
from genlib import recipes
from genlib.recipes import deep
from genlib.recipes.boltzmann import Phase
from tests.recipes.test_features import toy_data as halves


def grey():
    """Rows of six values, one half of which is bright; held-out rows are bits."""
    y = torch.arange(300) % 2
    bright = torch.stack([1 - y, y], 1).repeat_interleave(3, 1).float()
    data = gl.data.Dataset.cut(0.1 + 0.8 * bright, y, name="halves")
    bits = data.binarized()
    return replace(data, valid=bits.valid, test=bits.test)


def digits(**changes):
    settings = {
        "name": "toy_dbn",
        "title": "a toy",
        "data": grey,
        "model": partial(gl.DBN, [6, 8, 8], classes=2),
        "train": deep.UpDown(
            [Phase(2, 0.05, 5), Phase(1, 0.02, 3)],
            batch_size=20,
            decay=0.9,
            pretraining=Phase(1, 0.2, 20),
        ),
        "measure": recipes.label_errors,
        "metric": "test errors, %",
    }
    return recipes.Recipe(**settings | changes)


def codes(**changes):
    settings = {
        "name": "toy_codes",
        "title": "a toy",
        "data": halves,
        "model": partial(gl.DeepAutoencoder, [6, 8, 3]),
        "train": deep.Unrolled(recipes.Stage(0.05, 3), [recipes.Stage(0.02, 4)], 50),
        "measure": deep.squared_errors,
        "metric": "squared error",
    }
    return recipes.Recipe(**settings | changes)


def test_phases_of_up_down_have_their_settings_and_labels_are_learned(tmp_path, monkeypatch):
    calls, fit = [], gl.DBN.fit

    def noted(model, *rows, **settings):
        setting = settings["optimizer"].keywords
        calls.append((model.top.k, settings["epochs"], setting, len(settings["hooks"])))
        return fit(model, *rows, **settings)

    monkeypatch.setattr(gl.DBN, "fit", noted)
    gl.seed(0)
    model, data = digits().model(), grey()
    history = digits().train(model, data, tmp_path, progress=False)
    assert calls == [
        (2, 5, {"lr": 0.05, "momentum": 0.9}, 0),
        (1, 3, {"lr": 0.02, "momentum": 0.9}, 1),
    ]
    assert history["epoch"] == list(range(1, 9)) and history["phase"] == [1] * 5 + [2] * 3
    assert recipes.label_errors(model, data)["errors"].value == 0


@pytest.mark.parametrize("make", [digits, codes])
def test_what_was_pretrained_is_kept(tmp_path, monkeypatch, make):
    gl.seed(0)
    whole, data = make().model(), make().data()
    make().train(whole, data, tmp_path, progress=False)
    again = make().model()
    monkeypatch.setattr(type(again), "pretrain", None)
    make().train(again, data, tmp_path, progress=False)
    assert all(map(torch.equal, whole.parameters(), again.parameters()))


def test_the_squared_error_is_summed_over_pixels(tmp_path):
    record = recipes.run(codes(), tmp_path, progress=False)
    model, data = gl.load(tmp_path / "model.safetensors"), halves()
    for name, rows in (("", data.test), ("validation ", data.valid)):
        restored = model.reconstruct(rows).detach()
        errors = ((restored - rows) ** 2).sum(1).double().numpy()
        assert record[f"{name}squared error"] == pytest.approx(errors.mean(), abs=1e-3)
        label = "standard error" + (f" of {name}squared error" if name else "")
        assert record[label] == pytest.approx(errors.std(ddof=1) / np.sqrt(len(rows)), abs=1e-3)


def test_principal_components_leave_what_they_drop(tmp_path):
    """Against the eigenvalues of the training rows' covariance, on those rows themselves."""
    data = halves()
    same = gl.data.Dataset(data.train, data.train, data.train, name="same")
    recipe = codes(data=lambda: same, model=partial(gl.PCA, 2), train=deep.fit)
    record = recipes.run(recipe, tmp_path, progress=False)
    dropped = np.linalg.eigvalsh(np.cov(data.train.numpy().T, ddof=0))[:4].sum()
    assert record["squared error"] == pytest.approx(dropped, abs=1e-3)


def test_all_digits_are_for_training_and_test_digits_are_bits(monkeypatch):
    train, valid = torch.tensor([[0.2, 0.8], [1.0, 0.0]]), torch.tensor([[0.4, 0.7]])
    labels = gl.data.Splits(torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([3, 4]))
    grey_rows = gl.data.Dataset(train, valid, train, labels=labels, name="three")
    monkeypatch.setattr(deep, "grey_rows", lambda: grey_rows)
    data = deep._all_for_training()
    assert torch.equal(data.train, torch.cat([train, valid])) and data.valid is None
    assert torch.equal(data.test, train.round())
    assert data.labels.train.tolist() == [0, 1, 2] and data.labels.test.tolist() == [3, 4]


def test_held_out_digits_are_bits_and_training_digits_are_grey(monkeypatch):
    rows = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    labels = gl.data.Splits(*[torch.tensor([0, 1])] * 3)
    grey_rows = gl.data.Dataset(rows, rows, rows, labels=labels, name="two")
    monkeypatch.setattr(deep, "grey_rows", lambda: grey_rows)
    data = deep._held_out_bits()
    assert torch.equal(data.train, rows)
    assert torch.equal(data.valid, rows.round()) and torch.equal(data.test, rows.round())
    assert torch.equal(data.labels.train, labels.train)
