"""Balances of losses by name."""

from __future__ import annotations

from collections.abc import Sequence

from tokxfer.distillation.balance import Balance, Fixed, GradMag, GradNorm
from tokxfer.errors import UsageError

BALANCES = ("gradmag", "gradnorm", "fixed")


def build_balance(name: str, terms: Sequence[str]) -> Balance:
    """A balance of some losses; a single one needs none.

    Raises:
        UsageError: There is no such balance.
    """
    if name not in BALANCES:
        raise UsageError(f"There is no balance {name!r}.", f"Take one of {', '.join(BALANCES)}.")
    if len(terms) == 1 or name == "fixed":
        return Fixed(dict.fromkeys(terms, 1.0))
    return GradMag(terms) if name == "gradmag" else GradNorm(terms)
