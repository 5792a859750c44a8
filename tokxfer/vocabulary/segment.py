"""A vocabulary's own segmentation of any bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokxfer.vocabulary.changes import changed, changing, words_of
from tokxfer.vocabulary.spelling import LATIN1_TO_CHARACTER, replaces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tokxfer.vocabulary.vocabulary import ByteVocabulary

STAND_IN = "x"  # a letter in place of every byte of incomplete UTF-8, which mostly is of a letter
DROPPING = {"WhitespaceSplit", "Whitespace"}


class Segmenter:
    """Segments bytes as a tokenizer does inside a text, and always exactly.

    The tokenizer's model is shared; its steps before the model are kept but for those that add a
    word start, drop white space or normalize. Where that does not spell the bytes exactly, the
    longest tokens from the left do that leave a rest which can be spelled.

    Args:
        vocabulary: The vocabulary.
    """

    def __init__(self, vocabulary: ByteVocabulary) -> None:
        self.vocabulary = vocabulary
        self.longest = max(map(len, vocabulary.by_bytes), default=0)
        # WordPiece itself takes the longest tokens from the left, so no tokenizer is needed.
        self.inside = None if vocabulary.spelling.continuation else inside_text(vocabulary)
        self.renumbered = self.renumber_added() if self.inside is not None else {}
        self.changes = changing(vocabulary)
        self.text_of = {token: vocabulary.tokens[token] for token in vocabulary.text_ids.tolist()}

    def renumber_added(self) -> dict[int, int]:
        """Ids of added tokens that the copy without special tokens numbers otherwise."""
        assert self.inside is not None
        ids = {name: token for token, name in enumerate(self.vocabulary.names)}
        added = self.inside.get_added_tokens_decoder().items()
        pairs = [(here, ids[str(entry.content)]) for here, entry in added]
        return {here: there for here, there in pairs if here != there}

    def segment(self, spelled: bytes) -> list[int]:
        """Ids whose bytes join to `spelled`, or [] if there are none."""
        pieces = self.by_tokenizer(spelled) if self.inside is not None else []
        if self.joined(pieces) == spelled:
            return pieces
        return self.longest_tokens(spelled)

    def read(self, spelled: bytes) -> list[int]:
        """Ids that the bytes become inside a text that the tokenizer may change first, or []."""
        if self.changes is None:
            return self.segment(spelled)
        try:
            text = spelled.decode()
        except UnicodeDecodeError:
            return self.segment(spelled)
        if not self.vocabulary.spelling.continuation:
            return self.segment(changed(self.changes, text).encode()) or self.segment(spelled)
        pieces: list[int] = []
        for word, starts in words_of(self.changes, text):
            found = self.longest_tokens((" " * starts + word).encode())
            if not found:
                return self.segment(spelled)
            pieces += found
        return pieces

    def joined(self, pieces: list[int]) -> bytes | None:
        """The bytes of some ids; None if one of them is not of text."""
        try:
            return b"".join([self.text_of[piece] for piece in pieces])
        except KeyError:
            return None

    def by_tokenizer(self, spelled: bytes) -> list[int]:
        """The tokenizer's pieces, which need not be exact."""
        assert self.inside is not None
        try:
            text = spelled.decode()
        except UnicodeDecodeError:
            if self.vocabulary.spelling.byte_level:
                return self.by_byte_alphabet(spelled)
            return self.by_byte_tokens(spelled)
        ids: list[int] = self.inside.encode(text, add_special_tokens=False).ids
        if self.renumbered:
            ids = [self.renumbered.get(token, token) for token in ids]
        return ids

    def by_byte_alphabet(self, spelled: bytes) -> list[int]:
        """Incomplete UTF-8 in a byte-level vocabulary: split beside stand-ins, merge the bytes."""
        assert self.inside is not None
        escaped = spelled.decode("utf-8", "surrogateescape")
        visible = "".join(STAND_IN if "\ud800" <= char <= "\udfff" else char for char in escaped)
        splitter = self.inside.pre_tokenizer
        spans = (
            [span for _, span in splitter.pre_tokenize_str(visible)]
            if splitter is not None
            else [(0, len(visible))]
        )
        pieces: list[int] = []
        for start, end in spans:
            part = escaped[start:end].encode("utf-8", "surrogateescape")
            name = part.decode("latin-1").translate(LATIN1_TO_CHARACTER)
            pieces += [token.id for token in self.inside.model.tokenize(name)]
        return pieces

    def by_byte_tokens(self, spelled: bytes) -> list[int]:
        """Incomplete UTF-8 elsewhere: whole characters as text, the other bytes by byte tokens."""
        pieces: list[int] = []
        text = ""
        for char in spelled.decode("utf-8", "surrogateescape"):
            if not "\ud800" <= char <= "\udfff":
                text += char
                continue
            pieces += self.by_tokenizer(text.encode()) if text else []
            pieces += self.vocabulary.ids_of(char.encode("utf-8", "surrogateescape"))[:1]
            text = ""
        return pieces + (self.by_tokenizer(text.encode()) if text else [])

    def longest_tokens(self, spelled: bytes) -> list[int]:
        """From the left, the longest token each time after which the rest can be spelled."""
        known = self.vocabulary.by_bytes
        length = len(spelled)
        ends = [0] * length + [length]  # where the piece at each place ends; 0: none
        for start in reversed(range(length)):
            for end in range(min(length, start + self.longest), start, -1):
                if ends[end] and spelled[start:end] in known:
                    ends[start] = end
                    break
        if not length or not ends[0]:
            return []
        pieces, start = [], 0
        while start < length:
            pieces.append(known[spelled[start : ends[start]]][0])
            start = ends[start]
        return pieces


