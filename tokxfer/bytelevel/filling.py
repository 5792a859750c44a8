"""Filling in the middle: what stands between a prefix and a suffix.

Models that were trained for it saw documents cut in three at random places, so a cut may be moved.
The prefix's last bytes, and on request the suffix's first ones, are therefore moved into the
middle: the first are given to the model as bytes, so that a token may span the seam, and a middle
is whole when it ends with the second, so that the suffix can follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokxfer.bytelevel.frontier import Frontier, Node
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


@dataclass(frozen=True)
class FillTemplate:
    """How a model is shown a prefix and a suffix.

    Args:
        prefix, suffix, middle: Ids of the tokens that mark the three.
        order: "psm": the prefix stands before the suffix; "spm": behind it, with the middle.
        seam: Bytes of the suffix that are moved into the middle; None moves its first token. Models
            that saw cuts at any character need none, and know more of the suffix without.
    """

    prefix: int
    suffix: int
    middle: int
    order: str = "psm"
    seam: int | None = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise UsageError(f"{self.order!r} is no order.", f"Use {' or '.join(ORDERS)}.")

    @classmethod
    def of(cls, vocabulary: ByteVocabulary, order: str = "psm") -> FillTemplate:
        """The template of a vocabulary whose markers are known by name.

        Raises:
            UsageError: It has none.
        """
        ids = {name: token for token, name in enumerate(vocabulary.names)}
        for names in MARKERS:
            if all(name in ids for name in names):
                prefix, suffix, middle = (ids[name] for name in names)
                return cls(prefix, suffix, middle, order=order)
        raise UsageError(
            f"{vocabulary.source.name} has no tokens that mark a prefix, a suffix and a middle.",
            "Name their ids with a FillTemplate, or take a model that was trained to fill in.",
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
    def of(cls, lm: ByteModel, prefix: bytes, suffix: bytes, template: FillTemplate) -> Fill:
        """Put a prefix and a suffix into a template."""
        start = [] if lm.begin is None else [lm.begin]
        after = own_tokens(lm, suffix)
        seam = template.seam
        if seam is None:
            seam = len(lm.tokens.rule.tokens[after[0]]) if after else 0
        rest = own_tokens(lm, suffix[seam:])
        if template.order == "spm":
            context = [*start, template.prefix, template.suffix, *rest, template.middle]
            return cls(context, prefix, suffix[:seam])
        head = own_tokens(lm, prefix)[:-1]
        moved = sum(len(lm.tokens.rule.tokens[token]) for token in head)
        context = [*start, template.prefix, *head, template.suffix, *rest, template.middle]
        return cls(context, prefix[moved:], suffix[:seam])


@dataclass(frozen=True, eq=False)
class Filled:
    """A middle.

    Attributes:
        data: Its bytes.
        whole: Whether it ended by itself, where the suffix can follow.
        nats: Log-probability of what was drawn.
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
    def of(cls, generated: Generated, behind: bytes) -> Filled:
        """Take what the suffix begins with off what was drawn."""
        whole = generated.reason == "stop" and generated.data.endswith(behind)
        size = len(generated.data) - (len(behind) if whole else 0)
        return cls(generated.data[:size], whole, generated.nats)


def own_tokens(lm: ByteModel, data: bytes) -> list[int]:
    """The tokenizer's own tokens for bytes as they are, no space put before them."""
    root = Node(None, -1, 0, 0, lm.canonical.behind)
    frontier = Frontier(lm.canonical, lm.tokens.whole, root)
    for byte in data:
        frontier.step(byte)
    whole: Sequence[list[int]] = [
        node.path() for node in frontier.here if lm.canonical.ends(node.state)
    ]
    if data and not whole:
        raise UsageError(
            f"The tokenizer cannot spell {data[-20:]!r}.", "Leave out what it has no tokens for."
        )
    return whole[0] if data else []
