"""Recipes of Boltzmann machines, on machines that can be listed."""

from functools import partial

import pytest
import torch

import genlib as gl
from genlib import recipes
from genlib.recipes import boltzmann


def toy_data():
    generator = torch.Generator().manual_seed(0)
    causes = (torch.rand(400, 2, generator=generator) < 0.5).float().repeat_interleave(3, 1)
    flips = torch.rand(400, 6, generator=generator) < 0.1
    x = torch.where(flips, 1 - causes, causes)
    return gl.data.Dataset(x[:200], x[200:300], x[300:], name="two causes")


def toy(**changes):
    settings = {
        "name": "toy",
        "title": "a toy",
        "data": toy_data,
        "model": lambda: gl.RBM(6, 4),
        "train": boltzmann.InPhases(
            [boltzmann.Phase(1, 0.1, 10), boltzmann.Phase(5, 0.05, 5)], batch_size=20
        ),
        "measure": partial(boltzmann.annealed_nats, temperatures=500, steps=200),
    }
    return recipes.Recipe(**settings | changes)


def test_the_record_is_near_the_exact_log_likelihood(tmp_path):
    train = boltzmann.InPhases([boltzmann.Phase(3, 0.3, 60)], batch_size=20)
    record = recipes.run(toy(train=train), tmp_path, progress=False)
    model, data = gl.load(tmp_path / "model.safetensors"), toy_data()
    for name, rows in (
        ("nats", data.test),
        ("validation nats", data.valid),
        ("nats by annealing down", data.test),
    ):
        log_p = model.double().log_prob(rows.double())
        assert record[name] == pytest.approx(log_p.mean().item(), abs=0.05)
    error = record["standard error"]
    assert error == pytest.approx((log_p.std() / 10).item(), rel=0.05)
    assert record["nats"] > -3.9  # six tossed coins have −4.16, and this world's truth −3.3


def test_phases_have_their_settings_and_go_on_where_they_stopped(tmp_path, monkeypatch):
    calls, fit = [], gl.RBM.fit

    def noted(model, *rows, **settings):
        calls.append(
            (model.k, settings["epochs"], settings["optimizer"].keywords, len(settings["hooks"]))
        )
        return fit(model, *rows, **settings)

    monkeypatch.setattr(gl.RBM, "fit", noted)
    gl.seed(0)
    whole = toy().model()
    history = toy().train(whole, toy_data(), tmp_path, progress=False)
    assert calls == [
        (1, 10, {"lr": 0.1, "momentum": 0.9}, 0),
        (5, 5, {"lr": 0.05, "momentum": 0.9}, 1),
    ]
    assert history["epoch"] == list(range(1, 16))
    assert history["phase"] == [1] * 10 + [2] * 5
    again = toy().model()
    toy().train(again, toy_data(), tmp_path, progress=False)
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


@pytest.mark.parametrize("settings", [(0, 0.1, 1), (1, 0.0, 1), (1, 0.1, 0)])
def test_a_phase_is_checked(settings):
    with pytest.raises(ValueError, match="expected"):
        boltzmann.Phase(*settings)


def test_each_figure_has_rows_and_a_log_z_of_its_own(monkeypatch):
    data, model = toy_data(), gl.RBM(6, 4)
    model.b.data.copy_(torch.linspace(-1, 1, 6))
    data = gl.data.Dataset(data.train, 1 - data.valid[:50], data.test, name="toy")
    found, starts = gl.sampling.Annealed, []

    def up(model, chains, *, temperatures):
        return found(gl.Estimate(torch.tensor(3.0), torch.tensor(4.0)), None, 9.0, None)

    def down(model, x, *, temperatures):
        starts.append(x)
        return found(gl.Estimate(torch.tensor(5.0), torch.tensor(0.0)), None, 9.0, None)

    monkeypatch.setattr(gl.RBM, "estimate_log_partition", up)
    monkeypatch.setattr(gl.RBM, "bound_log_partition", down)
    estimates = boltzmann.annealed_nats(model, data, temperatures=7, steps=50)
    test, valid = (model.energy(rows).detach().double() for rows in (data.test, data.valid))
    rows = (test.std() / 10).item()
    for name, value, error in (
        ("nats", -test.mean() - 3, (rows**2 + 16) ** 0.5),
        ("validation nats", -valid.mean() - 3, (valid.std() ** 2 / 50 + 16) ** 0.5),
        ("nats by annealing down", -test.mean() - 5, rows),
    ):
        assert estimates[name].value.item() == pytest.approx(float(value))
        assert estimates[name].error.item() == pytest.approx(float(error))
    (x,) = starts
    assert len(x) == 100 and not torch.equal(x, data.train[:100])
