"""One small game of each class, in its own networks, for tests that hold for all of them."""

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
}
