"""Autoencoders against sums by hand, autograd's Jacobians and Taylor's formula."""

import itertools
import math

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats
from torch import nn

import genlib as gl
from tests.parameters import scattered

KINDS = {
    "plain": gl.Autoencoder,
    "sparse": gl.SparseAutoencoder,
    "denoising": gl.DenoisingAutoencoder,
    "contractive": gl.ContractiveAutoencoder,
}
FALSE_ALARM = 1e-6


def rows(n=7, *shape, seed=0):
    """Values inside (0, 1), float64."""
    shape = shape or (5,)
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.05 + 0.9 * x


def model_of(kind, **settings):
    """A small one in float64, far from its initial weights."""
    gl.seed(0)
    chosen = {"shape": 5, "latent": 3, "hidden": (), "code_activation": "sigmoid"} | settings
    return scattered(KINDS.get(kind, kind)(**chosen).double(), 0.7)


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def code_by_hand(model, row):
    weight, bias = model.encoder[1].weight, model.encoder[1].bias
    return [
        sigmoid(sum(weight[j, i].item() * row[i] for i in range(5)) + bias[j].item())
        for j in range(3)
    ]


def restored_by_hand(model, z, *, cross_entropy):
    weight, bias = model.decoder[0].weight, model.decoder[0].bias
    out = [sum(weight[i, j].item() * z[j] for j in range(3)) + bias[i].item() for i in range(5)]
    return [sigmoid(a) for a in out] if cross_entropy else out


def error_by_hand(restored, row, *, cross_entropy):
    if cross_entropy:
        return -sum(
            v * math.log(r) + (1 - v) * math.log(1 - r) for v, r in zip(row, restored, strict=True)
        )
    return sum((v - r) ** 2 for v, r in zip(row, restored, strict=True))


def mean_error_by_hand(model, seen, x):
    cross_entropy, total = model.error == "cross_entropy", 0.0
    for a, b in zip(seen.tolist(), x.tolist(), strict=True):
        restored = restored_by_hand(model, code_by_hand(model, a), cross_entropy=cross_entropy)
        total += error_by_hand(restored, b, cross_entropy=cross_entropy)
    return total / len(x)


def true_jacobian(model, row):
    return torch.autograd.functional.jacobian(lambda v: model.encoder(v[None])[0], row)


