"""Between which characters a tokenizer surely ends a token: where none of its tokens holds both."""

from __future__ import annotations

import unicodedata
from functools import cached_property

import numpy as np

from tokxfer.distillation.characters import (
    are_whole,
    begin_character,
    bytes_of,
    key,
    pieces_of,
    ranges,
)
from tokxfer.shapes import Bool, Int
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.changes import changing
from tokxfer.vocabulary.spelling import LOSSY_PRETOKENIZERS, components, replaces

SEPARATOR = "■"  # no normalizer changes it, or lets it change what is beside it
# Normalizers under which only characters that attach to others depend on their neighbours.
LOCAL = {"Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer",
         "Prepend", "ByteLevel", "Strip"}  # fmt: skip


class Adjacency:
    """Which characters may stand beside each other within a token of a vocabulary.

    Where text is normalized, it is so from the text's characters, and what depends on more than
    two of them counts as if a token might hold it.

    Args:
        vocabulary: The tokenizer's.

    Attributes:
        pieces: The characters of its tokens of text.
        first: [ids] the first piece of each token; `NO_CHARACTER` where it is not of text.
    """

    def __init__(self, vocabulary: ByteVocabulary) -> None:
        self.vocabulary = vocabulary
        hidden = (vocabulary.kinds == Kind.SPECIAL) | (vocabulary.kinds == Kind.UNUSED)
        spelled = [
            b"" if out else token
            for token, out in zip(vocabulary.tokens, hidden.tolist(), strict=True)
        ]
        self.pieces = pieces_of(spelled)
        starts = np.flatnonzero(np.diff(self.pieces.token, prepend=-1))
        self.first: Int[np.ndarray, " ids"] = np.full(len(spelled), -1)
        self.first[self.pieces.token[starts]] = self.pieces.keys[starts]
        self.steps = changing(vocabulary)
        spelling = vocabulary.spelling
        some = spelling.byte_level or int((vocabulary.kinds == Kind.BYTE).sum()) == 256
        self._unknown = not some and spelling.continuation is None
        parts = list(components(vocabulary.source.pre_tokenizer))
        self._drops_spaces = any(
            part["type"] in LOSSY_PRETOKENIZERS or part.get("behavior") == "Removed"
            for part in parts
        )
        self._context = any(
            step["type"] not in LOCAL for step in components(vocabulary.source.normalizer)
        )

    def beginnings(self) -> set[int]:
        """The keys of all that may begin behind another character, as text and as normalized."""
        keys = np.unique(self.pieces.keys)
        found = set(keys[begin_character(keys)].tolist())
        if self.steps is not None:
            wholes = [bytes_of(one).decode() for one in keys[are_whole(keys)].tolist()]
            new = (form[:1] for text in wholes for form in (self.changed(text), decomposed(text)))
            found |= {key(text.encode()) for text in new if text}
        return found

    def changed(self, text: str) -> str:
        """A text as the model sees it, spaces as spaces."""
        if self.steps is None or self.steps.normalizer is None:
            return text
        return str(self.steps.normalizer.normalize_str(text))

    def within(self, universe: Int[np.ndarray, " universe"]) -> None:
        """Take the sorted keys of which `held` speaks; both vocabularies' `beginnings`."""
        self.universe = universe
        self.whole = are_whole(universe)
        self.texts = [bytes_of(one).decode() for one in universe[self.whole].tolist()]
        keys, token = self.pieces.keys, self.pieces.token
        inside = np.flatnonzero((token[1:] == token[:-1]) & begin_character(keys[1:]))
        left, right = keys[inside], keys[inside + 1]
        if self.steps is not None:
            left, right = self._with_parts(left, right)
        self._left, number = np.unique(left, return_inverse=True)
        begin, behind = ranges(universe, right)
        codes = np.unique((number * (len(universe) + 1) + begin) * (len(universe) + 1) + behind)
        number, rest = np.divmod(codes, (len(universe) + 1) ** 2)
        self._begin, self._behind = np.divmod(rest, len(universe) + 1)
        self._rows = np.searchsorted(number, np.arange(len(self._left) + 1))

    def _with_parts(
        self, left: Int[np.ndarray, " pairs"], right: Int[np.ndarray, " pairs"]
    ) -> tuple[Int[np.ndarray, " more"], Int[np.ndarray, " more"]]:
        """Pairs, and those with the character that a mark behind it makes the right one of."""
        unique, number = np.unique(right, return_inverse=True)
        bases = unique.copy()
        for at in np.flatnonzero(are_whole(unique)).tolist():
            text = bytes_of(int(unique[at])).decode()
            bases[at] = key(decomposed(text)[0].encode())
        more = (bases != unique)[number]
        return np.append(left, left[more]), np.append(right, bases[number[more]])

    def held(self, character: str) -> Bool[np.ndarray, " universe"]:
        """Whether a token may hold each of the universe behind a character."""
        if self._never_ends(character):
            return np.ones(len(self.universe), dtype=bool)
        found = self._beside(character)
        if self.steps is None:
            found |= self._unknown_behind(character)
            found[self.whole] |= self._odd
            return found
        found[~self.whole] = True  # they may begin what becomes another character
        found[self.whole] |= self._odd
        if self.vocabulary.spelling.continuation is not None:
            if not self.stands(character):
                found[self.whole] |= ~self._standing
            return found
        changed = self.changed(character)
        seen = self._beside(changed[-1]) | self._unknown_behind(changed[-1])
        found[self.whole] |= seen[self._seen]
        if self._context:
            found[self.whole] |= self._changed_together(character, changed)
        return found

    def _never_ends(self, character: str) -> bool:
        """Whether it cannot be told if a token ends with a character, whatever comes."""
        if character in self._odd_characters or (character.isspace() and self._drops_spaces):
            return True
        changed = self.changed(character)
        marks = self.steps is not None and (attaches(character) or attaches(changed[-1:] or "a"))
        return not changed or marks

    def _beside(self, character: str) -> Bool[np.ndarray, " universe"]:
        """Whether a token holds each of the universe behind a character, or its last bytes."""
        data = character.encode()
        marks = np.zeros(len(self.universe) + 1, dtype=np.int64)
        for cut in range(len(data)):
            wanted = key(data[cut:])
            row = int(np.searchsorted(self._left, wanted))
            if row < len(self._left) and self._left[row] == wanted:
                stretch = slice(self._rows[row], self._rows[row + 1])
                marks += np.bincount(self._begin[stretch], minlength=len(marks))
                marks -= np.bincount(self._behind[stretch], minlength=len(marks))
        found: Bool[np.ndarray, " universe"] = marks[:-1].cumsum() > 0
        return found

    def _unknown_behind(self, character: str) -> Bool[np.ndarray, " universe"]:
        """What an unknown token may hold: characters without a token behind another such one."""
        if not self._unknown or key(character.encode()) in self._known_keys:
            return np.zeros(len(self.universe), dtype=bool)
        found: Bool[np.ndarray, " universe"] = np.logical_not(self._known)
        return found

    @cached_property
    def _odd_characters(self) -> frozenset[str]:
        """The mark that stands for spaces, and what is replaced together with neighbours."""
        steps = components(self.vocabulary.source.normalizer)
        together = (replaces(step)[0] or "" for step in steps if step["type"] == "Replace")
        found = {c for text in together if len(text) > 1 for c in text if not c.isspace()}
        return frozenset(found | {self.vocabulary.spelling.mark or ""})

    @cached_property
    def _known_keys(self) -> frozenset[int]:
        alone = np.bincount(self.pieces.token, minlength=len(self.first)) == 1
        return frozenset(self.first[alone].tolist())

    @cached_property
    def _known(self) -> Bool[np.ndarray, " universe"]:
        alone: Bool[np.ndarray, " universe"] = np.isin(self.universe, list(self._known_keys))
        return np.where(self.whole, alone, False)

    @cached_property
    def _changed_texts(self) -> list[str]:
        return [self.changed(text) for text in self.texts]

    @cached_property
    def _seen(self) -> Int[np.ndarray, " wholes"]:
        """Where in the universe the first character is that the model sees of each whole one."""
        firsts = [key(text[:1].encode()) if text else -1 for text in self._changed_texts]
        places = np.searchsorted(self.universe, np.array(firsts))
        found: Int[np.ndarray, " wholes"] = np.minimum(places, len(self.universe) - 1)
        return found

    @cached_property
    def _odd(self) -> Bool[np.ndarray, " wholes"]:
        """Whether each whole one may belong to what is before it, or become another, or none."""
        pairs = zip(self.texts, self._changed_texts, strict=True)
        return np.array([self._is_odd(*pair) for pair in pairs], dtype=bool)

    def _is_odd(self, text: str, changed: str) -> bool:
        marks = self.steps is not None and (attaches(text) or attaches(changed[:1] or "a"))
        return marks or not changed or text in self._odd_characters

    @cached_property
    def _standing(self) -> Bool[np.ndarray, " wholes"]:
        return np.array([self.stands(text) for text in self.texts], dtype=bool)

    def stands(self, character: str) -> bool:
        """Whether a word ends before and behind a character in any case, as with BERT's marks."""
        if self.steps is None or self.steps.pre_tokenizer is None:
            return False
        text = self.changed(f"a{character}a")
        words = [word for word, _ in self.steps.pre_tokenizer.pre_tokenize_str(text)]
        return len(words) > 1 and words[0] == words[-1] == "a"

    def cut_behind(self, character: str) -> Bool[np.ndarray, " universe"]:
        """Whether a word may begin with each of the universe without a space before it."""
        found = np.full(len(self.universe), self.stands(character))
        found[self.whole] |= self._standing
        return found

    @cached_property
    def _uncertain(self) -> Int[np.ndarray, " some"]:
        """The whole ones that a normalizer might join with others: none are letters or digits."""
        return np.flatnonzero([not text.isalnum() for text in self.texts])

    def _changed_together(self, character: str, alone: str) -> Bool[np.ndarray, " wholes"]:
        """Whether the normalizer makes something else of a character with each one behind it."""
        places = self._uncertain.tolist()
        pairs = [character + self.texts[at] for at in places]
        found = self.changed(SEPARATOR.join(pairs)).split(SEPARATOR)
        if len(found) != len(pairs):  # the separator is among the characters
            found = [self.changed(pair) for pair in pairs]
        changed = np.zeros(len(self.texts), dtype=bool)
        changed[places] = [
            one != alone + self._changed_texts[at] for one, at in zip(found, places, strict=True)
        ]
        return changed


def decomposed(text: str) -> str:
    """A character with its marks apart."""
    return unicodedata.normalize("NFD", text)


def attaches(character: str) -> bool:
    """Whether a character may become one with what stands before it: marks, and parts of Hangul."""
    point = ord(character)
    parts = 0x1160 <= point <= 0x11FF or 0xD7B0 <= point <= 0xD7FF or point in (0xFF9E, 0xFF9F)
    return parts or unicodedata.category(character).startswith("M")
