"""Players, which take seconds to start, for all tests of the coursework."""

import pytest

from tools.coursework.sandbox import Players, strongest_isolation


@pytest.fixture(scope="session")
def isolation():
    return strongest_isolation()


@pytest.fixture(scope="session")
def players(isolation, tmp_path_factory):
    """Two of them, to whom all that tests write is out of sight where that can be done."""
    with Players(isolation, count=2, hidden=[tmp_path_factory.getbasetemp()]) as players:
        yield players
