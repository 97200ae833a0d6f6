"""Normalizing flows: change of variables against autograd, quadrature and their inverse."""

import itertools
import math

import pytest
import torch
from torch import nn

import genlib as gl
from genlib.nn.coupling import AffineCoupling, alternating


@pytest.fixture
def flow():
    gl.seed(0)
    model = gl.RealNVP(3, layers=4, hidden=(8,)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


@pytest.mark.covers("L09")
class TestRealNVP:
    def test_log_prob_is_the_change_of_variables_by_autograd(self, flow):
        x = torch.randn(6, 3, dtype=torch.float64)
        z = flow.encode(x)
        for n in range(6):
            jacobian = torch.autograd.functional.jacobian(lambda r: flow.encode(r[None])[0], x[n])
            expected = torch.linalg.slogdet(jacobian).logabsdet
            expected = expected - 0.5 * (z[n] ** 2).sum() - 1.5 * math.log(2 * math.pi)
            torch.testing.assert_close(flow.log_prob(x)[n], expected)

    def test_decode_undoes_encode(self, flow):
        x = torch.randn(50, 3, dtype=torch.float64)
        torch.testing.assert_close(flow.decode(flow.encode(x)), x)

    def test_begins_as_the_identity(self):
        model, x = gl.RealNVP(4), torch.randn(5, 4)
        assert torch.equal(model.encode(x), x)

    def test_learns_a_density_whose_truth_is_known(self):
        """Two moons: the mean log-likelihood of new rows rises well above a Gaussian's."""
        gl.seed(0)
        x = gl.data.two_moons().sample(3000)
        model, gaussian = gl.RealNVP(2, layers=6, hidden=(32, 32)), gl.Gaussian()
        model.fit(x[:2000], epochs=40, lr=3e-3, progress=False)
        gaussian.fit(x[:2000])
        assert (model.log_prob(x[2000:]) - gaussian.log_prob(x[2000:])).mean() > 0.5
        gl.verify.normalised(model, draws=30_000)
        gl.verify.samples_match(model, draws=20_000, cells=12)

    def test_every_value_is_changed_by_two_layers(self):
        kept = alternating(5, 4)
        assert all(torch.equal(a, ~b) for a, b in itertools.pairwise(kept))

    def test_saving(self, flow, tmp_path):
        flow.save(tmp_path / "flow")
        x = torch.randn(4, 3, dtype=torch.float64)
        assert torch.equal(gl.load(tmp_path / "flow").log_prob(x), flow.log_prob(x))

    def test_bad_settings(self):
        with pytest.raises(ValueError, match="dim: expected at least 2"):
            gl.RealNVP(1)
        with pytest.raises(ValueError, match="layers: expected at least 1"):
            gl.RealNVP(2, layers=0)


def test_a_coupling_layer_by_hand():
    gl.seed(0)
    layer = AffineCoupling(torch.tensor([True, False, True]), [4], context=2).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)
    z, context = torch.randn(3, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    s, t = layer.network(torch.cat([z[[0, 2]], context]))
    s = 2 * (s / 2).tanh()
    moved, log_det = layer(z[None], context[None])
    torch.testing.assert_close(moved[0], torch.stack([z[0], z[1] * s.exp() + t, z[2]]))
    torch.testing.assert_close(log_det[0], s)
    torch.testing.assert_close(layer.inverse(moved, context[None])[0], z)


@pytest.mark.parametrize(
    ("z", "error", "words"),
    [
        (torch.zeros(2, 3), ValueError, r"z: expected shape \(N, 2\)"),
        (torch.zeros(2), ValueError, r"z: expected shape \(N, 2\)"),
        (torch.full((1, 2), math.nan), ValueError, "z: expected finite values, got nan"),
        (torch.zeros(2, 2).double(), TypeError, "z: the model computes in torch.float32"),
    ],
)
def test_bad_codes_are_refused(z, error, words):
    with pytest.raises(error, match=words):
        gl.RealNVP(2).decode(z)
