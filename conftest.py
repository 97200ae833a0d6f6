"""Settings of every test run. At the root, because tests lie in ``tests`` and in ``lessons``."""

import os
import sys
from pathlib import Path

import matplotlib

from tools.settings import CLEARED, SETTINGS

# Before any library reads them, and inherited by the kernels of notebooks.
for name in CLEARED:
    os.environ.pop(name, None)
os.environ.update(SETTINGS)

# Programs that are called by name (jupyter, alembic) are this environment's own.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

matplotlib.use("agg")
