"""A donor's tokenizer rewritten so that it cuts numbers as the base's does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary.digitrule import DigitRule, digit_rule
from tokxfer.vocabulary.digits import DIGITS, RUNS, digit_cuts, digit_probe
from tokxfer.vocabulary.digitsplit import with_chunks
from tokxfer.vocabulary.digittokens import extend, rename, with_merges_of, with_whole_chunks
from tokxfer.vocabulary.reading import content_of
from tokxfer.vocabulary.vocabulary import ByteVocabulary, Kind, Source

NUMBERS = tuple(str(number) for number in range(10_000))
TEXTS = (
    'The quick brown fox, said: "it\'s here!"\n\tif (x == y) { return; }\n',
    " leading space,  two spaces\n\n\nand   lines \r\n",
    "Größe naïve Ελλάδα Привет мир 漢字かな नमस्ते مرحبا 🙂👍🏽 ﬁ \u00a0 e\u0301",
    "Ⅳ 五 ٣ ½x² x₂ don't WE'LL camelCase snake_case $.,;:-+*/=%",
)
"""Texts without the digits 0 to 9, among them numerals of other kinds."""
NUMBER_TEXTS = ("In 1867, 12345678 people paid $3.14 each.", "x1 = 007; a20b (2024)")
WHOLE_WORDS = ("WordPiece",)  # models that would take every chunk for a word of its own
JOINED = 64  # tokens in one text that is compared
HINT = "Leave --keep-digits out, or take a donor whose tokenizer already cuts numbers so."


@dataclass(frozen=True)
class KeptDigits:
    """A donor's tokenizer that cuts numbers as the base's does.

    Attributes:
        vocabulary: Its tokens; the donor's own vocabulary where nothing had to change.
        content: Its `tokenizer.json`; None where nothing had to change.
        policy: How the base cuts numbers, and now the donor too.
        donor_policy: How the donor did.
        added: Tokens of digits that were appended, all of them the base's.
        unused: Tokens of digits that text does not become.
    """

    vocabulary: ByteVocabulary
    content: Mapping[str, Any] | None
    policy: str
    donor_policy: str
    added: int = 0
    unused: int = 0

    @property
    def donor_size(self) -> int:
        """Ids of the donor's own, those for which it may have rows."""
        return self.vocabulary.size - self.added

    @property
    def changed(self) -> bool:
        """Whether the donor's tokenizer was rewritten."""
        return self.content is not None

    def sentence(self) -> str:
        """What was done, for report and card."""
        if not self.changed:
            return f"Both tokenizers cut numbers alike ({self.policy}): nothing had to be changed."
        return (
            f"The donor's tokenizer was rewritten to cut numbers as the base's does "
            f"({self.policy}; the donor itself: {self.donor_policy}): {self.added:,} tokens of "
            f"digits added, {self.unused:,} not used."
        )

    def to_dict(self) -> dict[str, Any]:
        """For plan and manifest."""
        return {
            "policy": self.policy,
            "donor_policy": self.donor_policy,
            "changed": self.changed,
            "added_tokens": self.added,
            "unused_tokens": self.unused,
        }


def rewrite_digits(base: ByteVocabulary, donor: ByteVocabulary) -> KeptDigits:
    """Rewrite a donor's tokenizer so that it cuts numbers as the base's does, and prove it.

    No id moves, and text without the digits 0 to 9 becomes the same ids. Tokens of digits that the
    donor lacks are appended; those that text no longer becomes keep their ids.

    Raises:
        UnsupportedError: The base's way of cutting numbers cannot be taken over exactly.
    """
    if base.digit_cuts == donor.digit_cuts:
        return KeptDigits(donor, None, base.digits, donor.digits)
    rule = digit_rule(base)
    refuse(rule, base, donor)
    rules = [rule, dataclasses.replace(rule, spaced=False)] if rule.spaced else [rule]
    contents = [content_of(vocabulary.source) for vocabulary in (base, donor)]
    for each in rules:
        kept = rewritten(base, donor, contents[0], contents[1], each)
        if all(digit_cuts(kept.vocabulary, r) == digit_cuts(base, r) for r in (RUNS, NUMBERS)):
            verify(base, donor, kept)
            return kept
    raise UnsupportedError(
        f"{donor.source.name} cannot be made to cut numbers exactly as {base.source.name} does "
        f"({rule.policy}).",
        HINT,
    )


def refuse(rule: DigitRule, base: ByteVocabulary, donor: ByteVocabulary) -> None:
    """Say before any work what cannot be done.

    Raises:
        UnsupportedError: The donor's kind of model cannot follow the base's.
    """
    old, new = base.spelling.model, donor.spelling.model
    if not rule.whole and (old, new) != ("BPE", "BPE"):
        raise UnsupportedError(
            f"{base.source.name} cuts numbers as its {old} model has learned to, and the {new} "
            f"model of {donor.source.name} cannot do exactly the same.",
            HINT,
        )
    if new == "WordPiece" and rule.from_right:
        raise UnsupportedError(
            f"{base.source.name} cuts numbers into {rule.policy}, and the WordPiece model of "
            f"{donor.source.name} takes its pieces from the left.",
            HINT,
        )


