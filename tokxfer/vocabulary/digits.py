"""How a tokenizer cuts numbers, measured by encoding runs of digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokxfer.vocabulary.vocabulary import ByteVocabulary

DIGITS = frozenset(b"0123456789")
# Every pair of digits across the border of two groups of three, and runs of every length.
RUNS = tuple(
    [f"{a}7{b}{c}4{a}" for a in (1, 9) for b in range(10) for c in range(10)]
    + [
        str(math.factorial(30))[start : start + length]
        for length in range(1, 15)
        for start in (0, 9)
    ]
    + ["2024", "1999", "1000000", "31415926535", "65536", "4294967296", "123456789", "900"]
)


def digit_cuts(vocabulary: ByteVocabulary) -> tuple[tuple[int, ...], ...]:
    """Digits per piece of each run in `RUNS`, pieces without digits left out."""
    encodings = vocabulary.tokenizer.encode_batch(list(RUNS), add_special_tokens=False)
    cuts = []
    for encoding in encodings:
        counts = [sum(byte in DIGITS for byte in vocabulary.tokens[i]) for i in encoding.ids]
        cuts.append(tuple(count for count in counts if count))
    return tuple(cuts)


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
