"""How far a method got: its share of the way from the mean row to the oracle, with its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from tokxfer.workflows.evaluation import Ratio

Figures = dict[str, Any]
BLIND = ("mean", "gaussian", "zero")  # methods that do not look at the token
TAIL = 0.2  # of the training


@dataclass(frozen=True)
class Share:
    """A share of the gap.

    Attributes:
        value: (mean - method) / (mean - oracle), bits per byte of all seeds together.
        documents: Its standard error over documents, each one's costs summed over seeds.
        seeds: Its standard error over seeds; None for a single one.
        each: The value for each seed.
    """

    value: float
    documents: float | None
    seeds: float | None
    each: tuple[float, ...]

    @property
    def stderr(self) -> float:
        """Both errors together, as independent ones."""
        return math.hypot(self.documents or 0.0, self.seeds or 0.0)

    def to_dict(self) -> Figures:
        return asdict(self) | {"stderr": self.stderr}


def share(
    mean: Sequence[Sequence[float]],
    method: Sequence[Sequence[float]],
    oracle: Sequence[Sequence[float]],
) -> Share:
    """The share of the gap that a method recovers, from costs [seeds, documents] in any unit."""
    worst, got, best = (np.array(costs, dtype=float) for costs in (mean, method, oracle))
    whole = Ratio.of((worst - got).sum(axis=0), (worst - best).sum(axis=0))
    each = (worst - got).sum(axis=1) / (worst - best).sum(axis=1)
    over = float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else None
    return Share(whole.value, whole.stderr, over, tuple(map(float, each)))


def summarize(runs: Sequence[Figures]) -> Figures:
    """What the seeds of one pair say together.

    Args:
        runs: For each seed the figures of its `methods`, by name, and of its `oracle`.

    Returns:
        For each method that ran with every seed its share, bits per byte and held-out cosines; the
        rank correlations of cosines and shares; how far the oracles converged.
    """
    names = [name for name in runs[0]["methods"] if all(name in run["methods"] for run in runs)]

    def costs(name: str) -> list[list[float]]:
        return [run["methods"][name]["nats"] for run in runs]

    oracles = [run["oracle"] for run in runs]
    best = [oracle["nats"] for oracle in oracles]
    methods = {}
    for name in names:
        found = [run["methods"][name] for run in runs]
        methods[name] = share(costs("mean"), costs(name), best).to_dict() | {
            "bits_per_byte": float(np.mean([one["bits_per_byte"] for one in found])),
            "cosine": {
                matrix: float(np.mean([one["cosine"][matrix] for one in found]))
                for matrix in found[0]["cosine"]
            },
        }
    worst = methods["mean"]["bits_per_byte"]
    bits = float(np.mean([oracle["bits_per_byte"] for oracle in oracles]))
    return {
        "methods": methods,
        "oracle_bits_per_byte": bits,
        "tails": [tail(oracle["curve"]) / (worst - bits) for oracle in oracles],
        "rank_correlation": rank_correlations(methods),
        "picked": picked(methods),
    }


def tail(curve: Sequence[Figures]) -> float:
    """Bits per byte of the development documents gained in the last fifth of the training."""
    end = curve[-1]["tokens"]
    at = [one["tokens"] for one in curve]
    bits = [one["bits_per_byte"] for one in curve]
    return float(np.interp((1 - TAIL) * end, at, bits)) - bits[-1]


def rank_correlations(methods: Figures) -> Figures:
    """Spearman's of held-out cosine and share, by matrix, over all methods and over the sighted."""
    if not methods:
        return {}
    found: Figures = {}
    sighted = {name: figures for name, figures in methods.items() if name not in BLIND}
    for matrix in next(iter(methods.values()))["cosine"]:
        found[matrix] = {"all": spearman(methods, matrix), "sighted": spearman(sighted, matrix)}
    return found


def picked(methods: Figures) -> Figures:
    """The method with the largest cosine, all matrices together, and how far it is from the best.

    Returns:
        Its name; the share that the best method has more.
    """
    name = max(methods, key=lambda name: sum(methods[name]["cosine"].values()))
    best = max(figures["value"] for figures in methods.values())
    return {"method": name, "regret": best - methods[name]["value"]}


def spearman(methods: Figures, matrix: str) -> float | None:
    """Spearman's rank correlation; None for fewer than three methods."""
    if len(methods) < 3:
        return None
    cosines = [figures["cosine"][matrix] for figures in methods.values()]
    shares = [figures["value"] for figures in methods.values()]
    return float(stats.spearmanr(cosines, shares).statistic)
