"""Arithmetic that models share: one file an operation, with reference, CPU path, Triton kernels and public function."""

from genlib.kernels.kde import log_kernel_sum

__all__ = ["log_kernel_sum"]
