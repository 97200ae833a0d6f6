"""A mixture of Gaussians over many rows: `genlib.kernels.gmm.operator` says what is computed."""

from genlib.kernels.gmm.operator import (
    Moments,
    gmm_log_joint,
    gmm_log_joint_reference,
    gmm_moments,
    gmm_moments_reference,
)

__all__ = [
    "Moments",
    "gmm_log_joint",
    "gmm_log_joint_reference",
    "gmm_moments",
    "gmm_moments_reference",
]
