"""Many small games at once are what each would be by itself."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import genlib as gl
from genlib import recipes
from genlib.models.adversarial import gan
from genlib.models.adversarial.costs import COSTS
from genlib.nn.minibatch import MinibatchDiscrimination
from genlib.recipes import rings
from genlib.recipes.rings import (
    GAMES,
    HELP,
    PACES,
    SAMPLES,
    TITLES,
    RingGANs,
    Rounds,
    modes,
    modes_and_distances,
    name_of,
)


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


class Networks(nn.Module):
    """One copy's discriminator where it has minibatch features, of torch's and genlib's layers."""

    def __init__(self, parts, k):
        super().__init__()
        self.hidden = nn.Sequential(*networks(parts[:4], k), nn.ReLU())
        self.closeness = MinibatchDiscrimination(parts[6].shape[1], parts[6].shape[2] // 5, 5)
        self.closeness.weight.data = parts[6][k].unflatten(1, (-1, 5)).clone()
        self.last = networks(parts[4:6], k)

    def forward(self, x):
        return self.last(self.closeness(self.hidden(x)))


def game_of(model, k):
    """One copy as a game of the library."""
    rules, latent = model.rules, model.latent
    G = networks(model.generator, k)
    D = (Networks if rules.features else networks)(list(model.discriminator), k)
    if rules.unroll:
        settings = {"unroll": rules.unroll, "unroll_rate": rules.unroll_rate}
        return gl.UnrolledGAN(G, D, rules.cost, latent=latent, **settings)
    return gl.GAN(G, D, rules.cost, latent=latent, gradient_penalty=rules.penalty)


def drawing(monkeypatch, draws):
    """Whoever asks for random numbers is given ``draws``, one after the other."""
    left = iter(draws)
    for module in (rings, gan):
        monkeypatch.setattr(module, "normal", lambda shape, *_: next(left).reshape(shape))
    monkeypatch.setattr(gan, "uniform", lambda shape, *_: next(left).reshape(shape))


ALONE = [name for name in GAMES if name != "ahead-5"]


@pytest.mark.parametrize("name", ALONE)
def test_losses_and_slopes_are_those_of_each_copy_s_game(name, monkeypatch):
    """In float64; ``ahead-5`` is no game of the library."""
    gl.seed(0)
    model = RingGANs(name, copies=3, latent=4, hidden=5).double()
    x = torch.randn(3, 8, 2).double()
    draws = {player: torch.randn(3, 8, 4).double() for player in "DG"}
    mixing = torch.rand(24).double()
    parts = {"D": model.discriminator, "G": model.generator}
    for player, loss in (("D", model.discriminator_loss), ("G", model.generator_loss)):
        drawing(monkeypatch, [draws[player], mixing])
        total = loss(x)
        slopes = torch.autograd.grad(total, list(parts[player]))
        wanted = 0.0
        for k in range(3):
            game = game_of(model, k)
            drawing(monkeypatch, [draws[player][k], mixing[8 * k : 8 * k + 8]])
            each = (game.discriminator_loss if player == "D" else game.generator_loss)(x[k])
            wanted += each.item()
            first = {"D": game.discriminator, "G": game.generator}[player]
            first = first.hidden[0] if isinstance(first, Networks) else first[0]
            (own,) = torch.autograd.grad(each, first.weight)
            torch.testing.assert_close(slopes[0][k].T, own, rtol=1e-8, atol=1e-10)
        assert total.item() == pytest.approx(wanted, rel=1e-9)


def test_looking_ahead_without_a_gradient_has_the_loss_and_another_slope(monkeypatch):
    gl.seed(0)
    model = RingGANs("unrolled-5", copies=2, latent=4, hidden=5).double()
    x, z = torch.randn(2, 8, 2).double(), torch.randn(2, 8, 4).double()
    found = []
    for name in ("unrolled-5", "ahead-5"):
        model.rules = GAMES[name]
        drawing(monkeypatch, [z])
        loss = model.generator_loss(x)
        found.append((loss.item(), torch.autograd.grad(loss, model.generator[0])[0]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9)
    assert not torch.allclose(found[0][1], found[1][1], rtol=1e-3)
    model.rules = GAMES["ahead-5"]
    drawing(monkeypatch, [z])
    parts = model._ahead(x, model._fakes(x))  # as they are, whatever the generator does
    drawing(monkeypatch, [z])
    loss = model.rules.cost.generator
    wanted = sum(loss(v) for v in model._judged(model._fakes(x), [p.detach() for p in parts]))
    torch.testing.assert_close(found[1][1], torch.autograd.grad(wanted, model.generator[0])[0])


def test_a_copy_s_rows_are_seen_by_its_discriminator_alone():
    gl.seed(0)
    model = RingGANs("minibatch", copies=2, latent=4, hidden=5)
    x = torch.randn(6, 2, 2)
    changed = x.clone()
    changed[:, 1] += 1
    assert torch.equal(model.logits(x)[:, 0], model.logits(changed)[:, 0])
    changed[0, 0] += 1  # rows of one copy see each other
    assert not torch.equal(model.logits(x)[1:, 0], model.logits(changed)[1:, 0])


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
    (slope,) = torch.autograd.grad(GAMES[name].cost.generator(v), v)
    torch.testing.assert_close(-10 * slope, weight(v.detach()))
    pair = v.detach(), v.detach() + 1
    assert GAMES[name].cost.discriminator(*pair) == COSTS["minimax"].discriminator(*pair)


def test_modes_are_counted_within_half_the_way_to_the_next(model):
    centres = gl.data.ring(scale=0.1).centres.float()
    fake = [torch.zeros(2500, 2), centres[0] + torch.tensor([0.7, 0.0]).expand(2500, 2)]
    fake.append(centres.repeat_interleave(313, 0)[:2500])
    model._sample = lambda n, generator: torch.stack(fake, 1)
    found = modes(model, gl.data.ring(scale=0.1).dataset(100))
    assert found["modes covered"].value.item() == pytest.approx((0 + 1 + 8) / 3)
    assert found["modes found"].value.item() == pytest.approx((0 + 0 + 8) / 3)
    assert (found["fewest"].value, found["most"].value, found["diverged"].value) == (0, 8, 0)
    assert found["all eight"].value == 1
    fake[2] = fake[2] * torch.nan  # it counts for nothing but this
    found = modes(model, gl.data.ring(scale=0.1).dataset(100))
    assert found["modes covered"].value.item() == pytest.approx(1 / 2)
    assert (found["all eight"].value, found["diverged"].value) == (0, 1)
    fake[1] = fake[1] * 1e9
    with pytest.raises(ValueError, match="two copies that have not diverged, got 1"):
        modes(model, gl.data.ring(scale=0.1).dataset(100))


def test_distances_are_those_of_each_copy_from_rows_of_their_own(model):
    data = gl.data.ring(scale=0.1).dataset(60)
    drawn = model.sample(SAMPLES)
    model._sample = lambda n, generator: drawn
    found = modes_and_distances(model, data)
    for name, rows in (("kernel distance", data.test), ("validation kernel distance", data.valid)):
        each = [
            gl.metrics.kernel_distance(drawn[:, k], rows, "gaussian", 0.3).value for k in range(3)
        ]
        assert found[name].value.item() == pytest.approx(torch.stack(each).mean().item())


def test_rates_fall_to_zero_over_the_second_half():
    rounds = Rounds(rounds=8)
    assert [rounds._factor(i) for i in range(9)] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


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
    low = {name_of(game, "low") for game in HELP}
    assert {name for name in recipes.RECIPES if name.startswith("ring")} == names - low
    assert set(TITLES) == set(GAMES) and len(low) == 9
    recipe = recipes.RECIPES["ring_classifier_forward_kl_slow"]
    assert isinstance(recipe.model, partial)
    assert (recipe.train.rate, recipe.train.discriminator_rate) == PACES["slow"] == (1e-3, 1e-4)
    with pytest.raises(ValueError, match="game: expected one of"):
        RingGANs("forward")
