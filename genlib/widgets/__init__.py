"""Figures that a reader can touch: by mouse, finger and keys, with no kernel and no network."""

from genlib.widgets.attention import Attention
from genlib.widgets.bayes import BayesNetGraph
from genlib.widgets.coder import ArithmeticCoder
from genlib.widgets.curves import Explorer
from genlib.widgets.decoder import Decoder
from genlib.widgets.distances import Distances
from genlib.widgets.grid import Grid
from genlib.widgets.kernel_density import KernelDensity
from genlib.widgets.made_masks import MadeMasks
from genlib.widgets.pixels import (
    mean_by_offset,
    pixel_weights,
    receptive_field,
)
from genlib.widgets.points import Points
from genlib.widgets.sketchpad import Sketchpad

__all__ = [
    "ArithmeticCoder",
    "Attention",
    "BayesNetGraph",
    "Decoder",
    "Distances",
    "Explorer",
    "Grid",
    "KernelDensity",
    "MadeMasks",
    "Points",
    "Sketchpad",
    "mean_by_offset",
    "pixel_weights",
    "receptive_field",
]
