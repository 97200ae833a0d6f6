"""The file from which a run goes on: gradient steps, EM, annealing or chains alike."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlib.core.files import checked_path
from genlib.core.saving import Tagged, check_tree, read_tree, write_tree
from genlib.core.validation import check_flag

_LISTS = (list, tuple, range)
_LARGEST_SHARE = 0.1  # of the time that goes into writing


class WrongCheckpointError(ValueError):
    """A checkpoint that belongs to another model or another run."""


class Checkpoint:
    """A file to which a run writes its state as it goes, and from which it goes on.

    Opening a file to go on from also brings torch's generators back to where they were.

    Parameters
    ----------
    path : path
    identity : mapping of str to a tree of plain values
        What decides the run's numbers: the model, its arguments, the data, the settings. A file
        with another identity is refused.
    resume : bool
        Go on from the file where it exists.

    Attributes
    ----------
    saved : tree or None
        The state to go on from; ``None`` where the run starts afresh.

    Raises
    ------
    FileExistsError
        The file exists, and ``resume`` is false.
    WrongCheckpointError
        It belongs to another run.
    DamagedFileError
        It cannot be read.
    TypeError
        The identity holds something that cannot be written.

    Examples
    --------
    A loop of one's own, which can be stopped at any moment and started again::

        checkpoint = Checkpoint("chain.safetensors", {"steps": steps}, resume=True)
        x, done = checkpoint.saved or (start, 0)
        for i in range(done, steps):
            x = step(x)
            checkpoint.write((x, i + 1), last=i + 1 == steps)
    """

    def __init__(
        self, path: str | Path, identity: Mapping[str, Any], *, resume: bool = False
    ) -> None:
        check_flag(resume, "resume")
        if not isinstance(identity, Mapping):
            raise TypeError(f"identity: expected names and values, got {identity!r}.")
        check_tree(identity)
        self.path, self.identity, self.saved = checked_path(path), dict(identity), None
        folder = self.path.absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {folder}; create it first.")
        self._next = 0.0  # the moment from which on the next write is due
        if not self.path.exists():
            return
        if not resume:
            raise FileExistsError(
                f"{path} exists: pass resume=True to go on from it, or remove it to start afresh."
            )
        found = read_tree(self.path)
        if not (isinstance(found, dict) and found.keys() == {"identity", "state", "random"}):
            raise WrongCheckpointError(
                f"{path}: expected a checkpoint, found another kind of file."
            )
        self._check_identity(found["identity"])
        self.saved = found["state"]
        set_random_state(found["random"])

    def write(self, state: Any, *, last: bool = False) -> None:
        """Write ``state``, with the state of torch's generators beside it.

        Writing takes a tenth of the time at most: a state that is not the ``last`` is passed over
        where the one before was written too short a time ago.
        """
        check_flag(last, "last")
        started = time.monotonic()
        if not last and started < self._next:
            return
        write_tree(self.path, {"identity": self.identity, "state": state, "random": random_state()})
        ended = time.monotonic()
        self._next = ended + (ended - started) * (1 / _LARGEST_SHARE - 1)

    def _check_identity(self, found: Mapping[str, Any]) -> None:
        for name in dict.fromkeys([*self.identity, *found]):
            difference = first_difference(name, self.identity.get(name), found.get(name))
            if difference is not None:
                where, expected, came = difference
                raise WrongCheckpointError(
                    f"{self.path}: expected a checkpoint with {where} = {expected}, found "
                    f"{came}; give the run its old settings and data, or a new file."
                )


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A digest of the values, shapes and dtypes of ``tensors``: the same for the same data only."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous()
        digest.update(values.reshape(-1).view(torch.uint8).numpy() if values.numel() else b"")
    return digest.hexdigest()[:16]


def random_state() -> dict[str, Any]:
    """The state of torch's generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go back to a `random_state`."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def first_difference(name: str, a: Any, b: Any) -> tuple[str, Any, Any] | None:
    """The first place at which two trees differ, and what stands there; ``None`` where they do not.
    A list and a tuple of the same are the same.
    """
    if isinstance(a, Tagged) and isinstance(b, Tagged) and a.tag == b.tag:
        return first_difference(name, a.tree, b.tree)
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        parts = ((f"{name}.{key}", a[key], b[key]) for key in a)
    elif isinstance(a, _LISTS) and isinstance(b, _LISTS) and len(a) == len(b):
        parts = ((f"{name}[{i}]", *pair) for i, pair in enumerate(zip(a, b, strict=True)))
    elif _same(a, b):
        return None
    else:
        return name, a, b
    return next(filter(None, (first_difference(*part) for part in parts)), None)


def _same(a: Any, b: Any) -> bool:
    """Whether two leaves of trees are equal; NaN is itself."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a.cpu(), b.cpu())
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b or (a != a and b != b))
