"""Variational autoencoders: latent variables whose posterior a network approximates."""

from genlib.models.vae.conditional import ConditionalVAE
from genlib.models.vae.hierarchical import HierarchicalVAE
from genlib.models.vae.vae import VAE, WarmUp

__all__ = ["VAE", "ConditionalVAE", "HierarchicalVAE", "WarmUp"]
