"""The models of the course, a family a file, in the order of the lessons."""

from genlib.models.density import Gaussian, Histogram, KNearest, Laplace, Parzen

__all__ = ["Gaussian", "Histogram", "KNearest", "Laplace", "Parzen"]
