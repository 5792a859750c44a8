"""The covers of a prompt: token sequences that spell it, the last token perhaps going further.

A prompt that stops in mid-token is not what its own encoding says: the model expects the token that
goes on. Drawing a cover by its weight, or taking the heaviest, mends the seam, however many tokens
back it begins; from there on tokens can be drawn as usual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel.asking import advance_far, ask_all
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.frontier import Node
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.treemodel import AttentionTree
from tokxfer.bytelevel.windows import WindowedTree
from tokxfer.errors import TokxferError

IMPOSSIBLE_TEXT = (
    "The model cannot have written this text: no token sequence that counts covers it.",
    "Check that it is what the tokenizer spells; a normalizing one spells NFC, perhaps.",
)


@dataclass(frozen=True, slots=True)
class Cover:
    """A token sequence that covers a text.

    Attributes:
        node: Its tokens as far as they end within the text.
        token: The one that goes on beyond it; None if the text is spelled exactly.
        nats: Log-probability among all covers.
    """

    node: Node
    token: int | None
    nats: float

    @property
    def tokens(self) -> list[int]:
        """All its tokens."""
        return [*self.node.path(), *([] if self.token is None else [self.token])]


@dataclass(frozen=True, eq=False)
class Healed:
    """A prompt as tokens that a model can go on from.

    Attributes:
        ids: Token ids, those of the context first.
        beyond: Bytes that the last token spells beyond the prompt.
        nats: Log-probability of this cover among all covers of the prompt.
        cache: Keys and values of all ids but the last, for transformers' `generate`; None where the
            model keeps none, or the prompt is longer than the model.
    """

    ids: list[int]
    beyond: bytes
    nats: float
    cache: Any = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it, without the cache."""
        return {"ids": self.ids, "beyond": self.beyond.hex(), "nats": self.nats}


def pick_cover(
    stream: Stream, source: np.random.Generator | None, *, going_on: bool = False
) -> Cover:
    """Draw a cover of a stream's text by weight; without a source, take the heaviest.

    Args:
        stream: Of which all live nodes were asked.
        source: Of chance.
        going_on: Whether a cover that spells the text exactly counts with what the law lets come
            behind it only, as the law of the next byte has it.

    Raises:
        TokxferError: The model cannot have written the text.
    """
    live = [(entry.node, entry.run) for entry in stream.frontier.live]
    found: list[tuple[Node, np.ndarray, int, float]] = []
    for node, run in live:
        weight, shares = stream.weighed(node)
        if not run.depth:
            whole = sum(part.sum(dtype=np.float64) for part in stream.answers(node))
            found.append((node, np.full(1, whole if going_on else 1.0), -1, weight))
        else:
            found.append(
                (node, shares[run.longer : run.last].astype(np.float64), run.longer, weight)
            )
    with np.errstate(divide="ignore"):
        parts = [weight + np.log(shares) for _, shares, _, weight in found]
    nats = np.concatenate([np.zeros(0), *parts])
    whole = np.logaddexp.reduce(nats) if len(nats) else -np.inf
    if not math.isfinite(whole):
        raise TokxferError(*IMPOSSIBLE_TEXT)
    nats = nats - whole
    if source is None:
        at = int(nats.argmax())
    else:
        shares = np.exp(nats)
        at = int(source.choice(len(nats), p=shares / shares.sum()))
    left = at
    for node, shares, first, _ in found:
        if left < len(shares):
            token = None if first < 0 else int(stream.tokens.order.ids[first + left])
            return Cover(node, token, float(nats[at]))
        left -= len(shares)
    raise AssertionError("a cover lies within one of the live nodes' runs")


@torch.no_grad()
def heal_text(
    lm: ByteModel,
    prompt: bytes,
    context: list[int],
    source: np.random.Generator | None,
    epsilon: float = 0.0,
) -> Healed:
    """A cover of a prompt as tokens behind a context, and the cache that goes with it."""
    tree = lm.tree()
    (stream,) = lm.streams(tree, context, epsilon)
    for _ in advance_far(tree, [stream], [prompt]):
        pass
    ask_all(tree, [stream])
    cover = pick_cover(stream, source)
    ids = [*context, *cover.tokens]
    beyond = b""
    if cover.token is not None:
        beyond = lm.tokens.rule.tokens[cover.token][len(prompt) - cover.node.offset :]
    cache = None
    if isinstance(tree, AttentionTree | WindowedTree) and len(ids) > 1:
        cache = tree.cache_of(stream.number_of(cover.node), len(ids) - 1)
    return Healed(ids=ids, beyond=beyond, nats=cover.nats, cache=cache)
