"""Samplers: plain functions of an energy, a state and a source of randomness."""

from genlib.sampling.annealing import Annealed, AnnealingPath, ais, reverse_ais
from genlib.sampling.gibbs import Chain, gibbs
from genlib.sampling.tempering import Tempered, parallel_tempering

__all__ = [
    "Annealed",
    "AnnealingPath",
    "Chain",
    "Tempered",
    "ais",
    "gibbs",
    "parallel_tempering",
    "reverse_ais",
]
