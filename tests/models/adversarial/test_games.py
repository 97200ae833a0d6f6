"""What holds for every game of `GAMES`, whatever its losses; CycleGAN has a file of its own."""

import pytest
import torch
from torch import nn

import genlib as gl
from genlib.models.adversarial.networks import mlp_generator
from tests.models.adversarial.games import GAMES, batch_for


def made(name, **settings):
    gl.seed(0)
    return GAMES[name](**settings)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", GAMES)
def test_the_first_player_s_loss_reaches_no_other_s_parameters(name):
    model = made(name)
    first, *others = model.players()
    first.loss(*batch_for(model)).backward()
    assert all(p.grad is not None for p in first.parameters)
    assert all(p.grad is None for player in others for p in player.parameters)


@pytest.mark.parametrize("name", GAMES)
def test_a_density_is_refused_in_words(name):
    model = made(name)
    assert model.density is gl.Density.IMPLICIT and model.lesson
    with pytest.raises(gl.CannotAnswerError, match=f"{name} cannot answer log_prob: "):
        model.log_prob(batch_for(model)[0])


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_work_in_other_precisions(name, dtype):
    model = made(name).to(dtype)
    batch = batch_for(model)
    for player in model.players():
        loss = player.loss(*batch)
        assert loss.dtype == dtype and torch.isfinite(loss)
    assert model.sample(8, *batch[1:]).dtype == model.logits(*batch).dtype == dtype


@pytest.mark.parametrize("name", GAMES)
def test_fit_under_autocast(name):
    model = made(name)
    history = model.fit(*batch_for(model, 12), epochs=1, batch_size=6, precision=torch.bfloat16)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert history.names[2:] == [player.name for player in model.players()]


@pytest.mark.parametrize("name", GAMES)
def test_a_run_resumes_bit_for_bit(name, tmp_path):
    def run(path, *pieces):
        for epochs in pieces:
            model = made(name)
            if epochs != pieces[0]:
                gl.seed(99)  # which the checkpoint's own takes the place of
            data = batch_for(model, 12)
            model.fit(*data, epochs=epochs, batch_size=6, checkpoint=path, resume=True)
        return state(model)

    a, b = run(tmp_path / "a", 3), run(tmp_path / "b", 1, 3)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", GAMES)
def test_saving(name, tmp_path):
    """A DCGAN makes its networks itself; those of the others are the caller's."""
    model, path = made(name), tmp_path / "model"
    if name == "DCGAN":
        model.save(path)
        assert all(
            torch.equal(a, b)
            for a, b in zip(*map(torch.nn.Module.parameters, (model, gl.load(path))), strict=True)
        )
        return
    with pytest.raises(TypeError, match=f"cannot save a {name}: .* code of yours for generator, "):
        model.save(path)
    other = GAMES[name]()
    other.load_state_dict(model.state_dict())
    batch = batch_for(model)
    assert torch.equal(model.logits(*batch), other.logits(*batch))


@pytest.mark.parametrize("name", [name for name in GAMES if name not in ("WGAN", "DCGAN")])
def test_a_batch_of_one_is_refused_where_there_is_batch_norm(name):
    model = made(name)
    norm = nn.BatchNorm2d(1) if name == "Pix2Pix" else nn.BatchNorm1d(2)
    model.generator = nn.Sequential(model.generator, norm)
    model._check_networks()
    batch = batch_for(model, 1)
    for player in model.train().players():
        with pytest.raises(ValueError, match="batch_size: expected batches of at least two rows"):
            player.loss(*batch)


def test_batch_norm_in_an_encoder_counts_too():
    encoder = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model = gl.BiGAN(mlp_generator(3), nn.Linear(5, 1), encoder, latent=3)
    with pytest.raises(ValueError, match="batch_size: expected batches of at least two rows"):
        model.fit(torch.randn(9, 2), epochs=1, batch_size=4)
