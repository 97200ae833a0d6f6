"""A progress bar for people who watch, and silence for everybody else."""

from __future__ import annotations

import os
import sys

from tqdm.auto import tqdm


def progress_bar(total: int, label: str, show: bool | None = None) -> tqdm:
    """Return a `tqdm` bar of ``total`` steps.

    ``show=None`` shows it on a terminal and in a live notebook, unless ``$GENLIB_PROGRESS`` is
    ``0``, as it is where notebooks are executed for the book: what is stored with a page should not
    hold the remains of a bar.
    """
    if show is None:
        show = os.environ.get("GENLIB_PROGRESS") != "0" and (
            sys.stderr.isatty() or "ipykernel" in sys.modules
        )
    return tqdm(total=total, desc=label, disable=not show, leave=False)
