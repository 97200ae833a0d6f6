"""Arithmetic that models share: one file an operation, with its reference, CPU path and Triton."""

from genlib.kernels.kde import log_kernel_sum

__all__ = ["log_kernel_sum"]
