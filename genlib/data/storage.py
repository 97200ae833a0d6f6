"""Where data files lie, and what is said when they are not to be had."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from genlib.core.saving import DamagedFileError, read_tree, write_tree


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


def kept(
    what: str, key: Mapping[str, float], draw: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What ``draw()`` gives, from the cache where it lies there under ``key``, else kept there.

    Parameters
    ----------
    what : str
        What it is, in words; its folder in the cache too.
    key : mapping
        All that decides it.

    Warns
    -----
    UserWarning
        If the cached file is damaged or holds something else (it is not used, but made anew), or if
        it cannot be written.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path = cache_folder() / what.replace(" ", "_") / f"{digest}.safetensors"
    try:
        return _read(path, what, key)
    except DamagedFileError as error:
        warnings.warn(f"{error} The images are drawn anew.", stacklevel=3)
    except OSError:
        pass  # it is not there, or out of reach, which the attempt to write it will show
    parts = draw()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tree(path, {"key": dict(key), "parts": parts})
    except OSError as error:  # a full or read-only disk costs only time
        warnings.warn(f"the {what} could not be cached in {path}: {error}", stacklevel=3)
    return parts


@contextmanager
def float32_by_default() -> Iterator[None]:
    """A context in which, or a decorator under which, new tensors are float32.

    What is drawn by the pixel is then the same whatever the reader's own default is.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _read(path: Path, what: str, key: Mapping[str, float]) -> dict[str, Tensor]:
    """The parts in the cached file at ``path``, which says itself what it holds."""
    tree = read_tree(path)
    found = tree.get("key") if isinstance(tree, dict) else None
    if found != key:
        raise DamagedFileError(f"{path}: expected {what} of {dict(key)}, found {found}.")
    return tree["parts"]