@pytest.mark.covers("R04")
class TestPlain:
    @pytest.mark.parametrize("error", ["squared", "cross_entropy"])
    def test_the_loss_is_a_mean_over_rows_of_sums_over_values_of_g_after_f(self, error):
        model, x = model_of("plain", error=error), rows()
        expected = mean_error_by_hand(model, x, x)
        assert model.loss(x).item() == pytest.approx(expected, rel=1e-12)
        assert model.validation_loss(x).item() == pytest.approx(expected, rel=1e-12)
        assert model.reconstruction_error(x).mean().item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("error", ["squared", "cross_entropy"])
    def test_the_queries_are_f_and_g(self, error):
        model, x = model_of("plain", error=error), rows()
        cross_entropy = error == "cross_entropy"
        codes = [code_by_hand(model, row) for row in x.tolist()]
        restored = [restored_by_hand(model, z, cross_entropy=cross_entropy) for z in codes]
        codes, restored = (torch.tensor(part, dtype=torch.float64) for part in (codes, restored))
        torch.testing.assert_close(model.encode(x), codes)
        torch.testing.assert_close(model.decode(codes), restored)
        torch.testing.assert_close(model.reconstruct(x), restored)

    def test_an_output_activation_is_the_decoders_last(self):
        model, plain = model_of("plain", output_activation="sigmoid"), model_of("plain")
        x = rows()
        torch.testing.assert_close(model.reconstruct(x), plain.reconstruct(x).sigmoid())
        expected = (x - plain.reconstruct(x).sigmoid()).square().sum(1)
        torch.testing.assert_close(model.reconstruction_error(x), expected)

    def test_hidden_layers_have_their_activation_on_both_sides(self):
        model = model_of("plain", hidden=(4,), activation="tanh", code_activation="linear")
        x, z = rows(), rows(4, 3)
        _, first, _, second = model.encoder
        torch.testing.assert_close(model.encode(x), second(first(x).tanh()))
        first, _, second, _ = model.decoder
        torch.testing.assert_close(model.decode(z), second(first(z).tanh()))

    def test_convolutions_mirror_each_other_with_their_activation(self):
        model = gl.Autoencoder((1, 8, 8), 2, (7,), channels=(4, 6), activation="tanh")
        tanh, dense, up = nn.Tanh, nn.Linear, nn.ConvTranspose2d
        expected = [nn.Conv2d, tanh, nn.Conv2d, tanh, nn.Flatten, dense, tanh, dense]
        assert [type(layer) for layer in model.encoder] == expected
        expected = [dense, tanh, dense, tanh, nn.Unflatten, up, tanh, up]
        assert [type(layer) for layer in model.decoder] == expected
        assert [layer.in_channels for layer in model.decoder if isinstance(layer, up)] == [6, 4]

    def test_networks_of_one_s_own_stay_in_training(self):
        network = nn.Sequential(nn.Linear(5, 3))
        gl.Autoencoder(5, 3, encoder=network, decoder=nn.Linear(3, 5))
        assert network.training

    def test_a_tiled_row_has_twice_the_error(self):
        model, x = model_of("plain").float(), rows().float()
        encoder, decoder = Half(model.encoder), Tiled(model.decoder)
        twice = gl.Autoencoder(10, 3, encoder=encoder, decoder=decoder)
        torch.testing.assert_close(twice.loss(x.repeat(1, 2)), 2 * model.loss(x))

    @pytest.mark.parametrize("name", sorted(KINDS))
    def test_no_density_and_no_samples_in_words(self, name):
        model = model_of(name)
        assert model.density is gl.Density.NONE
        with pytest.raises(gl.CannotAnswerError, match="not how probable they are"):
            model.log_prob(rows())
        with pytest.raises(gl.CannotAnswerError, match="how codes are distributed"):
            model.sample(3)

    def test_a_cross_entropy_is_about_values_in_the_unit_interval(self):
        model = gl.Autoencoder(5, 3, (), error="cross_entropy")
        with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got 1.5"):
            model.fit(torch.full((4, 5), 1.5))
        gl.Autoencoder(5, 3, ()).fit(torch.full((4, 5), 1.5), epochs=1, progress=False)

    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize("hidden", [(), (7, 6)])
    def test_the_decoder_mirrors_the_encoder(self, hidden, tied):
        model = gl.Autoencoder(5, 3, hidden, activation="tanh", tied=tied)
        down = [layer.weight for layer in model.encoder if isinstance(layer, nn.Linear)]
        if tied:
            up = [layer.weight.T for layer in model.decoder._layers]
            assert all(
                a is b.weight for a, b in zip(down[::-1], model.decoder._layers, strict=True)
            )
        else:
            up = [layer.weight for layer in model.decoder if isinstance(layer, nn.Linear)]
        assert [w.shape for w in up] == [w.T.shape for w in down[::-1]]
        numbers = sum(p.numel() for p in model.parameters())
        weights = sum(w.numel() for w in down)
        biases = sum(hidden) + 3 + sum(hidden) + 5
        assert numbers == (weights if tied else 2 * weights) + biases

    def test_tied_layers_are_transposed_with_biases_of_their_own(self):
        model = model_of("plain", hidden=(4,), tied=True, activation="tanh")
        z = rows(6, 3)
        low, high = (model.encoder[place] for place in (1, 3))
        first, last = model.decoder.biases
        middle = (z @ high.weight + first).tanh()
        torch.testing.assert_close(model.decode(z), middle @ low.weight + last)

    def test_tied_weights_learn_from_both_sides(self, tmp_path):
        model, x = model_of("plain", tied=True), rows()
        model.loss(x).backward()
        found = model.encoder[1].weight.grad
        untied = model_of("plain")
        with torch.no_grad():
            untied.encoder[1].load_state_dict(model.encoder[1].state_dict())
            untied.decoder[0].weight.copy_(model.encoder[1].weight.T)
            untied.decoder[0].bias.copy_(model.decoder.biases[0])
        untied.loss(x).backward()
        expected = untied.encoder[1].weight.grad + untied.decoder[0].weight.grad.T
        torch.testing.assert_close(found, expected)
        model.save(tmp_path / "tied")
        loaded = gl.load(tmp_path / "tied")
        assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))
        assert loaded.encoder[1] is loaded.decoder._layers[0]

    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8)], ids=str)
    def test_convolutions(self, shape, tmp_path):
        model = gl.Autoencoder(
            shape, 2, (7,), channels=(4, 6), code_activation="tanh", error="cross_entropy"
        )
        x = rows(5, *shape).float()
        assert model.encode(x).shape == (5, 2) and model.encode(x).abs().max() < 1
        assert model.reconstruct(x).shape == x.shape
        model.save(tmp_path / "conv")
        assert torch.equal(gl.load(tmp_path / "conv").encode(x), model.encode(x))

    @pytest.mark.covers("R02")
    def test_a_linear_one_reaches_the_error_of_principal_components_and_no_less(self):
        gl.seed(0)
        x = torch.randn(400, 2) @ torch.randn(2, 5) * 1.5 + 0.4 * torch.randn(400, 5)
        x = x - x.mean(0)
        least = torch.linalg.svdvals(x)[2:].square().sum().item() / len(x)
        model = gl.Autoencoder(5, 2, ())
        for lr in (0.02, 0.002):
            model.fit(x, epochs=300, lr=lr, batch_size=400, progress=False)
        assert least - 1e-5 < model.loss(x).item() < least * 1.001

    @pytest.mark.parametrize("name", sorted(KINDS))
    def test_an_empty_batch_is_refused(self, name):
        model, none = model_of(name), rows()[:0]
        asks = [model.fit, model.encode, model.reconstruct, model.reconstruction_error]
        asks += [
            getattr(model, ask) for ask in ("penalty", "corrupt", "jacobian") if hasattr(model, ask)
        ]
        for ask in asks:
            with pytest.raises(ValueError, match="x: expected at least one value"):
                ask(none)


