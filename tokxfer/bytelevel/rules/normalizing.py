"""What a tokenizer's normalizer does to text, beside the marks that it puts for spaces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.vocabulary.reading import content_of
from tokxfer.vocabulary.spelling import components, replaces

MARKING = {"Prepend", "ByteLevel"}
LOCAL = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Precompiled",
         "BertNormalizer"}  # fmt: skip
RUNS_OF_SPACES = {" {2,}", " +", r"\s+", r"\s{2,}"}


@dataclass(frozen=True)
class TextNormalizer:
    """A normalizer without the steps that write spaces as marks.

    Attributes:
        normalize: What it does to a text that goes on.
        finish: What it does to a whole text.
        reach: Characters before the last that stands by itself on which a change may depend.
    """

    normalize: Callable[[str], str]
    finish: Callable[[str], str]
    reach: int


def text_normalizer(vocabulary: ByteVocabulary) -> TextNormalizer | None:
    """The normalizer of a vocabulary's tokenizer; None if it leaves all text as it is.

    Raises:
        UnsupportedError: A step of it looks at more than a few neighbouring characters.
    """
    steps, going, reach = changing(vocabulary), [], 0
    for step in steps:
        kind = step["type"]
        plain, pattern = replaces(step)[0], (step.get("pattern") or {}).get("Regex")
        if kind == "Strip" and not step.get("strip_left"):
            continue
        if kind == "Replace" and (plain or pattern in RUNS_OF_SPACES):
            reach = max(reach, len(plain or "  ") - 1)
        elif kind not in LOCAL:
            what = f"replaces the pattern {pattern!r}" if pattern else f"has a step {kind}"
            raise UnsupportedError(
                f"The normalizer of {vocabulary.source.name} {what}: which text it leaves as it is "
                "cannot be told from a few characters.",
                "Take a tokenizer whose normalizer is a Unicode form, lower case or a charsmap.",
            )
        going.append(step)
    return TextNormalizer(chain(going), chain(steps), reach) if steps else None


def normalize_text(vocabulary: ByteVocabulary, text: str) -> str:
    """A text as the tokenizer's model sees it, spaces written as spaces.

    Added tokens that are looked for before the normalizer are left as they are.
    """
    entries = content_of(vocabulary.source).get("added_tokens") or []
    early = [str(e["content"]) for e in entries if e["content"] and not e.get("normalized")]
    normalize = chain(changing(vocabulary))
    if not early:
        return normalize(text)
    any_of = "|".join(map(re.escape, sorted(early, key=len, reverse=True)))
    found = re.split(f"({any_of})", text)
    return "".join(part if at % 2 else normalize(part) for at, part in enumerate(found))


def changing(vocabulary: ByteVocabulary) -> list[Mapping[str, Any]]:
    """The steps of a normalizer that do more than put marks for spaces."""
    return [
        step
        for step in components(vocabulary.source.normalizer)
        if step["type"] not in {*MARKING, "Sequence"} and replaces(step)[0] != " "
    ]


def chain(steps: list[Mapping[str, Any]]) -> Callable[[str], str]:
    """Some steps of a normalizer, one after the other."""
    from tokenizers import Tokenizer, models

    if not steps:
        return str
    bare = json.loads(Tokenizer(models.BPE()).to_str())
    bare["normalizer"] = {"type": "Sequence", "normalizers": list(steps)}
    loaded = Tokenizer.from_str(json.dumps(bare)).normalizer
    return lambda text: str(loaded.normalize_str(text))
