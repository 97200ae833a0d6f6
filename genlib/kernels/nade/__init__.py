"""The scan of a NADE: `genlib.kernels.nade.operator` says what is computed, and how."""

from genlib.kernels.nade.operator import (
    nade_logits,
    nade_logits_reference,
    nade_sample,
    nade_sample_reference,
)

__all__ = ["nade_logits", "nade_logits_reference", "nade_sample", "nade_sample_reference"]