class Half(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x[:, :5])


class Tiled(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, z):
        return self.inner(z).repeat(1, 2)


@pytest.mark.covers("R05")
class TestSparse:
    @staticmethod
    def divergence_by_hand(model, x, rho):
        codes, total = [code_by_hand(model, row) for row in x.tolist()], 0.0
        for j in range(3):
            mean = sum(z[j] for z in codes) / len(codes)
            total += rho * math.log(rho / mean) + (1 - rho) * math.log((1 - rho) / (1 - mean))
        return total

    def test_without_weight_it_is_a_plain_one(self):
        """Also where units are saturated, and the penalty infinite."""
        model, x = model_of("sparse", weight=0.0), rows()
        with torch.no_grad():
            model.encoder[1].bias.fill_(1e4)
        assert model.penalty(x).isinf()
        loss = model.loss(x)
        torch.testing.assert_close(loss, model.reconstruction_error(x).mean())
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())

    def test_the_penalty_is_one_a_batch_by_hand(self):
        model, x = model_of("sparse", target=0.1, weight=2.5), rows()
        penalty = self.divergence_by_hand(model, x, 0.1)
        assert model.penalty(x).item() == pytest.approx(penalty, rel=1e-12)
        expected = mean_error_by_hand(model, x, x) + 2.5 * penalty
        assert model.loss(x).item() == pytest.approx(expected, rel=1e-12)
        assert model.validation_loss(x).item() == pytest.approx(expected, rel=1e-12)

    def test_it_is_less_than_the_mean_of_those_of_single_rows(self):
        """KL is convex in its second argument; the two agree where all rows have one code."""
        model, x = model_of("sparse", target=0.1), rows()
        each = torch.stack([model.penalty(row[None]) for row in x]).mean()
        assert model.penalty(x) < each - 0.01
        torch.testing.assert_close(model.penalty(x[:1].repeat(4, 1)), model.penalty(x[:1]))

    def test_it_is_zero_at_the_target_and_training_goes_there(self):
        gl.seed(0)
        x = rows(400, 6).float()
        model = gl.SparseAutoencoder(6, 10, target=0.1, weight=50.0)
        model.fit(x, epochs=60, lr=0.02, batch_size=400, progress=False)
        assert (model.encode(x).mean(0) - 0.1).abs().max() < 0.03
        assert 0 <= model.penalty(x) < 0.05

    def test_codes_are_sigmoids(self):
        with pytest.raises(ValueError, match='code_activation: expected "sigmoid"'):
            gl.SparseAutoencoder(5, 3, code_activation="relu")
        own = gl.SparseAutoencoder(5, 3, encoder=nn.Linear(5, 3), decoder=nn.Linear(3, 5))
        with torch.no_grad():
            own.encoder.bias.fill_(9.0)
        with pytest.raises(ValueError, match=r"expected mean activations in \(0, 1\)"):
            own.loss(rows().float())