def rewritten(
    base: ByteVocabulary,
    donor: ByteVocabulary,
    base_content: Mapping[str, Any],
    donor_content: Mapping[str, Any],
    rule: DigitRule,
) -> KeptDigits:
    """The donor's tokenizer with numbers cut by a rule of the base; nothing is checked."""
    content = dict(donor_content)
    content["model"] = model = dict(donor_content["model"])
    if rule.whole:
        appended, retired = with_whole_chunks(model, rule, donor.spelling)
    else:
        marks = (mark_of(base), mark_of(donor))
        appended, retired = with_merges_of(model, base_content["model"], rule, marks)
    if donor.spelling.model not in WHOLE_WORDS:
        content["pre_tokenizer"] = with_chunks(content, rule, mark_of(donor))
    rename(model, retired)
    new_ids = {name: donor.size + place for place, name in enumerate(appended)}
    if new_ids:  # added tokens that the model lacks would be numbered anew behind the new ones
        extend(model, names_outside(donor, model) | new_ids)
    names = (*(retired.get(name, name) for name in donor.names), *appended)
    tokens = (*donor.tokens, *map(donor.spelling.bytes_of, appended))
    kinds = np.concatenate([donor.kinds, np.full(len(appended), Kind.NORMAL, dtype=np.uint8)])
    source = Source(
        donor.source.name,
        None,
        json.dumps(content, ensure_ascii=False),
        normalizer=content.get("normalizer"),
        pre_tokenizer=content.get("pre_tokenizer"),
        digit_probe=digit_probe(content, donor.spelling),
    )
    new = dataclasses.replace(donor, names=names, tokens=tokens, kinds=kinds, source=source)
    idle = idle_digits(donor, new)
    kinds[[token for token in idle if tokens[token] not in base.by_bytes]] = Kind.UNUSED
    kinds.setflags(write=False)
    tokens = tuple(b"" if kind == Kind.UNUSED else t for t, kind in zip(tokens, kinds, strict=True))
    return KeptDigits(
        dataclasses.replace(new, tokens=tokens),
        content,
        policy=base.digits,
        donor_policy=donor.digits,
        added=len(appended),
        unused=len(idle),
    )


def idle_digits(donor: ByteVocabulary, new: ByteVocabulary) -> list[int]:
    """Ids of the donor's tokens with digits that text does not become, at its start or in a word.

    Tokens with other characters too count only if text became them before. A token that text never
    becomes would only take probability from those that it does, so it gets no row of its own.
    """
    found = []
    for token in donor.text_ids.tolist():
        spelled = donor.tokens[token]
        if donor.kinds[token] != Kind.NORMAL or DIGITS.isdisjoint(spelled):
            continue
        texts = [before + spelled.decode(errors="replace") for before in ("", "a")]
        before, after = ([id for text in texts for id in v.encode(text)] for v in (donor, new))
        if token not in after and (token in before or spelled.strip().isdigit()):
            found.append(token)
    return found


def mark_of(vocabulary: ByteVocabulary) -> str:
    """The character of a space in a vocabulary's names, "" where it has none."""
    return "Ġ" if vocabulary.spelling.byte_level else vocabulary.spelling.mark or ""


def names_outside(vocabulary: ByteVocabulary, model: Mapping[str, Any]) -> dict[str, int]:
    """Ids of added tokens that the model itself does not have."""
    vocab = model["vocab"]
    there = set(vocab.values()) if isinstance(vocab, dict) else set(range(len(vocab)))
    return {
        name: token for token, name in enumerate(vocabulary.names) if name and token not in there
    }


def verify(base: ByteVocabulary, donor: ByteVocabulary, kept: KeptDigits) -> None:
    """Prove that only numbers are cut otherwise, and that every token added is the base's.

    Raises:
        UnsupportedError: Something else would change too.
    """
    new = kept.vocabulary
    name = donor.source.name
    foreign = [new.names[i] for i in range(donor.size, new.size)
               if new.tokens[i] not in base.by_bytes]  # fmt: skip
    if foreign:
        raise UnsupportedError(
            f"{name} would need {len(foreign):,} tokens of digits that neither it nor "
            f"{base.source.name} has, such as {foreign[0]!r}.",
            HINT,
        )
    texts = [text for text in texts_of(donor) if DIGITS.isdisjoint(normalized(donor, text))]
    old_ids, new_ids = ([e.ids for e in v.tokenizer.encode_batch(texts, add_special_tokens=False)]
                        for v in (donor, new))  # fmt: skip
    for text, before, after in zip(texts, old_ids, new_ids, strict=True):
        if before != after:
            raise UnsupportedError(
                f"Cutting numbers otherwise in {name} would change other text too, such as "
                f"{text[:40]!r}.",
                HINT,
            )
    for text in NUMBER_TEXTS if donor.digits != "none" else ():
        if new.decode(new.encode(text)) != donor.decode(donor.encode(text)):
            raise UnsupportedError(
                f"Cutting numbers otherwise in {name} would change how {text!r} is read back.", HINT
            )


def texts_of(vocabulary: ByteVocabulary) -> list[str]:
    """Samples, and every token of text without digits, many in a row."""
    spelled = [vocabulary.tokens[token] for token in vocabulary.text_ids.tolist()]
    plain = [token for token in spelled if DIGITS.isdisjoint(token)]
    joined = [b"".join(plain[at : at + JOINED]) for at in range(0, len(plain), JOINED)]
    return [*TEXTS, *(text.decode(errors="ignore") for text in joined)]


def normalized(vocabulary: ByteVocabulary, text: str) -> bytes:
    """A text as the tokenizer's normalizer writes it: NFKC makes digits of ² and ½."""
    normalizer = vocabulary.tokenizer.normalizer
    return (text if normalizer is None else str(normalizer.normalize_str(text))).encode()
