"""The bidirectional game against steps on the losses written out, and a linear world."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.costs import COSTS, Cost, f_gan
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
from tests.models.adversarial.games import stepped

ROWS = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)) + 1


def networks():
    encoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    return mlp_generator(3, 2, (8,)), mlp_discriminator(2 + 3, (8,), "tanh"), encoder


def small(cost="non-saturating", **settings):
    gl.seed(0)
    return gl.BiGAN(*networks(), cost, latent=3, **settings)


@pytest.mark.covers("G16")
class TestCosts:
    """What the encoder minimises is what the generator does with real and generated rows, and so
    the signs or labels, exchanged.
    """

    REAL, FAKE = torch.linspace(-2, 3, 11).double(), torch.linspace(-1, 1.5, 7).double()

    @pytest.mark.parametrize(
        "cost", ["minimax", "wasserstein", "forward-kl", "reverse-kl", "jensen-shannon"]
    )
    def test_of_a_game_of_sum_zero_both_minimise_the_value(self, cost):
        cost = COSTS[cost]
        found = cost.generator(self.FAKE) + cost.encoder(self.REAL)
        torch.testing.assert_close(found, -cost.discriminator(self.REAL, self.FAKE))

    @pytest.mark.parametrize(
        "cost",
        [
            COSTS["non-saturating"],
            COSTS["least-squares"],
            f_gan("forward-kl", non_saturating=True),
            f_gan("reverse-kl", non_saturating=True),
            f_gan("jensen-shannon", non_saturating=True),
        ],
        ids=lambda cost: cost.name,
    )
    def test_of_others_both_minimise_the_discriminator_s_loss_of_exchanged_rows(self, cost):
        found = cost.generator(self.FAKE) + cost.encoder(self.REAL)
        torch.testing.assert_close(found, cost.discriminator(self.FAKE, self.REAL))

    def test_of_the_hinge(self):
        torch.testing.assert_close(COSTS["hinge"].encoder(self.REAL), self.REAL.mean())


@pytest.mark.covers("G16")
class TestTheGame:
    @pytest.mark.parametrize("penalty", [0.0, 2.0])
    def test_a_step_of_each_player_is_that_of_the_losses_written_out(self, penalty):
        model, x = small(gradient_penalty=penalty).double(), ROWS.double()

        def pairs():
            z = torch.randn(7, 3, dtype=torch.float64)
            code = model.encoder(x)
            return torch.cat([x, code], 1), torch.cat([model.generator(z), z], 1)

        def discriminator():
            real, fake = (rows.detach() for rows in pairs())
            loss = F.softplus(-model.discriminator(real)).mean()
            loss = loss + F.softplus(model.discriminator(fake)).mean()
            if penalty:
                u = torch.rand(7, 1, dtype=torch.float64)
                between = (u * real + (1 - u) * fake).requires_grad_()
                out = model.discriminator(between).sum()
                (slope,) = torch.autograd.grad(out, between, create_graph=True)
                loss = loss + penalty * (slope.square().sum(1).sqrt() - 1).square().mean()
            return loss

        def generator():
            real, fake = pairs()
            loss = F.softplus(-model.discriminator(fake)).mean()
            return loss + F.softplus(model.discriminator(real)).mean()

        stepped(model, (x,), [discriminator, generator])
        moved = sum(len(list(n.parameters())) for n in (model.generator, model.encoder))
        assert len(model.players()[1].parameters) == moved

    def test_learns_to_draw_and_to_invert(self):
        """x = A z + b: codes are N(0, I) and lead back to their rows, which no term of the losses
        asks for. Over seeds 0 to 5 the error of reconstruction is at most 1.1 % of the variance,
        the codes' mean within 0.21 of zero, their deviations 0.96 to 1.10, and the samples' mean
        within 0.17 of the data's.
        """
        gl.seed(0)
        x = torch.randn(512, 2) @ torch.tensor([[1.5, 0.5], [0.0, 0.7]]) + 1
        judge = mlp_discriminator(4, (32, 32), "tanh")
        model = gl.BiGAN(nn.Linear(2, 2), judge, nn.Linear(2, 2), latent=2, gradient_penalty=0.1)
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, epochs=80, batch_size=64, optimizer=adam, hooks=[WeightAverage(0.98)])
        with torch.no_grad():
            z = model.encode(x)
            error = (model.decode(z) - x).square().sum(1).mean() / x.var(0).sum()
        assert error < 0.1
        assert z.mean(0).norm() < 0.5 and (z.std(0) - 1).abs().max() < 0.3
        assert (model.sample(2000).mean(0) - x.mean(0)).norm() < 0.5


@pytest.mark.covers("G16", "G17")
class TestQueries:
    def test_are_those_of_the_networks(self):
        model, z = small(), torch.randn(7, 3)
        torch.testing.assert_close(model.encode(ROWS), model.encoder(ROWS))
        found, expected = model.logits(ROWS, z), model.discriminator(torch.cat([ROWS, z], 1))
        torch.testing.assert_close(found, expected[:, 0])
        torch.testing.assert_close(model.logits(ROWS), model.logits(ROWS, model.encode(ROWS)))
        assert model.answers("encode") and not model.answers("log_prob")

    def test_of_images_codes_are_constant_channels(self):
        gl.seed(0)
        generator = mlp_generator(3, (1, 4, 4), (8,))
        judge = nn.Sequential(nn.Conv2d(1 + 3, 2, 4), nn.Flatten(), nn.Linear(2, 1))
        model = gl.BiGAN(generator, judge, nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), latent=3)
        x, z = torch.randn(5, 1, 4, 4), torch.randn(5, 3)
        maps = z.repeat_interleave(16, 1).view(5, 3, 4, 4)
        torch.testing.assert_close(model.logits(x, z), judge(torch.cat([x, maps], 1))[:, 0])
        model.fit(x, epochs=1)

    def test_are_put_in_evaluation_mode(self):
        gl.seed(0)
        generator, _, _ = networks()
        norm = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        judge = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        model = gl.BiGAN(generator, judge, norm, latent=3).train()
        for ask in (model.encode, model.logits):
            torch.testing.assert_close(ask(ROWS[2:3])[0], ask(ROWS)[2])
        assert norm[1].training and judge[1].training


@pytest.mark.covers("G16")
class TestBadInput:
    @pytest.mark.parametrize(
        ("encoder", "error", "words"),
        [
            (nn.Linear(2, 2), ValueError, r"expected outputs of shape \(2, 3\) for two rows"),
            (nn.Linear(3, 3), ValueError, r"expected a network that takes \(2, 2\)"),
            (nn.LSTM(2, 3), TypeError, "expected one tensor, got tuple"),
            ("network", TypeError, "expected a torch.nn.Module"),
        ],
    )
    def test_an_encoder_leads_to_the_latent_variables(self, encoder, error, words):
        generator, judge, _ = networks()
        with pytest.raises(error, match=f"encoder: {words}"):
            gl.BiGAN(generator, judge, encoder, latent=3)

    def test_common_parameters_are_refused(self):
        generator = nn.Linear(2, 2)
        with pytest.raises(ValueError, match="encoder: expected a network without parameters of"):
            gl.BiGAN(generator, mlp_discriminator(4), generator, latent=2)

    def test_a_cost_without_an_encoder_is_refused(self):
        mine = Cost("mine", "", lambda real, fake: fake.mean(), lambda fake: -fake.mean(), None)
        with pytest.raises(ValueError, match="cost: expected one that says what an encoder"):
            small(mine)

    def test_codes_are_checked(self):
        model = small()
        with pytest.raises(ValueError, match="z: expected one row for each of x, 7, got 3"):
            model.logits(ROWS, torch.zeros(3, 3))
        with pytest.raises(ValueError, match=r"z: expected shape \(N, 3\), got \(7, 2\)"):
            model.logits(ROWS, torch.zeros(7, 2))

    def test_a_discriminator_judges_pairs(self):
        generator, _, encoder = networks()
        with pytest.raises(ValueError, match="discriminator: expected a network that takes"):
            gl.BiGAN(generator, mlp_discriminator(2), encoder, latent=3)