@pytest.mark.covers("R06")
class TestDenoising:
    def test_masks_by_hand(self):
        model, x = model_of("denoising", level=0.3), rows(400)
        u = torch.rand(x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        found = model.corrupt(x, generator=torch.Generator().manual_seed(4))
        assert torch.equal(found, torch.where(u < 0.3, torch.zeros_like(x), x))
        assert stats.binomtest(int((found == 0).sum()), x.numel(), 0.3).pvalue > FALSE_ALARM

    def test_gaussian_noise_by_hand_and_unclipped(self):
        model, x = model_of("denoising", noise="gaussian", level=0.5), rows(400)
        noise = torch.randn(
            x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64
        )
        found = model.corrupt(x, generator=torch.Generator().manual_seed(4))
        torch.testing.assert_close(found, x + 0.5 * noise)
        assert found.min() < 0 and found.max() > 1

    @pytest.mark.parametrize("noise", ["masking", "gaussian"])
    @pytest.mark.parametrize("error", ["squared", "cross_entropy"])
    def test_the_loss_compares_the_clean_row_with_what_is_restored_of_the_noisy(self, error, noise):
        model, x = model_of("denoising", noise=noise, level=0.4, error=error), rows()
        torch.manual_seed(3)
        seen = model.corrupt(x)
        assert not torch.equal(seen, x)
        torch.manual_seed(3)
        expected = mean_error_by_hand(model, seen, x)
        assert model.loss(x).item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("noise", ["masking", "gaussian"])
    def test_validation_has_one_noise_and_leaves_the_generator_alone(self, noise):
        model, x = model_of("denoising", noise=noise, level=0.4), rows()
        state = torch.get_rng_state()
        first, second = model.validation_loss(x), model.validation_loss(x)
        assert first == second and torch.equal(torch.get_rng_state(), state)
        assert model.loss(x) != model.loss(x)
        seen = model.corrupt(x, generator=torch.Generator().manual_seed(0))
        assert first.item() == pytest.approx(mean_error_by_hand(model, seen, x), rel=1e-12)

    def test_validation_rows_have_different_noise_from_each_other(self):
        seen = []

        class Noting(gl.DenoisingAutoencoder):
            def _errors(self, noisy, x):
                seen.append(noisy - x)
                return super()._errors(noisy, x)

        model = Noting(5, 3, noise="gaussian", level=0.4).double()
        model.validation_loss(rows())
        assert len(seen[0].unique()) > 30

    def test_no_noise_is_the_plain_loss_and_queries_are_clean(self):
        noisy, plain = model_of("denoising", noise="gaussian", level=0.0), model_of("plain")
        x = rows()
        torch.testing.assert_close(noisy.loss(x), plain.loss(x))
        loud = model_of("denoising", noise="gaussian", level=9.0)
        torch.testing.assert_close(loud.encode(x), plain.encode(x))
        torch.testing.assert_close(loud.reconstruct(x), plain.reconstruct(x))

    def test_noisy_rows_may_lie_outside_the_range_of_clean_ones(self):
        model = model_of("denoising", noise="gaussian", level=0.5, error="cross_entropy")
        x = rows()
        torch.testing.assert_close(model.denoise(x), model.reconstruct(x))
        noisy = x + 5
        with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
            model.reconstruct(noisy)
        torch.testing.assert_close(model.denoise(noisy), model.decode(model.encoder(noisy)))
        with pytest.raises(ValueError, match="x: expected finite values"):
            model.denoise(torch.full_like(x, math.nan))

    @pytest.mark.covers("R07")
    def test_little_noise_penalises_the_jacobian_of_the_reconstruction(self):
        """E‖r(x + σε) − x‖² = ‖r − x‖² + σ² (‖J_r‖² + (r − x)·Δr) + O(σ⁴), by quadrature."""
        model = model_of("plain", shape=2, latent=2)
        x = rows(1, 2)[0]

        def r(v):
            return model.reconstruct(v[None])[0]

        jacobian = torch.autograd.functional.jacobian(r, x)
        laplacian = torch.stack(
            [torch.autograd.functional.hessian(lambda v, i=i: r(v)[i], x).trace() for i in range(2)]
        )
        slope = jacobian.square().sum() + (r(x) - x) @ laplacian
        nodes, weights = gauss_hermite(20)
        grid = torch.cartesian_prod(nodes, nodes)
        mass = torch.cartesian_prod(weights, weights).prod(1)
        rest = []
        for sigma in (0.08, 0.04, 0.02):
            exact = mass @ (model.reconstruct(x + sigma * grid) - x).square().sum(1)
            rest.append((exact - model.reconstruction_error(x[None])[0] - sigma**2 * slope).item())
        for large, little in itertools.pairwise(rest):
            assert large / little == pytest.approx(16, rel=0.1)

    def test_a_linear_one_learns_the_posterior_mean_of_a_gaussian(self):
        """E[x | x̃] = C (C + σ²I)⁻¹ x̃ of x ~ N(0, C)."""
        gl.seed(0)
        root = torch.tensor([[1.2, 0.0], [0.8, 0.5]])
        x = torch.randn(20_000, 2) @ root.T
        model = gl.DenoisingAutoencoder(2, 2, noise="gaussian", level=0.6, code_activation="linear")
        for lr in (0.02, 0.002):
            model.fit(x, epochs=12, lr=lr, batch_size=500, progress=False)
        c = x.T @ x / len(x)
        expected = x @ torch.linalg.inv(c + 0.36 * torch.eye(2)) @ c
        assert (model.reconstruct(x) - expected).square().mean() < 1e-3


def gauss_hermite(n):
    """Nodes and weights of quadrature for N(0, 1)."""
    nodes, weights = map(torch.as_tensor, hermegauss(n))
    return nodes, weights / weights.sum()


@pytest.mark.covers("R07")
class TestContractive:
    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"code_activation": "tanh"},
            {"code_activation": "linear"},
            {"code_activation": "softplus"},
            {"hidden": (4,), "activation": "tanh"},
            {"tied": True},
        ],
        ids=str,
    )
    def test_the_exact_penalty_is_autograds_row_by_row(self, settings):
        model, x = model_of("contractive", **settings), rows()
        expected = torch.stack([true_jacobian(model, row) for row in x])
        torch.testing.assert_close(model.jacobian(x), expected)
        squares = expected.square().sum((1, 2))
        torch.testing.assert_close(model.penalty(x), squares)
        with torch.no_grad():
            torch.testing.assert_close(model.penalty(x), squares)
            torch.testing.assert_close(model.jacobian(x), expected)

    def test_the_closed_form_by_hand(self):
        model, x = model_of("contractive"), rows()
        weight = model.encoder[1].weight
        for row, found in zip(x.tolist(), model.penalty(x), strict=True):
            total = 0.0
            for j, h in enumerate(code_by_hand(model, row)):
                for i in range(5):
                    total += (h * (1 - h) * weight[j, i].item()) ** 2
            assert found.item() == pytest.approx(total, rel=1e-12)

    def test_of_images_too(self):
        model = gl.ContractiveAutoencoder((1, 4, 4), 2, (5,), channels=(3,), activation="tanh")
        x = rows(3, 1, 4, 4).float()
        jacobian = model.jacobian(x)
        assert jacobian.shape == (3, 2, 1, 4, 4)
        torch.testing.assert_close(model.penalty(x), jacobian.square().flatten(1).sum(1))

    @pytest.mark.parametrize("hidden", [(), (4,)])
    def test_hutchinsons_estimate_is_unbiased(self, hidden):
        """z-tests, a row each. False alarm: 1e-6 in all."""
        model, x = model_of("contractive", hidden=hidden, activation="tanh"), rows(4)
        draws = torch.stack([model.estimated_penalty(x).detach() for _ in range(4000)])
        z = (draws.mean(0) - model.penalty(x)) / draws.std(0) * 4000**0.5
        assert z.abs().max() < stats.norm.isf(FALSE_ALARM / 2 / 4)

    def test_hutchinson_over_all_signs_is_exact(self):
        model, x = model_of("contractive", hidden=(4,), activation="tanh"), rows(3)
        total = 0
        for signs in itertools.product((-1.0, 1.0), repeat=3):
            v = torch.tensor(signs, dtype=torch.float64)
            (row,) = model._pulled_back(x, lambda z, v=v: [v.expand_as(z)])
            total = total + row.square().sum(1) / 8
        torch.testing.assert_close(total, model.penalty(x))

    def test_more_probes_are_their_mean(self):
        model, x = model_of("contractive", hidden=(4,), activation="tanh"), rows(3)
        one, other = (torch.Generator().manual_seed(5) for _ in range(2))
        each = [model.estimated_penalty(x, generator=one) for _ in range(3)]
        found = model.estimated_penalty(x, probes=3, generator=other)
        torch.testing.assert_close(found, torch.stack(each).mean(0))

    @pytest.mark.parametrize("jacobian", ["exact", "hutchinson"])
    def test_the_loss_is_error_plus_weighted_penalty_and_its_gradient_autograds(self, jacobian):
        model = model_of(
            "contractive", hidden=(4,), activation="tanh", weight=0.7, jacobian=jacobian
        )
        x = rows()
        torch.manual_seed(2)
        found = model.loss(x)
        error = (x - model.reconstruct(x)).square().sum(1).mean()
        if jacobian == "exact":
            squares = torch.stack([true_jacobian(model, row).square().sum() for row in x]).mean()
        else:
            torch.manual_seed(2)
            squares = model.estimated_penalty(x).mean()
        torch.testing.assert_close(found, error + 0.7 * squares)
        found.backward()
        slope = model.encoder[1].weight.grad[0, 0].item()
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                model.encoder[1].weight[0, 0] += step
                torch.manual_seed(2)
                ends.append(model.loss(x).item())
                model.encoder[1].weight[0, 0] -= step
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-4)

    def test_the_loss_has_the_probes_it_was_given(self):
        model, x = model_of("contractive", jacobian="hutchinson", probes=3, weight=0.7), rows()
        torch.manual_seed(2)
        found = model.loss(x)
        torch.manual_seed(2)
        penalty = model.estimated_penalty(x, probes=3).mean()
        torch.testing.assert_close(found, model.reconstruction_error(x).mean() + 0.7 * penalty)

    @pytest.mark.parametrize("replaced", [False, True], ids=["given", "put in later"])
    def test_layers_do_not_tell_what_an_encoder_of_one_s_own_computes(self, replaced):
        class Doubled(nn.Sequential):
            def forward(self, x):
                return super().forward(2 * x)

        gl.seed(0)
        x, network = rows(), Doubled(nn.Flatten(), nn.Linear(5, 3), nn.Sigmoid())
        model = gl.ContractiveAutoencoder(5, 3, encoder=None if replaced else network).double()
        model.encoder = network.double()
        expected = [true_jacobian(model, row).square().sum() for row in x]
        torch.testing.assert_close(model.penalty(x), torch.stack(expected))

    def test_asking_leaves_rows_as_they_were(self):
        model, x = model_of("contractive"), rows()
        model.jacobian(x)
        assert not x.requires_grad

    @pytest.mark.parametrize("hidden", [(), (4,)], ids=["closed form", "autograd"])
    def test_its_gradient_in_the_row_is_that_of_differences(self, hidden):
        model, x = model_of("contractive", hidden=hidden, activation="tanh"), rows()
        x.requires_grad_()
        (slope,) = torch.autograd.grad(model.penalty(x).sum(), x)
        step = 1e-5 * torch.eye(5, dtype=torch.float64)[0]
        with torch.no_grad():
            difference = (model.penalty(x + step) - model.penalty(x - step)) / 2e-5
        torch.testing.assert_close(slope[:, 0], difference, rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("jacobian", ["exact", "hutchinson"])
    def test_inference_mode_changes_nothing(self, jacobian):
        model = model_of("contractive", hidden=(4,), jacobian=jacobian)
        x = rows()
        expected = model.jacobian(x), model.validation_loss(x)
        with torch.inference_mode():
            for seen in (x, x.clone()):
                torch.testing.assert_close(model.jacobian(seen), expected[0])
                torch.testing.assert_close(model.validation_loss(seen), expected[1])

    def test_the_gradient_of_the_closed_form_is_that_of_autograds_jacobian(self):
        model, x = model_of("contractive"), rows()
        parameters = list(model.encoder.parameters())
        closed = torch.autograd.grad(model.penalty(x).sum(), parameters)
        other = torch.autograd.grad(model.jacobian(x).square().sum(), parameters)
        torch.testing.assert_close(closed, other)

    def test_validation_draws_the_same_signs_and_works_without_gradients(self):
        model, x = model_of("contractive", hidden=(4,), jacobian="hutchinson"), rows()
        with torch.no_grad():
            first = model.validation_loss(x)
            assert first == model.validation_loss(x) and not first.requires_grad
        fixed = torch.Generator().manual_seed(0)
        penalty = model.estimated_penalty(x, generator=fixed).mean()
        error = model.reconstruction_error(x).mean()
        torch.testing.assert_close(first, (error + 0.1 * penalty).detach())

    def test_untied_layers_may_shrink_the_code_and_lose_nothing(self):
        """W → W/c, W* → c W* around a linear code: the same error, a penalty c² times smaller."""
        model, x = model_of("contractive", code_activation="linear"), rows()
        error, penalty = model.reconstruction_error(x), model.penalty(x)
        with torch.no_grad():
            for parameter in model.encoder[1].parameters():
                parameter /= 10
            model.decoder[0].weight *= 10
        torch.testing.assert_close(model.reconstruction_error(x), error)
        torch.testing.assert_close(model.penalty(x), penalty / 100)


@pytest.mark.covers("R08")
class TestStacked:
    @staticmethod
    def stack(**settings):
        gl.seed(0)
        layers = [
            gl.DenoisingAutoencoder(5, 4, code_activation="sigmoid", error="cross_entropy"),
            gl.ContractiveAutoencoder(4, 3, output_activation="sigmoid"),
            gl.SparseAutoencoder(3, 2),
        ]
        return scattered(gl.StackedAutoencoder(layers, **settings).double())

    def test_it_composes_encoders_and_decoders(self):
        model, x = self.stack(), rows()
        a, b, c = model.layers
        z = c.encode(b.encode(a.encode(x)))
        torch.testing.assert_close(model.encode(x), z)
        torch.testing.assert_close(model.decode(z), a.decode(b.decode(c.decode(z))))
        restored = model.reconstruct(x)
        torch.testing.assert_close(restored, model.decode(z))
        expected = -(x * restored.log() + (1 - x) * (1 - restored).log()).sum(1)
        torch.testing.assert_close(model.reconstruction_error(x), expected)
        torch.testing.assert_close(model.loss(x), expected.mean())

    def test_pretraining_is_each_layers_fit_on_the_codes_below(self):
        x, valid = rows(60), rows(20, seed=1)
        model, by_hand = self.stack(), self.stack()
        gl.seed(1)
        histories = model.pretrain(x, valid=valid, epochs=3, batch_size=20, lr=0.01, progress=False)
        gl.seed(1)
        seen, held_out = x, valid
        for layer, history in zip(by_hand.layers, histories, strict=True):
            own = layer.fit(seen, valid=held_out, epochs=3, batch_size=20, lr=0.01, progress=False)
            assert own["valid"] == history["valid"] and len(history) == 3
            with torch.no_grad():
                seen, held_out = layer.encode(seen), layer.encode(held_out)
        for name, value in by_hand.state_dict().items():
            assert torch.equal(model.state_dict()[name], value)

    def test_pretraining_a_layer_leaves_those_below_alone(self):
        model, x = self.stack(), rows(40)
        model.layers[0].fit(x, epochs=1, progress=False)
        before = {n: v.clone() for n, v in model.layers[0].state_dict().items()}
        with torch.no_grad():
            codes = model.layers[0].encode(x)
        model.layers[1].fit(codes, epochs=2, progress=False)
        assert all(torch.equal(v, before[n]) for n, v in model.layers[0].state_dict().items())

    def test_fine_tuning_moves_every_layer_and_lowers_the_error(self):
        model, x = self.stack(), rows(100)
        before = {n: v.clone() for n, v in model.state_dict().items()}
        history = model.fit(x, valid=x, epochs=30, lr=0.02, progress=False)
        assert history["valid"][-1] < history["valid"][0]
        assert all(not torch.equal(v, before[n]) for n, v in model.state_dict().items())

    def test_labels_train_the_encoders_and_the_head_and_no_decoder(self):
        model, x = self.stack(classes=3), rows(90)
        y = (3 * x[:, 0]).long().clamp_max(2)
        before = {n: v.clone() for n, v in model.state_dict().items()}
        history = model.fit(x, y, valid=(x, y), epochs=250, lr=0.05, progress=False)
        logits = model.encode(x) @ model.head.weight.T + model.head.bias
        expected = -(logits.softmax(1).log()[torch.arange(90), y]).mean()
        torch.testing.assert_close(model.loss(x, y), expected)
        assert history.last["valid"] == pytest.approx(expected.item(), rel=1e-9)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]) == (".decoder." in name), name
        assert (model.predict(x) == y).double().mean() > 0.8
        torch.testing.assert_close(model.predict_proba(x), logits.softmax(1))
        assert torch.equal(model.predict(x), logits.argmax(1))

    def test_saving_brings_back_every_layer(self, tmp_path):
        model, x = self.stack(classes=3).float(), rows().float()
        model.save(tmp_path / "stack")
        loaded = gl.load(tmp_path / "stack")
        assert torch.equal(loaded.predict_proba(x), model.predict_proba(x))
        assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))
        assert [type(a) for a in loaded.layers] == [type(a) for a in model.layers]

    def test_layers_that_do_not_fit(self):
        low = gl.Autoencoder(5, 4, ())
        with pytest.raises(ValueError, match=r"layer 2 to encode the 4 units .* shape \(3,\)"):
            gl.StackedAutoencoder([low, gl.Autoencoder(3, 2, ())])
        with pytest.raises(ValueError, match=r"layer 2 .* shape \(4,\), got one for shape \(4, 1"):
            gl.StackedAutoencoder([low, gl.Autoencoder((4, 1, 1), 2, ())])
        with pytest.raises(ValueError, match=r"one dtype .*float32 on cpu and torch\.float64 on"):
            gl.StackedAutoencoder([low, gl.Autoencoder(4, 2, ()).double()])
        with pytest.raises(ValueError, match="got one of them twice"):
            gl.StackedAutoencoder([square := gl.Autoencoder(4, 4, ()), square])
        with pytest.raises(TypeError, match="expected autoencoders, got a Linear"):
            gl.StackedAutoencoder([low, nn.Linear(4, 3)])
        for nothing in ([], None, low):
            with pytest.raises(TypeError, match="layers: expected a list of autoencoders"):
                gl.StackedAutoencoder(nothing)
        with pytest.raises(ValueError, match="classes: expected at least 2"):
            gl.StackedAutoencoder([low], classes=1)

    def test_the_head_has_the_dtype_of_the_layers(self):
        model = gl.StackedAutoencoder([gl.Autoencoder(5, 4, ()).double()], 2)
        assert model.predict(rows()).shape == (7,)

    def test_training_and_validation_are_of_the_same_thing(self):
        model, x = self.stack(classes=2), rows(20)
        y = (x[:, 0] > 0.5).long()
        before = {n: v.clone() for n, v in model.state_dict().items()}
        with pytest.raises(ValueError, match=r"valid: expected a pair \(x, y\), with labels"):
            model.fit(x, y, valid=x, epochs=1, progress=False)
        with pytest.raises(ValueError, match="valid: expected rows alone, without labels"):
            model.fit(x, valid=(x, y), epochs=1, progress=False)
        assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
        model.fit(x, valid=x, epochs=1, progress=False)
        model.fit(x, y, valid=(x, y), epochs=1, progress=False)

    def test_what_has_no_labels_says_so(self):
        model, x = self.stack(), rows()
        for ask in (model.predict, model.predict_proba):
            with pytest.raises(ValueError, match="make it with classes="):
                ask(x)
        with pytest.raises(ValueError, match="has no labels"):
            model.fit(x, torch.zeros(7, dtype=torch.int64))
        with pytest.raises(ValueError, match="checkpoint: expected none"):
            model.pretrain(x, checkpoint="here")
        with pytest.raises(ValueError, match="x: expected at least one value"):
            model.pretrain(x[:0])

    def test_codes_outside_a_layers_range_are_refused(self):
        low = gl.Autoencoder(5, 4, ())
        model = gl.StackedAutoencoder([low, gl.Autoencoder(4, 2, (), error="cross_entropy")])
        with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
            model.pretrain(rows(30).float(), epochs=1, progress=False)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_training_saving_and_resuming(name, tmp_path):
    x, states = rows(60).float(), []
    for parts in ([4], [1, 4]):
        for epochs in parts:
            gl.seed(3)
            model = KINDS[name](5, 3, ())
            path = tmp_path / f"{len(parts)}"
            history = model.fit(
                x, valid=x, epochs=epochs, batch_size=20, lr=0.02, checkpoint=path, resume=True,
                progress=False,
            )  # fmt: skip
        states.append(model.state_dict())
    assert history["valid"][-1] < history["valid"][0]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    model.save(tmp_path / "model")
    loaded = gl.load(tmp_path / "model")
    assert type(loaded) is type(model) and torch.equal(loaded.encode(x), model.encode(x))


