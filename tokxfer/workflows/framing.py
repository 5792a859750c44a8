"""The frame of an encoder's texts: the special tokens around them, kept with a new tokenizer.

An encoder was trained on texts within [CLS] … [SEP]. A donor such as GPT-2 puts nothing around a
text and cannot even pad. So the new tokenizer takes over the base's frame: where the donor has a
counterpart it stands for the base's token, and what has none is added, with the base's own row. And
to BERT a text's first word is a word like others, while a byte-level donor reads it, without a
space before it, like the inside of one: where that kind of tokenizer can, it puts the space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.vocabulary import ByteVocabulary
from tokxfer.vocabulary.reading import declarations, from_text
from tokxfer.vocabulary.spelling import components

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PLAIN = {"ByteLevel"}  # post-processors that put nothing around a text
TEXTS = (("a",), ("a", "b"))
Place = tuple[str, int]  # a special token's name, or "" for the next text; and its type id


@dataclass(frozen=True)
class Framed:
    """A donor's tokenizer within the base's frame.

    Attributes:
        content: Its `tokenizer.json`.
        vocabulary: The same, read.
        told: What a user should know of it.
    """

    content: Mapping[str, Any]
    vocabulary: ByteVocabulary
    told: str


def frame_donor(
    base: ByteVocabulary,
    donor: ByteVocabulary,
    file: Path,
    new_ids: Mapping[int, int],
    rewritten: Mapping[str, Any] | None = None,
) -> Framed | None:
    """A donor's tokenizer that puts around a text, and pads with, what the base does.

    Args:
        base: The base's vocabulary.
        donor: The donor's.
        file: The donor's `tokenizer.json`.
        new_ids: The donor's id of each of the base's ids that has one.
        rewritten: What `tokenizer.json` has become already; None where it is the donor's own.

    Returns:
        None where the donor's own tokenizer does that already.
    """
    ids = {name: token for token, name in enumerate(base.names)}
    frames = [around(base.tokenizer, *texts) for texts in TEXTS]
    roles = {role: token for role, token in base.roles.items() if role in ("cls", "sep", "pad")}
    needed = [ids[name] for items in frames for name, _ in items if name]
    needed = list(dict.fromkeys([*needed, *(i for role, i in roles.items() if role == "pad")]))
    added = [base.names[token] for token in needed if token not in new_ids]
    called = {
        base.names[token]: donor.names[new_ids[token]] if token in new_ids else base.names[token]
        for token in needed
    }
    frames = [[(called.get(name, name), kind) for name, kind in items] for items in frames]
    same = frames == [around(donor.tokenizer, *texts) for texts in TEXTS]
    spaced = begins_words(base) and not begins_words(donor)
    step_of = donor.source.pre_tokenizer or {}
    # Behind another step, the space would be put before every part of a text.
    spaced = spaced and step_of.get("type") == "ByteLevel"
    if same and not added and not spaced:
        return None
    content = dict(rewritten or json.loads(file.read_text(encoding="utf-8")))
    entries = [*(content.get("added_tokens") or []), *map(entry, added)]
    content["added_tokens"] = [dict(each) for each in entries]
    config = {f"{r}_token": called[base.names[i]] for r, i in roles.items() if i in needed}
    config |= declarations(file.parent) if file.name == "tokenizer.json" else {}
    new = from_text(json.dumps(content), donor.source.name, config)
    numbers = {name: token for token, name in enumerate(new.names)}
    for each in content["added_tokens"]:
        each["id"] = numbers[each["content"]]
    if not same:
        content["post_processor"] = step(content.get("post_processor"), frames, numbers)
    told = [f"Added to the tokenizer, with the base's rows: {', '.join(added)}."] if added else []
    if not same:
        told.append(f"Texts keep the base's frame: {' '.join(n or '…' for n, _ in frames[0])}.")
    if spaced:
        content["pre_tokenizer"] = {**content["pre_tokenizer"], "add_prefix_space": True}
        told.append("A text begins with a word, as in the base: a space is put before it.")
    new = from_text(json.dumps(content), donor.source.name, config)
    return Framed(content, new, " ".join(told))


def begins_words(vocabulary: ByteVocabulary) -> bool:
    """Whether a text's first word is read like any other, not like the inside of one."""
    return vocabulary.encode("the") == vocabulary.encode(" the")


def around(tokenizer: Tokenizer, text: str, second: str | None = None) -> list[Place]:
    """What a tokenizer puts around one text or two: special tokens by name, "" for a text."""
    encoding = tokenizer.encode(text, second)
    found: list[Place] = []
    last = None
    places = zip(encoding.sequence_ids, encoding.tokens, encoding.type_ids, strict=True)
    for sequence, name, kind in places:
        if sequence is None:
            found.append((name, kind))
        elif sequence != last:
            found.append(("", kind))
        last = sequence
    return found


def entry(name: str) -> dict[str, Any]:
    """A new special token of `added_tokens`; its number is put in later."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": -1, "content": name, "special": True, **flags}


def step(
    old: Mapping[str, Any] | None, frames: Sequence[Sequence[Place]], ids: Mapping[str, int]
) -> dict[str, Any]:
    """A post-processor for the frames of one text and of two; what leaves texts alone is kept."""
    templates = []
    for frame in frames:
        texts = iter("AB")
        templates.append(
            [
                {"SpecialToken": {"id": name, "type_id": kind}}
                if name
                else {"Sequence": {"id": next(texts), "type_id": kind}}
                for name, kind in frame
            ]
        )
    names = sorted({name for frame in frames for name, _ in frame if name})
    template = {
        "type": "TemplateProcessing",
        "single": templates[0],
        "pair": templates[1],
        "special_tokens": {n: {"id": n, "ids": [ids[n]], "tokens": [n]} for n in names},
    }
    kept = [part for part in components(old) if part["type"] in PLAIN]
    return {"type": "Sequence", "processors": [*kept, template]} if kept else template
