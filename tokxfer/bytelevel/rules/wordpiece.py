"""Canonical tokenizations of WordPiece: in every word, the longest piece each time.

The bytes of such a tokenizer are those that its tokens spell: every word with a space before it,
where a word is what the pre-tokenizer cuts off. BERT reads "Don't" as " don ' t", and only this is
a text here: words between single spaces, the first one too, that neither the normalizer nor the
pre-tokenizer would change or cut again, without characters that make a word unknown.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tokxfer.bytelevel.rules.added import with_added
from tokxfer.bytelevel.rules.alive import Alive
from tokxfer.bytelevel.rules.longest import LongestMatch
from tokxfer.bytelevel.rules.pretokens import Spans, cutting, loses
from tokxfer.bytelevel.rules.rule import Mask, Rule
from tokxfer.bytelevel.rules.splits import DEAD, START, Splits
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.reading import content_of
from tokxfer.vocabulary.spelling import components

MEMORY = 2**27  # bytes of masks that are kept
# Normalizers that change every character by itself.
SINGLE = {"Sequence", "BertNormalizer", "Lowercase", "StripAccents"}


@dataclass(frozen=True)
class State:
    """Where a sequence stands in its last word.

    Attributes:
        split: The state of the automaton of pre-token starts.
        begun: Characters at the end with which longer pieces begin.
        size: Characters of the word; 0 before the first one.
    """

    split: int = START
    begun: frozenset[str] = frozenset()
    size: int = 0


class WordPieceRule:
    """The rule of WordPiece.

    Args:
        splits: Where pre-tokens begin within text that has no spaces.
        pieces: All pieces of the model, those that begin a word with a space before them.
        tokens: The bytes of every id; b"" for ids that no text becomes.
        most: Characters of the longest word that is not unknown.
    """

    def __init__(
        self, splits: Splits, pieces: Iterable[str], tokens: tuple[bytes, ...], most: int
    ) -> None:
        self.start: Hashable = State()
        self.behind: Hashable = self.start
        self.tokens, self._most, self._splits = tokens, most, splits
        self._texts = [token.decode() for token in tokens]
        self._first: Mask = np.array([text[:1] == " " for text in self._texts])
        self._alive = Alive(splits, [text.removeprefix(" ") for text in self._texts])
        going_on = [
            "" if first else text for text, first in zip(self._texts, self._first, strict=True)
        ]
        self._longest = LongestMatch(pieces, going_on)
        self._sizes = np.array(list(map(len, self._texts))) - self._first
        self._starting: Mask = self._alive.mask(START, True) & self._first & (self._sizes <= most)
        self._masks = lru_cache(max(16, MEMORY // max(1, len(tokens))))(self._mask)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        assert isinstance(state, State)
        found: Mask = self._starting if self.ends(state) else self._starting & False
        if not state.size:
            return found
        inside = self._masks(state.split, state.begun)
        return found | (inside & (self._sizes <= self._most - state.size))

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        text, size = self._texts[token], int(self._sizes[token])
        if self._first[token]:
            if not self._starting[token] or not self.ends(state):
                return None
            split = self._alive.after(START, text[1:], True)
            return State(split, self._longest.begun(text), size)
        if not text or not state.size or state.size + size > self._most:
            return None
        split = self._alive.after(state.split, text, False)
        begun = self._longest.extended(state.begun, text)
        return None if split == DEAD or begun is None else State(split, begun, state.size + size)

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, State)
        return self._splits.ends(state.split)

    def _mask(self, split: int, begun: frozenset[str]) -> Mask:
        """Whether each id [ids] may go on with a word that is not too long for it."""
        found: Mask = self._alive.mask(split, False) & ~self._first
        found &= ~self._longest.completing(begun)
        found.setflags(write=False)
        return found


def wordpiece_rule(vocabulary: ByteVocabulary) -> Rule:
    """The rule of a WordPiece vocabulary.

    Raises:
        UnsupportedError: Words are not cut at spaces, or the normalizer does not change every
            character by itself; or an added token is of a kind that is not read.
    """
    content, name = content_of(vocabulary.source), vocabulary.source.name
    model, prefix = content["model"], vocabulary.spelling.continuation
    spans = cutting(content.get("pre_tokenizer"), content.get("normalizer"))
    if prefix is None or spans("a b") != [(0, 1), (2, 3)]:
        raise UnsupportedError(
            f"{name} has a WordPiece model whose words are not what stands between spaces: "
            "its tokens do not say which text they are of."
        )
    for step in components(content.get("normalizer")):
        if step["type"] not in SINGLE:
            raise UnsupportedError(
                f"No rule is known for {name}, a WordPiece tokenizer whose normalizer looks at "
                f"more than one character ({step['type']}).",
                "Lower case and stripped accents are read.",
            )
    names: dict[str, int] = model["vocab"]
    going_on = [piece for piece in names if piece.startswith(prefix) and piece != prefix]
    bodies = dict(zip(names, names, strict=True)) | {p: p[len(prefix) :] for p in going_on}
    kept = kept_characters(set().union(*names), spans, content.get("normalizer"))
    tokens = [b""] * vocabulary.size
    for piece, token in names.items():
        if vocabulary.kinds[token] == Kind.NORMAL and kept.issuperset(bodies[piece]):
            tokens[token] = vocabulary.tokens[token]
    splits = Splits(lambda text: [first for first, _ in spans(text)])
    pieces = [*(bodies[piece] for piece in going_on), *(f" {piece}" for piece in names)]
    most = int(model.get("max_input_chars_per_word", 100))
    return with_added(WordPieceRule(splits, pieces, tuple(tokens), most), vocabulary, content)


def kept_characters(
    characters: Iterable[str], spans: Spans, normalizer: Mapping[str, Any] | None
) -> set[str]:
    """Of some characters, those that neither pre-tokenizer nor normalizer drops or changes.

    That a normalizer puts spaces around ideographs cuts words, and changes none.
    """
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.WordPiece()).to_str())
    bare["normalizer"] = normalizer
    steps = json.dumps(bare).replace(
        '"handle_chinese_chars": true', '"handle_chinese_chars": false'
    )
    loaded = Tokenizer.from_str(steps).normalizer
    return {
        character
        for character in characters
        if (loaded is None or loaded.normalize_str(character) == character)
        and not loses(spans, character)
    }