@pytest.mark.parametrize(
    ("kind", "settings", "error", "words"),
    [
        ("plain", {"shape": 0}, ValueError, "shape: expected at least 1"),
        ("plain", {"latent": 0}, ValueError, "latent: expected at least 1"),
        ("plain", {"hidden": (0,)}, ValueError, "hidden: expected at least 1"),
        ("plain", {"hidden": 4}, TypeError, "hidden: expected several"),
        ("plain", {"activation": "swish"}, ValueError, "activation: expected one of"),
        ("plain", {"code_activation": "step"}, ValueError, "code_activation: expected one of"),
        ("plain", {"output_activation": "step"}, ValueError, "output_activation: expected one"),
        (
            "plain",
            {"output_activation": "relu", "error": "cross_entropy"},
            ValueError,
            "output_activation: expected .linear. with a cross-entropy",
        ),
        ("plain", {"error": "l1"}, ValueError, "error: expected one of"),
        ("plain", {"tied": 1}, TypeError, "tied: expected True or False"),
        ("plain", {"channels": (4,)}, ValueError, r"shape: expected \(C, H, W\)"),
        ("plain", {"shape": (1, 6, 6), "channels": (4, 8)}, ValueError, "can be halved 2 times"),
        ("plain", {"shape": (1, 8, 8), "channels": (4,), "tied": True}, ValueError, "tied: "),
        ("plain", {"tied": True, "encoder": nn.Linear(5, 3)}, ValueError, "tied: expected dense"),
        ("plain", {"tied": True, "decoder": nn.Linear(3, 5)}, ValueError, "tied: expected dense"),
        (
            "plain",
            {"shape": (1, 8, 8), "channels": (4,), "activation": "x"},
            ValueError,
            "activation: expected one of",
        ),
        ("plain", {"encoder": nn.Linear(5, 4)}, ValueError, r"encoder: .* shape \(2, 3\)"),
        ("plain", {"encoder": nn.Linear(6, 3)}, ValueError, r"encoder: .* takes \(2, 5\)"),
        ("plain", {"decoder": nn.Linear(3, 6)}, ValueError, r"decoder: .* shape \(2, 5\)"),
        ("plain", {"decoder": len}, TypeError, "decoder: expected a torch.nn.Module"),
        ("sparse", {"target": 0.0}, ValueError, r"target: expected a number inside \(0, 1\)"),
        ("sparse", {"target": 1}, ValueError, r"target: expected a number inside \(0, 1\)"),
        ("sparse", {"weight": -1.0}, ValueError, "weight: expected a finite number"),
        ("sparse", {"weight": math.nan}, ValueError, "weight: expected a finite number"),
        ("denoising", {"level": -0.1}, ValueError, r"level: expected a number in \[0, 1\]"),
        ("denoising", {"level": 1.5}, ValueError, r"level: expected a number in \[0, 1\]"),
        ("denoising", {"level": 1.0}, ValueError, "level: expected less than 1"),
        ("denoising", {"level": "much"}, TypeError, "level: expected a number"),
        ("denoising", {"noise": "gaussian", "level": -1.0}, ValueError, "level: expected a finite"),
        ("denoising", {"noise": "gaussian", "level": math.inf}, ValueError, "level: expected"),
        ("denoising", {"noise": "salt"}, ValueError, "noise: expected one of"),
        ("contractive", {"weight": -0.1}, ValueError, "weight: expected a finite number"),
        ("contractive", {"jacobian": "none"}, ValueError, "jacobian: expected one of"),
        ("contractive", {"probes": 0}, ValueError, "probes: expected at least 1"),
    ],
    ids=str,
)
def test_bad_settings(kind, settings, error, words):
    with pytest.raises(error, match=words):
        KINDS[kind](**{"shape": 5, "latent": 3, "hidden": ()} | settings)


def test_bad_codes():
    model = gl.Autoencoder(5, 3)
    with pytest.raises(ValueError, match=r"z: expected shape \(N, 3\)"):
        model.decode(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="z: expected finite values"):
        model.decode(torch.full((2, 3), math.nan))
