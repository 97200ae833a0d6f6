"""Mixtures of simple distributions, and the clustering that they make precise."""

from genlib.models.mixtures.bernoulli import BernoulliMixture
from genlib.models.mixtures.gaussian import GaussianMixture
from genlib.models.mixtures.kmeans import KMeans

__all__ = ["BernoulliMixture", "GaussianMixture", "KMeans"]
