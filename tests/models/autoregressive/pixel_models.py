"""Small models of every kind, with weights large enough that every path matters."""

from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from genlib.models.autoregressive.multi_scale import MultiScalePixelCNN
from genlib.models.autoregressive.pixel_cnn import PixelCNN
from genlib.models.autoregressive.pixel_cnn_pp import PixelCNNPP
from genlib.models.autoregressive.pixel_rnn import PixelRNN

MODELS = {
    "PixelCNN": lambda: PixelCNN((1, 4, 5), 6, 2),
    "PixelCNN, 5 levels": lambda: PixelCNN((1, 3, 4), 6, 1, 5),
    "PixelCNN, colours": lambda: PixelCNN((3, 3, 3), 6, 2),
    "PixelCNN, colours, 4 levels": lambda: PixelCNN((3, 2, 3), 6, 1, 4),
    "PixelCNN, colours, mixture": lambda: PixelCNN((3, 3, 2), 4, 1, 6, components=2),
    "gated": lambda: GatedPixelCNN((1, 4, 5), 5, 3),
    "gated, colours": lambda: GatedPixelCNN((3, 3, 3), 6, 2),
    "gated, mixture": lambda: GatedPixelCNN((1, 4, 4), 4, 2, 16, components=3),
    "gated, no gates": lambda: GatedPixelCNN((1, 4, 4), 6, 3, gates=False),
    "++": lambda: PixelCNNPP((1, 4, 6), 4, 1, 6, components=2),
    "++, colours, 3 scales": lambda: PixelCNNPP((3, 4, 4), 4, 1, 6, components=2, scales=3),
    "++, 1 scale": lambda: PixelCNNPP((1, 3, 5), 4, 2, 8, scales=1),
    "++, no short-cuts": lambda: PixelCNNPP((1, 4, 4), 4, 2, 4, components=None, shortcuts=False),
    "row": lambda: PixelRNN((1, 4, 5), 6, 2),
    "row, colours": lambda: PixelRNN((3, 3, 3), 6, 2),
    "diagonal": lambda: PixelRNN((1, 4, 5), 6, 2, kind="diagonal"),
    "diagonal, colours": lambda: PixelRNN((3, 3, 2), 6, 2, kind="diagonal"),
    "diagonal, mixture": lambda: PixelRNN((1, 3, 4), 6, 1, 8, kind="diagonal", components=2),
    "multi-scale": lambda: MultiScalePixelCNN((1, 4, 6), 5, 3),
    "multi-scale, 5 levels": lambda: MultiScalePixelCNN((1, 4, 4), 4, 2, 5),
    "multi-scale, colours": lambda: MultiScalePixelCNN((3, 4, 2), 6, 2),
    "multi-scale, colours, mixture": lambda: MultiScalePixelCNN((3, 2, 4), 4, 1, 6, components=2),
    "multi-scale, 3 scales": lambda: MultiScalePixelCNN((1, 4, 8), 4, 2, scales=3),
}
