"""`ByteVocabulary`: for every id of a tokenizer its bytes, kind and role."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tokxfer.vocabulary.spelling import Spelling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tokxfer.vocabulary.segment import Segmenter


class Kind(IntEnum):
    """What an id is."""

    NORMAL = 0  # a token of the model
    BYTE = 1  # a byte token of the model, such as <0x0A>
    ADDED = 2  # an added token that is not special
    SPECIAL = 3  # never stands for text
    UNUSED = 4  # a gap between ids, or a token without bytes


# Of several ids with the same bytes, which one text becomes: added tokens are cut out first.
PREFERENCE = np.array([1, 2, 0, 3, 3])


@dataclass(frozen=True)
class Source:
    """Where a tokenizer comes from, and what of its content is needed beside the vocabulary.

    Args:
        name: Path or name, for messages.
        path: Its `tokenizer.json`, or None.
        text: Its content as JSON where there is no file.
        normalizer: Its normalizer's content.
        pre_tokenizer: Its pre-tokenizer's content.
        digit_probe: A small tokenizer that cuts runs of digits as it does, see `digits`.
    """

    name: str
    path: Path | None
    text: str | None = field(repr=False)
    normalizer: Mapping[str, Any] | None
    pre_tokenizer: Mapping[str, Any] | None
    digit_probe: str = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class ByteVocabulary:
    """A vocabulary whose tokens are bytes, whatever the tokenizer's family.

    Attributes:
        tokens: [size] the bytes of every id, a word start being a leading space; the spelling of a
            special token in UTF-8, which matches no text; b"" for UNUSED.
        kinds: [size] `Kind` of every id, uint8.
        names: [size] spelling in `tokenizer.json`; "" for gaps.
        roles: Ids by role: bos, eos, pad, unk, mask, sep, cls, and special tokens without one of
            these by their text, as `chat:<|im_start|>` or `marker:<|fim_prefix|>`.
        spelling: How the names spell bytes.
        source: Where the tokenizer is loaded from when it is needed.

    Example:
        >>> import tokxfer
        >>> vocabulary = tokxfer.ByteVocabulary.from_file("models/english-bytebpe")
        >>> vocabulary.tokens[vocabulary.encode(" the")[0]]
        b' the'
    """

    tokens: tuple[bytes, ...]
    kinds: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    roles: Mapping[str, int]
    spelling: Spelling
    source: Source

    @classmethod
    def from_file(cls, path: str | Path) -> ByteVocabulary:
        """Read a `tokenizer.json`, or a folder that holds one, with the roles declared beside it.

        Raises:
            FolderError: There is no tokenizer there.
            VocabularyError: The file is damaged.
            UnsupportedError: The tokenizer's bytes cannot be known.
        """
        from tokxfer.vocabulary.reading import from_path

        return from_path(Path(path))

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Tokenizer, config: Mapping[str, Any] | None = None
    ) -> ByteVocabulary:
        """Read a loaded fast tokenizer, which is copied, not kept.

        Args:
            tokenizer: A `tokenizers.Tokenizer` (of transformers: `.backend_tokenizer`).
            config: Declared roles, such as {"eos_token": "</s>", "pad_token_id": 0}.
        """
        from tokxfer.vocabulary.reading import from_text

        return from_text(tokenizer.to_str(), "the tokenizer", config or {})

    @property
    def size(self) -> int:
        """Number of ids: the largest id plus one, special ones and gaps included."""
        return len(self.tokens)

    @property
    def used(self) -> int:
        """Number of ids that exist, special ones included, gaps not."""
        return sum(map(bool, self.names))

    @property
    def family(self) -> str:
        """The family's name, such as "byte-level BPE" or "SentencePiece BPE"."""
        return self.spelling.family

    @property
    def normalizes(self) -> bool:
        """Whether text may be changed before it is tokenized (NFKC, lower case, lost spaces)."""
        return self.spelling.normalizes

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer, loaded on first use, without truncation and padding."""
        from tokxfer.vocabulary.reading import load_tokenizer

        return load_tokenizer(self.source)

    @cached_property
    def digit_cuts(self) -> tuple[tuple[int, ...], ...]:
        """Digits per piece in some fixed runs of digits: equal cuts, equal treatment of numbers."""
        from tokxfer.vocabulary.digits import digit_cuts

        return digit_cuts(self)

    @cached_property
    def digits(self) -> str:
        """How runs of digits are cut: "single", "groups of three" (perhaps from the right) or
        "learned"; "none" when digits cannot be spelled.
        """
        from tokxfer.vocabulary.digits import digit_policy

        return digit_policy(self.digit_cuts)

    @cached_property
    def text_ids(self) -> npt.NDArray[np.int64]:
        """Ids that stand for bytes of text, all but SPECIAL and UNUSED, in ascending order."""
        return np.flatnonzero((self.kinds != Kind.SPECIAL) & (self.kinds != Kind.UNUSED))

    @cached_property
    def by_bytes(self) -> Mapping[bytes, tuple[int, ...]]:
        """The ids of every byte string that is a token of text, preferred first."""
        ids = self.text_ids
        spaced = np.fromiter((" " in self.names[i] for i in ids), dtype=bool, count=len(ids))
        order = ids[np.lexsort((ids, spaced, PREFERENCE[self.kinds[ids]]))]
        found: dict[bytes, tuple[int, ...]] = {}
        for token in order.tolist():
            spelled = self.tokens[token]
            found[spelled] = (*found.get(spelled, ()), token)
        return found

    def ids_of(self, spelled: bytes) -> tuple[int, ...]:
        """All ids of text that stand for these bytes, the one that text becomes first."""
        return self.by_bytes.get(spelled, ())

    @cached_property
    def standing(self) -> Mapping[bytes, int]:
        """The ids of marks that are words of their own whatever precedes them, by their text.

        BERT's tokenizers cut off every punctuation mark and ideograph: "." is the token that is
        written ".", though its bytes as a word's start are " .", and "##." never occurs.
        """
        from tokxfer.vocabulary.changes import standing_marks

        return standing_marks(self) if self.spelling.continuation else {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the special tokens that a post-processor would add."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, special tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def _segmenter(self) -> Segmenter:
        from tokxfer.vocabulary.segment import Segmenter

        return Segmenter(self)

    def pieces(self, spelled: bytes) -> list[int]:
        """This vocabulary's own segmentation of a token's bytes, as inside a text.

        A leading space is the start of a word; bytes inside a word get no dummy prefix; splits of
        the pre-tokenizer are kept; incomplete UTF-8 goes through byte tokens.

        Returns:
            Ids of text whose bytes join to `spelled` exactly; [] if the vocabulary cannot spell it.
        """
        return self._segmenter.segment(spelled)

    def pieces_batch(self, spelled: Sequence[bytes]) -> list[list[int]]:
        """`pieces` of many tokens."""
        return [self._segmenter.segment(token) for token in spelled]

    def readings(self, spelled: Sequence[bytes]) -> list[list[int]]:
        """What this vocabulary reads in each token's bytes, as inside a text; [] for nothing.

        Like `pieces`, but after the changes that the tokenizer makes to text: in an uncased
        vocabulary " The" becomes the pieces of " the". A WordPiece vocabulary reads word by word,
        so that "don't" holds the marks and words that texts hold, and not "##'".
        """
        return [self._segmenter.read(token) for token in spelled]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ByteVocabulary):
            return NotImplemented
        return (
            self.names == other.names
            and self.tokens == other.tokens
            and np.array_equal(self.kinds, other.kinds)
            and self.roles == other.roles
            and self.spelling == other.spelling
        )

    def __hash__(self) -> int:
        return hash((self.names, self.spelling))

    def __repr__(self) -> str:
        roles = json.dumps({role: self.names[token] for role, token in self.roles.items()})
        return f"ByteVocabulary({self.source.name!r}, {self.family}, size={self.size}, {roles})"
