"""Independent component analysis against planted sources, quadrature, autograd and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import FastICA

import genlib as gl
from genlib.models.ica import SOURCES

DOUBLE = torch.float64


def mixed(n=4000, d=5, seed=0, family="laplace"):
    """Rows of independent sources, mixed by a matrix: the rows and the matrix (d, d)."""
    draw = np.random.default_rng(seed)
    s = draw.laplace(size=(n, d)) if family == "laplace" else draw.logistic(size=(n, d))
    a = draw.normal(size=(d, d))
    return torch.tensor(s @ a + draw.normal(size=d)), torch.tensor(a)


def amari(unmixing, mixing):
    """Amari's distance of A W from a permutation with scales, 0 … 1."""
    p = (mixing @ unmixing).abs()
    rows = (p.sum(1) / p.amax(1) - 1).sum()
    columns = (p.sum(0) / p.amax(0) - 1).sum()
    return ((rows + columns) / (2 * len(p) * (len(p) - 1))).item()


@pytest.mark.parametrize("seed", range(3))
def test_planted_sources_are_found_as_scikit_learn_finds_them(seed):
    x, a = mixed(seed=seed)
    gl.seed(seed)
    model = gl.ICA().double()
    history = model.fit(x)
    assert history["turned"][-1] < 1e-6
    peer = FastICA(whiten="unit-variance", tol=1e-10, max_iter=1000, random_state=0)
    peer.fit(x.numpy())
    theirs = amari(torch.tensor(peer.components_.T), a)
    ours = amari(model.unmixing, a)
    assert ours < 0.05
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert amari(torch.eye(5, dtype=DOUBLE), a) > 0.15
    # The same directions, up to order and sign.
    ours, theirs = model.encode(x), torch.tensor(peer.transform(x.numpy()))
    cross = (ours.T @ theirs / len(x)).abs()
    torch.testing.assert_close(cross.amax(1), torch.ones(5, dtype=DOUBLE), rtol=0, atol=1e-5)


def test_sources_are_white_and_the_mixing_undoes_the_unmixing():
    x, _ = mixed()
    gl.seed(0)
    model = gl.ICA().double()
    model.fit(x)
    s = model.encode(x)
    assert s.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(s.T @ s / len(s), torch.eye(5, dtype=DOUBLE))
    torch.testing.assert_close(model.decode(s), x)
    torch.testing.assert_close(model.mixing, torch.linalg.inv(model.unmixing))


@pytest.mark.parametrize("sources", SOURCES)
class TestDensity:
    def fitted(self, sources, d=2, n=2000):
        gl.seed(0)
        x, _ = mixed(n, d, family=sources)
        model = gl.ICA(sources).double()
        model.fit(x)
        return model, x

    def test_it_is_scipy_s(self, sources):
        model, x = self.fitted(sources, 3)
        family = {"laplace": stats.laplace, "logistic": stats.logistic}[sources]
        w, b = model.unmixing.numpy(), model.scales.numpy()
        expected = np.log(abs(np.linalg.det(w)))
        for k in range(3):
            s = (x.numpy() - model.mean.numpy()) @ w[:, k]
            expected = expected + family.logpdf(s, scale=b[k])
        torch.testing.assert_close(model.log_prob(x), torch.tensor(expected))
        far = 1e6 * torch.ones(1, 3, dtype=DOUBLE)
        assert model.log_prob(far).isfinite().all()

    def test_it_is_normalised_and_samples_follow_it(self, sources):
        model, _ = self.fitted(sources)
        single = gl.ICA(sources)
        gl.seed(0)
        single.fit(mixed(2000, 2, family=sources)[0].float())
        gl.verify.normalised(single, draws=30_000)
        gl.verify.samples_match(single, draws=30_000, cells=12)
        drawn = model.sample(5, generator=torch.Generator().manual_seed(1))
        assert torch.equal(drawn, model.sample(5, generator=torch.Generator().manual_seed(1)))

    def test_no_other_scale_is_more_likely(self, sources):
        model, x = self.fitted(sources)
        best = model.log_prob(x).mean()
        scales = model.scales.clone().requires_grad_()
        s = model.encode(x).detach()
        if sources == "laplace":
            log_p = (-(s.abs() / scales) - scales.log()).sum(1).mean()
        else:
            log_p = (-2 * torch.cosh(s / (2 * scales)).log() - scales.log()).sum(1).mean()
        (slope,) = torch.autograd.grad(log_p, scales)
        assert slope.abs().max() < 1e-8
        model.scales = model.scales * 1.01
        assert model.log_prob(x).mean() < best

    def test_it_beats_a_gaussian_on_its_own_sources(self, sources):
        model, _ = self.fitted(sources, n=8000)
        gaussian = gl.Gaussian().double()
        x, a = mixed(8000, 2, family=sources)
        held_out = mixed(8000, 2, seed=1, family=sources)[0]
        held_out = (held_out - held_out.mean(0)) @ torch.linalg.inv(mixed(9, 2, seed=1)[1])
        gaussian.fit(x)
        assert model.log_prob(x).mean() > gaussian.log_prob(x).mean() + 0.02
        assert held_out.shape == x.shape
        assert a.shape == (2, 2)


