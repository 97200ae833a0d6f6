"""Changes to the printed formulas, each of which a test must notice: see `tools.mutants`."""

import importlib
import pkgutil

LESSONS = sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if name != "changes")
MUTATIONS = [
    mutation
    for name in LESSONS
    for mutation in importlib.import_module(f"{__name__}.{name}").MUTATIONS
]
