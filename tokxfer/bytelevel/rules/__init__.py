"""Which token sequences are canonical: one rule for each family of tokenizers."""

from __future__ import annotations

from tokxfer.bytelevel.rules.choose import rule_of
from tokxfer.bytelevel.rules.everything import EverythingRule
from tokxfer.bytelevel.rules.rule import Mask, Rule

__all__ = ["EverythingRule", "Mask", "Rule", "rule_of"]
