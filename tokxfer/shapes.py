"""Shape annotations for kernels; checked at run time under pytest only.

Axis names used throughout: ``tokens`` (rows of a matrix, or target rows), ``dim`` (embedding
width), ``atoms`` (dictionary rows), ``k`` (support size), ``batch``, ``time``.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int

__all__ = ["Bool", "Float", "Int"]
