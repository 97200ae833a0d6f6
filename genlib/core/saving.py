"""Trees of tensors and plain values on disk, without pickle.

A *tree* is a nest of dictionaries, lists and tuples over tensors, numbers, strings, booleans and
``None``: a model's weights, an optimiser's state, a training history. It is stored as one
safetensors file, the tensors in its body and the nest around them as JSON in its header, so that
reading a file never runs code from it. Files are written whole or not at all, and carry a checksum
of every byte: a damaged file is reported, not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from genlib.core.files import atomic_write, checked_path

_FORMAT = "genlib-tree-2"
_BLANK = "0" * 64  # stands in the file while its checksum is taken


class DamagedFileError(ValueError):
    """A file that is truncated, altered, or not of the expected format."""


@dataclass(frozen=True)
class Tagged:
    """A tree that stands for something else, such as a model; ``tag`` says what."""

    tag: str
    tree: Any


def write_tree(path: str | Path, tree: Any) -> None:
    """Write ``tree`` to ``path`` atomically: on any failure the old file, if there was one, is
    untouched.

    Raises
    ------
    TypeError
        The tree holds something that is no tensor, number, string, boolean, ``None``, and no nest
        of them.
    """
    tensors: dict[str, Tensor] = {}
    header = {"format": _FORMAT, "tree": json.dumps(_pack(tree, tensors)), "sha256": _BLANK}
    payload = safetensors.torch.save(tensors, metadata=header)
    place = payload.index(_BLANK.encode())
    digest = hashlib.sha256(payload).hexdigest().encode()
    with atomic_write(path) as temporary:
        temporary.write_bytes(payload[:place] + digest + payload[place + len(digest) :])


def read_tree(path: str | Path) -> Any:
    """Read what `write_tree` wrote, tensors on the CPU.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file; there is a folder of this name.
    TypeError, ValueError, OSError
        ``path`` is not the name of a file; see `checked_path`.
    DamagedFileError
        The file is truncated or altered, or another program wrote it.
    """
    path = checked_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file, found a folder.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    payload = path.read_bytes()  # once: a writer may replace the file at any moment
    try:
        header = _metadata(payload)
        tensors = safetensors.torch.load(payload)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(
            f"{path}: expected a safetensors file, and cannot read it: {error}"
        ) from error
    if header.get("format") != _FORMAT:
        raise DamagedFileError(
            f"{path}: expected format {_FORMAT}, found {header.get('format', 'none named')}."
        )
    stated, found = header.get("sha256", ""), _checksum(payload, header.get("sha256", ""))
    if found != stated:
        raise DamagedFileError(
            f"{path}: expected content with checksum {stated[:12]}…, found {found[:12]}…; "
            "the file was altered after it was written."
        )
    return _unpack(json.loads(header["tree"]), tensors)


def check_tree(tree: Any) -> None:
    """Raise `TypeError` unless `write_tree` can write ``tree``."""
    _pack(tree, {})


def _metadata(payload: bytes) -> Mapping[str, str]:
    """The strings that a safetensors file carries in its header."""
    length = int.from_bytes(payload[:8], "little")
    return json.loads(payload[8 : 8 + length].decode()).get("__metadata__") or {}


def _checksum(payload: bytes, stated: str) -> str:
    """SHA-256 of a file in which the checksum itself is blank."""
    place = payload.find(stated.encode()) if len(stated) == len(_BLANK) else -1
    if place < 0:
        return "none"
    digest, view = hashlib.sha256(payload[:place]), memoryview(payload)
    digest.update(_BLANK.encode())
    digest.update(view[place + len(_BLANK) :])
    return digest.hexdigest()


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
    if isinstance(node, Tagged):
        return {"tag": node.tag, "tree": _pack(node.tree, tensors)}
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
        return tensors[node["tensor"]].clone()  # aligned, as the bytes of the file need not be
    if "tuple" in node:
        return tuple(_unpack(value, tensors) for value in node["tuple"])
    if "tag" in node:
        return Tagged(node["tag"], _unpack(node["tree"], tensors))
    return {_unpack(key, tensors): _unpack(value, tensors) for key, value in node["items"]}
