"""What every test begins with."""

import pytest

import genlib as gl


@pytest.fixture(autouse=True)
def _seed():
    """The global generators, so that a test draws the same numbers whatever ran before it."""
    gl.seed(0)
