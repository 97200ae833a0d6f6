"""The models of the course, a family a file or a folder, in the order of the lessons."""

from genlib.models.adversarial import (
    ACGAN,
    DCGAN,
    GAN,
    WGAN,
    BiGAN,
    ConditionalGAN,
    InfoGAN,
    UnrolledGAN,
)
from genlib.models.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)
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
from genlib.models.boltzmann import (
    DBN,
    RBM,
    BoltzmannMachine,
    ClassificationRBM,
    DeepAutoencoder,
    GaussianRBM,
)
from genlib.models.density import Gaussian, Histogram, KNearest, Laplace, Parzen
from genlib.models.flows import RealNVP
from genlib.models.graphical import (
    BayesNet,
    Categorical,
    MarkovChain,
    NaiveBayes,
    chow_liu,
    mutual_information,
)
from genlib.models.ica import ICA
from genlib.models.mixtures import BernoulliMixture, GaussianMixture, KMeans
from genlib.models.pca import PCA, ProbabilisticPCA
from genlib.models.sparse_coding import SparseCoding
from genlib.models.vae import VAE, ConditionalVAE, HierarchicalVAE, WarmUp

__all__ = [
    "ACGAN",
    "DBN",
    "DCGAN",
    "FVSBN",
    "GAN",
    "ICA",
    "LSTM",
    "MADE",
    "NADE",
    "PCA",
    "RBM",
    "RNADE",
    "VAE",
    "WGAN",
    "Autoencoder",
    "BayesNet",
    "BernoulliMixture",
    "BiGAN",
    "BoltzmannMachine",
    "Categorical",
    "CausalTransformer",
    "ClassificationRBM",
    "ConditionalGAN",
    "ConditionalVAE",
    "ContractiveAutoencoder",
    "DeepAutoencoder",
    "DenoisingAutoencoder",
    "GatedPixelCNN",
    "Gaussian",
    "GaussianMixture",
    "GaussianRBM",
    "HierarchicalVAE",
    "Histogram",
    "InfoGAN",
    "KMeans",
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
    "ProbabilisticPCA",
    "RealNVP",
    "SparseAutoencoder",
    "SparseCoding",
    "StackedAutoencoder",
    "UnrolledGAN",
    "WarmUp",
    "chow_liu",
    "mutual_information",
]
