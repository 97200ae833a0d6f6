"""Many small games at once are what each would be by itself."""

import copy
import dataclasses
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

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


def test_a_mode_counts_with_one_sample_in_a_hundred_at_the_right_distance(model):
    """25 of 2,500 are enough, 24 are not; 0.3 is near, 0.31 is covered and not found."""
    centres = gl.data.ring(scale=0.1).centres.float()

    def strays(n, distance):
        x = centres[:1].repeat(2500, 1)
        x[:n] = centres[1] + torch.tensor([distance, 0.0])
        return x

    data = gl.data.ring(scale=0.1).dataset(100)
    for n, distance, covered, found, share in (
        (25, 0.29, 2, 2, 1.0),
        (24, 0.29, 1, 1, 1.0),
        (25, 0.31, 2, 1, 2475 / 2500),
    ):
        x = torch.stack([strays(n, distance)] * 3, 1)
        model._sample = lambda n, generator, x=x: x
        told = modes(model, data)
        assert told["modes covered"].value == covered and told["modes found"].value == found
        assert told["share near a mode"].value.item() == pytest.approx(share)


def test_rounds_are_those_of_plain_loops(tmp_path):
    """Two steps of the discriminator a round, each on new rows; rates that fall; Adam at 0.5."""
    data = gl.data.ring(scale=0.1).dataset(200)

    def made():
        gl.seed(0)
        model = RingGANs("non-saturating", copies=2, latent=3, hidden=4)
        model.rules = dataclasses.replace(model.rules, discriminator_steps=2)
        return model

    model, other = made(), made()
    gl.seed(1)
    history = Rounds(2e-2, 1e-2, rounds=4, every=2, batch_size=5)(model, data, tmp_path)
    gl.seed(1)
    adams = {
        name: torch.optim.Adam(getattr(other, name).parameters(), lr=1.0, betas=(0.5, 0.999))
        for name in ("discriminator", "generator")
    }
    told = []
    for number in range(4):
        for name, rate, times in (("discriminator", 1e-2, 2), ("generator", 2e-2, 1)):
            for _ in range(times):
                x = data.train[torch.randint(len(data.train), (2, 5))]
                adams[name].param_groups[0]["lr"] = rate * min(1, 2 * (1 - number / 4))
                parameters = list(getattr(other, name).parameters())
                slopes = torch.autograd.grad(getattr(other, f"{name}_loss")(x), parameters)
                for parameter, slope in zip(parameters, slopes, strict=True):
                    parameter.grad = slope
                adams[name].step()
        if number % 2:
            told.append(-modes(other, data)["modes covered"].value.item())
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert [row["valid"] for row in history] == told


def test_no_rounds_are_refused():
    for name in ("rounds", "every", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}: "):
            Rounds(**{name: 0})


def test_games_are_those_that_their_names_say():
    """How each is played, and what its players make of two rows, written out."""
    v, w = torch.tensor([0.7]), torch.tensor([-0.4])  # logits of a real and of a generated row
    discriminators = {
        "smoothed": 0.9 * softplus(-v) + 0.1 * softplus(v) + softplus(w),
        "least-squares": ((v - 1) ** 2 + w**2) / 2,
        "wasserstein": w - v,
    }
    generators = {"least-squares": (w - 1) ** 2 / 2, "wasserstein": -w}
    rules = {  # steps of the discriminator, penalty, steps ahead, through them, features
        "smoothed": (1, 0, 0, True, 0),
        "least-squares": (1, 0, 0, True, 0),
        "five-steps": (5, 0, 0, True, 0),
        "wasserstein": (5, 10, 0, True, 0),
        "minibatch": (1, 0, 0, True, 8),
        "unrolled-1": (1, 0, 1, True, 0),
        "unrolled-5": (1, 0, 5, True, 0),
        "unrolled-10": (1, 0, 10, True, 0),
        "ahead-5": (1, 0, 5, False, 0),
    }
    assert set(rules) == set(HELP)
    for name, expected in rules.items():
        rule = GAMES[name]
        found = rule.discriminator_steps, rule.penalty, rule.unroll, rule.through, rule.features
        assert found == expected and rule.unroll_rate == 0.1
        told = rule.cost.discriminator(v, w), rule.cost.generator(w)
        wanted = discriminators.get(name, softplus(-v) + softplus(w))
        torch.testing.assert_close(told[0], wanted.squeeze())
        torch.testing.assert_close(told[1], generators.get(name, softplus(-w)).squeeze())
        assert recipes.RECIPES[name_of(name, "slow")].group == rings.STABLE != rings.RING
    assert PACES["equal"] == (1e-3, 1e-3) and PACES["low"] == (1e-4, 1e-4)
    assert Rounds() == Rounds(1e-3, 1e-3, 12_000, 1000, 64)


def test_first_weights_differ_between_copies_and_are_of_the_right_size():
    gl.seed(0)
    model = RingGANs("minibatch", copies=40, latent=4, hidden=64)
    for parts, inputs in ((model.generator, (4, 64, 64)), (model.discriminator, (2, 64, 72))):
        for weight, n in zip(parts[:6:2], inputs, strict=True):
            assert weight.abs().max() <= n**-0.5
            assert weight.std().item() == pytest.approx((3 * n) ** -0.5, rel=0.1)
            assert not torch.equal(weight[0], weight[1])
    assert model.discriminator[6].std().item() == pytest.approx(1 / 8, rel=0.05)
    with pytest.raises(ValueError, match="copies"):
        RingGANs(copies=1)


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
