"""Rows as sums of few other rows: batched sparse coding, tensors in, tensors out."""

from tokxfer.sparse.fit import SparseCodes, solve_support
from tokxfer.sparse.memory import working_memory
from tokxfer.sparse.omp import omp

__all__ = ["SparseCodes", "omp", "solve_support", "working_memory"]
