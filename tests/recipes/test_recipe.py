import dataclasses
import functools
import json
import math
import os
import platform
from collections.abc import Sequence

import pytest
import torch

import genlib as gl
from genlib import recipes
from genlib.recipes import boltzmann
from genlib.recipes.recipe import WEIGHTS
from genlib.recipes.rings import RingGANs, Rounds
from genlib.recipes.text import bits_per_character
from tests.processes import run_python
from tests.recipes.toy import TOY, rows

SHIPPED = sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
BOUNDED = [name for name in SHIPPED if recipes.RECIPES[name].measure is recipes.bounded_nats]


def test_the_record_says_what_was_reached_how_and_where(tmp_path):
    record = recipes.run(TOY, tmp_path, progress=False)
    assert json.loads((tmp_path / "record.json").read_text("utf-8")) == record
    model, test = gl.load(tmp_path / "model.safetensors"), rows(200, 2)
    nats = model.log_prob(test).double()
    assert record["nats"] == pytest.approx(nats.mean().item(), abs=1e-3)
    assert record["standard error"] == pytest.approx(nats.std().item() / math.sqrt(200), abs=1e-3)
    entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7)) * 6
    assert abs(record["nats"] + entropy) < 0.5  # it learned something: fair coins would give −4.16
    assert record["rows"] == {"train": 300, "valid": 100, "test": 200}
    assert record["parameters"] == 21 and record["published"] == -3.6 and record["seed"] == 0
    assert len(record["validation curve"]) == 7
    assert (
        record["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in torch.__version__
    )
    assert "torch" in record["versions"] and record["machine"]["threads"] >= 1


def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path):
    whole = recipes.run(TOY, tmp_path / "whole", progress=False)

    class Stopped(Exception):
        pass

    losses = []

    class Interrupted(gl.FVSBN):
        def loss(self, x):
            losses.append(0)
            if len(losses) == 6 * 5:  # six batches an epoch: in the second stage
                raise Stopped
            return super().loss(x)

    Interrupted.__qualname__, Interrupted.__module__ = "FVSBN", "genlib"
    stopped = dataclasses.replace(TOY, model=lambda: Interrupted(6))
    with pytest.raises(Stopped):
        recipes.run(stopped, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / "record.json").exists()
    gl.seed(99)  # whatever happened in between
    parts = recipes.run(TOY, tmp_path / "parts", progress=False)
    assert {**parts, "seconds": 0} == {**whole, "seconds": 0}
    a, b = (gl.load(tmp_path / part / "model.safetensors") for part in ("whole", "parts"))
    assert torch.equal(a.lower, b.lower)


@pytest.mark.parametrize("binarize", [False, True])
def test_a_model_with_classes_is_given_the_labels_of_its_rows(tmp_path, binarize):
    """All pixels of a row are its label: known from the label, and half a bit from nothing."""

    def pictures(n):
        y = torch.arange(n) % 2
        return y.view(-1, 1, 1, 1).expand(-1, 1, 3, 3).float(), y

    (train, of_train), (valid, of_valid) = pictures(200), pictures(40)
    labels = gl.data.Splits(of_train, of_valid)
    data = gl.data.Dataset(train, valid, labels=labels, name="labels")
    gl.seed(0)
    model = gl.GatedPixelCNN((1, 3, 3), 4, 1, classes=2, first_kernel_size=3)
    stages = recipes.InStages([recipes.Stage(0.03, 12)], batch_size=20, binarize=binarize)
    history = stages(model, data, tmp_path, progress=False)
    assert history["valid"][-1] < 0.3 < math.log(2) < history["valid"][0]
    wrong = -model.log_prob(valid, 1 - of_valid).mean().item()
    assert wrong > math.log(2)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = recipes.run(TOY, tmp_path, progress=False)
    again = recipes.run(TOY, tmp_path, progress=False)
    assert first == again


def test_the_test_rows_do_not_take_part_in_training(tmp_path):
    def other_test():
        return gl.data.Dataset(rows(300, 0), rows(100, 1), 1 - rows(200, 2), name="coins")

    recipe = dataclasses.replace(TOY, data=other_test)
    one = recipes.run(TOY, tmp_path / "one", progress=False)
    two = recipes.run(recipe, tmp_path / "two", progress=False)
    assert one["validation curve"] == two["validation curve"] and one["nats"] != two["nats"]


