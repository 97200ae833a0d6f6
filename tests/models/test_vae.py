"""Variational autoencoders against sums by hand, quadrature and closed forms."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

import genlib as gl
from genlib.core import latent
from genlib.models.vae.posteriors import gaussian_kl, log_normal, posterior

LIKELIHOODS = ("bernoulli", "gaussian", "logistic")
FLOWS = ("planar", "iaf", "realnvp")


def bits(n, *shape, seed=0):
    return (torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def values(name, n, *shape):
    if name == "bernoulli":
        return bits(n, *shape)
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
    return (255 * x).round() / 255 if name == "logistic" else x


def small(**settings):
    gl.seed(0)
    return gl.VAE(6, latent=2, hidden=(8,), **settings)


def flow_of(name, size=3, steps=2):
    """A flow in float64 that is not near the identity."""
    gl.seed(0)
    q = posterior(name, size, steps).double()
    for parameter in q.parameters():
        nn.init.normal_(parameter, std=0.4)
    return q


def assert_trained_by(model, x, objective, validation_samples):
    """The loss, and that of validation, are minus the means of the bound of so many draws."""
    bound = getattr(model, objective)
    for loss, samples in ((model.loss, 7), (model.validation_loss, validation_samples)):
        torch.manual_seed(3)
        found = loss(x)
        expected = bound(x, samples=samples, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(found, -expected.mean())


def noise_of(generator_seed, *shape):
    """The draws that a model makes of a generator with this seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(generator_seed))


