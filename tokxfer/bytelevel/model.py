"""`ByteLM`: a tokenized language model as an exact distribution over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokxfer.bytelevel.forward import tree_nats
from tokxfer.bytelevel.mass import ByteMasses, byte_masses
from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.checkpoints import ModelFolder, load_model, pick_device, pick_dtype, read_stop_ids
from tokxfer.shapes import Float
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary

LAW = "canonical"


@dataclass(frozen=True, eq=False)
class NextByte:
    """The law of the next byte.

    Attributes:
        nats: [256] log-probabilities by byte value.
        stop: That of the end of the text, all stop tokens together.
        law: The law's name.
    """

    nats: Float[torch.Tensor, " 256"]
    stop: float
    law: str = LAW

    def top(self, count: int = 5) -> list[tuple[bytes, float]]:
        """The likeliest bytes with their probabilities."""
        best = self.nats.topk(count)
        return [
            (bytes([value]), float(nats.exp()))
            for value, nats in zip(best.indices.tolist(), best.values, strict=True)
        ]


class ByteLM:
    """A causal language model, asked for bytes.

    The canonical mass of a byte string is the probability that the model gives to the token
    sequences that cover it and that the tokenizer itself would write. Conditionals are that mass
    renormalised at every byte.

    Args:
        model: A transformers causal LM.
        vocabulary: Its tokenizer's vocabulary.
        stops: Ids that end a text.

    Raises:
        UnsupportedError: No rule is known for the tokenizer's family.

    Source: B. Phan et al., "Exact Byte-Level Probabilities from Tokenized Language Models for
    FIM-Tasks and Model Ensembles" (2410.09303).
    """

    def __init__(self, model: Any, vocabulary: ByteVocabulary, *, stops: Sequence[int]) -> None:
        self.model, self.vocabulary, self.stops = model, vocabulary, list(stops)
        self.rule = rule_of(vocabulary)
        self.order = ByteOrder(self.rule.tokens)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        offline: bool = False,
    ) -> ByteLM:
        """Load a model folder or hub name; arguments as everywhere.

        Raises:
            TokxferError: In one sentence, what is wrong.
        """
        folder = ModelFolder.open(
            name, revision=revision, trust_remote_code=trust_remote_code, offline=offline
        )
        place = pick_device(device)
        model = load_model(
            folder.path,
            dtype=pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None),
            device=place,
            trust_remote_code=trust_remote_code,
        )
        return cls(model, read_vocabulary(folder.path), stops=read_stop_ids(folder.path))

    def masses(self, text: bytes, context: Sequence[int] | None = None) -> ByteMasses:
        """Masses of every beginning of a text, and of each with one more byte, in one pass.

        Args:
            text: The bytes that tokens decode to; a dummy space before a text is one of them.
            context: Ids before them; None takes the token that begins texts.

        Raises:
            UsageError: There is none.
        """
        begin = self.vocabulary.roles.get("bos")
        before = ([] if begin is None else [begin]) if context is None else list(context)
        tree = CoverTree.of(text, self.rule, self.order)
        nats = tree_nats(self.model, before, tree, self.vocabulary.size).cpu()
        return byte_masses(tree, self.rule, self.order, nats.__getitem__, self.stops)

    @torch.no_grad()
    def next_byte(self, text: str | bytes = b"", context: Sequence[int] | None = None) -> NextByte:
        """The law of the byte behind a text."""
        told = self.masses(self.stream(text), context).conditionals()[-1]
        return NextByte(told[:256], float(told[256]))

    def score(
        self, text: str | bytes, context: Sequence[int] | None = None
    ) -> Float[torch.Tensor, " bytes"]:
        """The log-probability of each byte of a text, given those before it; differentiable."""
        data = self.stream(text)
        told = self.masses(data, context).conditionals()
        return told[torch.arange(len(data)), torch.tensor(list(data), dtype=torch.long)]

    def stream(self, text: str | bytes) -> bytes:
        """The bytes that a text's tokens decode to; bytes are taken as they are.

        A tokenizer that puts a space before a text does so here, too.
        """
        if isinstance(text, bytes):
            return text
        return (b" " if self.prefixed else b"") + text.encode()

    @property
    def prefixed(self) -> bool:
        """Whether encoding puts a space before a text."""
        ids = self.vocabulary.encode("a")
        return bool(ids) and self.vocabulary.tokens[ids[0]].startswith(b" ")
