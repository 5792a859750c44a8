"""Texts that go on: in tokens where nothing asks for bytes, else byte by byte."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel.asking import advance, advance_far, ask_all
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.filters import Filter
from tokxfer.bytelevel.healing import IMPOSSIBLE_TEXT, pick_cover
from tokxfer.bytelevel.law import IMPOSSIBLE, STOP
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.tokens import Shares
from tokxfer.bytelevel.treemodel import TreeModel
from tokxfer.errors import TokxferError, UsageError
from tokxfer.shapes import Float


@dataclass(frozen=True, eq=False)
class Generated:
    """How a prompt went on.

    Attributes:
        prompt: Its bytes.
        data: The bytes behind it, what stopped them left out.
        reason: What ended it: "stop" (a token that ends texts), "string" (a stop string) or
            "length".
        nats: Log-probability of the bytes as they were drawn, by the model's law without filters;
            where tokens were drawn, of the cover that went on and of the tokens that the law let
            follow.
        by: Whether "tokens" or "bytes" were drawn.
        tokens: The ids that were drawn, where tokens were.
    """

    prompt: bytes
    data: bytes
    reason: str
    nats: float
    by: str
    tokens: list[int] = field(default_factory=list, repr=False)

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it; bytes are hexadecimal beside the text."""
        return {
            "prompt": self.prompt.hex(),
            "text": self.text,
            "hex": self.data.hex(),
            "reason": self.reason,
            "nats": self.nats,
            "by": self.by,
            "tokens": self.tokens,
        }


@dataclass(frozen=True)
class Ending:
    """When to stop.

    Args:
        size: Bytes at most.
        strings: Strings that end a text, wherever they turn up behind the prompt.
        behind: What a text has to end with: elsewhere no token may end it.

    Raises:
        UsageError: A string is empty, or the size is not positive.
    """

    size: int
    strings: tuple[bytes, ...] = ()
    behind: bytes = b""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"At least one byte must be asked for, not {self.size}.")
        if not all(self.strings):
            raise UsageError(
                "A stop string is empty: it would end every text at once.", "Leave it out."
            )

    def cut(self, data: bytes, seen: int) -> tuple[int, str] | None:
        """Where and why a text ends, if it does, of which so many bytes were looked at before."""
        longest = max(map(len, self.strings), default=0)
        found = [data.find(string, max(0, seen - longest + 1)) for string in self.strings]
        first = min((at for at in found if at >= 0), default=None)
        if first is not None and first <= self.size:
            return first, "string"
        return (self.size, "length") if len(data) >= self.size else None


def generate_texts(
    lm: ByteModel,
    prompts: Sequence[bytes],
    context: list[int],
    ending: Ending,
    filters: Filter,
    *,
    by: str,
    epsilon: float,
    seed: int,
) -> list[Generated]:
    """Let prompts behind one context go on, side by side; chance is each one's own."""
    if not prompts:
        return []
    sources = np.random.default_rng(seed).spawn(len(prompts))
    tree = lm.tree()
    streams = lm.streams(tree, context, epsilon, len(prompts))
    for _ in advance_far(tree, streams, prompts):
        pass
    if by == "tokens":
        ask_all(tree, streams)
        return in_tokens(lm, tree, streams, prompts, ending, sources)
    return in_bytes(tree, streams, prompts, ending, filters, sources)


def in_bytes(
    tree: TreeModel,
    streams: Sequence[Stream],
    prompts: Sequence[bytes],
    ending: Ending,
    filters: Filter,
    sources: Sequence[np.random.Generator],
) -> list[Generated]:
    """Draw byte after byte."""
    written = [bytearray() for _ in streams]
    nats, done = [0.0] * len(streams), dict[int, tuple[int, str]]()
    while len(done) < len(streams):
        going, drawn = [], []
        for at, stream in enumerate(streams):
            if at in done:
                continue
            if not stream.law.possible:
                raise TokxferError(*IMPOSSIBLE_TEXT)
            allowed = stream.law.nats
            early = not written[at].endswith(ending.behind)
            if early and allowed[:STOP].max() > IMPOSSIBLE:
                allowed = allowed.copy()
                allowed[STOP] = IMPOSSIBLE
            outcome = filters.draw(allowed, sources[at])
            nats[at] += float(stream.law.nats[outcome])
            if outcome == STOP:
                done[at] = len(written[at]), "stop"
                continue
            written[at].append(outcome)
            if (end := ending.cut(bytes(written[at]), len(written[at]) - 1)) is not None:
                done[at] = end
                continue
            going.append(stream)
            drawn.append(bytes([outcome]))
        if going:
            advance(tree, going, drawn)
    return [
        Generated(prompt, bytes(data[: done[at][0]]), done[at][1], nats[at], "bytes")
        for at, (prompt, data) in enumerate(zip(prompts, written, strict=True))
    ]


