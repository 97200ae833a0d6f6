"""What lesson 10 writes by hand, against independent truth and on inputs it has no time for."""

import math

import pytest
import torch
from scipy import integrate
from sklearn.metrics import mutual_info_score

import genlib as gl
from tests.lessons.definitions import definitions

LESSON = "10_beyond_the_vae"


@pytest.fixture(scope="module")
def lesson():
    return definitions(LESSON)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ what latent variables hold


@pytest.mark.covers("L08", "L09")
@pytest.mark.parametrize("seed", range(3))
def test_information_is_scikit_learns(lesson, seed):
    a = torch.randint(5, (200,), generator=generator(seed))
    b = (a + torch.randint(2, (200,), generator=generator(seed + 9))) % 4
    found = lesson["information"](a, b).item()
    assert found == pytest.approx(mutual_info_score(a.numpy(), b.numpy()), abs=1e-9)


@pytest.mark.covers("L08")
def test_levels_are_equally_full(lesson):
    v = torch.randn(1000, generator=generator(1)).exp()
    cut = lesson["levels"](v, 20)
    assert cut.bincount().tolist() == [50] * 20
    assert (cut[v.argsort()].diff() >= 0).all()


@pytest.mark.covers("L08", "L09")
def test_the_gap_is_between_the_best_two(lesson):
    share = torch.tensor([[0.1, 0.7, 0.3], [0.5, 0.5, 0.0]])
    assert torch.allclose(lesson["gap"](share), torch.tensor([0.4, 0.0]))


@pytest.mark.covers("L08", "L09")
def test_a_turned_model_has_the_same_bound_and_a_diagonal_q_less(lesson):
    torch.manual_seed(0)
    model = gl.VAE(6, 3, (8,), likelihood="gaussian", scale=0.5).double()
    x = torch.randn(5, 6).double()
    h = model.encoder(x).detach()
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    noise = torch.randn(5, 3).double()
    mean, log_sigma = h.chunk(2, 1)
    q = torch.distributions.Normal(mean, log_sigma.exp())
    z = mean + log_sigma.exp() * noise
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    wanted = model.likelihood.log_prob(model.decoder(z), x) + prior - q.log_prob(z).sum(1)
    with torch.no_grad():
        found = lesson["turned_elbo"](model, x, h, turn, noise)
        assert torch.allclose(found, wanted, atol=1e-9)
        # the diagonal q is the one of least KL(q' || turned q): its precisions are the diagonal's
        h = torch.cat([torch.zeros(1, 3), torch.tensor([[-1.0, 0.0, 1.0]])], 1).double()
        draws = torch.randn(20_000, 3, generator=generator(2)).double()
        rows, same = x[:1].expand(20_000, -1), h.expand(20_000, -1)
        flat = lesson["turned_elbo"](model, rows, same, turn, draws, full=False)
    covariance = turn @ torch.diag_embed((2 * h[0, 3:]).exp()) @ turn.T
    precision = torch.linalg.inv(covariance).diagonal()
    q = torch.distributions.Normal(torch.zeros(3).double(), precision**-0.5)
    z = precision**-0.5 * draws
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    with torch.no_grad():
        fit = model.likelihood.log_prob(model.decoder(z @ turn), rows)
    assert torch.allclose(flat, fit + prior - q.log_prob(z).sum(1), atol=1e-8)


@pytest.mark.covers("L09")
def test_the_mean_divergence_from_the_prior_is_information_and_a_divergence_of_the_mean():
    draws = generator()
    q = torch.rand(7, 40, generator=draws, dtype=torch.float64).softmax(1)  # q(z | x), by rows
    prior = torch.rand(40, generator=draws, dtype=torch.float64).softmax(0)
    overall = q.mean(0)  # q(z)

    def divergence(p, r):
        return sum(a * math.log(a / b) for a, b in zip(p.tolist(), r.tolist(), strict=True))

    joint = (q / 7).tolist()
    information = sum(
        p * math.log(p / (apart / 7))
        for row in joint
        for p, apart in zip(row, overall.tolist(), strict=True)
    )
    mean = sum(divergence(row, prior) for row in q) / 7
    assert mean == pytest.approx(information + divergence(overall, prior), abs=1e-12)
    assert mean != pytest.approx(information - divergence(overall, prior), abs=1e-3)


# ------------------------------------------------------------------ probes


@pytest.mark.covers("F19")
def test_a_ridge_probe_is_the_normal_equations(lesson):
    a = torch.randn(40, 5, generator=generator(3)).double()
    y = torch.randint(10, (40,), generator=generator(4))
    b, truth = a[:15] + 0.1, y[:15]
    found = lesson["ridge_errors"](a, y, [(b, truth)], [0.01, 1.0])
    target = torch.nn.functional.one_hot(y, 10).double()
    centred = a - a.mean(0)
    for ridge, error in zip([0.01, 1.0], found[0], strict=True):
        gram = centred.T @ centred + 40 * ridge * torch.eye(5).double()
        weight = torch.linalg.solve(gram, centred.T @ (target - target.mean(0)))
        guess = (b - a.mean(0)) @ weight + target.mean(0)
        assert error.item() == pytest.approx(
            (guess.argmax(1) != truth).double().mean().item(), abs=1e-6
        )


# ------------------------------------------------------------------ bounds