def test_decay_is_that_of_the_parameter_s_name():
    model = gl.FVSBN(6)
    adam = TOY.train._adam(list(model.parameters()), model=model, lr=0.1)
    decay = {id(p): group["weight_decay"] for group in adam.param_groups for p in group["params"]}
    assert decay == {id(model.lower): 1e-3, id(model.bias): 0.0}
    wrong = recipes.InStages(TOY.train.stages, weight_decay={"upper": 1e-3})
    with pytest.raises(ValueError, match=r"weight_decay: expected names of parameters.*'upper'"):
        wrong._adam(list(model.parameters()), model=model, lr=0.1)


def test_the_best_weights_are_carried_across_stages(tmp_path):
    """A second stage that only does harm changes nothing."""
    stages = [recipes.Stage(0.05, 4), recipes.Stage(50.0, 3)]
    harmful = dataclasses.replace(TOY, train=recipes.InStages(stages, batch_size=50))
    record = recipes.run(harmful, tmp_path, progress=False)
    curve = record["validation curve"]
    assert max(curve[4:]) < max(curve[:4]) - 0.1  # it does harm
    assert record["validation nats"] == pytest.approx(max(curve), abs=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed_number": 1}, "seed = 1, found 0"),
        ({"train": recipes.InStages([recipes.Stage(0.1, 4)])}, "settings"),
        ({"data": lambda: gl.data.Dataset(rows(300, 5), rows(100, 1), rows(200, 2))}, "data = "),
        ({"name": "other"}, "recipe = other, found toy"),
    ],
)
def test_a_folder_is_one_run_s(tmp_path, change, words):
    first = recipes.run(TOY, tmp_path, progress=False)
    seed_number = change.pop("seed_number", 0)
    with pytest.raises(gl.WrongCheckpointError, match=words):
        recipes.run(dataclasses.replace(TOY, **change), tmp_path, seed_number=seed_number)
    assert json.loads((tmp_path / "record.json").read_text("utf-8")) == first


def test_another_way_to_train_and_to_measure(tmp_path):
    def train(model, data, folder, *, progress=None):
        return model.fit(data.train, valid=data.valid, epochs=2, progress=progress)

    def measure(model, data):
        return {
            "error rate": gl.Estimate(torch.tensor(0.25), torch.tensor(0.01)),
            **recipes.nats(model, data),
        }

    recipe = dataclasses.replace(TOY, train=train, measure=measure, metric="errors, a share")
    record = recipes.run(recipe, tmp_path, progress=False)
    assert record["metric"] == "errors, a share" and record["measure"] == "error rate"
    assert record["error rate"] == 0.25 and record["standard error"] == 0.01
    assert record["nats"] < 0 < record["standard error of nats"]


def plain(model, data, folder, *, epochs, progress=None):
    return model.fit(data.train, epochs=epochs, progress=progress)


def test_a_partial_is_known_by_its_settings_and_validation_is_not_needed(tmp_path):
    recipe = dataclasses.replace(TOY, train=functools.partial(plain, epochs=2))
    record = recipes.run(recipe, tmp_path, progress=False)
    assert record["settings"] == {"train": f"{__name__}.plain", "epochs": 2}
    assert record["validation curve"] == []
    with pytest.raises(gl.WrongCheckpointError, match=r"settings\.epochs = 3, found 2"):
        recipes.run(dataclasses.replace(TOY, train=functools.partial(plain, epochs=3)), tmp_path)

    class Nobody:
        def __call__(self, *_, **__):
            """Trains, but does not say how."""

    with pytest.raises(TypeError, match="train: expected a function"):
        recipes.run(dataclasses.replace(TOY, train=Nobody()), tmp_path / "other")