@torch.no_grad()
def in_tokens(
    lm: ByteModel,
    tree: TreeModel,
    streams: Sequence[Stream],
    prompts: Sequence[bytes],
    ending: Ending,
    sources: Sequence[np.random.Generator],
) -> list[Generated]:
    """Draw a cover of each prompt, then token after token."""
    drawer = TokenDrawer(lm, ending.behind)
    rows = [drawer.begin(*told) for told in zip(streams, prompts, sources, strict=True)]
    tree.keep(row.number for row in rows)
    for row in rows:
        row.look(ending)
    while going := [row for row in rows if row.reason is None]:
        pending = [row for row in going if row.pending is not None]
        if pending:
            first = tree.size
            logits = tree.extend(
                [row.number for row in pending], [row.pending or 0 for row in pending]
            )
            for at, (row, answer) in enumerate(zip(pending, logits.cpu(), strict=True)):
                row.number, row.logits, row.pending = first + at, answer, None
            tree.keep(row.number for row in rows if row.reason is None)
        for row in going:
            drawer.go_on(row)
            row.look(ending)
    return [row.result() for row in rows]


@dataclass(eq=False)
class Row:
    """A text that goes on in tokens.

    Attributes:
        prompt: Its bytes.
        source: Of chance.
        number: The node of the last token that the model has read.
        state: The rule's, behind the last token.
        logits: The answer there [ids]; None before the first.
        pending: A token that was drawn and is not read yet.
    """

    prompt: bytes
    source: np.random.Generator
    number: int
    state: Hashable
    logits: torch.Tensor | None = None
    pending: int | None = None
    data: bytearray = field(default_factory=bytearray)
    tokens: list[int] = field(default_factory=list)
    nats: float = 0.0
    reason: str | None = None
    size: int = 0
    seen: int = 0

    def look(self, ending: Ending) -> None:
        """End the text where it is to end."""
        if self.reason is None and (end := ending.cut(bytes(self.data), self.seen)) is not None:
            self.size, self.reason = end
        self.seen = len(self.data)

    def stop(self) -> None:
        """End the text where it stands."""
        self.size, self.reason = len(self.data), "stop"

    def result(self) -> Generated:
        """What came of it."""
        data, reason = bytes(self.data[: self.size]), self.reason or ""
        return Generated(self.prompt, data, reason, self.nats, "tokens", self.tokens)


class TokenDrawer:
    """Draws tokens that the law lets follow, or a stop, by a model's answers.

    Args:
        lm: The model.
        behind: What a text has to end with for a stop to be drawn, if anything else can be.
    """

    def __init__(self, lm: ByteModel, behind: bytes = b"") -> None:
        self._tokens, self._behind = lm.tokens, behind

    def begin(self, stream: Stream, prompt: bytes, source: np.random.Generator) -> Row:
        """Draw a cover of a stream's text, and if it ends with the text, a token behind it."""
        cover = pick_cover(stream, source, going_on=True)
        node = cover.node
        row = Row(prompt, source, stream.number_of(node), node.state, nats=cover.nats)
        if cover.token is None:
            self._draw(row, *stream.answers(node))
        else:
            self._write(row, cover.token, len(prompt) - node.offset)
        return row

    def go_on(self, row: Row) -> None:
        """Draw the next token."""
        assert row.logits is not None
        self._draw(row, *self._tokens.of(row.logits, row.state))

    def _draw(self, row: Row, shares: Shares, stops: Float[np.ndarray, " stops"]) -> None:
        """Draw a token in proportion to shares [places], or a stop that comes not too early."""
        parts = np.concatenate([shares, stops]).astype(np.float64)
        whole = parts.sum()
        if not whole > 0:
            raise TokxferError(*IMPOSSIBLE_TEXT)
        left = parts
        if not row.data.endswith(self._behind) and parts[: len(shares)].any():
            left = parts[: len(shares)]
        sums = np.cumsum(left)
        place = int(np.searchsorted(sums, row.source.random() * sums[-1], side="right"))
        place = min(place, int(np.searchsorted(sums, sums[-1])))
        row.nats += float(np.log(parts[place] / whole))
        if place >= len(shares):
            row.stop()
        else:
            self._write(row, int(self._tokens.order.ids[place]), 0)

    def _write(self, row: Row, token: int, before: int) -> None:
        row.pending = token
        row.state = self._tokens.rule.follow(row.state, token)
        row.tokens.append(token)
        row.data += self._tokens.rule.tokens[token][before:]
