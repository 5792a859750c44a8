"""How a tokenizer cuts numbers, measured by encoding runs of digits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokxfer.errors import VocabularyError

if TYPE_CHECKING:
    from tokxfer.vocabulary.spelling import Spelling
    from tokxfer.vocabulary.vocabulary import ByteVocabulary

DIGITS = frozenset(b"0123456789")
# Every pair of digits across the border of two groups of three, and runs of every length.
RUNS = tuple(
    [f"{a}7{b}{c}4{a}" for a in (1, 9) for b in range(10) for c in range(10)]
    + [str(math.factorial(30))[start : start + size] for size in range(1, 15) for start in (0, 9)]
    + ["2024", "1999", "1000000", "31415926535", "65536", "4294967296", "123456789", "900"]
)


def digit_probe(content: Mapping[str, Any], spelling: Spelling) -> str:
    """The same tokenizer with only the tokens that a run of digits can become, as JSON.

    It cuts runs of digits exactly as the whole one does, and loads in no time.
    """
    model = content["model"]
    marks = [mark for mark in ("Ġ", spelling.mark, spelling.continuation) if mark]
    of_digits = re.compile(f"(?:{'|'.join(map(re.escape, marks))})?[0-9]*")
    unknown = model.get("unk_token")

    def kept(name: str) -> bool:
        return bool(of_digits.fullmatch(name)) or name == unknown or spelling.is_byte(name)

    small = dict(model)
    if isinstance(model["vocab"], dict):
        small["vocab"] = {name: place for place, name in enumerate(filter(kept, model["vocab"]))}
    else:
        places = [at for at, piece in enumerate(model["vocab"]) if kept(piece[0])]
        if isinstance(model.get("unk_id"), int) and model["unk_id"] not in places:
            places.insert(0, model["unk_id"])
        small["vocab"] = [model["vocab"][at] for at in places]
        if isinstance(model.get("unk_id"), int):
            small["unk_id"] = places.index(model["unk_id"])
    if "merges" in model:
        names = set(small["vocab"])
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        small["merges"] = [
            [left, right]
            for left, right in pairs
            if left in names and right in names and left + right in names
        ]
    added = [
        entry
        for entry in content.get("added_tokens") or []
        if DIGITS.issuperset(str(entry["content"]).encode())
    ]
    rest = {"truncation": None, "padding": None, "post_processor": None, "decoder": None}
    return json.dumps({**content, **rest, "added_tokens": added, "model": small})


def digit_cuts(
    vocabulary: ByteVocabulary, runs: Sequence[str] = RUNS
) -> tuple[tuple[int, ...], ...]:
    """Digits per piece of each run, pieces without digits left out."""
    from tokenizers import Tokenizer

    try:
        probe = Tokenizer.from_str(vocabulary.source.digit_probe)
    except Exception as failure:  # tokenizers raises plain exceptions
        raise VocabularyError(f"{vocabulary.source.name} cannot be loaded: {failure}.") from failure
    bytes_of = vocabulary.spelling.bytes_of
    digits_in = {
        token: sum(byte in DIGITS for byte in bytes_of(name))
        for name, token in probe.get_vocab().items()
    }
    try:
        encodings = probe.encode_batch(list(runs), add_special_tokens=False)
    except Exception:  # there are digits that it cannot spell, and no unknown token
        return tuple(() for _ in runs)
    counts = ([digits_in[token] for token in encoding.ids] for encoding in encodings)
    return tuple(tuple(count for count in row if count) for row in counts)


def digit_policy(cuts: tuple[tuple[int, ...], ...]) -> str:
    """The rule that the cuts follow.

    Returns:
        "single" (every digit apart), "groups of three" (no piece crosses the border of groups
        counted from the left), "groups of three from the right", "learned" (no such rule), or
        "none" when digits cannot be spelled.
    """
    if any(sum(cut) != len(run) for run, cut in zip(RUNS, cuts, strict=True)):
        return "none"
    if all(length == 1 for cut in cuts for length in cut):
        return "single"
    if all(keeps_groups(cut) for cut in cuts):
        return "groups of three"
    if all(keeps_groups(cut[::-1]) for cut in cuts):
        return "groups of three from the right"
    return "learned"


def keeps_groups(cut: tuple[int, ...]) -> bool:
    """Whether a piece ends at every third digit."""
    ends = {sum(cut[: place + 1]) for place in range(len(cut))}
    return all(border in ends for border in range(3, sum(cut), 3))
