"""Sparse coding: codes of few atoms, and the dictionaries that make them possible."""

from genlib.models.sparse_coding.model import SparseCoding

__all__ = ["SparseCoding"]
