"""Objectives by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from tokxfer.errors import UsageError
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.objectives.alm import ALM
from tokxfer.workflows.training.objectives.bytekl import ByteKL
from tokxfer.workflows.training.objectives.gold import GOLD
from tokxfer.workflows.training.objectives.mined import MinED
from tokxfer.workflows.training.objectives.same import KINDS, SameVocabulary
from tokxfer.workflows.training.objectives.sft import SFT
from tokxfer.workflows.training.objectives.uld import ULD

REGISTRY: dict[str, Callable[..., Objective]] = {
    "alm": ALM,
    "alm+sft": partial(ALM, sft=True),
    "alm+hidden": partial(ALM, hidden=True),
    "byte-kl": ByteKL,
    "sft": SFT,
    "uld": ULD,
    "mined": MinED,
    "gold": GOLD,
    **{kind: partial(SameVocabulary, kind) for kind in KINDS},
}


def build_objective(name: str, **options: Any) -> Objective:
    """An objective by its name.

    Args:
        name: Which.
        options: Its own; those that are None keep their defaults.

    Raises:
        UsageError: There is none of that name, or it has no such option.
    """
    if name not in REGISTRY:
        raise UsageError(f"There is no objective {name!r}.", f"Take one of {', '.join(REGISTRY)}.")
    given = {option: value for option, value in options.items() if value is not None}
    for option in sorted(given.keys() - options_of(name)):
        owners = [other for other in REGISTRY if option in options_of(other)]
        raise UsageError(f"{name} has no option {option!r}.", f"It is one of {', '.join(owners)}.")
    return REGISTRY[name](**given)


def options_of(name: str) -> set[str]:
    """The names of an objective's own options."""
    made: Any = REGISTRY[name]()
    return {field.name for field in fields(made)}
