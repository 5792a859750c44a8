"""A middle between a prefix and a suffix: by token prompts, healed ones, and bytes.

All show the model the prefix, then the suffix, then the middle. Tokens: all three are encoded by
themselves, as the model was trained. Healing: the prefix's last token is moved behind the marker
of the middle, and the first token there must begin with its bytes. Bytes: `ByteLM.fill`, where
tokens may span the prefix's seam, and with a template that moves the suffix's first token, too,
both seams.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.filling import FillTemplate, own_tokens

HEAL_TOKENS = "transformers' `heal_tokens`"  # greedy: it gives answers, but no probabilities
METHODS = ("token prompt", HEAL_TOKENS, "ideal token healing", "bytes, both seams", "bytes")


@dataclass(frozen=True)
class Hole:
    """A document with a hole."""

    prefix: bytes
    middle: bytes
    suffix: bytes


@dataclass(frozen=True)
class Answer:
    """What a method makes of a hole.

    Attributes:
        written: Greedy bytes, some more than the middle has.
        ended: Whether they ended by themselves.
        nats: Of the true middle with its end; None if the method has none.
    """

    written: bytes
    ended: bool
    nats: float | None


class TokenPrompts:
    """Fills in tokens, healed or not.

    Args:
        lm: The model.
        template: Its markers.
    """

    def __init__(self, lm: ByteLM, template: FillTemplate) -> None:
        self.lm, self.template = lm, template
        self.spelled = lm.tokens.rule.tokens

    @torch.no_grad()
    def answer(self, hole: Hole, *, healed: bool) -> Answer:
        """Fill a hole."""
        lm = self.lm
        head, removed = own_tokens(lm, hole.prefix), b""
        if healed and head:
            removed = self.spelled[head[-1]]
            head = head[:-1]
        context = self._context(head, hole)
        written, ended = self._greedy(context, removed, len(hole.middle))
        return Answer(written, ended, self._nats(context, removed, hole.middle))

    @torch.no_grad()
    def answer_healed(self, hole: Hole, tokenizer: Any) -> Answer:
        """Fill a hole behind the prefix that transformers heals; what it drops is not found."""
        ids = torch.tensor([own_tokens(self.lm, hole.prefix)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that its own generation does not use
            head = self.lm.model.heal_tokens(ids, tokenizer)[0].tolist()
        head = [token for token in head if self.spelled[token]]
        begun = b"".join(self.spelled[token] for token in head)
        if not begun.startswith(hole.prefix):
            return Answer(b"", False, None)
        added = begun[len(hole.prefix) :]
        more, ended = self._greedy(self._context(head, hole), b"", len(hole.middle))
        return Answer(added + more, ended, None)

    def _context(self, head: list[int], hole: Hole) -> list[int]:
        """The prompt with some tokens for the prefix."""
        start = [] if self.lm.begin is None else [self.lm.begin]
        rest, template = own_tokens(self.lm, hole.suffix), self.template
        return [*start, template.prefix, *head, template.suffix, *rest, template.middle]

    def _greedy(self, context: list[int], removed: bytes, size: int) -> tuple[bytes, bool]:
        data, fed, cache, ended = b"", context, None, False
        while len(data) <= len(removed) + size:
            out = self.lm.model(
                input_ids=torch.tensor([fed]), past_key_values=cache, use_cache=True
            )
            logits, cache = out.logits[0, -1, : self.lm.vocabulary.size], out.past_key_values
            if removed and not data:
                logits = logits.masked_fill(~self._extending(removed), -torch.inf)
            token = int(logits.argmax())
            ended = token in self.lm.stops or not self.spelled[token]
            if ended:
                break
            data, fed = data + self.spelled[token], [token]
        return data[len(removed) :], ended

    def _nats(self, context: list[int], removed: bytes, middle: bytes) -> float:
        """Of the middle's own tokens and a stop, given that the first extends what was removed."""
        tokens = own_tokens(self.lm, removed + middle)
        ids = torch.tensor([[*context, *tokens]])
        logits = self.lm.model(input_ids=ids).logits[0, len(context) - 1 :]
        nats = logits[:, : self.lm.vocabulary.size].double().log_softmax(dim=-1)
        found = float(nats[torch.arange(len(tokens)), tokens].sum())
        found += float(nats[-1, self.lm.stops].logsumexp(dim=0))
        if removed:
            found -= float(nats[0, self._extending(removed)].logsumexp(dim=0))
            if not self.spelled[tokens[0]].startswith(removed):
                return -np.inf
        return found

    def _extending(self, removed: bytes) -> torch.Tensor:
        return torch.tensor([token.startswith(removed) for token in self.spelled])


def by_bytes(lm: ByteLM, template: FillTemplate, hole: Hole) -> Answer:
    """Fill a hole in bytes."""
    filled = lm.fill(
        hole.prefix, hole.suffix, template=template, temperature=0,
        max_new_bytes=len(hole.middle) + 8,
    )  # fmt: skip
    nats = lm.score_fill(hole.prefix, hole.middle, hole.suffix, template=template)
    return Answer(filled.data, filled.whole, nats)
