"""OMP for one target, slow and obvious, in float64 numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pursue(target: Array, atoms: Array, k: int, selection: str) -> list[int]:
    """Choose k atoms one by one; every time the best one for the present residual."""
    lengths = np.linalg.norm(atoms, axis=1)
    chosen: list[int] = []
    residual = target
    for _ in range(k):
        scores = np.abs(atoms @ residual)
        if selection == "normalized":
            scores = scores / lengths
        scores[chosen] = 0
        chosen.append(int(scores.argmax()))
        coefficients = np.linalg.lstsq(atoms[chosen].T, target, rcond=None)[0]
        residual = target - coefficients @ atoms[chosen]
    return chosen


def ridge_fit(target: Array, rows: Array, weight: float) -> Array:
    """Minimize |target − c · rows|² + weight · |c|², as least squares of an extended system."""
    count = len(rows)
    extended = np.concatenate([rows.T, np.sqrt(weight) * np.eye(count)])
    return np.linalg.lstsq(extended, np.concatenate([target, np.zeros(count)]), rcond=None)[0]
