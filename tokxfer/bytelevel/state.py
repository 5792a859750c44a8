"""A text that goes on byte by byte."""

from __future__ import annotations

from tokxfer.bytelevel.asking import advance_far
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.law import ByteLaw
from tokxfer.bytelevel.scores import NextByte
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.treemodel import TreeModel
from tokxfer.errors import UsageError


class ByteState:
    """Where a text stands behind its context; the model reads every token once.

    Attributes:
        stream: The live token sequences.
    """

    def __init__(self, lm: ByteModel, tree: TreeModel, stream: Stream) -> None:
        self._lm, self._tree, self.stream = lm, tree, stream

    @property
    def law(self) -> NextByte:
        """The law of the next byte."""
        return self._public(self.stream.law)

    @property
    def asked(self) -> int:
        """Nodes at which the model was asked, the context's last token included."""
        return self.stream.asked

    def push(self, data: bytes) -> list[NextByte]:
        """Go on by some bytes; the law behind each.

        Raises:
            UsageError: They are no bytes.
        """
        if not isinstance(data, bytes):
            raise UsageError(
                f"A state goes on by bytes, not by {type(data).__name__}.", "Encode text first."
            )
        return [
            self._public(law)
            for laws in advance_far(self._tree, [self.stream], [data])
            for law in laws[0]
        ]

    def _public(self, law: ByteLaw) -> NextByte:
        return NextByte(law, self._lm.law, self._lm.stops)
