"""A tokenized language model as a distribution over bytes.

A rule per tokenizer family says which token sequences are canonical: those that the tokenizer
itself would write. All canonical sequences of all beginnings of a text are one tree, which a model
answers in one pass; summed over tokens that begin alike, its answers are masses of bytes.
"""

from __future__ import annotations

from tokxfer.bytelevel.context import Beginning, CachedContext
from tokxfer.bytelevel.filling import Filled, FillTemplate
from tokxfer.bytelevel.generation import Generated
from tokxfer.bytelevel.healing import Healed
from tokxfer.bytelevel.model import ByteLM
from tokxfer.bytelevel.scores import NextByte, Score
from tokxfer.bytelevel.state import ByteState

__all__ = [
    "Beginning",
    "ByteLM",
    "ByteState",
    "CachedContext",
    "FillTemplate",
    "Filled",
    "Generated",
    "Healed",
    "NextByte",
    "Score",
]