@pytest.mark.covers("L09")
def test_the_log_density_of_a_diagonal_gaussian(lesson):
    mean, log_sigma, z = torch.randn(3, 4, 2, generator=generator(5)).double()
    wanted = torch.distributions.Normal(mean, log_sigma.exp()).log_prob(z).sum(-1)
    assert torch.allclose(lesson["log_normal"](z, mean, log_sigma), wanted)


@pytest.mark.covers("L09")
def test_the_weighted_bound_is_the_logarithm_of_the_mean(lesson):
    log_w = torch.tensor([[0.0, -900.0], [math.log(3), -900.0]])
    assert torch.allclose(lesson["iwae"](log_w), torch.tensor([math.log(2), -900.0]))


@pytest.mark.covers("L09")
def test_weights_average_to_the_evidence(lesson):
    """One latent variable and two pixels, by quadrature; six errors, false alarms under 1e-8."""
    torch.manual_seed(1)
    model = gl.VAE(2, 1, encoder=torch.nn.Linear(2, 2), decoder=torch.nn.Linear(1, 2))
    model.requires_grad_(False)
    x = torch.tensor([[1.0, 0.0]])

    def joint(z):
        logits = model.decoder(torch.tensor([[z]]))[0].double()
        p = torch.nn.functional.logsigmoid(logits * torch.tensor([1.0, -1.0]).double()).sum().exp()
        return p.item() * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    exact = integrate.quad(joint, -9, 9)[0]
    weights = lesson["log_weights"](model, x, 100_000).exp()[:, 0]
    error = weights.std() / math.sqrt(len(weights))
    assert abs(weights.mean() - exact) < 6 * error


@pytest.mark.covers("L09")
@pytest.mark.parametrize("M", [1, 3, 8])
def test_gradients_of_the_weighted_bound_are_autograds(lesson, M):
    torch.manual_seed(2)
    found = lesson["gradients"](M, repeats=50)
    torch.manual_seed(2)
    noise = torch.randn(50, M, 3).double()
    mu, nu = (torch.full((50, 1, 3), v).double().requires_grad_() for v in (-0.3, 1.3))
    sigma = math.sqrt(2 / 3)
    z = nu + sigma * noise
    log_w = -0.5 * ((z - mu) ** 2 + (2.0 - z) ** 2 - noise**2).sum(2)
    by_nu, by_mu = torch.autograd.grad(log_w.logsumexp(1).sum(), (nu, mu))
    assert torch.allclose(found["encoder"], by_nu[:, 0], atol=1e-9)
    assert torch.allclose(found["model"], by_mu[:, 0], atol=1e-9)
    # doubly reparameterised: squared weights, q's parameters held fixed inside the weight
    z = z.detach().requires_grad_()
    log_w = -0.5 * ((z + 0.3) ** 2 + (2.0 - z) ** 2 - ((z - 1.3) / sigma) ** 2).sum(2)
    (slope,) = torch.autograd.grad(log_w.sum(), z)
    squared = (log_w.detach().softmax(1)[..., None] ** 2 * slope).sum(1)
    assert torch.allclose(found["encoder, squared"], squared, atol=1e-9)


# ------------------------------------------------------------------ richer posteriors


@pytest.mark.covers("L09")
def test_a_planar_flows_determinant_is_autograds(lesson):
    given = torch.randn(20, 8, generator=generator(6)).double() * 2
    for row in given:
        z, w, u, b = row[:2], row[2:4], row[4:6], row[6:7]
        shapes = (w[None], u[None], b[None])

        def move(v, shapes=shapes):
            return lesson["planar"](v[None, None], *shapes)[0][0, 0]

        jacobian = torch.autograd.functional.jacobian(move, z)
        log_det = lesson["planar"](z[None, None], *shapes)[1].item()
        assert jacobian.det() > 0
        assert log_det == pytest.approx(jacobian.det().log().item(), abs=1e-8)


@pytest.mark.covers("L09")
def test_a_bent_q_is_a_density(lesson):
    """E_q[p(z)/q(z)] = 1 for any density p: six errors, false alarms under 1e-8."""
    torch.manual_seed(3)
    h = torch.cat([torch.tensor([[0.2, -0.3, 0.4, 0.3]]), torch.randn(1, 10)], 1)
    z, log_q = lesson["draw_q"](h, 200_000)
    p = torch.distributions.MultivariateNormal(torch.zeros(2), 0.25 * torch.eye(2))
    ratio = (p.log_prob(z[:, 0]) - log_q[:, 0]).exp()
    assert abs(ratio.mean() - 1) < 6 * ratio.std() / math.sqrt(len(ratio))


@pytest.mark.covers("L09")
def test_the_bound_of_two_layers_is_genlibs(lesson):
    torch.manual_seed(4)
    model = gl.HierarchicalVAE(6, (3, 2), ((5,), (4,)))
    x = (torch.rand(7, 6) < 0.5).float()
    torch.manual_seed(5)
    ours = lesson["two_layer_bound"](model, x)
    torch.manual_seed(5)
    assert torch.allclose(ours, model.elbo(x), atol=1e-4)


# ------------------------------------------------------------------ style


@pytest.mark.covers("L08")
def test_the_slope_of_a_leaning_stroke(lesson):
    x = torch.zeros(2, 14, 14)
    for row in range(2, 12):
        x[0, row, 13 - row] = 1  # up and to the right
        x[1, row, 6] = 1
    assert torch.allclose(lesson["slope"](x.flatten(1)), torch.tensor([1.0, 0.0]), atol=1e-5)
