"""How a tokenizer writes bytes as token names, decided from the content of `tokenizer.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tokxfer.errors import UnsupportedError, VocabularyError

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
HIDDEN = [byte for byte in range(256) if byte not in set(PRINTABLE)]
# GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes follow from U+0100.
BYTE_TO_CHARACTER = {byte: chr(byte) for byte in PRINTABLE} | {
    byte: chr(0x100 + place) for place, byte in enumerate(HIDDEN)
}
UNKNOWN_CHARACTER = "\uffff"
# Steps that leave text as it is but for the word-start mark.
FAITHFUL_NORMALIZERS = {"Sequence", "Prepend", "ByteLevel"}
LOSSY_PRETOKENIZERS = {
    "WhitespaceSplit",
    "Whitespace",
    "BertPreTokenizer",
    "CharDelimiterSplit",
    "FixedLength",
}


class Alphabet(dict[int, str]):
    """A table for `str.translate` whose unknown characters cannot be Latin-1."""

    def __missing__(self, character: int) -> str:
        return UNKNOWN_CHARACTER


CHARACTER_TO_BYTE = Alphabet((ord(char), chr(byte)) for byte, char in BYTE_TO_CHARACTER.items())
LATIN1_TO_CHARACTER = {byte: ord(char) for byte, char in BYTE_TO_CHARACTER.items()}


@dataclass(frozen=True)
class Spelling:
    """How one tokenizer spells bytes.

    Args:
        model: The type of its model: BPE, Unigram or WordPiece.
        byte_level: Whether names are written in GPT-2's alphabet of 256 characters.
        mark: The character that stands for a space, such as ▁, or None.
        byte_fallback: Whether `<0x0A>` is the byte 0x0A.
        continuation: What begins a token inside a word, such as ##, or None.
        normalizes: Whether text may be changed before it is tokenized.
    """

    model: str
    byte_level: bool
    mark: str | None
    byte_fallback: bool
    continuation: str | None
    normalizes: bool

    @property
    def family(self) -> str:
        """The family's name for people."""
        if self.byte_level:
            return f"byte-level {self.model}"
        if self.model == "BPE":
            return "SentencePiece BPE" if self.mark else "character BPE"
        return self.model

    def is_byte(self, name: str) -> bool:
        """Whether a name of the model's vocabulary is a byte token such as `<0x0A>`."""
        return self.byte_fallback and BYTE_TOKEN.fullmatch(name) is not None

    def bytes_of(self, name: str) -> bytes:
        """The bytes for which a name of the model's vocabulary stands; a word start is a space."""
        if self.byte_level:
            spelled = name.translate(CHARACTER_TO_BYTE)
            if UNKNOWN_CHARACTER not in spelled:
                return spelled.encode("latin-1")
            return name.encode()
        if self.continuation is not None:
            inside = name.startswith(self.continuation) and name != self.continuation
            return name[len(self.continuation) :].encode() if inside else b" " + name.encode()
        if self.is_byte(name):
            return bytes([int(name[3:5], 16)])
        return (name.replace(self.mark, " ") if self.mark else name).encode()

    def added_bytes(self, name: str) -> bytes:
        """The bytes of an added token that is not in the model's vocabulary: the text it matches.

        A ▁ in it is a space wherever text is written with ▁, as in the model's own names.
        """
        return (name.replace(self.mark, " ") if self.mark else name).encode()


def spelling_of(content: Mapping[str, Any], where: str) -> Spelling:
    """Decide a tokenizer's spelling from its content.

    Args:
        content: The parsed `tokenizer.json`.
        where: Its name in error messages.

    Raises:
        VocabularyError: There is no model in it.
        UnsupportedError: Its tokens do not say which bytes they stand for.
    """
    model = content.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)):
        raise VocabularyError(f"{where} holds no vocabulary: it is not a tokenizer.json.")
    kind = model_type(model)
    parts = ("normalizer", "pre_tokenizer", "decoder")
    writing, cutting, reading = (list(components(content.get(part))) for part in parts)
    steps = [*writing, *cutting, *reading]
    byte_level = any(step["type"] == "ByteLevel" for step in steps)
    affix = model.get("end_of_word_suffix") or model.get("continuing_subword_prefix")
    if kind == "BPE" and affix:
        raise UnsupportedError(
            f"{where} has a BPE model that marks word ends or middles ({affix}), not word starts.",
            "Its tokens cannot be compared with other vocabularies byte by byte.",
        )
    if kind not in ("BPE", "Unigram", "WordPiece"):
        raise UnsupportedError(
            f"{where} has a {kind} model; byte-level or SentencePiece BPE, Unigram and WordPiece "
            "are read."
        )
    return Spelling(
        model=kind,
        byte_level=byte_level,
        mark=None if byte_level else word_start_mark([*writing, *cutting], reading),
        byte_fallback=not byte_level
        and (bool(model.get("byte_fallback")) or any(s["type"] == "ByteFallback" for s in steps)),
        continuation=(model.get("continuing_subword_prefix") or "##")
        if kind == "WordPiece" and not byte_level
        else None,
        normalizes=changes_text(content),
    )


def model_type(model: Mapping[str, Any]) -> str:
    """The model's type; files of old versions do not name it."""
    if isinstance(model.get("type"), str):
        return str(model["type"])
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def components(step: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Every component of a normalizer, pre-tokenizer, decoder or post-processor, in order."""
    if not step:
        return
    yield step
    for parts in ("normalizers", "pretokenizers", "decoders", "processors"):
        for part in step.get(parts) or ():
            yield from components(part)


def replaces(step: Mapping[str, Any]) -> tuple[str | None, str]:
    """The plain text that a Replace step replaces (None for a pattern), and by what."""
    return (step.get("pattern") or {}).get("String"), str(step.get("content", ""))


def word_start_mark(before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> str | None:
    """The character that stands for a space in token names.

    Args:
        before: The steps before the model, which write spaces as marks.
        after: The steps of the decoder, which write marks as spaces.
    """
    for step in (*before, *after):
        if step["type"] == "Metaspace":
            return str(step.get("replacement", "▁"))
    replaced = [replaces(step) for step in before if step["type"] == "Replace"]
    returned = [replaces(step)[::-1] for step in after if step["type"] == "Replace"]
    for space, mark in (*replaced, *returned):
        if space == " " and mark and mark.strip():
            return mark
    return None


def changes_text(content: Mapping[str, Any]) -> bool:
    """Whether text may be changed, other than by a word-start mark, before it is tokenized."""
    for step in components(content.get("normalizer")):
        if step["type"] == "Replace" and replaces(step)[0] == " ":
            continue
        if step["type"] not in FAITHFUL_NORMALIZERS:
            return True
    return any(
        step["type"] in LOSSY_PRETOKENIZERS or step.get("behavior") == "Removed"
        for step in components(content.get("pre_tokenizer"))
    )