@pytest.mark.covers("L04", "L05")
class TestTheBound:
    def test_is_a_sum_over_values_and_latent_variables_by_hand(self):
        model, x, total = small(), bits(2, 6), 0.0
        noise = noise_of(5, 3, 2, 2)
        h = model.encoder(x)
        for n in range(2):
            mean, log_scale = h[n, :2], h[n, 2:]
            for s in range(3):
                z = mean + log_scale.exp() * noise[s, n]
                logits = model.decoder(z[None])[0]
                for i in range(6):
                    p = torch.sigmoid(logits[i])
                    total += (p if x[n, i] == 1 else 1 - p).log() / 3
            for j in range(2):
                sigma = log_scale[j].exp()
                total -= 0.5 * (mean[j] ** 2 + sigma**2 - 1) - log_scale[j]
        found = model.elbo(x, samples=3, generator=torch.Generator().manual_seed(5))
        assert found.sum().item() == pytest.approx(total.item(), abs=1e-5)

    @pytest.mark.parametrize("objective", ["elbo", "iwae"])
    @pytest.mark.parametrize("name", ["gaussian", *FLOWS])
    def test_the_loss_is_its_negative_mean_over_rows(self, name, objective):
        model = small(posterior=name, objective=objective, samples=7)
        assert_trained_by(model, bits(9, 6), objective, 1 if objective == "elbo" else 7)

    def test_a_tiled_picture_has_twice_the_reconstruction_term(self):
        """Where the loss is a mean over pixels, it would not: that is another β."""

        class Tiled(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, z):
                return self.inner(z).repeat(1, 2)

        class Half(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, x):
                return self.inner(x[:, :6])

        model, x = small(), bits(5, 6)
        twice = gl.VAE(12, 2, encoder=Half(model.encoder), decoder=Tiled(model.decoder))
        torch.manual_seed(0)
        fit, kl = model._terms(1, None, x)
        torch.manual_seed(0)
        double, same = twice._terms(1, None, x.repeat(1, 2))
        torch.testing.assert_close(double, 2 * fit)
        torch.testing.assert_close(same, kl)

    @pytest.mark.parametrize("name", ["gaussian", *FLOWS])
    def test_is_the_mean_of_log_p_over_q(self, name):
        model, x = small(posterior=name), bits(4, 6)
        exact = model.elbo(x, samples=20_000)
        drawn = model.elbo(x, samples=20_000, analytic=False)
        assert (exact - drawn).abs().max() < 0.05

    @pytest.mark.covers("L06")
    def test_the_divergence_is_torchs_and_that_of_draws(self):
        mean, log_scale = torch.randn(2, 5, 3, dtype=torch.float64)
        q = Normal(mean, log_scale.exp())
        prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
        torch.testing.assert_close(gaussian_kl(mean, log_scale), kl_divergence(q, prior))
        z = q.sample((200_000,))
        drawn = q.log_prob(z) - prior.log_prob(z)
        z_score = (drawn.mean(0) - gaussian_kl(mean, log_scale)) / drawn.std(0) * len(z) ** 0.5
        assert z_score.abs().max() < stats.norm.isf(1e-6 / 2 / z_score.numel())
        model, x = small(), bits(4, 6)
        mean, log_scale = model.encoder(x).chunk(2, 1)
        expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0))
        torch.testing.assert_close(model.kl(x), expected)

    @pytest.mark.covers("L09")
    def test_bounds_from_draws_by_hand_and_rising(self):
        model, x = small(), bits(3, 6)
        noise = noise_of(1, 4, 3, 2)
        mean, log_scale = model.encoder(x).chunk(2, 1)
        z = mean + log_scale.exp() * noise
        q = Independent(Normal(mean, log_scale.exp()), 1)
        p = Independent(Bernoulli(logits=model.decoder(z.flatten(0, 1)).view(4, 3, 6)), 1)
        log_w = p.log_prob(x) + Normal(0, 1).log_prob(z).sum(-1) - q.log_prob(z)
        found = model.iwae(x, samples=4, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(found, log_w.logsumexp(0) - math.log(4))
        generator = torch.Generator().manual_seed(1)
        found = model.elbo(x, samples=4, analytic=False, generator=generator)
        torch.testing.assert_close(found, log_w.mean(0))
        bounds = [torch.stack([model.iwae(x, samples=k) for _ in range(400)]) for k in (1, 5, 50)]
        for low, high in itertools.pairwise(bounds):
            difference = high.mean((1,)) - low.mean((1,))
            assert difference.mean() > -5 * difference.std() / 20

    @pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
    @pytest.mark.parametrize("name", ["gaussian", *FLOWS])
    def test_the_estimate_covers_the_integral(self, likelihood, name):
        """One latent variable, or two with couplings: p(x) by quadrature over a grid."""
        gl.seed(1)
        latent = 2 if name == "realnvp" else 1
        scale = 1.0 if likelihood == "gaussian" else None
        model = gl.VAE(4, latent, (6,), likelihood=likelihood, scale=scale, posterior=name)
        with torch.no_grad():  # proposals wider than the posterior: weights without long tails
            model.encoder[-1].bias[latent : 2 * latent] += 1.0
        x = values(likelihood, 200, 4)
        axis = torch.linspace(-7, 7, 561 if latent == 1 else 141)
        grid = torch.cartesian_prod(*[axis] * latent).view(-1, latent)
        with torch.no_grad():
            log_p = model._log_likelihood(grid[:, None], x[:1].expand(1, -1))
            cell = (axis[1] - axis[0]) ** latent
            exact = (
                torch.stack(
                    [
                        (
                            model._log_likelihood(grid[:, None], row[None])[:, 0] + log_normal(grid)
                        ).logsumexp(0)
                        for row in x
                    ]
                )
                + cell.log()
            )
        assert log_p.shape == (len(grid), 1)
        found = model.estimate_log_prob(x, samples=2000)
        z = (found.value - exact) / found.error
        inside = int((z.abs() < 1.96).sum())
        assert stats.binomtest(inside, len(x), 0.95).pvalue > 1e-6  # the false-alarm rate
        assert z.std().item() == pytest.approx(1, abs=0.25)

    def test_log_prob_says_what_to_ask_instead(self):
        with pytest.raises(gl.CannotAnswerError, match="estimate_log_prob estimates it"):
            small().log_prob(bits(2, 6))


class TestTraining:
    def test_warm_up_is_a_function_of_the_step_and_resumes_bit_for_bit(self, tmp_path):
        x, states = bits(100, 6), []
        for parts in ([6], [2, 6]):
            for epochs in parts:
                model = small()
                torch.manual_seed(4) if epochs == parts[0] else torch.manual_seed(77)
                path = tmp_path / f"{len(parts)}"
                model.fit(
                    x, epochs=epochs, batch_size=20, hooks=[gl.WarmUp(17)], checkpoint=path,
                    resume=True, progress=False,
                )  # fmt: skip
            states.append(model.state_dict())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_two_schedules_give_the_same_bound_for_the_same_weights(self):
        model, x = small(beta=4.0, free_bits=0.5), bits(50, 6)
        plain = small()
        plain.load_state_dict(model.state_dict())
        model.kl_weight = 0.1
        torch.manual_seed(0)
        annealed = model.validation_loss(x)
        torch.manual_seed(0)
        assert annealed == plain.validation_loss(x)
        assert annealed != model.loss(x)

    def test_warm_up_weighs_by_the_share_of_steps(self):
        weights, x = [], bits(40, 6)

        class Noting(gl.Hook):
            def after_step(self, run):
                weights.append(run.model.kl_weight)

        model = small()
        model.fit(x, epochs=3, batch_size=20, hooks=[gl.WarmUp(4), Noting()], progress=False)
        assert weights == [0, 0.25, 0.5, 0.75, 1, 1]
        assert model.kl_weight == 1
        with pytest.raises(
            TypeError, match="expected a model that is trained by a KL divergence, got NADE"
        ):
            gl.NADE(6, hidden=3).fit(x, epochs=1, hooks=[gl.WarmUp(4)], progress=False)

    def test_an_interrupted_warm_up_leaves_no_weight_behind(self):
        class Interrupted(gl.Hook):
            def after_step(self, run):
                if run.steps == 2:
                    raise KeyboardInterrupt

        model = small()
        with pytest.raises(KeyboardInterrupt):
            model.fit(bits(300, 6), epochs=1, hooks=[gl.models.WarmUp(1000), Interrupted()])
        assert model.kl_weight == 1

    def test_a_warm_up_of_no_divergence_is_refused(self):
        model = gl.VAE(6, 2, (5,), objective="iwae", samples=3)
        with pytest.raises(TypeError, match=r'WarmUp: .* got VAE with objective="iwae"'):
            model.fit(bits(20, 6), epochs=1, hooks=[gl.models.WarmUp(10)])

    def test_beta_and_free_bits_by_hand(self):
        x = bits(9, 6)
        for beta, bits_free, weight in ((3.0, 0.0, 1.0), (1.0, 0.2, 1.0), (2.0, 0.0, 0.5)):
            model = small(beta=beta, free_bits=bits_free)
            model.kl_weight = weight
            torch.manual_seed(0)
            fit, kl = model._terms(1, None, x)
            expected = beta * weight * kl.mean(0).clamp_min(bits_free).sum() - fit.mean()
            torch.manual_seed(0)
            torch.testing.assert_close(model.loss(x), expected)
        assert kl.shape == (9, 2)

    @pytest.mark.covers("L05")
    def test_gradients_of_draws_are_those_of_the_expectation(self):
        """∂/∂μ E[z²] = 2 μ and ∂/∂σ E[z²] = 2 σ, through z = μ + σ ε."""
        q = posterior("gaussian", 1, 1)
        h = torch.tensor([[0.7, math.log(0.5)]], dtype=torch.float64, requires_grad=True)
        z, _ = q.draw(h, 400_000, torch.Generator().manual_seed(0))
        (slope,) = torch.autograd.grad(z.square().mean(), h)
        # ∂/∂log σ = σ ∂/∂σ
        torch.testing.assert_close(
            slope, torch.tensor([[1.4, 2 * 0.25]], dtype=torch.float64), rtol=0, atol=0.01
        )

    @pytest.mark.covers("L07")
    def test_a_linear_vae_reaches_probabilistic_pca(self):
        """Its best bound is the exact maximum of the likelihood, for its posterior is Gaussian."""
        gl.seed(0)
        x = torch.randn(500, 2) @ torch.randn(2, 5) * 1.5 + 0.4 * torch.randn(500, 5)
        oracle = gl.ProbabilisticPCA(2)
        oracle.fit(x)
        exact = oracle.log_prob(x).mean().item()
        model = gl.VAE(5, 2, (), likelihood="gaussian", samples=8)
        for lr, epochs in ((0.02, 1500), (0.003, 800), (0.0003, 300)):
            model.fit(x, epochs=epochs, lr=lr, batch_size=500, progress=False)
        bound = model.elbo(x, samples=500).mean().item()
        assert exact - 0.01 < bound < exact + 0.003
        assert model.likelihood.log_scale.exp().square().item() == pytest.approx(
            oracle.variance.item(), rel=0.03
        )


class TestFlows:
    @pytest.mark.parametrize("name", FLOWS)
    def test_log_determinants_are_autograds(self, name):
        q = flow_of(name, steps=4)
        h = torch.randn(5, q.outputs, dtype=torch.float64)
        z = torch.randn(2, 5, 3, dtype=torch.float64)
        moved, log_det = q.flow(h[:, 6:], z)
        for s in range(2):
            for n in range(5):

                def alone(row, s=s, n=n):
                    return q.flow(h[n : n + 1, 6:], row[None, None])[0][0, 0]

                jacobian = torch.autograd.functional.jacobian(alone, z[s, n])
                assert torch.linalg.det(jacobian) > 0
                found = log_det.expand(2, 5)[s, n]
                torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, found)
        torch.testing.assert_close(q.flow(h[:1, 6:], z[:1, :1])[0], moved[:1, :1])

    @pytest.mark.parametrize("name", FLOWS)
    def test_log_q_is_the_density_of_the_draws(self, name):
        """E_q[p / q] = 1 for any density p whose mass q covers. False alarm: 1e-6."""
        gl.seed(0)
        q = posterior(name, 2, 3).double()
        h = 0.3 * torch.randn(1, q.outputs, dtype=torch.float64)
        z, log_q = q.draw(h, 200_000, torch.Generator().manual_seed(0))
        centre = z.mean(0)
        log_p = log_normal((z - centre) / 0.5) - 2 * math.log(0.5)
        weights = (log_p - log_q).exp()[:, 0]
        z_score = (weights.mean() - 1) / weights.std() * len(weights) ** 0.5
        assert abs(z_score) < stats.norm.isf(1e-6 / 2)

    @pytest.mark.parametrize("name", FLOWS)
    def test_every_place_hears_of_the_row(self, name):
        """The context moves every latent variable, the first too."""
        q = flow_of(name, steps=1)
        h = torch.randn(1, q.outputs, dtype=torch.float64, requires_grad=True)
        moved, _ = q.flow(h[:, 6:], torch.randn(1, 1, 3, dtype=torch.float64))
        heard = 0
        for j in range(3):
            (slope,) = torch.autograd.grad(moved[0, 0, j], h, retain_graph=True)
            heard += bool(slope.abs().sum() > 0)
        assert heard == (3 if name != "realnvp" else 1)  # one coupling layer moves every second one

    def test_autoregressive_steps_see_the_places_in_turn_from_both_ends(self):
        """Of two, the first sees what lies before a place, and the second what lies behind."""
        q = flow_of("iaf")
        h, z = torch.randn(1, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
        slope = torch.autograd.functional.jacobian(lambda z: q.flow(h, z[None, None])[0][0, 0], z)
        assert (slope != 0).all()

    @pytest.mark.parametrize("name", FLOWS)
    def test_the_centre_is_where_draws_without_spread_lie(self, name):
        q = flow_of(name)
        h = torch.randn(4, q.outputs, dtype=torch.float64)
        h[:, 3:6] = -40.0  # log σ
        torch.testing.assert_close(q.centre(h), q.draw(h, 1, None)[0][0])

    def test_a_flow_closes_part_of_the_gap_of_a_bent_posterior(self):
        """x = z² + noise has two modes in z: a Gaussian can have but one."""

        class Square(nn.Module):
            def forward(self, z):
                return z.square().sum(1, keepdim=True)

        x, gaps = torch.full((64, 1), 2.0), {}
        for name in ("gaussian", "planar"):
            gl.seed(0)
            model = gl.VAE(
                1, 1, (8,), likelihood="gaussian", scale=0.8, posterior=name, flow_steps=6,
                decoder=Square(),
            )  # fmt: skip
            model.fit(x, epochs=800, lr=0.01, batch_size=64, progress=False)
            bounds = model.elbo(x, samples=5000)
            gaps[name] = bounds.mean().item(), (bounds.std() / 8).item()
        difference = gaps["planar"][0] - gaps["gaussian"][0]
        assert difference > 2 * math.hypot(gaps["planar"][1], gaps["gaussian"][1])
        assert difference > 0.1

    def test_a_planar_flow_begins_near_its_base(self):
        """However short w is: with w → 0 and u·w = 0 the map is the identity."""
        flow = gl.VAE(6, 1, (5,), posterior="planar", flow_steps=1).posterior
        z = torch.randn(4, 1, 1)
        for w in (1e-1, 1e-3, 1e-5):
            moved, log_det = flow.flow(torch.tensor([[w, 0.0, 0.3]]), z)
            torch.testing.assert_close(moved, z)
            assert log_det.abs().max() == 0
            moved, _ = flow.flow(torch.tensor([[w, 0.5, 0.3]]), z)
            assert (moved - z).abs().max() <= 0.5

    def test_divergence_of_a_flow_has_no_closed_form(self):
        with pytest.raises(NotImplementedError, match="no closed form"):
            small(posterior="planar").kl(bits(2, 6))


class TestQueries:
    @pytest.mark.parametrize("name", ["gaussian", *FLOWS])
    def test_encode_is_no_draw(self, name):
        model, x = small(posterior=name), bits(5, 6)
        assert torch.equal(model.encode(x), model.encode(x))
        if name == "gaussian":
            torch.testing.assert_close(model.encode(x), model.encoder(x)[:, :2])

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    @pytest.mark.parametrize("shape", [6, (1, 8, 8), (3, 8, 8)], ids=str)
    def test_all_likelihoods_on_all_shapes(self, likelihood, shape):
        gl.seed(0)
        channels = (4, 8) if isinstance(shape, tuple) else ()
        model = gl.VAE(shape, 2, (7,), channels=channels, likelihood=likelihood)
        sizes = (shape,) if isinstance(shape, int) else shape
        x = values(likelihood, 5, *sizes)
        assert model.elbo(x).shape == (5,)
        drawn = model.sample(4, generator=torch.Generator().manual_seed(0))
        assert drawn.shape == (4, *sizes)
        model.check(drawn)
        assert torch.equal(drawn, model.sample(4, generator=torch.Generator().manual_seed(0)))
        assert model.decode(torch.zeros(3, 2)).shape == (3, *sizes)

    @pytest.mark.parametrize("channels", [(), (4, 6)], ids=["dense", "convolutional"])
    def test_the_decoder_mirrors_the_encoder(self, channels):
        model = gl.VAE((1, 8, 8), 2, (7, 5), channels=channels, activation="tanh")

        def layers(network, kind):
            return [layer for layer in network if isinstance(layer, kind)]

        seen = [layer.in_features for layer in layers(model.encoder, nn.Linear)]
        given = [layer.out_features for layer in layers(model.decoder, nn.Linear)]
        assert given == seen[::-1]
        down = [layer.weight.shape for layer in layers(model.encoder, nn.Conv2d)]
        up = [layer.weight.shape for layer in layers(model.decoder, nn.ConvTranspose2d)]
        assert up == down[::-1]
        for network in (model.encoder, model.decoder):
            assert len(layers(network, nn.Tanh)) == 2 + len(channels)

    def test_networks_of_one_s_own_are_left_as_they_were(self):
        encoder = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
        gl.VAE(6, 2, encoder=encoder, decoder=nn.Linear(2, 6))
        assert encoder.training and encoder[1].num_batches_tracked == 0

    def test_samples_follow_the_integral_over_z(self):
        """A chi-squared test over all 16 rows of bits. False alarm: 1e-6."""
        gl.seed(2)
        model = gl.VAE(4, 1, (6,))
        model.fit(bits(200, 4), epochs=3, lr=0.05, progress=False)
        x = gl.binary_events(4)
        grid = torch.linspace(-7, 7, 2001)[:, None]
        with torch.no_grad():
            out = model._log_likelihood(grid[:, None].expand(-1, 16, -1), x)
            p = (out + log_normal(grid)[:, None]).logsumexp(0).exp() * 0.007
        drawn = model.sample(20_000)
        codes = (drawn @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long().bincount(minlength=16)
        order = (x @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
        expected = (p / p.sum()).double() * 20_000
        assert stats.chisquare(codes[order].numpy(), expected.numpy()).pvalue > 1e-6

    def test_saving(self, tmp_path):
        model, x = small(posterior="iaf", likelihood="gaussian"), torch.randn(4, 6)
        model.save(tmp_path / "vae")
        loaded = gl.load(tmp_path / "vae")
        assert torch.equal(loaded.encode(x), model.encode(x))
        own = gl.VAE(6, 2, encoder=nn.Linear(6, 4), decoder=nn.Linear(2, 6))
        with pytest.raises(TypeError, match="cannot save"):
            own.save(tmp_path / "own")


@pytest.mark.covers("L09")
class TestHierarchy:
    def test_weights_are_log_p_over_q_by_hand(self):
        gl.seed(0)
        model = gl.HierarchicalVAE(5, (3, 2), ((6,), (4,)))
        x = bits(4, 5)
        generator = torch.Generator().manual_seed(0)
        found = model._log_weights(x, 2, generator)
        generator.manual_seed(0)
        first = torch.randn(2, 4, 3, generator=generator)
        second = torch.randn(2, 4, 2, generator=generator)

        def gaussian(out):
            mean, log_scale = out.chunk(2, -1)
            return Independent(Normal(mean, log_scale.exp()), 1)

        q_1 = gaussian(model.up_1(x))
        z_1 = q_1.mean + q_1.stddev * first
        q_2 = gaussian(model.up_2(z_1))
        z_2 = q_2.mean + q_2.stddev * second
        p_x = Independent(Bernoulli(logits=model.down_1(z_1.flatten(0, 1)).view(2, 4, 5)), 1)
        log_p = p_x.log_prob(x) + gaussian(model.down_2(z_2)).log_prob(z_1)
        log_p = log_p + Independent(Normal(torch.zeros(2), 1.0), 1).log_prob(z_2)
        expected = log_p - q_1.log_prob(z_1) - q_2.log_prob(z_2)
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("objective", ["elbo", "iwae"])
    def test_the_loss_is_the_negative_mean_of_the_bound(self, objective):
        gl.seed(0)
        model = gl.HierarchicalVAE(6, (3, 2), ((8,), (4,)), objective=objective, samples=7)
        assert_trained_by(model, bits(9, 6), objective, 7)

    def test_samples_follow_the_integral_over_both_layers(self):
        """A chi-squared test over all 8 rows of bits. False alarm: 1e-6."""
        gl.seed(0)
        model = gl.HierarchicalVAE(3, (1, 1), ((5,), (3,))).double()
        x = gl.binary_events(3).double()
        grid = torch.linspace(-9, 9, 901, dtype=torch.float64)[:, None]
        with torch.no_grad():
            for parameter in (*model.down_1.parameters(), *model.down_2.parameters()):
                parameter.mul_(3)  # x tells much of z₁, and z₁ of z₂
            mean, log_scale = model.down_2(grid).chunk(2, 1)
            log_p = Normal(mean, log_scale.exp()).log_prob(grid.T) + log_normal(grid)[:, None]
            p = log_p.exp().sum(0) * 0.02**2  # of z_1
            p = Bernoulli(logits=model.down_1(grid)).log_prob(x[:, None]).sum(2).exp() @ p
        assert p.sum().item() == pytest.approx(1, abs=1e-4)
        drawn, again = (
            model.sample(20_000, generator=torch.Generator().manual_seed(0)) for _ in range(2)
        )
        assert torch.equal(drawn, again)
        counts = (drawn[:, None] == x).all(2).sum(0)
        assert stats.chisquare(counts, p / p.sum() * 20_000).pvalue > 1e-6

    def test_the_scale_is_that_of_the_gaussian_likelihood(self):
        model = gl.HierarchicalVAE(6, (3, 2), ((8,), (4,)), likelihood="gaussian", scale=0.3)
        assert model.likelihood.log_scale.item() == pytest.approx(math.log(0.3))

    def test_trains_samples_and_saves(self, tmp_path):
        gl.seed(0)
        model = gl.HierarchicalVAE(6, (3, 2), ((8,), (4,)), objective="iwae", samples=3)
        x = bits(200, 6)
        history = model.fit(x, valid=x, epochs=15, lr=0.01, progress=False)
        assert history["valid"][-1] < history["valid"][0]
        model.check(model.sample(5))
        torch.testing.assert_close(model.encode(x), model.up_1(x)[:, :3])
        model.save(tmp_path / "two")
        assert torch.equal(gl.load(tmp_path / "two").encode(x), model.encode(x))
        with pytest.raises(ValueError, match="latent: expected a pair"):
            gl.HierarchicalVAE(6, (3,), ((8,), (4,)))

    def test_its_estimate_is_that_of_naive_draws(self):
        """p(x) from draws of the prior, for small models: within both errors."""
        gl.seed(0)
        model = gl.HierarchicalVAE(4, (2, 1), ((5,), (3,)))
        x = bits(5, 4)
        found = model.estimate_log_prob(x, samples=20_000)
        with torch.no_grad():
            z_2 = torch.randn(200_000, 1)
            mean, log_scale = model.down_2(z_2).chunk(2, -1)
            z_1 = mean + log_scale.exp() * torch.randn_like(mean)
            logits = model.down_1(z_1)
            p = torch.stack([Bernoulli(logits=logits).log_prob(row).sum(1).exp() for row in x])
        naive, error = p.mean(1), p.std(1) / p.shape[1] ** 0.5
        z = (found.value.exp() - naive) / torch.hypot(error, found.error * naive)
        assert z.abs().max() < stats.norm.isf(1e-6 / 2 / 5)


class TestConditional:
    @pytest.mark.parametrize("channels", [(), (3, 4)], ids=["dense", "convolutional"])
    def test_labels_and_conditions_reach_both_networks(self, channels):
        gl.seed(0)
        shape = (1, 8, 8) if channels else 6
        x = bits(4, 1, 8, 8) if channels else bits(4, 6)
        labelled = gl.ConditionalVAE(shape, 2, (7,), channels=channels, classes=3)
        told = gl.ConditionalVAE(shape, 2, (7,), channels=channels, condition_shape=(2, 3))
        y, c = torch.tensor([0, 1, 2, 0]), torch.randn(4, 2, 3)
        other = torch.tensor([1, 2, 0, 1])
        assert not torch.equal(labelled.encode_given(x, y), labelled.encode_given(x, other))
        assert not torch.equal(told.encode_given(x, c), told.encode_given(x, -c))
        z = torch.randn(4, 2)
        assert not torch.equal(labelled.decode(z, y), labelled.decode(z, other))
        assert not torch.equal(told.decode(z, c), told.decode(z, -c))
        assert labelled.sample(4, y).shape == x.shape

    def test_convolutions_see_a_label_as_channels(self):
        model, seen = gl.ConditionalVAE((1, 8, 8), 2, (7,), channels=(3,), classes=2), []
        model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        model.encode_given(bits(1, 1, 8, 8), torch.tensor([1]))
        expected = torch.stack([bits(1, 8, 8)[0], torch.zeros(8, 8), torch.ones(8, 8)])
        assert torch.equal(seen[0], expected[None])

    def test_a_label_that_says_all_leaves_nothing_to_z(self):
        """x is a function of y: the conditional bound goes to 0, and z holds nothing."""
        gl.seed(0)
        y = torch.randint(4, (400,))
        x = bits(4, 8, seed=3)[y]
        model = gl.ConditionalVAE(8, 2, (16,), classes=4)
        model.fit(x, y, valid=(x, y), epochs=60, lr=0.01, progress=False)
        assert model.elbo(x, y).mean() > -0.1
        assert model.kl(x, y).mean() < 0.02
        assert (model.sample(400, y) != x).float().mean() < 0.01

    def test_rows_and_their_conditions_stay_together(self):
        gl.seed(0)
        model = gl.ConditionalVAE(6, 2, (7,), classes=3)
        x, y = bits(5, 6), torch.tensor([0, 1, 2, 1, 0])
        noise = torch.Generator()
        together = model.iwae(x, y, samples=4, generator=noise.manual_seed(0))
        draws = noise_of(0, 4, 5, 2)
        for n in range(5):
            h = model._encoded(x[n : n + 1], y[n : n + 1])
            z = h[:, :2] + h[:, 2:].exp() * draws[:, n]
            log_q = (Normal(h[:, :2], h[:, 2:].exp()).log_prob(z)).sum(1)
            logits = model._decoded(z, y[n : n + 1].expand(4))
            log_p = Bernoulli(logits=logits).log_prob(x[n]).sum(1) + log_normal(z)
            expected = (log_p - log_q).logsumexp(0) - math.log(4)
            torch.testing.assert_close(together[n], expected)
        torch.testing.assert_close(model.encode_given(x, y), model._encoded(x, y)[:, :2])

    def test_an_estimate_in_parts_is_that_of_the_parts(self, monkeypatch):
        monkeypatch.setattr(latent, "_VALUES_AT_ONCE", 3 * 6 * 50)  # three rows at once
        gl.seed(0)
        model = gl.ConditionalVAE(6, 2, (7,), classes=3)
        x, y = bits(10, 6), torch.arange(10) // 4
        generator, again = (torch.Generator().manual_seed(0) for _ in range(2))
        found = model.estimate_log_prob(x, y, samples=50, generator=generator).value
        parts = [
            model.estimate_log_prob(*part, samples=50, generator=again).value
            for part in zip(x.split(3), y.split(3), strict=True)
        ]
        assert torch.equal(found, torch.cat(parts))
        assert not found.requires_grad

    def test_what_is_missing_is_named(self, tmp_path):
        model, x = gl.ConditionalVAE(6, 2, (7,), classes=3), bits(4, 6)
        for ask in (model.elbo, model.iwae, model.estimate_log_prob, model.fit, model.kl):
            with pytest.raises(ValueError, match="y: this model is conditional"):
                ask(x)
        with pytest.raises(ValueError, match="y: this model is conditional"):
            model.sample(3)
        with pytest.raises(gl.CannotAnswerError, match=r"encode_given\(x, y\)"):
            model.encode(x)
        with pytest.raises(ValueError, match="expected one of them, got neither"):
            gl.ConditionalVAE(6)
        with pytest.raises(ValueError, match="expected one of them, got both"):
            gl.ConditionalVAE(6, classes=3, condition_shape=2)
        model.save(tmp_path / "c")
        assert gl.load(tmp_path / "c").classes == 3


class TwoHeads(nn.Linear):
    """Mean and logarithm apart, as many an encoder gives them."""

    def __init__(self):
        super().__init__(6, 4)

    def forward(self, x):
        return super().forward(x).chunk(2, 1)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"shape": 0}, ValueError, "shape: expected at least 1"),
        ({"shape": ()}, ValueError, "shape: expected at least one dimension"),
        ({"latent": 0}, ValueError, "latent: expected at least 1"),
        ({"hidden": (0,)}, ValueError, "hidden: expected at least 1"),
        ({"samples": 0}, ValueError, "samples: expected at least 1"),
        ({"beta": -1.0}, ValueError, "beta: expected"),
        ({"free_bits": -1.0}, ValueError, "free_bits: expected"),
        ({"activation": "swish"}, ValueError, "activation: expected one of"),
        ({"likelihood": "normal"}, ValueError, "likelihood: expected one of"),
        ({"posterior": "flow"}, ValueError, "posterior: expected one of"),
        ({"posterior": "iaf", "flow_steps": 0}, ValueError, "flow_steps: expected at least 1"),
        ({"posterior": "iaf", "free_bits": 1.0}, ValueError, "free_bits: a flow's divergence"),
        ({"objective": "iwae", "beta": 2.0}, ValueError, "has no divergence to weigh"),
        ({"objective": "iwae", "free_bits": 0.1}, ValueError, "has no divergence to weigh"),
        ({"scale": 0.1}, ValueError, "scale: only the Gaussian likelihood"),
        ({"scale": -0.1, "likelihood": "gaussian"}, ValueError, "scale: expected"),
        ({"channels": (4,)}, ValueError, r"shape: expected \(C, H, W\)"),
        ({"shape": (1, 6, 6), "channels": (4, 8)}, ValueError, "can be halved 2 times"),
        ({"shape": (1, 12, 8), "channels": (2, 2, 2)}, ValueError, "rows that can be halved 3"),
        ({"shape": (1, 8, 12), "channels": (2, 2, 2)}, ValueError, "columns that can be halved 3"),
        ({"encoder": nn.Linear(6, 5)}, ValueError, r"encoder: expected outputs of shape \(2, 4\)"),
        ({"encoder": nn.Linear(7, 4)}, ValueError, r"encoder: .* that takes \(2, 6\)"),
        ({"encoder": len}, TypeError, "encoder: expected a torch.nn.Module"),
        ({"hidden": 5}, TypeError, r"hidden: expected several, .* got 5"),
        ({"channels": 4}, TypeError, r"channels: expected several, .* got 4"),
        ({"channels": (4.0,), "shape": (1, 6, 6)}, TypeError, "channels: expected an integer"),
        ({"posterior": "realnvp", "latent": 1}, ValueError, "latent: expected at least 2"),
        ({"encoder": TwoHeads()}, TypeError, "encoder: expected one tensor, got tuple"),
        ({"decoder": nn.Linear(2, 7)}, ValueError, r"decoder: expected outputs of shape \(2, 6\)"),
        ({"decoder": nn.Linear(3, 6)}, ValueError, r"decoder: .* that takes \(2, 2\)"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_settings(settings, error, words):
    with pytest.raises(error, match=words):
        gl.VAE(**{"shape": 6, "latent": 2, "hidden": (5,)} | settings)


def test_bad_rows():
    model = small()
    with pytest.raises(
        ValueError, match=r"expected .* \{0, 1\}, got 0.5 .*make grey values 0 or 1"
    ):
        model.elbo(torch.full((2, 6), 0.5))
    with pytest.raises(ValueError, match=r"expected values in \{0, 1\}"):
        model.fit(torch.full((2, 6), 0.5))
    with pytest.raises(ValueError, match="samples: expected at least 1"):
        model.elbo(bits(2, 6), samples=0)
    with pytest.raises(ValueError, match=r"z: expected shape \(N, 2\)"):
        model.decode(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="has no labels"):
        model.elbo(bits(2, 6), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"latent": 3}, ValueError, "latent: expected a pair"),
        ({"latent": (0, 2)}, ValueError, "latent: expected at least 1, got 0"),
        ({"latent": (3, 2.0)}, TypeError, "latent: expected an integer, got 2.0"),
        ({"hidden": ((5,),)}, ValueError, "hidden: expected a pair"),
        ({"hidden": (5, 4)}, TypeError, r"hidden: expected several, .* got 5"),
    ],
)
def test_bad_settings_of_two_layers(settings, error, words):
    with pytest.raises(error, match=words):
        gl.HierarchicalVAE(6, **{"latent": (3, 2), "hidden": ((5,), (4,))} | settings)
