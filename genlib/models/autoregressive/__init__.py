"""Models that predict each value from those before it: exact densities, sampled one by one."""

from genlib.models.autoregressive.fvsbn import FVSBN
from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from genlib.models.autoregressive.lstm import LSTM
from genlib.models.autoregressive.made import MADE
from genlib.models.autoregressive.multi_scale import MultiScalePixelCNN
from genlib.models.autoregressive.nade import NADE, NADEEnsemble
from genlib.models.autoregressive.pixel_cnn import PixelCNN
from genlib.models.autoregressive.pixel_cnn_pp import PixelCNNPP
from genlib.models.autoregressive.pixel_rnn import PixelRNN
from genlib.models.autoregressive.rnade import RNADE
from genlib.models.autoregressive.transformer import CausalTransformer

__all__ = [
    "FVSBN",
    "LSTM",
    "MADE",
    "NADE",
    "RNADE",
    "CausalTransformer",
    "GatedPixelCNN",
    "MultiScalePixelCNN",
    "NADEEnsemble",
    "PixelCNN",
    "PixelCNNPP",
    "PixelRNN",
]
