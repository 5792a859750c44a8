"""What several trainings say together: means over seeds, and differences paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokxfer.workflows.figures import Ratio

Figures = dict[str, Any]


@dataclass(frozen=True)
class Mean:
    """A mean with its standard error; None where there is a single value."""

    value: float
    stderr: float | None


def mean(values: Sequence[float]) -> Mean:
    """Over seeds."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Mean(float(np.mean(values)), error)


def over_seeds(runs: Mapping[str, Figures], name: str) -> Mean | None:
    """A figure of those trainings that ended; None where there is none."""
    values = [run[name] for run in runs.values() if "failed" not in run]
    return mean(values) if values else None


def difference(
    runs: Mapping[str, Figures], others: Mapping[str, Figures], sizes: Sequence[int]
) -> Mean | None:
    """How many bits per byte more one objective needs than another, by the seeds of both.

    Args:
        runs: Trainings by seed.
        others: Those of the other objective.
        sizes: Bytes of each document.

    Returns:
        The difference; its error puts together, as independent, that over documents and that over
        seeds. None where no seed is there on both sides.
    """
    seeds = [
        seed
        for seed in runs
        if seed in others and "failed" not in runs[seed] and "failed" not in others[seed]
    ]
    if not seeds:
        return None
    nats = np.array([np.subtract(runs[seed]["nats"], others[seed]["nats"]) for seed in seeds])
    bytes_ = np.array(sizes, dtype=float)
    found = Ratio.of(nats.sum(axis=0), bytes_ * len(seeds))
    each = mean((nats.sum(axis=1) / bytes_.sum()).tolist())
    if each.stderr is None:
        return Mean(found.value / math.log(2), None)
    error = math.hypot(each.stderr, found.stderr or 0.0)
    return Mean(found.value / math.log(2), error / math.log(2))
