"""A look at a network in evaluation mode."""

import pytest
from torch import nn

from genlib.nn.modes import evaluating


def test_each_part_goes_back_to_its_own_mode_also_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))
    network[1][1].eval()  # frozen statistics, in a network that trains
    before = [part.training for part in network.modules()]
    assert before == [True, True, True, True, False]
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == before
    with pytest.raises(RuntimeError, match="within"), evaluating(network):
        raise RuntimeError("within")
    assert [part.training for part in network.modules()] == before
