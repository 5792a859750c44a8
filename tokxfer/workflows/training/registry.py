"""Objectives by name."""

from __future__ import annotations

from collections.abc import Callable

from tokxfer.errors import UsageError
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.objectives.alm import ALM
from tokxfer.workflows.training.objectives.sft import SFT

REGISTRY: dict[str, Callable[[], Objective]] = {
    "alm": ALM,
    "alm+sft": lambda: ALM(sft=True),
    "alm+hidden": lambda: ALM(hidden=True),
    "sft": SFT,
}


def build_objective(name: str) -> Objective:
    """An objective with its defaults.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in REGISTRY:
        raise UsageError(f"There is no objective {name!r}.", f"Take one of {', '.join(REGISTRY)}.")
    return REGISTRY[name]()