def test_what_measures_nothing_is_refused_and_the_model_kept(tmp_path):
    recipe = dataclasses.replace(TOY, measure=lambda model, data: {})
    with pytest.raises(ValueError, match="measure: expected at least one estimate of toy"):
        recipes.run(recipe, tmp_path, progress=False)
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("seed_number", [None, -1, 1.5, "0"])
def test_a_seed_is_a_count(tmp_path, seed_number):
    with pytest.raises((TypeError, ValueError), match="seed_number: expected"):
        recipes.run(TOY, tmp_path / "run", seed_number=seed_number)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: recipes.InStages([]), "stages: expected at least one"),
        (lambda: recipes.Stage(-1.0, 3), "lr: expected"),
        (lambda: recipes.Stage(0.1, 0), "epochs: expected"),
        (
            lambda: recipes.InStages(TOY.train.stages, weight_decay={"lower": math.nan}),
            "weight_decay",
        ),
        (lambda: recipes.InStages(TOY.train.stages, weight_decay={"lower": -1}), "weight_decay"),
    ],
)
def test_settings_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_torchrun_trains_one_model_in_two_processes(tmp_path):
    done = run_python(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "tests.recipes.toy", "toy", "--folder", str(tmp_path / "two"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written to") == 1
    record = json.loads((tmp_path / "two" / "record.json").read_text("utf-8"))
    assert record["machine"]["processes"] == 2
    assert record["nats"] == pytest.approx(recipes.run(TOY, tmp_path / "one")["nats"], abs=0.05)


def _answers(model, name):
    return model.answers(name) if name == "log_prob" else hasattr(model, name)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_can_begin(name):
    recipe = recipes.RECIPES[name]
    model = recipe.model()
    names = ("predict", "energy", "log_prob", "elbo", "reconstruction_error", "reconstruct")
    names += ("logits",)
    ask = next(getattr(model, name) for name in names if _answers(model, name))
    if model.event_shape is not None:  # PCA learns it from the rows
        with torch.no_grad():
            found = ask((torch.rand(2, *model.event_shape) < 0.2).float())
        assert found.shape == ((2, model.copies) if isinstance(model, RingGANs) else (2,))
    assert (recipe.published is None) == (recipe.source is None)
    for part in ("stages", "pretraining"):
        stages = getattr(recipe.train, part, [])
        lrs = [stage.lr for stage in (stages if isinstance(stages, Sequence) else [stages])]
        assert lrs == sorted(lrs, reverse=True)


def test_committed_records_belong_to_recipes_and_name_no_place():
    for name, record in recipes.records().items():
        assert record["recipe"] == name and name in recipes.RECIPES
        assert record["published"] == recipes.RECIPES[name].published
        train = recipes.RECIPES[name].train
        most = sum(stage.epochs for stage in getattr(train, "stages", []))
        if isinstance(train, Rounds):
            most = train.rounds // train.every
        assert len(record["validation curve"]) <= most
        assert "/" not in json.dumps(record["machine"])
        # The weights kept are those of the best epoch of all stages. (A bound is drawn anew.)
        if "validation nats" in record and record["validation curve"]:
            best = max(record["validation curve"])
            assert record["validation nats"] == pytest.approx(best, abs=2e-3)
        if "validation bits per character" in record:
            bits = -max(record["validation curve"]) / record["dimensions"] / math.log(2)
            assert record["validation bits per character"] == pytest.approx(bits, abs=1e-3)


def test_the_bound_is_measured_on_the_rows_that_it_names():
    gl.seed(0)
    model, data = gl.VAE(6, 2, (8,)), gl.data.Dataset(rows(9, 0), rows(1200, 1), rows(1100, 2))
    found = recipes.bounded_nats(model, data)
    assert list(found) == ["ELBO", "validation ELBO", "KL"]
    with torch.no_grad():
        for name, part in {"ELBO": data.test, "validation ELBO": data.valid}.items():
            elbo = model.elbo(part, samples=2000).double()
            assert found[name].value.item() == pytest.approx(elbo.mean().item(), abs=0.05)
            assert found[name].error.item() == pytest.approx(
                elbo.std().item() / math.sqrt(len(part)), rel=0.1
            )
        kl = model.kl(data.test).sum(1).double()
    torch.testing.assert_close(found["KL"].value, kl.mean())
    torch.testing.assert_close(found["KL"].error, kl.std() / math.sqrt(len(kl)))


class TestPretrained:
    @pytest.fixture(params=SHIPPED)
    def name(self, request):
        return request.param

    def test_weights_are_small_and_have_a_recipe_and_a_record(self, name):
        assert (WEIGHTS / f"{name}.safetensors").stat().st_size <= 5 * 2**20
        record = recipes.records()[name]
        made, settings = recipes.RECIPES[name].model(), recipes.RECIPES[name].settings
        assert record["parameters"] == sum(part.numel() for part in made.parameters())
        assert record["settings"] == json.loads(json.dumps(settings))

    def test_the_model_is_the_recipe_s_ready_for_use(self, name):
        model, made = recipes.pretrained(name), recipes.RECIPES[name].model()
        assert type(model) is type(made) and model.arguments == made.arguments
        assert not model.training
        shapes = {key: value.shape for key, value in made.state_dict().items()}
        assert {key: value.shape for key, value in model.state_dict().items()} == shapes

    @pytest.mark.parametrize(
        ("name", "n"), [*((name, 400) for name in BOUNDED), ("strokes_pixel_cnn", 90)]
    )
    def test_a_model_of_drawn_images_reaches_what_the_record_says(self, name, n):
        """New rows from the source of the test rows; false alarms at 5 standard errors: 6e-7."""
        model, record, recipe = (
            recipes.pretrained(name),
            recipes.records()[name],
            recipes.RECIPES[name],
        )
        data = recipe.data(n=n, seed=1)
        new = torch.cat([part for _, part in data.splits.items()])
        labels = data.labels and torch.cat([part for _, part in data.labels.items()])
        labels = None if labels is None else gl.data.Splits(labels, labels, labels)
        found = recipe.measure(model, gl.data.Dataset(new, new, new, labels=labels))
        errors = [""] + [f" of {key}" for key in list(found)[1:]]
        for (key, (value, error)), label in zip(found.items(), errors, strict=True):
            allowed = 5 * math.hypot(error.item(), record[f"standard error{label}"])
            assert abs(value.item() - record[key]) < allowed, key

    @pytest.mark.parametrize("name", ["text_lstm", "text_transformer"])
    def test_a_model_of_text_reaches_what_the_record_says(self, name):
        """Weights were rounded. Another version of Python has another manual, of which test rows
        may lie in the text that the weights were trained on: they cost no more, but may cost less.
        """
        model, record = recipes.pretrained(name), recipes.records()[name]
        found = bits_per_character(model, recipes.RECIPES[name].data())
        same_text = platform.python_version() == record["versions"]["python"]
        for key, (value, _) in found.items():
            assert value.item() < record[key] + 0.02, key
            assert not same_text or value.item() > record[key] - 0.02, key

    @pytest.mark.skipif("GENLIB_DATA" not in os.environ, reason="binarised MNIST is not at hand")
    def test_a_machine_reaches_what_the_record_says(self):
        """With a tenth of the temperatures; false alarms at 5 standard errors: 6e-7."""
        model, record = recipes.pretrained("rbm_cd25"), recipes.records()["rbm_cd25"]
        gl.seed(0)
        data = recipes.RECIPES["rbm_cd25"].data()
        found = boltzmann.annealed_nats(model, data, temperatures=1450, steps=500)
        for key, error in (
            ("nats", "standard error"),
            ("nats by annealing down", "standard error of nats by annealing down"),
        ):
            allowed = 5 * math.hypot(found[key].error.item(), record[error])
            assert abs(found[key].value.item() - record[key]) < allowed, key

    def test_it_computes_in_single_precision(self, name):
        model = recipes.pretrained(name)
        assert model.dtype == torch.float32
        assert {part.dtype for part in model.parameters()} == {torch.float32}

    @pytest.mark.skipif("GENLIB_DATA" not in os.environ, reason="MNIST is not at hand")
    def test_a_network_makes_as_many_errors_as_the_record_says(self):
        """But for three images of 10,000, for the weights were rounded since."""
        model, record = recipes.pretrained("mnist_dbn_short"), recipes.records()["mnist_dbn_short"]
        found = recipes.label_errors(model, recipes.RECIPES["mnist_dbn_short"].data())
        assert abs(found["errors"].value.item() - record["errors"]) < 0.035

    def test_weights_that_did_not_come_along_can_be_made(self):
        with pytest.raises(ValueError, match=r"python -m genlib\.recipes nade trains it anew"):
            recipes.pretrained("nade")

    def test_weights_that_were_altered_are_not_used(self, tmp_path, monkeypatch):
        content = bytearray((WEIGHTS / "vae_strokes.safetensors").read_bytes())
        content[-5] ^= 1
        (tmp_path / "vae_strokes.safetensors").write_bytes(content)
        monkeypatch.setattr("genlib.recipes.recipe.WEIGHTS", tmp_path)
        with pytest.raises(ValueError, match="the file was altered after it was written"):
            recipes.pretrained("vae_strokes")

    @pytest.mark.parametrize("name_of_none", ["vae_stroke", "../records/nade", None, 1, ["nade"]])
    def test_another_name_is_refused_with_those_that_there_are(self, name_of_none):
        with pytest.raises(ValueError, match=r"name: expected one of .*'vae_strokes'"):
            recipes.pretrained(name_of_none)


def test_the_command_lists_the_recipes():
    done = run_python("-m", "genlib.recipes")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(recipes.RECIPES)


def test_an_unknown_recipe_is_refused():
    done = run_python("-m", "genlib.recipes", "nada")
    assert done.returncode == 2 and "invalid choice: 'nada'" in done.stderr
