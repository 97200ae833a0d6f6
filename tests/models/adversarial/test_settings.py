"""Settings of the game reach `GAN` from every class; others are refused in words."""

import functools

import pytest
import torch

import genlib as gl
from tests.models.adversarial.games import GAMES, LABELLED

SGD = functools.partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize("name", GAMES)
def test_settings_reach_the_game(name):
    judge = "critic" if name == "WGAN" else "discriminator"
    settings = {f"{judge}_steps": 3, "generator_steps": 2, "gradient_penalty": 0.5}
    settings |= {f"{judge}_optimizer": SGD, "generator_optimizer": SGD}
    if name == "DCGAN":
        settings["batch_norm"] = "generator"
    if name in LABELLED:
        settings["smoothing"] = 0.1
    model = GAMES[name](**settings)
    assert [(p.name, p.steps, p.optimizer) for p in model.players()] == [
        (judge, 3, SGD),
        ("generator", 2, SGD),
    ]
    assert model.gradient_penalty == 0.5
    assert ("labels 0.9 and 0" in model.cost.name) == (name in LABELLED)
    given = {key: "a function" if value is SGD else value for key, value in settings.items()}
    assert {key: model.arguments[key] for key in settings} == given
    assert repr(model).startswith(f"{name}(")


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("setting", ["rate", "discriminator_step", "support"])
def test_a_setting_that_is_not_known_is_refused(name, setting):
    with pytest.raises(TypeError, match=setting):
        GAMES[name](**{setting: 1})


@pytest.mark.parametrize("name", [name for name in GAMES if name != "GAN"])
def test_a_refusal_lists_the_class_s_own_settings(name):
    words = rf"step: expected a setting of {name}, which are (generator|shape), .*generator_steps"
    with pytest.raises(TypeError, match=words):
        GAMES[name](step=1)


@pytest.mark.parametrize("setting", ["cost", "smoothing", "discriminator_steps"])
def test_the_wasserstein_game_has_its_own_cost_and_names(setting):
    words = rf"{setting}: expected a setting of WGAN, which are .*critic_steps, gradient_penalty"
    with pytest.raises(TypeError, match=words):
        GAMES["WGAN"](**{setting: 1})


def test_a_network_is_no_setting_of_a_dcgan():
    with pytest.raises(TypeError, match="generator: expected a setting of DCGAN, which are shape"):
        gl.DCGAN((1, 4, 4), 3, (4,), generator=torch.nn.Linear(3, 2))


def test_optimisers_of_a_dcgan_are_the_paper_s_unless_others_are_given():
    optimizers = [p.optimizer for p in GAMES["DCGAN"](generator_optimizer=None).players()]
    assert optimizers[0].keywords["lr"] == 2e-4 and optimizers[1] is None


def test_each_of_several_steps_looks_ahead_from_the_discriminator_as_it_is():
    """Bit for bit: of two steps of an unrolled generator, the second is that of a model whose
    generator has taken the first.
    """
    gl.seed(0)
    two = GAMES["UnrolledGAN"](generator_steps=2, generator_optimizer=SGD)
    gl.seed(0)
    one = GAMES["UnrolledGAN"](generator_optimizer=SGD)
    x = torch.randn(20, 2) + 1
    torch.manual_seed(7)
    two.fit(x, epochs=1, batch_size=10)  # two batches, one round
    torch.manual_seed(7)
    batches = x[torch.randperm(20)].split(10)
    judge, drawer = one.players()
    adam, sgd = torch.optim.Adam(judge.parameters, lr=1e-3), SGD(drawer.parameters)
    for batch, loss, optimizer, moved in (
        (batches[0], judge.loss, adam, judge.parameters),
        (batches[0], drawer.loss, sgd, drawer.parameters),
        (batches[1], drawer.loss, sgd, drawer.parameters),
    ):
        optimizer.zero_grad()
        loss(batch).backward(inputs=list(moved))
        optimizer.step()
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value), name
