"""Autoencoders: a code for each row, and what can be restored from it."""

from genlib.models.autoencoders.autoencoder import Autoencoder
from genlib.models.autoencoders.stacked import StackedAutoencoder
from genlib.models.autoencoders.variants import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
)

__all__ = [
    "Autoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
]
