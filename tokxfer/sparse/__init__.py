"""Rows as sums of few other rows: batched sparse coding, tensors in, tensors out."""

from tokxfer.sparse.coding import Selection, omp
from tokxfer.sparse.fit import SparseCodes, solve_path, solve_support
from tokxfer.sparse.memory import working_memory
from tokxfer.sparse.sparsemax import sparsemax

__all__ = [
    "Selection",
    "SparseCodes",
    "omp",
    "solve_path",
    "solve_support",
    "sparsemax",
    "working_memory",
]
