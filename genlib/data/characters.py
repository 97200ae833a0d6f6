"""Text as rows of symbols. Nothing here uses the network."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.core.validation import check_count, check_dense
from genlib.data.bundled import text
from genlib.data.dataset import Dataset

# The 63 most frequent characters of the text, and one for all others. It is fixed, since the text
# differs a little between versions of Python and weights have to fit all of them.
_ALPHABET = "\n \"'()*,-.01234:;<=>ACEFIMNPRSTW[]_abcdefghijklmnopqrstuvwxyz|’□"
_BLOCK = 4096  # characters that stay together when the text is split
_LONG = 40  # characters of a line that nobody writes twice by chance


@dataclass(frozen=True, eq=False, repr=False)
class Text(Dataset):
    """Passages of a text as rows of symbols 0 … S − 1, in three splits.

    Parameters
    ----------
    train, valid, test, labels, factors, name, source, licence, binarization
        As for `Dataset`; a row holds the symbols of a passage, (N, length).
    alphabet : str
        The characters, in the order of the symbols; the last, □, stands for all not in it.
    """

    alphabet: str = ""

    def spell(self, row: Tensor) -> str:
        """The characters of one row of symbols, with ⏎ for the end of a line.

        Raises
        ------
        TypeError, ValueError
            ``row`` is not one row, or holds a symbol that is not in the alphabet.
        """
        check_dense(row, "row", "convert it with torch.as_tensor(row)")
        if row.dim() != 1:
            raise ValueError(f"row: expected one row of symbols, got shape {tuple(row.shape)}.")
        broken = row[row != row.long()]
        if broken.numel():
            raise ValueError(f"row: expected whole numbers, got {broken[0].item():g}.")
        numbers = row.long().tolist()
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self.alphabet):
            raise ValueError(
                f"row: expected symbols from 0 to {len(self.alphabet) - 1}, got "
                f"{min(numbers)} to {max(numbers)}."
            )
        return "".join(self.alphabet[number] for number in numbers).replace("\n", "⏎")


def passages(length: int = 64) -> Text:
    """Return the reference manual of Python as rows of ``length`` symbols out of 64.

    The manual repeats itself word for word in places; of equal lines of over 40 characters only the
    first is kept, so that nothing long is both in training and in test rows. The text is then cut
    into blocks of 4096 characters, of which every tenth goes to the test rows and the one before it
    to the validation rows; blocks into rows, a rest shorter than a row dropped.

    The manual differs a little between versions of Python, and with it where blocks begin. So test
    a model under the version that it was trained under: in another, test rows may lie in the text
    that it has read.

    Returns
    -------
    Text
        Symbols as float32, (N, length): some 4,600 training rows of 64.

    Raises
    ------
    ValueError
        ``length`` is more than a block.
    """
    check_count(length, "length", maximum=_BLOCK)
    number = {character: i for i, character in enumerate(_ALPHABET)}
    other = len(_ALPHABET) - 1
    symbols = [number.get(character, other) for character in _without_repeats(text())]
    blocks = torch.tensor(symbols, dtype=torch.float32).split(_BLOCK)

    def rows(*kept: int) -> Tensor:
        """The rows of the blocks whose last digit is in ``kept``."""
        parts = [part for i, part in enumerate(blocks) if i % 10 in kept]
        return torch.cat([part[: len(part) // length * length].view(-1, length) for part in parts])

    return Text(
        train=rows(*range(8)),
        valid=rows(8),
        test=rows(9),
        alphabet=_ALPHABET,
        name="reference manual of Python",
        source=f"pydoc_data of Python {platform.python_version()}",
        licence="Python Software Foundation License",
    )


def _without_repeats(whole: str) -> str:
    seen: set[str] = set()
    kept = []
    for line in whole.split("\n"):
        if len(line) <= _LONG or line not in seen:
            kept.append(line)
        seen.add(line)
    return "\n".join(kept)
