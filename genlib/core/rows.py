"""Rows in parts, where a pass over all of them at once would not fit into a cache or the memory."""

from __future__ import annotations

import math

from torch import Tensor

VALUES_AT_ONCE = 2**22
_ON_A_GPU = 2**26  # where there is memory, and short operations wait for their launch


def row_chunks(x: Tensor, values: int = VALUES_AT_ONCE) -> tuple[Tensor, ...]:
    """``x``, shape (N, ...), cut into parts of at most about ``values`` values, a row at least; on
    a GPU of more.
    """
    if x.device.type != "cpu":
        values = max(values, _ON_A_GPU)
    return x.split(max(1, values // max(1, math.prod(x.shape[1:]))))
