"""How people write the ten digits: the skeletons that `genlib.data.strokes` bends and inks.

A digit has several variants, the ways of writing it that a reader meets. A variant has a weight
(how often it is used, relative to the others of its digit) and a path: the points through which the
pen passes, ``x,y`` in hundredths of the digit's height, x to the right and y downwards. ``|`` after
a point marks a corner, where the pen stops and turns; everywhere else the path is smooth. At ``;``
the pen is lifted and a new stroke begins.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

Point = tuple[float, float]


class Variant(NamedTuple):
    """One way of writing a digit."""

    weight: float
    path: str

    def strokes(self) -> list[list[list[Point]]]:
        """Strokes, each a list of smooth pieces, each a list of points; pieces meet in corners."""
        strokes = []
        for stroke in self.path.split(";"):
            pieces = [[_point(word) for word in piece.split()] for piece in stroke.split("|")]
            for before, after in itertools.pairwise(pieces):
                after.insert(0, before[-1])
            strokes.append(pieces)
        return strokes


def _point(word: str) -> Point:
    x, y = word.split(",")
    return int(x) / 100, int(y) / 100


SKELETONS: tuple[tuple[Variant, ...], ...] = (
    (  # 0
        # closed oval
        Variant(5, "40,1 16,12 3,45 10,83 33,100 58,83 66,47 56,13 37,1"),
        # the pen overlaps its own start
        Variant(2, "52,9 30,1 8,28 5,68 28,100 56,80 63,38 50,8 28,8"),
        # left open at the top
        Variant(1, "26,6 8,25 3,62 20,95 42,97 62,68 62,30 46,3 32,2"),
    ),
    (  # 1
        # a line
        Variant(7, "30,0 29,35 31,70 30,100"),
        # flag
        Variant(2, "10,24 22,13 32,0 | 32,50 31,100"),
        # flag and base
        Variant(0.5, "12,22 22,13 32,0 | 32,50 31,100 ; 8,100 32,99 56,100"),
    ),
    (  # 2
        # corner and flat base
        Variant(3, "5,22 16,6 36,0 54,10 55,32 36,64 4,97 | 34,95 74,94"),
        # loop at the lower left
        Variant(3, "6,18 20,3 42,2 54,18 48,45 28,80 10,97 0,90 8,78 26,84 48,97 70,92"),
        # wavy base
        Variant(2, "8,16 28,0 52,10 51,38 30,72 5,95 | 24,87 46,97 68,92"),
        # wide loop and a tail that sweeps out
        Variant(2, "14,14 30,0 52,6 56,28 42,60 18,90 2,92 2,76 20,70 48,88 84,100"),
    ),
    (  # 3
        # two bows
        Variant(5, "6,10 28,0 52,9 50,31 24,46 | 50,53 59,75 40,97 16,99 0,88"),
        # flat top
        Variant(1, "6,3 30,3 56,1 | 28,40 | 52,49 57,76 37,97 14,98 2,90"),
        # small loop in the middle
        Variant(2, "6,12 30,0 52,12 44,34 24,47 18,43 27,41 48,52 58,74 40,97 16,99 0,88"),
    ),
    (  # 4
        # open, corner at the left
        Variant(3, "16,3 9,28 2,54 | 34,55 68,51 ; 56,0 52,48 46,100"),
        # open, round, in one stroke
        Variant(3, "8,6 3,34 14,52 36,47 56,28 60,4 | 55,50 48,100"),
        # narrow cup, long back
        Variant(1.5, "10,8 6,28 10,44 28,46 52,32 ; 54,0 46,48 34,100"),
        # closed at the top
        Variant(1.5, "50,2 28,28 2,62 | 34,61 68,58 ; 50,2 48,50 45,100"),
    ),
    (  # 5
        # the top bar comes last
        Variant(3, "15,3 12,22 9,44 | 34,37 56,52 56,78 34,99 2,93 ; 14,3 40,4 66,0"),
        # the top bar comes first
        Variant(2, "64,2 40,3 18,5 | 14,24 9,44 | 34,37 56,52 56,78 34,99 2,93"),
        # small bowl, long bar
        Variant(2, "26,6 20,26 14,46 | 34,44 46,60 40,84 20,99 0,98 ; 26,6 50,5 84,0"),
        # like an S
        Variant(1.5, "64,2 40,3 20,14 20,34 40,48 54,68 42,92 18,100 0,93"),
    ),
    (  # 6
        # round back
        Variant(3, "46,0 22,20 6,52 7,82 26,100 48,92 54,72 38,58 18,67 8,84"),
        # straight back
        Variant(3, "30,0 16,32 6,66 12,92 32,100 50,86 47,64 27,58 9,76"),
        # large loop
        Variant(2, "24,0 8,30 2,64 16,94 42,99 66,78 60,52 36,46 14,66 10,84"),
        # the loop curls inwards
        Variant(1, "40,0 16,26 3,62 14,93 38,100 58,84 54,62 34,55 20,68 26,80"),
    ),
    (  # 7
        # corner
        Variant(4, "0,6 34,5 68,2 | 50,40 30,100"),
        # round corner
        Variant(2, "0,13 20,3 46,2 58,11 48,48 34,100"),
        # crossed
        Variant(1.5, "0,7 30,5 60,2 | 43,40 24,100 ; 18,53 38,51 60,49"),
        # serif
        Variant(1, "2,24 5,5 | 30,6 60,2 | 47,42 38,100"),
    ),
    (  # 8
        # one stroke, from the upper right
        Variant(4, "56,12 34,0 12,12 17,36 40,55 52,80 32,100 9,86 18,60 42,40 58,18 52,5"),
        # two circles
        Variant(
            1,
            "42,44 20,40 12,20 26,2 48,6 52,28 34,45 ; 36,46 12,58 6,82 28,100 52,88 52,62 32,46",
        ),
        # left open, the end runs past the start
        Variant(2, "60,10 40,2 16,10 16,30 38,52 46,80 28,100 8,86 20,60 46,34 72,8"),
        # one stroke, from the middle
        Variant(2, "30,50 12,30 18,6 40,0 54,18 40,42 14,64 8,88 30,100 52,86 48,64 26,46"),
    ),
    (  # 9
        # straight back
        Variant(4, "54,14 32,0 8,16 7,40 28,48 48,34 56,10 | 53,50 46,100"),
        # hooked tail
        Variant(1, "54,14 32,0 8,16 7,40 28,50 48,36 57,10 | 57,55 44,92 22,100 8,90"),
        # wide loop, short back
        Variant(1.5, "60,16 38,2 12,16 4,44 24,58 50,40 64,12 | 58,52 48,100"),
        # the loop turns into the back
        Variant(2, "50,36 28,46 8,34 14,10 38,0 54,14 52,50 40,100"),
    ),
)
