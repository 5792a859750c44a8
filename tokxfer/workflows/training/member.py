"""A loaded model that teaches or learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokxfer.vocabulary import ByteVocabulary


@dataclass(frozen=True, eq=False)
class Member:
    """A loaded model that teaches or learns.

    Attributes:
        name: What it is called.
        model: The transformers causal language model.
        vocabulary: Its tokens as bytes.
        tokenizer: The transformers tokenizer, for its chat template; None without one.
        stops: Ids that end a text.
    """

    name: str
    model: Any
    vocabulary: ByteVocabulary
    tokenizer: Any = None
    stops: tuple[int, ...] = ()

    @property
    def pad(self) -> int:
        """An id to stand where there is none."""
        roles = self.vocabulary.roles
        return roles.get("pad", roles.get("eos", 0))
