"""The manual as rows of symbols: what is in them, and that no long line is in two splits."""

import pytest
import torch

from genlib import data


@pytest.fixture(scope="module")
def rows():
    return data.passages(64)


def test_rows_spell_the_manual(rows):
    assert rows.train.shape[1] == 64 and len(rows.alphabet) == len(set(rows.alphabet)) == 64
    pieces = [rows.spell(row) for row in rows.train[:50]]
    known = set(rows.alphabet)
    manual = "".join(c if c in known else "□" for c in data.text()).replace("\n", "⏎")
    # Lines that come a second time are left out: a row may run over such a place.
    assert sum(piece in manual for piece in pieces) > 40
    assert all(len(piece) == 64 for piece in pieces)


def test_few_characters_are_not_in_the_alphabet(rows):
    assert rows.spell(torch.tensor([63])) == "□" and "□" not in data.text()
    assert (torch.cat([rows.train, rows.valid, rows.test]) == 63).float().mean() < 0.01


def test_a_tenth_is_held_out_each_time(rows):
    total = sum(len(part) for _, part in rows.splits.items())
    assert 0.75 < len(rows.train) / total < 0.85
    assert 0.07 < len(rows.valid) / total < 0.12 and 0.07 < len(rows.test) / total < 0.12


def test_rows_of_any_length_are_cut_from_the_same_blocks():
    short, long = data.passages(32), data.passages(4096)
    assert short.spell(short.train[:128].flatten()) == long.spell(long.train[0])
    assert short.spell(short.test[0]) == long.spell(long.test[0])[:32]


def test_no_long_line_is_both_trained_on_and_tested():
    rows = data.passages(4096)
    lines = {
        name: {line for row in part for line in rows.spell(row).split("⏎") if len(line) > 40}
        for name, part in rows.splits.items()
    }
    assert len(lines["train"]) > 1000
    assert not lines["train"] & lines["test"] and not lines["train"] & lines["valid"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: rows.spell(torch.tensor([3, 1.5])), "row: expected whole numbers, got 1.5"),
        (lambda rows: rows.spell(torch.tensor([torch.nan])), "row: expected whole .* got nan"),
        (lambda rows: data.passages(0), "length: expected"),
        (lambda rows: data.passages(4097), "length: expected at most 4096, got 4097"),
        (lambda rows: rows.spell(rows.train[:2]), r"row: expected one row of symbols, got shape"),
        (lambda rows: rows.spell(torch.tensor([3, 64])), "row: expected symbols from 0 to 63"),
    ],
)
def test_refusals(rows, call, message):
    with pytest.raises(ValueError, match=message):
        call(rows)


def test_only_a_tensor_is_spelt(rows):
    for row in ([3, 1], rows.train[0].numpy(), "text"):
        with pytest.raises(TypeError, match=r"row: expected a torch.Tensor, .*as_tensor\(row\)"):
            rows.spell(row)
