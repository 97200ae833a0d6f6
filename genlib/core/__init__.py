"""What all models share: the contract, fitting, checks, saving, seeds."""

from genlib.core.checkpoint import Checkpoint, WrongCheckpointError
from genlib.core.discrete import binary_events, discrete_events
from genlib.core.energy import EnergyModel
from genlib.core.estimator import Estimator
from genlib.core.fit import Hook, Player, TrainingDivergedError, budget
from genlib.core.history import History
from genlib.core.hooks import EarlyStopping, Schedule, Watch, WeightAverage
from genlib.core.latent import Estimate, LatentVariableModel
from genlib.core.model import CannotAnswerError, Density, Model, NotFittedError, load
from genlib.core.random import seed
from genlib.core.saving import DamagedFileError

__all__ = [
    "CannotAnswerError",
    "Checkpoint",
    "DamagedFileError",
    "Density",
    "EarlyStopping",
    "EnergyModel",
    "Estimate",
    "Estimator",
    "History",
    "Hook",
    "LatentVariableModel",
    "Model",
    "NotFittedError",
    "Player",
    "Schedule",
    "TrainingDivergedError",
    "Watch",
    "WeightAverage",
    "WrongCheckpointError",
    "binary_events",
    "budget",
    "discrete_events",
    "load",
    "seed",
]
