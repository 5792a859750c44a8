"""Canonical tokenizations of Unigram: the best segmentation of every pre-token.

What is canonical is decided by the tokens' own text: the bytes that they decode to, in which a
space is the mark that begins a word. Every such text counts.
Where a tokenizer drops white space (T5, XLM-R), a text holds none but the spaces that are marks.
Behind a normalizer only text that it leaves as it is counts.
Characters that have no token are byte tokens if the tokenizer has them, and else are in no text.
Text that looks like a special or byte token (`<s>`) is spelled by the other pieces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial

import numpy as np

from tokxfer.bytelevel.rules.added import with_added
from tokxfer.bytelevel.rules.alive import Alive
from tokxfer.bytelevel.rules.characters import characters, continues
from tokxfer.bytelevel.rules.crossings import Crossings
from tokxfer.bytelevel.rules.lattice import FRESH, Lattice, OpenEnd
from tokxfer.bytelevel.rules.normalizing import text_normalizer
from tokxfer.bytelevel.rules.prefixed import with_prefix
from tokxfer.bytelevel.rules.pretokens import cutting, loses
from tokxfer.bytelevel.rules.rule import Mask, Rule
from tokxfer.bytelevel.rules.splits import DEAD, START, Splits
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.reading import content_of

MEMORY = 2**27  # bytes of masks that are kept
STRAY = "\udc80"  # in the lattice, bytes of no character; in no piece
SEEN = "\ufffd"  # what a pre-tokenizer sees in their place


@dataclass(frozen=True)
class Way:
    """One way of cutting the text so far into pre-tokens.

    Attributes:
        split: The state of the automaton of pre-token starts.
        open_end: The end of the open pre-token.
        rest: Bytes at the end that a character may still come of.
        begins: Whether that character begins a pre-token.
    """

    split: int
    open_end: OpenEnd
    rest: bytes = b""
    begins: bool = False


State = frozenset[Way]


class UnigramRule:
    """The rule of Unigram.

    Every byte string counts as a text; a stretch of bytes of no character is an unknown character.

    Args:
        splits: Where pre-tokens begin.
        lattice: The pieces that are of text.
        names: The piece of every id; "" for ids that are not of text, and for byte tokens.
        tokens: The bytes of every id; b"" for ids that are not of text.
        mark: What is a space in pieces.
        loses: Whether the pre-tokenizer drops a character.
    """

    def __init__(
        self,
        splits: Splits,
        lattice: Lattice,
        names: Sequence[str],
        tokens: tuple[bytes, ...],
        mark: str | None,
        loses: Callable[[str], bool],
    ) -> None:
        self.tokens, self._mark = tokens, mark
        self.start: Hashable = frozenset({Way(START, FRESH)})
        self.behind: Hashable = self.start
        self._loses, self._unknown = cache(loses), cache(self._is_unknown)
        self._names = ["" if any(map(self._loses, set(name))) else name for name in names]
        self._lattice = lattice
        self._alive = Alive(splits, self._names)
        self._splits = splits
        self._crossings = Crossings(lattice, self._names)
        self._bytes = {
            token: byte
            for token, byte in enumerate(tokens)
            if byte and not names[token] and self._unknown(byte)
        }
        self._masks = lru_cache(max(16, MEMORY // len(tokens)))(self._mask)

    @property
    def untied(self) -> bool:
        """Whether no piece is worth the same as others with its characters."""
        return self._crossings.untied

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        assert isinstance(state, frozenset)
        alike = self.untied and any(not way.open_end.text for way in state)
        return self._masks(frozenset(map(settled, state)) if alike else state)

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, frozenset)
        return frozenset(self._afters(state, token)) or None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, frozenset)
        whole = (self._finished(way) for way in state)
        return any(way is not None and self._splits.ends(way.split) for way in whole)

    def _afters(self, state: State, token: int) -> Iterator[Way]:
        """All ways behind a token."""
        for way in state:
            for begins in (True, False):
                after = self._followed(way, token, begins)
                if after is not None:
                    yield after

    def _followed(self, way: Way, token: int, begins: bool) -> Way | None:
        """A way behind a token at which a pre-token begins, or does not."""
        if token in self._bytes:
            return self._spelled(way, self._bytes[token], begins)
        before, name = self._finished(way), self._names[token]
        return self._grown(before, name, begins) if before is not None and name else None

    def _spelled(self, way: Way, byte: bytes, begins: bool) -> Way | None:
        """A way behind a byte token."""
        before: Way | None = way
        if way.rest and continues(way.rest, byte[0]):
            if begins != way.begins:
                return None
            byte = way.rest + byte
        else:
            before = self._finished(way)
        if before is None:
            return None
        text, rest = characters(byte)
        if rest:
            return Way(before.split, before.open_end, rest, begins)
        if text == self._mark or (text == SEEN and byte != SEEN.encode()):
            return self._grown(before, STRAY, begins)
        return self._grown(before, text, begins) if self._unknown(text.encode()) else None

    def _is_unknown(self, spelled: bytes) -> bool:
        """Whether some bytes are not a character that is in no text or has a piece of its own."""
        text, rest = characters(spelled)
        if rest or spelled != text.encode():
            return True
        if self._mark is not None and text in (" ", self._mark):
            return text == self._mark  # in a piece it is a space, so that itself it is of bytes
        return not (text in self._lattice.scores or self._loses(text))

    def _finished(self, way: Way) -> Way | None:
        """A way once the bytes at its end count as a character of their own."""
        return self._grown(way, STRAY, way.begins) if way.rest else way

    def _grown(self, way: Way, text: str, begins: bool) -> Way | None:
        """A way behind one more piece or unknown character, if that leaves it alive."""
        split = self._alive.after(way.split, SEEN if text == STRAY else text, begins)
        if split == DEAD:
            return None
        open_end = self._lattice.extended(FRESH if begins else way.open_end, text)
        return None if open_end is None else Way(split, open_end)

    def _mask(self, state: Hashable) -> Mask:
        assert isinstance(state, frozenset)
        found: Mask = np.zeros(len(self.tokens), dtype=bool)
        for way in state:
            before = self._finished(way)
            if before is not None:
                found |= self._alive.mask(before.split, True) & self._crossings.first
                inside = self._alive.mask(before.split, False)
                if inside.any():
                    found |= inside & self._crossings.best(before.open_end)
        rest = next(iter(state)).rest  # of all ways the same
        for token, byte in self._bytes.items():
            free = byte[0] >= 0x80 and not (rest and continues(rest, byte[0]))
            found[token] = free or any(self._afters(state, token))
        found.setflags(write=False)
        return found


def settled(way: Way) -> Way:
    """A way as masks see it: the score of what no piece can reach does not matter."""
    return way if way.open_end.text else replace(way, open_end=FRESH)


def unigram_rule(vocabulary: ByteVocabulary, *, normalized: bool = True) -> Rule:
    """The rule of a Unigram vocabulary.

    Raises:
        UnsupportedError: Its pieces are of bytes, it has no unknown token, or only some of the byte
            tokens; its normalizer looks far; or an added token is of a kind that is not read.
    """
    content, name = content_of(vocabulary.source), vocabulary.source.name
    model, spelling = content["model"], vocabulary.spelling
    if spelling.byte_level or model.get("unk_id") is None:
        raise UnsupportedError(
            f"{name} has a Unigram model {'of bytes' if spelling.byte_level else 'without <unk>'}: "
            "no rule is known for what text it encodes."
        )
    loaded = json.loads(vocabulary.tokenizer.to_str())["model"]  # its numbers may be rounded
    scores = {piece: float(score) for piece, score in loaded["vocab"] if piece}
    last = {piece: token for token, (piece, _) in enumerate(model["vocab"])}
    kinds, normal = vocabulary.kinds, vocabulary.kinds == Kind.NORMAL
    names = ["" for _ in kinds]
    for piece, token in last.items():
        names[token] = piece if normal[token] else ""
    falls = (kinds == Kind.BYTE) & bool(model.get("byte_fallback"))
    if 0 < falls.sum() < 256:
        raise UnsupportedError(f"{name} has only {falls.sum()} of the 256 byte tokens.")
    tokens = tuple(
        spelled if name or byte else b""
        for spelled, name, byte in zip(vocabulary.tokens, names, falls, strict=True)
    )
    spans, mark = cutting(content.get("pre_tokenizer"), None), spelling.mark

    def cut(text: str) -> Iterable[int]:
        return [first for first, _ in spans(text.replace(" ", mark or " "))]

    of_text = {piece: score for piece, score in scores.items() if names[last[piece]]}
    lattice = Lattice(of_text, least=min(scores.values()))
    plain = UnigramRule(Splits(cut), lattice, names, tokens, mark, partial(loses, spans))
    normalizer = text_normalizer(vocabulary) if normalized else None
    return with_added(with_prefix(plain, vocabulary), vocabulary, content, normalizer)
