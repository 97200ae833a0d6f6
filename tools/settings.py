"""The process environment in which notebooks run, whether they are executed anew or tested."""

import os
from collections.abc import Mapping

from tools import ROOT

SETTINGS = {
    "GENLIB_PROGRESS": "0",
    # With one thread, results do not depend on the number of cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    # Away from the reader's own profile, which may run code at start-up or change how figures look.
    "IPYTHONDIR": str(ROOT / ".ipython"),
}
CLEARED = ("GENLIB_BUDGET", "GENLIB_SEED", "MPLBACKEND")


def environment(changed: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables with the settings above, and then those that are ``changed``."""
    inherited = {name: value for name, value in os.environ.items() if name not in CLEARED}
    return inherited | SETTINGS | dict(changed or {})
