"""Density estimation: parametric maximum likelihood, histogram, Parzen windows, nearest neighbours.

Every estimator here is fitted in one go to the rows of a matrix ``x`` of shape (N, d), without a
learning rate or an epoch, and all but one answer the density query exactly. Source: the
density-estimation part of document U; Bishop (2006), §2.5; Silverman (1986); Scott (1992).
"""

# In the order of the lesson, which tables of all models follow.
# isort: off
from genlib.models.density.gaussian import Gaussian
from genlib.models.density.laplace import Laplace
from genlib.models.density.histogram import Histogram
from genlib.models.density.parzen import Parzen
from genlib.models.density.nearest import KNearest
# isort: on

__all__ = ["Gaussian", "Histogram", "KNearest", "Laplace", "Parzen"]
