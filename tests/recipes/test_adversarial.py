"""What the recipes of adversarial networks measure, against data that are known."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file

import genlib as gl
from genlib import recipes
from genlib.recipes.adversarial import (
    Play,
    attributes,
    fidelity,
    labels_named,
    stacked_modes,
)


class Repeats:
    """In the place of a generator: samples are given rows, in turn."""

    def __init__(self, rows):
        self.rows, self.start = rows, 0

    def sample(self, n):
        index = torch.arange(self.start, self.start + n) % len(self.rows)
        self.start += n
        return self.rows[index]


@pytest.fixture(scope="module")
def digits():
    return gl.data.strokes(9000)


def test_attributes_of_faces_are_told_in_one_label():
    faces = gl.data.cartoon_faces(60, size=16)
    told = attributes(faces).labels.train
    assert torch.equal(told // 4, faces.factors["hair"].train)
    assert torch.equal(told // 2 % 2, faces.factors["glasses"].train)
    assert torch.equal(told % 2 == 1, faces.factors["smile"].train > 0)


def test_shipped_classifiers_name_new_rows(digits):
    unseen = gl.data.strokes(1000, seed=1)
    found = labels_named(recipes.pretrained("strokes_classifier"), unseen)
    assert found["labels named"].value > 0.95  # 100 test rows of 0.995: five misses, 2 in 10,000
    faces = attributes(gl.data.cartoon_faces(1000, seed=1))
    found = labels_named(recipes.pretrained("faces_classifier"), faces)
    assert found["labels named"].value > 0.87


def test_fidelity_is_best_for_the_data_and_worse_for_a_part_of_them(digits):
    """Samples from the same source; without the digit 7; and of noise."""
    other = gl.data.strokes(9000, seed=1)
    rows = {
        "all": other.train,
        "no seven": other.train[other.labels.train != 7],
        "noise": torch.rand(4000, 1, 28, 28),
    }
    found = {
        name: fidelity(Repeats(x), digits, judge="strokes_classifier") for name, x in rows.items()
    }
    far = {name: each["Fréchet distance"].value.item() for name, each in found.items()}
    error = found["all"]["Fréchet distance"].error.item()
    assert abs(far["all"]) < 5 * error and far["all"] + 10 * error < far["no seven"] < far["noise"]
    assert found["all"]["recall"].value > found["no seven"]["recall"].value
    assert found["all"]["precision"].value > 0.8
    assert (
        found["noise"]["recall"].value < 0.01
    )  # its precision is high: an outlier has a huge ball


def test_stacked_modes_are_counted_with_their_divergence(digits):
    grey = {k: digits.train[digits.labels.train == k][:1] for k in range(10)}
    judge = recipes.pretrained("strokes_classifier")
    assert [int(judge.predict(grey[k])) for k in range(10)] == list(range(10))
    pictures = [(1, 2, 3), (9, 2, 3), (1, 0, 3), (1, 2, 5)] + 4 * [(1, 2, 3)]
    rows = torch.cat([torch.cat([grey[k] for k in each], 1) for each in pictures])
    generator = Repeats(rows)
    found = stacked_modes(generator, digits)
    assert generator.start == 25_600 and found["modes"].value == 4
    entropy = -(5 / 8 * math.log(5 / 8) + 3 / 8 * math.log(1 / 8))
    assert found["KL"].value.item() == pytest.approx(math.log(1000) - entropy, abs=1e-5)


def test_a_game_is_played_and_resumed_from_where_it_stood(tmp_path):
    data = gl.data.strokes(60, size=8)

    def played(folder, epochs):
        gl.seed(0)
        model = gl.DCGAN((1, 8, 8), 3, (4,))
        history = Play(epochs, batch_size=16)(model, data, folder)
        return model, history

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    played(tmp_path / "a", 1)
    (one, _), (other, history) = played(tmp_path / "a", 2), played(tmp_path / "b", 2)
    assert len(history) == 2
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["stacked_plain", "stacked_unrolled", "stacked_wgan_gp"])
def test_games_of_stacked_digits_differ_as_they_say(name):
    model = recipes.RECIPES[name].model()
    kinds = {"stacked_plain": gl.GAN, "stacked_unrolled": gl.UnrolledGAN}
    assert type(model) is kinds.get(name, gl.WGAN) and model.event_shape == (3, 28, 28)
    steps = {player.name: player.steps for player in model.players()}
    if name == "stacked_unrolled":
        assert model.unroll == 5
    if name == "stacked_wgan_gp":
        assert steps["critic"] == 5 and model.gradient_penalty == 10
    # As many steps of every generator: a round takes as many batches as its player with most steps.
    assert recipes.RECIPES[name].train.epochs == 25 * max(steps.values())


@pytest.mark.parametrize("name", ["strokes_dcgan", "stacked_plain", "stacked_wgan_gp"])
def test_a_game_can_be_run_to_its_record(name, tmp_path):
    """On few rows, for one epoch; not every game can be saved as a model."""
    recipe = recipes.RECIPES[name]
    few = gl.data.strokes(160)
    data = gl.data.stacked(few, 80) if name.startswith("stacked") else few
    short = dataclasses.replace(
        recipe,
        data=lambda: data,
        train=Play(1, batch_size=16),
        measure=lambda model, data: {"n": gl.Estimate(torch.tensor(1.0), torch.tensor(0.0))},
    )
    record = recipes.run(short, tmp_path, progress=False)
    assert record["n"] == 1 and (tmp_path / "model.safetensors").exists()
    if name.startswith("stacked"):
        recipe.model().load_state_dict(load_file(tmp_path / "model.safetensors"))
