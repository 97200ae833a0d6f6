"""Adversarial networks: a generator and a discriminator, each with a loss of its own."""

from genlib.models.adversarial.ac import ACGAN
from genlib.models.adversarial.bi import BiGAN
from genlib.models.adversarial.conditional import ConditionalGAN
from genlib.models.adversarial.cycle import CycleGAN
from genlib.models.adversarial.dcgan import DCGAN
from genlib.models.adversarial.energy import BEGAN, EBGAN
from genlib.models.adversarial.gan import GAN, WGAN
from genlib.models.adversarial.info import InfoGAN
from genlib.models.adversarial.pix2pix import Pix2Pix
from genlib.models.adversarial.unrolled import UnrolledGAN

__all__ = [
    "ACGAN",
    "BEGAN",
    "DCGAN",
    "EBGAN",
    "GAN",
    "WGAN",
    "BiGAN",
    "ConditionalGAN",
    "CycleGAN",
    "InfoGAN",
    "Pix2Pix",
    "UnrolledGAN",
]
