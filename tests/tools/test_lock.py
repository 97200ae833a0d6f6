"""The lock: all that pyproject.toml asks for, at one version each, installable anywhere."""

import re

import pytest
from packaging.requirements import Requirement

from tools.lock import LEFT_OUT, LOCK, direct_requirements

PINS = [Requirement(line) for line in LOCK.read_text().splitlines() if not line.startswith("#")]
VERSIONS = {pin.name: re.fullmatch(r"==([\w.]+)", str(pin.specifier))[1] for pin in PINS}


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_as_pyproject_allows(requirement):
    assert VERSIONS[requirement.name] in requirement.specifier


def test_names_are_sorted_and_unique():
    names = [pin.name for pin in PINS]
    assert names == sorted(set(names))


def test_parts_of_the_cuda_build_are_left_to_pip():
    assert not [name for name in VERSIONS if name.startswith(LEFT_OUT)]
