"""Objectives by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tokxfer.errors import UsageError
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.objectives.alm import ALM
from tokxfer.workflows.training.objectives.bytekl import ByteKL
from tokxfer.workflows.training.objectives.gold import GOLD
from tokxfer.workflows.training.objectives.mined import MinED
from tokxfer.workflows.training.objectives.same import KINDS, SameVocabulary
from tokxfer.workflows.training.objectives.sft import SFT
from tokxfer.workflows.training.objectives.uld import ULD

REGISTRY: dict[str, Callable[[], Objective]] = {
    "alm": ALM,
    "alm+sft": lambda: ALM(sft=True),
    "alm+hidden": lambda: ALM(hidden=True),
    "byte-kl": ByteKL,
    "sft": SFT,
    "uld": ULD,
    "mined": MinED,
    "gold": GOLD,
    **{kind: partial(SameVocabulary, kind) for kind in KINDS},
}


def build_objective(name: str) -> Objective:
    """An objective with its defaults.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in REGISTRY:
        raise UsageError(f"There is no objective {name!r}.", f"Take one of {', '.join(REGISTRY)}.")
    return REGISTRY[name]()