def inside_text(vocabulary: ByteVocabulary) -> Tokenizer:
    """A tokenizer on the same model that adds no word start, drops nothing, knows no specials."""
    from tokenizers import Tokenizer

    whole = vocabulary.tokenizer
    inside = Tokenizer(whole.model)
    steps = Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "normalizer": only_marks(vocabulary.source.normalizer),
                "pre_tokenizer": without_prefix(vocabulary.source.pre_tokenizer),
                "post_processor": None,
                "decoder": None,
                "model": {"type": "BPE", "vocab": {}, "merges": []},
            }
        )
    )
    if steps.normalizer is not None:
        inside.normalizer = steps.normalizer
    if steps.pre_tokenizer is not None:
        inside.pre_tokenizer = steps.pre_tokenizer
    texts = set(vocabulary.text_ids.tolist())
    added = whole.get_added_tokens_decoder()
    inside.add_tokens([entry for token, entry in sorted(added.items()) if token in texts])
    return inside


def only_marks(step: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A normalizer without all but the replacement of spaces and the byte alphabet."""
    if step is None:
        return None
    if step["type"] == "Sequence":
        kept = [part for part in map(only_marks, step["normalizers"]) if part is not None]
        return {**step, "normalizers": kept} if kept else None
    marks = step["type"] == "ByteLevel" or (step["type"] == "Replace" and replaces(step)[0] == " ")
    return step if marks else None


def without_prefix(step: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A pre-tokenizer that adds no word start and drops nothing."""
    if step is None or step["type"] in DROPPING:
        return None
    if step["type"] == "Sequence":
        kept = [part for part in map(without_prefix, step["pretokenizers"]) if part is not None]
        return {**step, "pretokenizers": kept} if kept else None
    if step["type"] == "Metaspace":
        mark = {"type": "Metaspace", "replacement": step.get("replacement", "▁")}
        return {**mark, "prepend_scheme": "never", "split": step.get("split", True)}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    return {**step, "behavior": "Isolated"} if step.get("behavior") == "Removed" else step
