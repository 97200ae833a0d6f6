"""Boltzmann machines: any connections, two layers, two layers with labels, real visible units."""

from genlib.models.boltzmann.classification import ClassificationRBM
from genlib.models.boltzmann.dbn import DBN
from genlib.models.boltzmann.deep_autoencoder import DeepAutoencoder
from genlib.models.boltzmann.machine import BoltzmannMachine
from genlib.models.boltzmann.rbm import RBM, GaussianRBM

__all__ = ["DBN", "RBM", "BoltzmannMachine", "ClassificationRBM", "DeepAutoencoder", "GaussianRBM"]
