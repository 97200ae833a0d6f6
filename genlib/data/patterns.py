"""Bars and stripes: few enough images to list, enough structure to need a model."""

from __future__ import annotations

import torch

from genlib.core.validation import check_count
from genlib.data.dataset import Dataset


def bars_and_stripes(n: int = 3) -> Dataset:
    """All distinct n × n binary images whose rows are constant, or whose columns are.

    There are 2^(n+1) − 2 of them, 14 for n = 3: each of the 2ⁿ patterns once as rows and once as
    columns, where the empty and the full image would count twice. ``train`` holds them all, shape
    (2^(n+1) − 2, n²), float; there is no other split (MacKay, 2003, *Information theory, inference
    and learning algorithms*, section 43).

    Raises
    ------
    ValueError
        If ``n`` is not in 1 … 12.
    """
    check_count(n, maximum=12)
    patterns = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
    stripes = patterns[:, :, None].expand(-1, n, n).flatten(1)
    bars = patterns[1:-1, None, :].expand(-1, n, n).flatten(1)
    images = torch.cat([stripes, bars]) if n > 1 else stripes
    return Dataset(
        images.to(torch.get_default_dtype()),
        name=f"bars and stripes {n} × {n}",
        source="listed",
    )
