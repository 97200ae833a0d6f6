"""The record of a fit: its columns, its best row, and what it is not."""

import math

import pytest

import genlib as gl

NAN = math.nan


def history(*values, name="valid"):
    return gl.History([{"epoch": i, name: value} for i, value in enumerate(values, 1)])


def test_columns_come_in_the_order_of_their_first_value():
    record = gl.History()
    record.append(epoch=1, loss=2.0)
    record.append(epoch=2, valid=3.0, loss=1.5)
    assert record.names == ["epoch", "loss", "valid"]
    assert record["loss"] == [2.0, 1.5] and record["valid"] == [3.0]
    assert record.last == {"epoch": 2, "valid": 3.0, "loss": 1.5}
    assert len(record) == 2 and [row["epoch"] for row in record] == [1, 2]


@pytest.mark.parametrize(
    ("values", "epoch"),
    [
        ([3.0, 1.0, 2.0], 2),
        ([2, 2, 3], 1),  # of equals, the first
        ([NAN, 0.5], 2),
        ([0.5, NAN], 1),
        ([NAN, 3.0, NAN, 2.0, NAN], 4),
        ([math.inf, NAN], 1),
        ([-math.inf, 1.0, NAN], 1),
    ],
)
def test_the_best_row_is_never_one_of_nan(values, epoch):
    assert history(*values).best()["epoch"] == epoch
    assert history(*values, name="loss").best("loss")["epoch"] == epoch


def test_rows_without_the_column_do_not_count():
    record = gl.History([{"epoch": 1}, {"epoch": 2, "valid": 4.0}, {"epoch": 3}])
    assert record.best()["epoch"] == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: history(NAN, NAN).best(), ValueError, r"valid: .*, got only NaN \(2 times\)"),
        (lambda: history(1.0, name="loss").best(), KeyError, "column 'valid'; it has epoch, loss"),
        (lambda: gl.History().best(), KeyError, "no column 'valid'; it has none"),
        (lambda: gl.History()["loss"], KeyError, "no column 'loss'; it has none"),
        (lambda: gl.History().last, IndexError, "the history has no rows"),
        (lambda: gl.History("ab"), TypeError, "rows: expected a list of dictionaries, got 'ab'"),
        (lambda: gl.History({"loss": [1.0]}), TypeError, "rows: expected a list of dictionaries"),
        (lambda: gl.History([{"a": 1}, 2]), TypeError, "of dictionaries, got 2 at index 1"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
