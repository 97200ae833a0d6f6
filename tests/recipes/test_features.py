"""Recipes that train an autoencoder first and a classifier then, on rows of seconds."""

import json
import math

import pytest
import torch

import genlib as gl
from genlib import recipes
from genlib.core.hooks import copied_state
from genlib.recipes import features


def labelled(n, seed):
    """Rows of six values, and which half of them is brighter."""
    x = torch.rand(n, 6, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, :3].sum(1) > x[:, 3:].sum(1)).long()


def toy_data():
    parts = [labelled(n, seed) for seed, n in enumerate((300, 100, 200))]
    x, y = zip(*parts, strict=True)
    return gl.data.Dataset(*x, labels=gl.data.Splits(*y), name="halves")


def toy(**changes):
    settings = {
        "name": "toy",
        "title": "a toy",
        "data": toy_data,
        "model": lambda: gl.StackedAutoencoder(
            [gl.DenoisingAutoencoder(6, 8, code_activation="sigmoid", error="cross_entropy")], 2
        ),
        "train": features.PretrainedClassifier(
            [recipes.Stage(0.02, 3), recipes.Stage(0.01, 2)],
            [recipes.Stage(0.05, 6), recipes.Stage(0.01, 4)],
            batch_size=50,
        ),
        "measure": features.label_errors,
        "metric": "test errors, %",
    }
    return recipes.Recipe(**settings | changes)


def test_the_record_counts_the_wrong_labels(tmp_path):
    record = recipes.run(toy(), tmp_path, progress=False)
    model, data = gl.load(tmp_path / "model.safetensors"), toy_data()
    for name, x, y in (
        ("", data.test, data.labels.test),
        ("validation ", data.valid, data.labels.valid),
    ):
        wrong = sum(int(a != b) for a, b in zip(model.predict(x), y, strict=True)) / len(y)
        error = math.sqrt(wrong * (1 - wrong) / len(y))
        assert record[f"{name}errors"] == pytest.approx(100 * wrong, abs=1e-3)
        label = "standard error" + (f" of {name}errors" if name else "")
        assert record[label] == pytest.approx(100 * error, abs=1e-3)
    assert record["measure"] == "errors" and record["errors"] < 15
    assert len(record["validation curve"]) == 10


def test_the_weights_kept_are_those_with_the_fewest_validation_errors(tmp_path):
    data, model = toy_data(), toy().model()
    history = toy().train(model, data, tmp_path, progress=False)
    best = min(row["errors"] for row in history if "errors" in row)
    found = features.label_errors(model, data)["validation errors"].value.item()
    assert found == pytest.approx(best)
    assert [row["stage"] for row in history] == [1] * 3 + [2] * 2 + ["labels 1"] * 6 + [
        "labels 2"
    ] * 4
    assert "valid" not in history.rows[0] and "restored" in history.rows[0]


def test_stages_have_their_settings_and_keep_the_fewest_errors_of_all(tmp_path, monkeypatch):
    """By errors as told: the best epoch is the second, and no later stage comes near it."""
    errors, states, calls = [3.0, 1.0, 2.0, 4.0], [], []
    fit = gl.StackedAutoencoder.fit

    def told(model, *, held_out):
        states.append(copied_state(model))
        return {"errors": errors[len(states) - 1]}

    def noted(self, *rows, **settings):
        calls.append([settings[name] for name in ("lr", "epochs", "batch_size")])
        return fit(self, *rows, **settings)

    monkeypatch.setattr(features, "_errors_as_column", told)
    monkeypatch.setattr(gl.StackedAutoencoder, "fit", noted)
    gl.seed(0)
    model, stages = toy().model(), [recipes.Stage(0.05, 3), recipes.Stage(0.01, 1)]
    features.PretrainedClassifier([], stages, 50)(model, toy_data(), tmp_path, progress=False)
    assert all(torch.equal(value, states[1][name]) for name, value in model.state_dict().items())
    assert calls == [[0.05, 3, 50], [0.01, 1, 50]]


def test_epochs_are_counted_anew_with_labels(tmp_path):
    history = toy().train(toy().model(), toy_data(), tmp_path, progress=False)
    assert [row["epoch"] for row in history] == [*range(1, 6), *range(1, 11)]


def test_pretraining_is_the_layer_s_own_and_comes_first(tmp_path):
    gl.seed(0)
    model, data = toy().model(), toy_data()
    train = features.PretrainedClassifier([recipes.Stage(0.02, 3)], [recipes.Stage(1e-9, 1)], 50)
    alone = toy().model()
    alone.load_state_dict(model.state_dict())
    gl.seed(1)
    train(model, data, tmp_path, progress=False)
    gl.seed(1)
    alone.layers[0].fit(
        data.train, valid=data.valid, epochs=3, batch_size=50, lr=0.02, hooks=[gl.EarlyStopping()]
    )
    found = model.layers[0].encoder[1].weight
    torch.testing.assert_close(found, alone.layers[0].encoder[1].weight, rtol=0, atol=1e-6)


def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path):
    whole = recipes.run(toy(), tmp_path / "whole", progress=False)
    seen = []

    class Stopped(Exception):
        pass

    def stopping(model, data, folder, *, progress=None):
        loss = model.loss

        def counted(x, y=None):
            seen.append(0)
            if len(seen) == 20:
                raise Stopped
            return loss(x) if y is None else loss(x, y)

        model.loss = counted
        return toy().train(model, data, folder, progress=progress)

    with pytest.raises(Stopped):
        (tmp_path / "parts").mkdir()
        gl.seed(0)
        stopping(toy().model(), toy_data(), tmp_path / "parts")
    gl.seed(99)
    parts = recipes.run(toy(), tmp_path / "parts", progress=False)
    assert {**parts, "seconds": 0} == {**whole, "seconds": 0}


def test_no_pretraining_begins_from_random_weights(tmp_path):
    recipe = toy(train=features.PretrainedClassifier([], [recipes.Stage(0.05, 5)], 50))
    record = recipes.run(recipe, tmp_path, progress=False)
    assert record["settings"]["pretraining"] == [] and not (tmp_path / "layer").exists()
    assert json.loads((tmp_path / "record.json").read_text("utf-8")) == record
