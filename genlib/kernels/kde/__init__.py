"""Log of a sum of Gaussian kernels: `genlib.kernels.kde.operator` says what, and how."""

from genlib.kernels.kde.operator import log_kernel_sum, log_kernel_sum_reference

__all__ = ["log_kernel_sum", "log_kernel_sum_reference"]
