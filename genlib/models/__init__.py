"""The models of the course, a family a file or a folder, in the order of the lessons."""

from genlib.models.autoregressive import (
    FVSBN,
    LSTM,
    MADE,
    NADE,
    RNADE,
    CausalTransformer,
    GatedPixelCNN,
    MultiScalePixelCNN,
    NADEEnsemble,
    PixelCNN,
    PixelCNNPP,
    PixelRNN,
)
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
    "FVSBN",
    "LSTM",
    "MADE",
    "NADE",
    "RNADE",
    "BayesNet",
    "Categorical",
    "CausalTransformer",
    "GatedPixelCNN",
    "Gaussian",
    "Histogram",
    "KNearest",
    "Laplace",
    "MarkovChain",
    "MultiScalePixelCNN",
    "NADEEnsemble",
    "NaiveBayes",
    "Parzen",
    "PixelCNN",
    "PixelCNNPP",
    "PixelRNN",
    "chow_liu",
    "mutual_information",
]
