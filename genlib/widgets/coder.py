"""An arithmetic coder to type messages for: the interval narrows, bits come out, the bill is shown.

Source: Witten, Neal and Cleary (1987), in exact arithmetic as in lesson 4's first picture.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from genlib.widgets.controls import bar
from genlib.widgets.page import Interactive, check_words, escaped, instructions

_MOST_LETTERS = 8
_LONGEST = 40  # letters of a message
_FINEST = 1000  # the largest denominator of a probability
_HOW_TO = (
    "Type a message over the letters {letters}. Each row is the present interval at full width, "
    "cut in proportion to the model q; the next letter's piece is the row below. The thick bar is "
    "all numbers that begin with the bits sent; bits in bold are common to all numbers of the last "
    "interval. The receiver must know how long the message is, or be sent an end mark. The menu "
    "chooses q."
)


class ArithmeticCoder(Interactive):
    """Type a message and watch arithmetic coding turn it into bits, under one model or another.

    The interval starts as [0, 1), and each letter keeps its share of it, until the width is the
    message's probability Q. The bits sent are the shortest that identify the message whatever
    follows them, to a receiver who knows its length: m/2ᵏ and (m + 1)/2ᵏ both lie in the closed
    interval, so that −log₂ Q ≤ k < −log₂ Q + 2. Below stand the ideal lengths, of this message and
    in expectation under ``p``: the entropy, the cross-entropy, and the Kullback–Leibler divergence
    between them, all in bits. The page computes with whole numbers of any length, so nothing is
    rounded.

    Parameters
    ----------
    p : mapping of str to float
        Probability of each letter at the source; two to eight letters, each one character. A
        probability is taken as the fraction with a denominator of up to 1000 that it is.
    models : mapping of str to mappings
        Models q to code with, by the name in the menu, each with a probability for every letter. By
        default ``p`` alone.
    message : str
        The message at the start, of up to 40 letters.
    hint : str
        What to look for, said above the figure.
    alt : str
        What there is to see, for those who cannot.

    Raises
    ------
    TypeError, ValueError
        A probability that is zero, NaN or no such fraction, probabilities that do not sum to one,
        a model over other letters, or a message with others or of more than 40.

    Examples
    --------
    >>> p = {"a": 0.5, "b": 0.25, "c": 0.25}
    >>> models = {"q = p": p, "q uniform": dict.fromkeys("abc", 1 / 3)}
    >>> figure = ArithmeticCoder(p, models, "bac", alt="The interval of the message bac.")
    """

    kind = "coder"

    def __init__(
        self,
        p: Mapping[str, float],
        models: Mapping[str, Mapping[str, float]] | None = None,
        message: str = "",
        *,
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        self.p = _frequencies(p, "p")
        if models is None:
            models = {"q = p": p}
        if not isinstance(models, Mapping):
            raise TypeError(f"models: expected probabilities by name, got {models!r}.")
        if not models:
            raise ValueError("models: expected at least one, got none.")
        self.models = {
            str(name): _frequencies(q, f"models[{name!r}]") for name, q in models.items()
        }
        for name, q in self.models.items():
            if list(q) != list(self.p):
                raise ValueError(
                    f"models[{name!r}]: expected a probability for each of {_listed(self.p)}, in "
                    f"this order, got {_listed(q)}."
                )
        check_words(message, "message")
        if len(message) > _LONGEST or set(message) - set(self.p):
            raise ValueError(
                f"message: expected at most {_LONGEST} of the letters {_listed(self.p)}, got "
                f"{message!r}."
            )
        self.message = message

    def _data(self) -> dict[str, Any]:
        return {
            "letters": list(self.p),
            "p": list(self.p.values()),
            "models": [list(q.values()) for q in self.models.values()],
            "longest": _LONGEST,
        }

    def _body(self) -> str:
        names = list(self.models)
        rows = ("under the source p", "under the model q", "q costs more by")
        columns = ("ideal length in bits", "this message", "expected")
        heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
        cells = "<td></td>" * 2
        table = "".join(f'<tr><th scope="row">{row}</th>{cells}</tr>' for row in rows)
        return (
            instructions(self.hint, _HOW_TO.format(letters=_listed(self.p)))
            + f'<svg viewBox="0 0 560 300" role="img" aria-label="{escaped(self.alt)}"></svg>'
            '<p class="genlib-bits">Bits: <output></output></p>'
            '<div class="genlib-controls"><label>message '
            f'<input type="text" value="{escaped(self.message)}" '
            'autocomplete="off" autocapitalize="none" spellcheck="false">'
            "</label></div>"
            + bar({"model": names}, {"model": names[0]}, "")
            + f'<table class="genlib-table"><thead><tr>{heads}</tr></thead>'
            f"<tbody>{table}</tbody></table>"
        )


def _frequencies(probabilities: object, name: str) -> dict[str, int]:
    """The probabilities as whole numbers in proportion, checked."""
    if not isinstance(probabilities, Mapping):
        raise TypeError(f"{name}: expected probabilities by letter, got {probabilities!r}.")
    if not 2 <= len(probabilities) <= _MOST_LETTERS:
        raise ValueError(
            f"{name}: expected 2 to {_MOST_LETTERS} letters, got {len(probabilities)}."
        )
    for letter in probabilities:
        if not isinstance(letter, str) or len(letter) != 1 or letter.isspace():
            raise ValueError(f"{name}: expected letters of one character each, got {letter!r}.")
    shares = {letter: _fraction(value, letter, name) for letter, value in probabilities.items()}
    if sum(shares.values()) != 1:
        raise ValueError(
            f"{name}: expected probabilities that sum to one, got {float(sum(shares.values())):g}."
        )
    whole = math.lcm(*(share.denominator for share in shares.values()))
    return {letter: int(share * whole) for letter, share in shares.items()}


def _fraction(value: object, letter: str, name: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number for {letter!r}, got {value!r}.")
    if not 0 < value <= 1:
        raise ValueError(
            f"{name}: expected a probability above 0 for {letter!r}, got {value!r}; a letter of "
            "probability 0 would take infinitely many bits."
        )
    share = Fraction(value).limit_denominator(_FINEST)
    if abs(share - Fraction(value)) > 1e-9:
        raise ValueError(
            f"{name}: expected a fraction with a denominator of up to {_FINEST} for {letter!r}, "
            f"got {value!r}; round it."
        )
    return share


def _listed(letters: Mapping[str, Any]) -> str:
    return ", ".join(letters)
