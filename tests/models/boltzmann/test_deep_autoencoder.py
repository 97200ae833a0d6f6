"""Deep autoencoders: what the machines leave in both halves, and that it helps."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

import genlib as gl
from genlib.models.boltzmann import DeepAutoencoder, deep_autoencoder
from tests.models.boltzmann import truth
from tests.models.boltzmann.test_rbm import arrays, filled, rows


def images(n=400):
    """Rows of 16 grey values, with four causes."""
    generator = torch.Generator().manual_seed(0)
    causes = (torch.rand(n, 4, generator=generator) < 0.5).float()
    return 0.05 + 0.9 * causes.repeat_interleave(4, 1)


@pytest.mark.covers("R09")
def test_unrolled_halves_go_up_and_down_the_machines(monkeypatch):
    """The encoder and decoder are the machines' means, one after the other."""
    machines = []
    original = gl.RBM.fit

    def noted(machine, *args, **settings):
        machines.append(machine)
        return original(machine, *args, **settings)

    monkeypatch.setattr(gl.RBM, "fit", noted)
    gl.seed(0)
    model, x = DeepAutoencoder([16, 8, 6, 3]), images()
    histories = model.pretrain(x, epochs=2, lr=0.01, progress=False)
    assert len(histories) == len(machines) == 3
    first, second, code = machines
    z = ((x @ first.W + first.c).sigmoid() @ second.W + second.c).sigmoid() @ code.W + code.c
    torch.testing.assert_close(model.encode(x), z)
    down = ((z @ code.W.T + code.b).sigmoid() @ second.W.T + second.b).sigmoid()
    torch.testing.assert_close(model.decode(z), (down @ first.W.T + first.b).sigmoid())


@pytest.mark.covers("R09")
def test_machines_then_labels_of_the_rows_themselves():
    """Pretraining beats random weights before any fine-tuning, and fine-tuning goes on from it."""
    gl.seed(0)
    x = images()
    random, model = DeepAutoencoder([16, 12, 4]), DeepAutoencoder([16, 12, 4])
    model.pretrain(x, epochs=60, lr=0.02, progress=False)
    begin = model.reconstruction_error(x).mean()
    assert begin < 0.9 * random.reconstruction_error(x).mean()
    model.fit(x, epochs=40, lr=0.01, progress=False)
    least = torch.nn.functional.binary_cross_entropy(x, x, reduction="none").sum(1).mean()
    assert model.reconstruction_error(x).mean() < begin
    assert model.reconstruction_error(x).mean() < 1.5 * least


def gaussian_code_free_energy(v, W, b, c):
    """−log ∫ exp(−E(v, h)) dh, without its constant, by quadrature for one hidden unit."""
    h = np.linspace(-30, 30, 60_001)
    energy = 0.5 * (h - c[0]) ** 2 - v @ b - (v @ W)[0] * h
    return -np.log(np.trapezoid(np.exp(-energy), h)) + 0.5 * np.log(2 * np.pi)


def test_the_machine_of_the_code_is_its_integral():
    machine = filled(deep_autoencoder._GaussianCodeRBM(3, 1))
    W, b, c = arrays(machine)
    expected = [gaussian_code_free_energy(v, W, b, c) for v in truth.states(3)]
    torch.testing.assert_close(machine.free_energy(rows(3)).tolist(), expected)


def test_the_machine_of_the_code_follows_its_contrastive_gradient():
    """Against the transition matrix, whose integral over h is a sum over a fine grid."""
    machine = filled(deep_autoencoder._GaussianCodeRBM(3, 1), 0.7)
    W, b, c = arrays(machine)
    states, h = truth.states(3), np.linspace(-12, 12, 4001)
    matrix = np.zeros((8, 8))
    for i, v in enumerate(states):
        weight = np.exp(-0.5 * (h - c - v @ W) ** 2)
        p_on = 1 / (1 + np.exp(-(h[:, None] * W.T + b)))
        for j, after in enumerate(states):
            p = np.prod(np.where(after == 1, p_on, 1 - p_on), 1)
            matrix[i, j] = (p * weight).sum() / weight.sum()
    x = rows(3)[[1, 6, 6, 7]].repeat(128, 1)
    data = np.array([0, 1, 0, 0, 0, 0, 2, 1]) / 4
    mean = states @ W + c  # −∂F/∂W = vᵀ (v W + c)
    slopes = [(states * q[:, None]).T @ mean for q in (data, data @ matrix)]
    torch.manual_seed(0)
    found = []
    for _ in range(400):
        machine.zero_grad()
        machine.loss(x).backward()
        found.append(machine.W.grad.clone())
    found = torch.stack(found)
    z = (found.mean(0).numpy() - (slopes[1] - slopes[0])) / (found.std(0) / 20).numpy()
    assert np.abs(z).max() < norm.isf(0.5e-6 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DeepAutoencoder([784]), "a row's and a code's at least"),
        (lambda: DeepAutoencoder([4, 0]), "sizes: expected at least 1"),
        (lambda: DeepAutoencoder([4, 2]).pretrain(torch.full((2, 4), 2.0)), "values in"),
        (lambda: DeepAutoencoder([4, 2]).pretrain(torch.zeros(2, 5)), r"x: expected .*\(N, 4\)"),
        (lambda: DeepAutoencoder([4, 2]).pretrain(torch.zeros(2, 4), checkpoint="a"), "none"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_it_is_saved_whole(tmp_path):
    model = DeepAutoencoder([16, 8, 3])
    model.save(tmp_path / "model")
    x = images(5)
    torch.testing.assert_close(gl.load(tmp_path / "model").encode(x), model.encode(x))


def test_machines_see_bits_drawn_anew_and_begin_at_rates(monkeypatch):
    """Means over 200 passes; false alarm: 1e-6 a value."""
    seen, fit = [], gl.RBM.fit

    def noted(machine, bits, **settings):
        drawn = torch.stack([torch.cat([x for (x,) in bits]).mean(0) for _ in range(200)])
        seen.append((machine, drawn.mean(0)))
        return fit(machine, bits, **settings)

    monkeypatch.setattr(gl.RBM, "fit", noted)
    torch.manual_seed(0)
    x = torch.rand(60, 6, generator=torch.Generator().manual_seed(0))
    DeepAutoencoder([6, 4, 2]).pretrain(x, epochs=1, lr=1e-9, progress=False)
    first, code = seen
    above = first[0]._field(x).sigmoid().detach()
    for probabilities, (machine, mean) in zip((x, above), (first, code), strict=True):
        limit = norm.isf(0.5e-6) * 0.5 / (60 * 200) ** 0.5
        torch.testing.assert_close(mean, probabilities.mean(0), atol=limit, rtol=0)
        rates = ((probabilities.sum(0) + 0.5) / 61).logit()
        torch.testing.assert_close(machine.base, rates)
        torch.testing.assert_close(machine.b.detach(), rates, atol=1e-6, rtol=0)


def test_the_code_s_units_are_real():
    machine = deep_autoencoder._GaussianCodeRBM(4, 3)
    field = torch.zeros(50, 3)
    assert len(machine._draw_hidden(field, 0, None).unique()) == 150
