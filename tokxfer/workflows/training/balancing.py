"""Balances of losses by name."""

from __future__ import annotations

from tokxfer.distillation.balance import Balance, Fixed, GradMag, GradNorm
from tokxfer.errors import UsageError
from tokxfer.workflows.training.objective import Objective

BALANCES = ("auto", "gradmag", "gradnorm", "fixed")


def build_balance(name: str, objective: Objective) -> Balance:
    """A balance of an objective's losses; a single one needs none.

    Args:
        name: "auto" takes the objective's own weights, and GradMag where it has none.
        objective: Whose losses.

    Raises:
        UsageError: There is no such balance.
    """
    if name not in BALANCES:
        raise UsageError(f"There is no balance {name!r}.", f"Take one of {', '.join(BALANCES)}.")
    own, terms = objective.weights(), objective.terms
    if len(terms) == 1 or name == "fixed" or (name == "auto" and own is not None):
        return Fixed(own or dict.fromkeys(terms, 1.0))
    return GradNorm(terms) if name == "gradnorm" else GradMag(terms)
