"""What a code costs beside its error: the three penalties of the course.

Sources: the section on sparse coding of document U, which has σ = 1 and writes the third penalty
without the 1, a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Penalty(NamedTuple):
    """Σ_k ρ(z_k / σ), and the majoriser of a smooth one.

    The log and the exponential penalty are concave functions of z², so that for each z₀::

        ρ(z) ≤ ρ(z₀) + w(z₀) (z² − z₀²)        w(z₀) = dρ/d(z²) at z₀

    with equality at z₀. ``weight`` is w; the ℓ1 penalty, which has a kink, needs none.
    """

    value: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor], Tensor] | None = None


PENALTIES = {
    "l1": Penalty(lambda z: z.abs()),
    "log": Penalty(lambda z: z.square().log1p(), lambda z: 1 / (1 + z.square())),
    "exponential": Penalty(lambda z: -(-z.square()).expm1(), lambda z: (-z.square()).exp()),
}
