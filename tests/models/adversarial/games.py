"""One small game of each class, in its own networks, for tests that hold for all of them."""

import functools

import torch
from torch import nn

import genlib as gl
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator

GAMES = {
    "GAN": lambda **s: gl.GAN(mlp_generator(3, 2, (8,)), mlp_discriminator(2, (8,)), latent=3, **s),
    "WGAN": lambda **s: gl.WGAN(nn.Linear(3, 2), mlp_discriminator(2, (8,)), latent=3, **s),
    "UnrolledGAN": lambda **s: gl.UnrolledGAN(
        nn.Linear(3, 2), mlp_discriminator(2, (8,)), latent=3, unroll=2, **s
    ),
    "DCGAN": lambda **s: gl.DCGAN((1, 4, 4), 3, (4,), **s),
    "ConditionalGAN": lambda **s: gl.ConditionalGAN(
        mlp_generator(3 + 3, 2, (8,)), mlp_discriminator(2 + 3, (8,)), latent=3, classes=3, **s
    ),
    "ACGAN": lambda **s: gl.ACGAN(
        mlp_generator(3 + 3, 2, (8,)), nn.Linear(2, 1 + 3), latent=3, classes=3, **s
    ),
    "BiGAN": lambda **s: gl.BiGAN(
        mlp_generator(3, 2, (8,)), mlp_discriminator(2 + 3, (8,)), nn.Linear(2, 3), latent=3, **s
    ),
    "InfoGAN": lambda **s: gl.InfoGAN(
        mlp_generator(3 + 4 + 2, 2, (8,)),
        nn.Linear(2, 1 + 4 + 2),
        latent=3,
        categories=4,
        continuous=2,
        **s,
    ),
    "Pix2Pix": lambda **s: gl.Pix2Pix(
        nn.Conv2d(2, 1, 3, padding=1), nn.Conv2d(1 + 2, 1, 3), condition_shape=(2, 4, 4), **s
    ),
    "EBGAN": lambda **s: gl.EBGAN(mlp_generator(3, 2, (8,)), nn.Linear(2, 2), latent=3, **s),
    "BEGAN": lambda **s: gl.BEGAN(mlp_generator(3, 2, (8,)), nn.Linear(2, 2), latent=3, **s),
}
LABELLED = GAMES.keys() - {"WGAN", "EBGAN", "BEGAN"}  # whose cost has labels to smooth


def stepped(model, batch, losses, lr=0.1):
    """Assert that a step of plain descent on the loss of each player is the step on the loss that
    is written out in ``losses``, from the same weights and the same random numbers. The players
    take their steps in turn.
    """
    for player, loss in zip(model.players(), losses, strict=True):
        slopes = []
        for written in (functools.partial(player.loss, *batch), loss):
            torch.manual_seed(2)
            slopes.append(torch.autograd.grad(written(), player.parameters))
        moved = False
        for parameter, found, expected in zip(player.parameters, *slopes, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
            moved |= bool(expected.abs().max() > 1e-6)
            with torch.no_grad():
                parameter -= lr * expected
        assert moved, player.name


def batch_for(model, n=8):
    """Rows, with their labels or condition images where the model is told some."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, *model.event_shape, generator=generator).to(model.dtype)
    if isinstance(model, gl.Pix2Pix):
        y = torch.rand(n, *model.condition_shape, generator=generator)
        return x, y.to(model.dtype)
    return (x,) if model.classes is None else (x, torch.arange(n) % model.classes)
