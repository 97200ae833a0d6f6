"""Networks of adversarial games, and the DCGAN made of them."""

import functools
import itertools

import pytest
import torch
from torch import nn
from torch.distributions import constraints

import genlib as gl
from genlib.models.adversarial.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    FromUnit,
    ToUnit,
    mlp_discriminator,
    mlp_generator,
)

SMALL = {"shape": (1, 8, 8), "latent": 4, "channels": (6, 10)}


def kinds(network):
    return [type(layer).__name__ for layer in network]


class TestDenseNetworks:
    def test_lead_to_the_plane_and_to_one_logit(self):
        generator, discriminator = mlp_generator(3), mlp_discriminator()
        assert generator(torch.zeros(5, 3)).shape == (5, 2)
        assert discriminator(torch.zeros(5, 2)).shape == (5, 1)
        weights = [tuple(p.shape) for p in generator.parameters() if p.dim() == 2]
        assert weights == [(128, 3), (128, 128), (2, 128)]

    def test_have_the_shape_that_they_are_given(self):
        generator = mlp_generator(3, (1, 4, 5), (7,), "tanh")
        assert generator(torch.zeros(5, 3)).shape == (5, 1, 4, 5)
        discriminator = mlp_discriminator((1, 4, 5), (7,), "tanh")
        assert discriminator(torch.zeros(5, 1, 4, 5)).shape == (5, 1)

    @pytest.mark.parametrize("make", [lambda **s: mlp_generator(2, **s), mlp_discriminator])
    def test_settings_are_checked(self, make):
        with pytest.raises(TypeError, match="hidden: expected several"):
            make(hidden=8)
        with pytest.raises(ValueError, match="activation: expected one of"):
            make(activation="step")
        with pytest.raises(ValueError, match="latent: expected at least 1"):
            mlp_generator(0)


