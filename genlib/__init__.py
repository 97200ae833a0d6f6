"""genlib: the working models of the course, one class a model, one question sheet for all."""

from genlib import data, plots, verify, widgets
from genlib.core import *  # noqa: F403
from genlib.core import __all__ as _core
from genlib.models import *  # noqa: F403
from genlib.models import __all__ as _models

__all__ = [*_core, *_models, "data", "plots", "verify", "widgets"]