def test_fewer_components_are_those_of_the_leading_directions_and_have_no_density():
    x, _ = mixed(d=5)
    gl.seed(0)
    model = gl.ICA(components=3).double()
    model.fit(x)
    s = model.encode(x)
    torch.testing.assert_close(s.T @ s / len(s), torch.eye(3, dtype=DOUBLE))
    apart = x - x.mean(0)
    leading = torch.linalg.eigh(apart.T @ apart).eigenvectors[:, 2:]
    torch.testing.assert_close(model.decode(s), apart @ leading @ leading.T + x.mean(0))
    for query in (lambda: model.log_prob(x), lambda: model.sample(2)):
        with pytest.raises(gl.CannotAnswerError, match="leave components out"):
            query()
    assert gl.ICA().answers("log_prob")


@pytest.mark.parametrize("scale", [1e-5, 1e5, 1e7])
def test_the_unit_of_a_column_does_not_matter(scale):
    draw = np.random.default_rng(0)
    x = torch.tensor(draw.laplace(size=(4000, 3)))
    units = torch.tensor([1.0, scale, 1.0], dtype=DOUBLE)
    plain, scaled = gl.ICA().double(), gl.ICA().double()
    for model, rows in ((plain, x), (scaled, x * units)):
        gl.seed(0)
        model.fit(rows)
    expected = plain.log_prob(x) - math.log(scale)
    torch.testing.assert_close(scaled.log_prob(x * units), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", ["a large unit", "far away", "nearly equal columns"])
def test_float32_rows_are_whitened_in_float64(case):
    gl.seed(0)
    x = mixed()[0]
    if case == "a large unit":
        x[:, 0] *= 1e3
    elif case == "far away":
        x += 300
    else:
        x[:, 0] = x[:, 1] + 1e-3 * x[:, 0]
    x = x.float()
    model = gl.ICA()
    model.fit(x)
    s = (x.double() - x.double().mean(0)) @ model.unmixing.double()
    white = (s.T @ s / len(s) - torch.eye(5)).abs().max()
    assert white < (1e-3 if case == "nearly equal columns" else 5e-7)


def test_sources_of_both_kinds_are_soon_found():
    """Two with heavy tails and two with none: each has a curvature of its own."""
    gl.seed(0)
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(4000, 2, generator=generator, dtype=DOUBLE)
    s = torch.cat([mixed(4000, 2)[0], flat], 1)
    history = gl.ICA().double().fit(s @ mixed(9, 4)[1])
    assert len(history) < 12


def test_draws_of_zero_give_finite_samples(monkeypatch):
    model = gl.ICA()
    model.fit(mixed(500, 2)[0].float())
    zeros = lambda shape, like, generator: torch.zeros(shape)  # noqa: E731
    monkeypatch.setattr("genlib.models.ica.uniform", zeros)
    assert model.sample(3).isfinite().all()


def test_held_out_rows_need_a_density():
    x, _ = mixed(100)
    with pytest.raises(gl.CannotAnswerError, match="leave components out"):
        gl.ICA(components=2).double().fit(x, valid=x)
    history = gl.ICA().double().fit(x, valid=x)
    assert math.isfinite(history.last["valid"])


def test_saving_keeps_the_density(tmp_path):
    x, _ = mixed(500, 3)
    model = gl.ICA("logistic").double()
    model.fit(x)
    model.save(tmp_path / "model")
    assert torch.equal(gl.load(tmp_path / "model").log_prob(x), model.log_prob(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:4], "components: expected at most 3 of 4 rows in 5 dimensions, got 5"),
        (lambda x: x[:5], "components: expected at most 4 of 5 rows in 5 dimensions, got 5"),
        (
            lambda x: x.index_fill(1, torch.tensor([2]), 1.0),
            "vary in 5 directions, got 4",
        ),
        (
            lambda x: x.index_fill(1, torch.tensor([2]), 100.7),
            "vary in 5 directions, got 4",
        ),
        (lambda x: x - x.mean(1, keepdim=True), "ask for components=4 or fewer"),
        (lambda x: x[:1].repeat(100, 1), "rows that differ, got rows that are all the same"),
        (lambda x: x * math.nan, "expected finite values"),
        (lambda x: x[:0], "got an empty tensor"),
    ],
)
def test_bad_rows_are_refused(change, message):
    x, _ = mixed(100)
    with pytest.raises(ValueError, match=message):
        gl.ICA().double().fit(change(x))
    with pytest.raises(ValueError, match=message):
        gl.ICA().fit(change(x.float()))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="sources: expected one of 'laplace', 'logistic'"):
        gl.ICA("gaussian")
    with pytest.raises(ValueError, match="components: expected at least 1"):
        gl.ICA(components=0)
    with pytest.raises(ValueError, match="components: expected at most 5"):
        gl.ICA(components=6).double().fit(mixed(100)[0])
    with pytest.raises(gl.NotFittedError):
        gl.ICA().decode(torch.zeros(1, 3))
