"""Filling in the middle: what stands between a prefix and a suffix.

Models that were trained for it saw documents cut in three at random places, so a cut may be moved.
The prefix's last bytes, and on request the suffix's first ones, are therefore moved into the
middle. The first are given to the model as bytes, so that tokens may span the seam: all behind the
last place that every token sequence of the prefix agrees on, whatever comes next. The second have
to be written: only behind them may a middle end, so that the suffix can follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from tokxfer.bytelevel.context import Context
from tokxfer.bytelevel.frontier import Frontier, Node, shared
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary

if TYPE_CHECKING:
    from tokxfer.bytelevel.core import ByteModel
    from tokxfer.bytelevel.generation import Generated

MARKERS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
)
ORDERS = ("psm", "spm")
NEAR = (
    12  # bytes of the prefix that a middle begins with at least: models read on from what is near
)


@dataclass(frozen=True)
class FillTemplate:
    """How a model is shown a prefix and a suffix.

    Args:
        prefix, suffix, middle: Ids of the tokens that mark the three.
        order: "psm": the prefix stands before the suffix; "spm": behind it, with the middle.
        seam: Bytes of the suffix that are moved into the middle, and as many more as a character
            needs; None moves its first token. Models that saw cuts at any character need none, and
            know more of the suffix without.

    Raises:
        UsageError: The order has another name, or the seam is negative.
    """

    prefix: int
    suffix: int
    middle: int
    order: str = "psm"
    seam: int | None = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise UsageError(f"{self.order!r} is no order.", f"Use {' or '.join(ORDERS)}.")
        if self.seam is not None and self.seam < 0:
            raise UsageError(f"The seam must be 0 bytes or more, not {self.seam}.")

    @classmethod
    def of(
        cls,
        vocabulary: ByteVocabulary,
        order: str = "psm",
        markers: tuple[int | str, int | str, int | str] | None = None,
    ) -> FillTemplate:
        """The template of a vocabulary.

        Args:
            vocabulary: The model's.
            order: See `FillTemplate`.
            markers: The tokens that mark prefix, suffix and middle, by id (digits are one) or by
                name; None takes those that are known by name.

        Raises:
            UsageError: It has no such tokens.
        """
        if markers is not None:
            prefix, suffix, middle = (marker_id(vocabulary, marker) for marker in markers)
            return cls(prefix, suffix, middle, order=order)
        ids = {name: token for token, name in enumerate(vocabulary.names)}
        for names in MARKERS:
            if all(name in ids for name in names):
                prefix, suffix, middle = (ids[name] for name in names)
                return cls(prefix, suffix, middle, order=order)
        raise UsageError(
            f"{vocabulary.source.name} has no tokens known to mark a prefix, a suffix and a "
            "middle.",
            "Name them with --markers (in Python: a FillTemplate), or take a model that was "
            "trained to fill in.",
        )


def marker_id(vocabulary: ByteVocabulary, marker: int | str) -> int:
    """The id of a token that is given by id or by name.

    Raises:
        UsageError: There is none.
    """
    if isinstance(marker, int) or (marker.isascii() and marker.isdecimal()):
        if 0 <= int(marker) < vocabulary.size:
            return int(marker)
    elif marker in vocabulary.names:
        return vocabulary.names.index(marker)
    raise UsageError(
        f"{vocabulary.source.name} has no token {marker!r} to mark a part with.",
        f"Give an id below {vocabulary.size}, or a name as the tokenizer's file spells it.",
    )


@dataclass(frozen=True, eq=False)
class Fill:
    """A prefix and a suffix as a context and what the middle begins and ends with.

    Attributes:
        context: Ids before the middle.
        before: Bytes that the middle begins with, and that are the prefix's own.
        behind: Bytes that the middle ends with, and that are the suffix's own.
    """

    context: list[int]
    before: bytes
    behind: bytes

    @classmethod
    def of(
        cls,
        lm: ByteModel,
        prefix: bytes,
        suffix: bytes,
        template: FillTemplate,
        context: Context = None,
    ) -> Fill:
        """Put a prefix and a suffix into a template, behind a context."""
        start = lm.context(context)
        behind = _moved(lm, suffix, template.seam)
        rest = own_tokens(lm, suffix[len(behind) :])
        if template.order == "spm":
            ids = [*start, template.prefix, template.suffix, *rest, template.middle]
            return cls(ids, prefix, behind)
        head = agreed_tokens(lm, prefix, NEAR)
        before = prefix[_size(lm, head) :]
        ids = [*start, template.prefix, *head, template.suffix, *rest, template.middle]
        return cls(ids, before, behind)


@dataclass(frozen=True, eq=False)
class Filled:
    """A middle.

    Attributes:
        data: Its bytes.
        whole: Whether the model ended it, where the suffix can follow; else it was cut off.
        nats: Log-probability of what was drawn, what the suffix begins with and the end included.
    """

    data: bytes
    whole: bool
    nats: float

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it; bytes are hexadecimal beside the text."""
        return {
            "text": self.text,
            "hex": self.data.hex(),
            "whole": self.whole,
            "nats": self.nats,
        }

    @classmethod
    def of(cls, generated: Generated, behind: bytes, size: int) -> Filled:
        """Take what the suffix begins with off what was drawn; what has no end is cut to a size."""
        whole = generated.reason == "stop" and generated.data.endswith(behind)
        end = len(generated.data) - len(behind) if whole else size
        return cls(generated.data[:end], whole, generated.nats)


