"""The models of the course, a family a file or a folder, in the order of the lessons."""

from genlib.models.density import Gaussian, Histogram, KNearest, Laplace, Parzen
from genlib.models.graphical import (
    BayesNet,
    Categorical,
    MarkovChain,
    NaiveBayes,
    chow_liu,
    mutual_information,
)

__all__ = [
    "BayesNet",
    "Categorical",
    "Gaussian",
    "Histogram",
    "KNearest",
    "Laplace",
    "MarkovChain",
    "NaiveBayes",
    "Parzen",
    "chow_liu",
    "mutual_information",
]
