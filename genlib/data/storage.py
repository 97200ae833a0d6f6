"""Where data files lie, and what is said when they are not to be had."""

from __future__ import annotations

import os
from pathlib import Path


class DataUnavailableError(RuntimeError):
    """Data that are neither on this machine nor to be had from the network."""


def cache_folder() -> Path:
    """Return the folder in which genlib keeps what it has made or downloaded.

    ``$GENLIB_CACHE`` if set, else the platform's place for caches (``~/.cache/genlib`` on Linux).
    """
    chosen = os.environ.get("GENLIB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    try:
        from pooch import os_cache
    except ImportError:  # a bare image without pooch
        return Path.home() / ".cache" / "genlib"
    return Path(os_cache("genlib"))


def data_folder() -> Path | None:
    """Return the reader's own folder of data sets, ``$GENLIB_DATA``; ``None`` if it is not set.

    Raises
    ------
    DataUnavailableError
        If ``$GENLIB_DATA`` does not name a folder.
    """
    chosen = os.environ.get("GENLIB_DATA")
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise DataUnavailableError(
            f"GENLIB_DATA is set to {chosen}, which is not a folder, seen from {Path.cwd()}."
        )
    return folder
