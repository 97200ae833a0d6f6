"""Sparse codes of many rows by the lasso: `genlib.kernels.ista.operator` says what is computed."""

from genlib.kernels.ista.active import lasso_active_set
from genlib.kernels.ista.operator import Codes, duality_gap, lasso_ista, lasso_ista_reference

__all__ = ["Codes", "duality_gap", "lasso_active_set", "lasso_ista", "lasso_ista_reference"]
