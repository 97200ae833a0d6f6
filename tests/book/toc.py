"""The table of contents, as a list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools import ROOT


def entries() -> list[str]:
    """Every page that ``_toc.yml`` names, in order, without suffix."""
    return list(_entries(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))


def sources() -> list[Path]:
    """The file from which each page is made."""
    return [next(ROOT.glob(f"{entry}.*")) for entry in entries()]


def _entries(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _entries(child)
