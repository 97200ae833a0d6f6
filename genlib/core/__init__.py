"""What all models share: the contract, fitting, checks, saving, seeds."""

from genlib.core.discrete import binary_events, discrete_events
from genlib.core.estimator import Estimator
from genlib.core.fit import Player, TrainingDivergedError, WrongCheckpointError
from genlib.core.history import History
from genlib.core.model import (
    CannotAnswerError,
    Density,
    EnergyModel,
    Model,
    NotFittedError,
    load,
)
from genlib.core.random import seed
from genlib.core.saving import DamagedFileError

__all__ = [
    "CannotAnswerError",
    "DamagedFileError",
    "Density",
    "EnergyModel",
    "Estimator",
    "History",
    "Model",
    "NotFittedError",
    "Player",
    "TrainingDivergedError",
    "WrongCheckpointError",
    "binary_events",
    "discrete_events",
    "load",
    "seed",
]
