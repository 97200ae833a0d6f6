"""genlib: the working models of the course, one class a model, one question sheet for all."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from genlib import data, sampling
from genlib.core import *  # noqa: F403
from genlib.core import __all__ as _core
from genlib.models import *  # noqa: F403
from genlib.models import __all__ as _models

if TYPE_CHECKING:  # what `__getattr__` brings, for editors
    from genlib import metrics as metrics
    from genlib import plots as plots
    from genlib import recipes as recipes
    from genlib import verify as verify
    from genlib import widgets as widgets

# Imported when first asked for: Matplotlib and scipy.stats take as long to import as all the rest.
_LATE = ("metrics", "plots", "recipes", "verify", "widgets")

__all__ = [*_core, *_models, "data", "sampling", *_LATE]


def __getattr__(name: str) -> ModuleType:
    if name in _LATE:
        return importlib.import_module(f"genlib.{name}")
    raise AttributeError(f"module 'genlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