@pytest.mark.covers("G11")
class TestDCGANNetworks:
    def test_layers_follow_the_five_rules(self):
        generator, discriminator = (
            DCGANGenerator(4, (3, 16, 16), (12, 6)),
            DCGANDiscriminator((3, 16, 16), (6, 12)),
        )
        up, down = (
            ["ConvTranspose2d", "BatchNorm2d", "ReLU"],
            ["Conv2d", "BatchNorm2d", "LeakyReLU"],
        )
        first, last = ["Linear", "Unflatten", *up[1:]], ["ConvTranspose2d", "Tanh", "ToUnit"]
        assert kinds(generator) == [*first, *up, *last]
        first, last = ["FromUnit", "Conv2d", "LeakyReLU"], ["Flatten", "Linear"]
        assert kinds(discriminator) == [*first, *down, *last]
        assert generator(torch.zeros(2, 4)).shape == (2, 3, 16, 16)
        assert discriminator(torch.zeros(2, 3, 16, 16)).shape == (2, 1)
        slopes = [layer.negative_slope for layer in discriminator if "LeakyReLU" in str(layer)]
        assert slopes == [0.2, 0.2]
        layers = [*generator, *discriminator]
        strides = [layer.stride for layer in layers if hasattr(layer, "stride")]
        assert strides == [(2, 2)] * 4

    def test_images_are_mapped_to_the_range_of_tanh_and_back(self):
        unit, signed = torch.tensor([0.0, 0.25, 0.5, 1.0]), torch.tensor([-1.0, -0.5, 0.0, 1.0])
        assert torch.equal(FromUnit()(unit), signed) and torch.equal(ToUnit()(signed), unit)

    @pytest.mark.parametrize("setting", ["strided", "batch_norm", "hidden", "activation"])
    def test_each_rule_can_be_left_out(self, setting):
        without = {"strided": False, "batch_norm": False, "hidden": 9, "activation": "tanh"}
        settings = {setting: without[setting]}
        generator = DCGANGenerator(4, (1, 8, 8), (10, 6), **settings)
        discriminator = DCGANDiscriminator((1, 8, 8), (6, 10), **settings)
        x = generator(torch.randn(5, 4))
        assert x.shape == (5, 1, 8, 8) and discriminator(x).shape == (5, 1)
        names = kinds(generator) + kinds(discriminator)
        assert ("ConvTranspose2d" in names) == (setting != "strided")
        assert ("MaxPool2d" in names) == ("Upsample" in names) == (setting == "strided")
        assert ("BatchNorm2d" in names) == (setting != "batch_norm")
        assert names.count("Linear") == (4 if setting == "hidden" else 2)
        assert ("ReLU" in names) == ("LeakyReLU" in names) == (setting != "activation")

    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_no_layer_has_a_bias_that_batch_norm_takes_away(self, batch_norm):
        for network in (
            DCGANGenerator(4, (1, 8, 8), (10, 6), hidden=7, batch_norm=batch_norm),
            DCGANDiscriminator((1, 8, 8), (6, 10), hidden=7, batch_norm=batch_norm),
        ):
            layers = [layer for layer in network if not isinstance(layer, nn.Unflatten)]
            for layer, after in itertools.pairwise(layers):
                if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                    normed = isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d)
                    assert (layer.bias is None) == normed

    def test_initial_weights(self):
        """4 σ about the standard deviation of N weights: a false alarm in 16,000 layers."""
        gl.seed(0)
        for network in (DCGANGenerator(50, channels=(64, 32)), DCGANDiscriminator()):
            for layer in network:
                if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                    error = 4 * 0.02 / (2 * layer.weight.numel()) ** 0.5
                    assert abs(layer.weight.std().item() - 0.02) < error
                    assert layer.bias is None or (layer.bias == 0).all()
                elif isinstance(layer, nn.BatchNorm2d):
                    error = 4 * 0.02 / len(layer.weight) ** 0.5
                    assert abs(layer.weight.mean().item() - 1) < error
                    assert (layer.bias == 0).all() and 0 < layer.weight.std() < 0.04

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"shape": (28, 28)}, ValueError, r"shape: expected \(C, H, W\)"),
            ({"shape": (1, 30, 30)}, ValueError, "can be halved 2 times, got 30"),
            ({"channels": ()}, ValueError, "channels: expected at least one convolution"),
            ({"channels": 8}, TypeError, r"channels: expected several, as in \[200, 200\], got 8"),
            ({"strided": 1}, TypeError, "strided: expected True or False, got 1"),
            ({"hidden": -1}, ValueError, "hidden: expected at least 0"),
            ({"batch_norm": True}, ValueError, "batch_norm: expected one of 'both', 'generator'"),
            ({"generator_activation": "step"}, ValueError, "generator_activation: expected one of"),
            ({"discriminator_activation": 1}, ValueError, "discriminator_activation: expected one"),
            ({"cost": "minmax"}, ValueError, "cost: expected one of 'minimax'"),
        ],
    )
    def test_settings_are_checked(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.DCGAN(**{**SMALL, **settings})


@pytest.mark.covers("G11")
class TestDCGAN:
    def test_images_lie_in_the_unit_interval_and_others_are_refused(self):
        model = gl.DCGAN(**SMALL)
        assert model.support is constraints.unit_interval
        x = model.sample(7)
        assert x.shape == (7, 1, 8, 8) and x.min() >= 0 and x.max() <= 1
        with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got -0.25"):
            model.fit(torch.full((7, 1, 8, 8), -0.25))
        with pytest.raises(ValueError, match=r"expected shape \(N, 1, 8, 8\), got \(7, 64\)"):
            model.fit(x.flatten(1))

    def test_the_generator_has_the_discriminator_s_channels_in_reverse(self):
        model = gl.DCGAN(**SMALL)
        widths = [
            [tuple(p.shape[:2]) for p in network.parameters() if p.dim() == 4]
            for network in (model.generator, model.discriminator)
        ]
        assert widths == [[(10, 6), (6, 1)], [(6, 1), (10, 6)]]  # transposed ones: in, out

    @pytest.mark.parametrize(
        ("batch_norm", "of"),
        [("both", (2, 1)), ("generator", (2, 0)), ("discriminator", (0, 1)), ("neither", (0, 0))],
    )
    def test_batch_norm_is_where_it_is_asked_for(self, batch_norm, of):
        model = gl.DCGAN(**SMALL, batch_norm=batch_norm)
        networks = (model.generator, model.discriminator)
        assert tuple(kinds(network).count("BatchNorm2d") for network in networks) == of

    def test_settings_reach_their_network(self):
        model = gl.DCGAN(
            **SMALL,
            cost="least-squares",
            strided=False,
            hidden=5,
            generator_activation="tanh",
            discriminator_activation="relu",
            discriminator_steps=3,
            generator_steps=2,
            smoothing=0.1,
        )
        assert "LeakyReLU" not in kinds(model.discriminator)
        assert "ReLU" in kinds(model.discriminator) and "ReLU" not in kinds(model.generator)
        assert [kinds(n).count("Linear") for n in (model.generator, model.discriminator)] == [2, 2]
        assert "MaxPool2d" in kinds(model.discriminator) and "Upsample" in kinds(model.generator)
        assert [player.steps for player in model.players()] == [3, 2]
        assert model.cost.name == "least-squares, labels 0.9 and 0"

    def test_both_players_bring_the_paper_s_adam(self):
        for player in gl.DCGAN(**SMALL).players():
            optimizer = player.optimizer(player.parameters)
            assert isinstance(optimizer, torch.optim.Adam)
            assert optimizer.defaults["lr"] == 2e-4 and optimizer.defaults["betas"] == (0.5, 0.999)

    def test_a_penalty_asks_for_a_discriminator_without_batch_norm(self):
        with pytest.raises(ValueError, match="discriminator: expected no batch norm"):
            gl.DCGAN(**SMALL, cost="wasserstein", gradient_penalty=10.0)
        model = gl.DCGAN(**SMALL, cost="wasserstein", gradient_penalty=10.0, batch_norm="generator")
        model.fit(torch.rand(8, 1, 8, 8), epochs=1, batch_size=4)

    def test_saving(self, tmp_path):
        gl.seed(0)
        model = gl.DCGAN(**SMALL, smoothing=0.1)
        model.fit(torch.rand(8, 1, 8, 8), epochs=1, batch_size=4)  # batch norm's statistics too
        model.save(tmp_path / "model")
        loaded = gl.load(tmp_path / "model")
        draws = [m.sample(3, generator=torch.Generator().manual_seed(1)) for m in (model, loaded)]
        assert torch.equal(*draws)
        assert torch.equal(*(m.logits(draws[0]) for m in (model, loaded)))
        assert loaded.cost.name == model.cost.name

    def test_learns_a_picture(self):
        """Images of one square: the generator's mean image comes near to it, to 0.07 to 0.12 of
        the way over seeds 0 to 2.
        """
        gl.seed(0)
        square = torch.zeros(1, 8, 8)
        square[:, 2:6, 2:6] = 1
        x = square * (0.8 + 0.2 * torch.rand(256, 1, 1, 1))
        model = gl.DCGAN(**SMALL)
        before = (model.sample(64).mean(0) - x.mean(0)).abs().mean()
        adam = functools.partial(torch.optim.Adam, lr=5e-3, betas=(0.5, 0.999))
        model.fit(x, epochs=10, batch_size=32, optimizer=adam)
        assert (model.sample(64).mean(0) - x.mean(0)).abs().mean() < 0.3 * before
