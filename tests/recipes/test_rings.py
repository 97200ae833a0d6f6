"""Many small games at once are what each would be by itself."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import genlib as gl
from genlib import recipes
from genlib.models.adversarial.costs import COSTS
from genlib.recipes.rings import GAMES, PACES, TITLES, RingGANs, Rounds, modes, name_of


def networks(parts, copy_number):
    """One copy's network, of torch's layers."""
    layers = []
    for weight, bias in zip(parts[::2], parts[1::2], strict=True):
        layer = nn.Linear(*weight.shape[1:])
        layer.weight.data = weight[copy_number].T.clone()
        layer.bias.data = bias[copy_number, 0].clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.fixture
def model():
    gl.seed(0)
    return RingGANs("non-saturating", copies=3, latent=4, hidden=5)


@torch.no_grad()
def test_every_copy_is_a_network_of_its_own(model):
    x = torch.randn(6, 3, 2)
    found = model.logits(x)
    assert found.shape == (6, 3)
    for k in range(3):
        wanted = networks(model.discriminator, k)(x[:, k])[:, 0]
        torch.testing.assert_close(found[:, k], wanted)
    assert model.sample(7).shape == (7, 3, 2)


def test_losses_are_sums_over_copies_of_genlib_s(model):
    x = torch.randn(3, 8, 2)
    gl.seed(1)
    found = [loss.item() for loss in model.losses(x)]
    gl.seed(1)
    wanted, noises = [0.0, 0.0], torch.randn(2, 3, 8, 4)
    for player, z in enumerate(noises):
        for k in range(3):
            D, G = networks(model.discriminator, k), networks(model.generator, k)
            real, fake = D(x[k]), D(G(z[k]))
            cost = COSTS["non-saturating"]
            loss = cost.generator(fake) if player else cost.discriminator(real, fake)
            wanted[player] += loss.item()
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("minimax", torch.sigmoid),
        ("non-saturating", lambda v: torch.sigmoid(-v)),
        ("classifier, forward-kl", torch.exp),
        ("classifier, reverse-kl", torch.ones_like),
    ],
)
def test_games_of_one_classifier_differ_in_the_generator_s_weights(name, weight):
    v = torch.linspace(-3, 3, 10).double().requires_grad_()
    (slope,) = torch.autograd.grad(GAMES[name].generator(v), v)
    torch.testing.assert_close(-10 * slope, weight(v.detach()))
    pair = v.detach(), v.detach() + 1
    assert GAMES[name].discriminator(*pair) == COSTS["minimax"].discriminator(*pair)


def test_modes_are_counted_within_half_the_way_to_the_next(model):
    centres = gl.data.ring(scale=0.1).centres.float()
    fake = [torch.zeros(2500, 2), centres[0] + torch.tensor([0.7, 0.0]).expand(2500, 2)]
    fake.append(centres.repeat_interleave(313, 0)[:2500])
    model._sample = lambda n, generator: torch.stack(fake, 1)
    found = modes(model, gl.data.ring(scale=0.1).dataset(100))
    assert found["modes covered"].value.item() == pytest.approx((0 + 1 + 8) / 3)
    assert found["modes found"].value.item() == pytest.approx((0 + 0 + 8) / 3)
    assert (found["fewest"].value, found["most"].value, found["diverged"].value) == (0, 8, 0)
    fake[2] = fake[2] * torch.nan
    found = modes(model, gl.data.ring(scale=0.1).dataset(100))
    assert found["modes covered"].value.item() == pytest.approx(1 / 3)
    assert found["diverged"].value == 1


def test_a_player_with_a_rate_of_zero_stays(model, tmp_path):
    data = gl.data.ring(scale=0.1).dataset(100)
    before = copy.deepcopy(model.state_dict())
    Rounds(rate=0.0, discriminator_rate=1e-2, rounds=3, every=3, batch_size=5)(
        model, data, tmp_path
    )
    after = model.state_dict()
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"discriminator"}


def test_there_is_a_recipe_for_each_game_and_pace():
    names = {name_of(game, pace) for game in TITLES for pace in PACES}
    assert names <= set(recipes.RECIPES) and set(TITLES) == set(GAMES)
    recipe = recipes.RECIPES["ring_classifier_forward_kl_slow"]
    assert isinstance(recipe.model, partial) and recipe.train.discriminator_rate == 1e-4
    with pytest.raises(ValueError, match="game: expected one of"):
        RingGANs("forward")