def agreed_tokens(lm: ByteModel, data: bytes, near: int = 0) -> list[int]:
    """The tokens that bytes begin with in every sequence that covers them, whatever comes next.

    They are an encoding of their own, and what covers the bytes behind them can be written there
    afresh, too.

    Args:
        lm: The model, whose law says which sequences count.
        data: The bytes.
        near: How many of them are to be left at least, or all.

    Raises:
        UsageError: No sequence covers them.
    """
    frontier = walked(lm.frontier(), data)
    ends = [live.node for live in frontier.live]
    if not ends:
        raise _unspelled(data)
    head, state, found = reduce(shared, ends).path(), lm.canonical.behind, [0]
    for count, token in enumerate(head, 1):
        state = lm.canonical.follow(state, token)
        if state is None:
            break
        if lm.canonical.ends(state):
            found.append(count)
    while count := found.pop():
        rest = data[_size(lm, head[:count]) :]
        if len(rest) < near:
            continue
        afresh = walked(lm.frontier(), rest)
        fresh = {tuple(live.node.path()) for live in afresh.live}
        if all(tuple(node.path()[count:]) in fresh for node in ends):
            return head[:count]
    return []


def own_tokens(lm: ByteModel, data: bytes) -> list[int]:
    """The tokenizer's own tokens for bytes as they are, no space put before them."""
    root = Node(None, -1, 0, 0, lm.canonical.behind)
    frontier = walked(Frontier(lm.canonical, lm.tokens.whole, root), data)
    whole: Sequence[list[int]] = [
        node.path() for node in frontier.here if lm.canonical.ends(node.state)
    ]
    if data and not whole:
        raise _unspelled(data)
    return whole[0] if data else []


def walked(frontier: Frontier, data: bytes) -> Frontier:
    """A frontier behind some bytes."""
    for byte in data:
        frontier.step(byte)
    return frontier


def _moved(lm: ByteModel, suffix: bytes, seam: int | None) -> bytes:
    """What a suffix begins with that is moved into the middle: never a part of a character."""
    size = _whole_characters(suffix, seam or 0)
    if seam is None and (after := own_tokens(lm, suffix[size:])):
        size = _whole_characters(suffix, size + _size(lm, after[:1]))
    return suffix[:size]


def _whole_characters(data: bytes, size: int) -> int:
    """A number of bytes, or a little more, behind which a character of UTF-8 may begin."""
    while size < len(data) and data[size] & 0xC0 == 0x80:
        size += 1
    return size


def _size(lm: ByteModel, ids: Sequence[int]) -> int:
    """The bytes that tokens spell."""
    return sum(len(lm.tokens.rule.tokens[token]) for token in ids)


def _unspelled(data: bytes) -> UsageError:
    return UsageError(
        f"The tokenizer cannot spell {data[-20:]!r}.", "Leave out what it has no tokens for."
    )
