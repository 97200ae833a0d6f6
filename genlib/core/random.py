"""One seed for everything that draws."""

from __future__ import annotations

import os
import random

import numpy as np
import torch


def seed(n: int | None = None) -> torch.Generator:
    """Seed torch (every device), NumPy's legacy generator and Python's ``random`` with ``n``.

    Without ``n`` the seed is ``$GENLIB_SEED``, or 0: lessons begin so, and can be run again under
    other seeds.

    Draws with ``generator=None``, initialisation, dropout and training noise use torch's global
    generator, so after ``seed(n)`` the same code on the same machine gives the same numbers.
    Returns torch's CPU generator, as `torch.manual_seed` does.
    """
    n = int(os.environ.get("GENLIB_SEED", 0)) if n is None else n
    random.seed(n)
    np.random.seed(n % 2**32)
    return torch.manual_seed(n)
