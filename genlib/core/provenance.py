"""Where a measured number comes from: the machine and the versions, without names of hosts or
users.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path

import torch


def machine(device: torch.device | str = "cpu") -> dict[str, object]:
    """What figures are measured on: processor, cores, threads, system, and the GPU if it is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    description = {
        "processor": _processor(),
        "cores": count,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if torch.device(device).type == "cuda":
        description["gpu"] = torch.cuda.get_device_name()
    return description


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of Python and of each package that takes part; absent packages are left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
