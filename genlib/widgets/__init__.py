"""Figures that a reader can touch: by mouse, finger and keys, with no kernel and no network."""

from genlib.widgets.bayes import BayesNetGraph
from genlib.widgets.coder import ArithmeticCoder
from genlib.widgets.curves import Explorer

__all__ = ["ArithmeticCoder", "BayesNetGraph", "Explorer"]
