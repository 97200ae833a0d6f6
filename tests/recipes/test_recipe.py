import json
import math

import pytest
import torch

import genlib as gl
from genlib import recipes
from genlib.core import fit as fit_module
from genlib.recipes import recipe as recipe_module
from tests.processes import run_python


def rows(n, seed):
    return (torch.rand(n, 6, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def toy_data():
    return gl.data.Dataset(rows(300, 0), rows(100, 1), rows(200, 2), name="coins")


TOY = recipes.Recipe(
    name="toy",
    title="a toy",
    data=toy_data,
    model=lambda: gl.FVSBN(6),
    stages=[recipes.Stage(0.05, 4), recipes.Stage(0.01, 3)],
    published=-3.6,
    source="frey1998",
    batch_size=50,
)


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


def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    whole = recipes.run(TOY, tmp_path / "whole", progress=False)

    class Stopped(Exception):
        pass

    epochs, epoch = [], fit_module._Run.epoch

    def interrupted(self, *arguments):
        epochs.append(len(epochs))
        if len(epochs) == 6:  # in the second stage
            raise Stopped
        return epoch(self, *arguments)

    monkeypatch.setattr(fit_module._Run, "epoch", interrupted)
    with pytest.raises(Stopped):
        recipes.run(TOY, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / "record.json").exists()
    monkeypatch.setattr(fit_module._Run, "epoch", epoch)
    gl.seed(99)  # whatever happened in between
    parts = recipes.run(TOY, tmp_path / "parts", progress=False)
    assert {**parts, "seconds": 0} == {**whole, "seconds": 0}
    a, b = (gl.load(tmp_path / part / "model.safetensors") for part in ("whole", "parts"))
    assert torch.equal(a.lower, b.lower)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = recipes.run(TOY, tmp_path, progress=False)
    again = recipes.run(TOY, tmp_path, progress=False)
    assert first == again


def test_the_test_rows_do_not_take_part_in_training(tmp_path):
    def other_test():
        return gl.data.Dataset(rows(300, 0), rows(100, 1), 1 - rows(200, 2), name="coins")

    recipe = recipe_module.Recipe(**{**TOY.__dict__, "data": other_test})
    one = recipes.run(TOY, tmp_path / "one", progress=False)
    two = recipes.run(recipe, tmp_path / "two", progress=False)
    assert one["validation curve"] == two["validation curve"] and one["nats"] != two["nats"]


def test_decay_spares_biases(monkeypatch):
    weights, biases = (torch.nn.Parameter(torch.zeros(n)) for n in (10_000, 784))
    adam = recipe_module._adam([weights, biases], lr=0.1, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in adam.param_groups for p in group["params"]}
    assert decay == {id(weights): 0.5, id(biases): 0.0}


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_can_begin(name):
    recipe = recipes.RECIPES[name]
    model = recipe.model()
    with torch.no_grad():
        assert model.log_prob((torch.rand(2, *model.event_shape) < 0.2).float()).shape == (2,)
    assert (recipe.published is None) == (recipe.source is None)
    lrs = [stage.lr for stage in recipe.stages]
    assert lrs == sorted(lrs, reverse=True)


def test_committed_records_belong_to_recipes_and_name_no_place():
    for name, record in recipes.records().items():
        assert record["recipe"] == name and name in recipes.RECIPES
        assert record["published"] == recipes.RECIPES[name].published
        assert len(record["validation curve"]) <= sum(
            s.epochs for s in recipes.RECIPES[name].stages
        )
        assert "/" not in json.dumps(record["machine"])


def test_the_command_lists_the_recipes():
    done = run_python("-m", "genlib.recipes")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(recipes.RECIPES)


def test_an_unknown_recipe_is_refused():
    done = run_python("-m", "genlib.recipes", "nada")
    assert done.returncode == 2 and "invalid choice: 'nada'" in done.stderr
