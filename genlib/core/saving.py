"""Trees of tensors and plain values on disk, without pickle.

A *tree* is a nest of dictionaries, lists and tuples over tensors, numbers, strings, booleans and
``None``: a model's weights, an optimiser's state, a training history. It is stored as one
safetensors file, the tensors in its body and the nest around them as JSON in its header, so that
reading a file never runs code from it. Files are written whole or not at all, and carry a checksum:
a damaged file is reported, not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genlib.core.files import atomic_write

_FORMAT = "genlib-tree-1"


class DamagedFileError(ValueError):
    """A file that is truncated, altered, or not of the expected format."""


def write_tree(path: str | Path, tree: Any) -> None:
    """Write ``tree`` to ``path`` atomically: on any failure the old file, if there was one, is
    untouched.
    """
    tensors: dict[str, Tensor] = {}
    header = {
        "format": _FORMAT,
        "tree": json.dumps(_pack(tree, tensors)),
        "sha256": _checksum(tensors),
    }
    payload = safetensors.torch.save(tensors, metadata=header)
    with atomic_write(path) as temporary:
        temporary.write_bytes(payload)


def read_tree(path: str | Path) -> Any:
    """Read what `write_tree` wrote, tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFileError
        The file is truncated or altered, or another program wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(
            f"{path}: expected a safetensors file, and cannot read it: {error}"
        ) from error
    if header.get("format") != _FORMAT:
        raise DamagedFileError(
            f"{path}: expected format {_FORMAT}, found {header.get('format', 'none named')}."
        )
    found = _checksum(tensors)
    if found != header["sha256"]:
        raise DamagedFileError(
            f"{path}: expected tensors with checksum {header['sha256'][:12]}…, found "
            f"{found[:12]}…; "
            "the file was altered after it was written."
        )
    return _unpack(json.loads(header["tree"]), tensors)


def _pack(node: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for ``node``, its tensors moved into ``tensors`` and referred to by key."""
    if isinstance(node, Tensor):
        key = f"t{len(tensors)}"
        tensors[key] = node.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": key}
    if isinstance(node, Mapping):
        return {
            "items": [[_pack(key, tensors), _pack(value, tensors)] for key, value in node.items()]
        }
    if isinstance(node, tuple):
        return {"tuple": [_pack(value, tensors) for value in node]}
    if isinstance(node, list | range):
        return [_pack(value, tensors) for value in node]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(
        f"cannot save a {type(node).__qualname__}: expected tensors, numbers, strings, None, "
        "and dictionaries, "
        "lists or tuples of them."
    )


def _unpack(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_unpack(value, tensors) for value in node]
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "tuple" in node:
        return tuple(_unpack(value, tensors) for value in node["tuple"])
    return {_unpack(key, tensors): _unpack(value, tensors) for key, value in node["items"]}


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy() if value.numel() else b"")
    return digest.hexdigest()
