"""How a tokenizer cuts numbers, as a rule that another tokenizer can follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary.digits import digit_cuts

if TYPE_CHECKING:
    from tokxfer.vocabulary.vocabulary import ByteVocabulary

GROUP = 3
LONG_RUN = "31415926535897"


@dataclass(frozen=True)
class DigitRule:
    """How numbers are cut: first into chunks of digits, then each chunk by the model.

    Attributes:
        policy: The name of the rule, as `digit_policy` gives it.
        size: Digits of a chunk, at most; None where a whole run is one chunk.
        from_right: Whether chunks are counted from the end of a run.
        whole: Whether every chunk is one token, so that the model has nothing to decide.
        spaced: Whether a space before a number is cut together with its first chunk.
    """

    policy: str
    size: int | None
    from_right: bool = False
    whole: bool = False
    spaced: bool = False

    def pattern(self, mark: str | None = None) -> str:
        """A regular expression that finds the chunks; `mark` is the character of a space."""
        space = f"{re.escape(mark)}?" if self.spaced and mark else ""
        if self.size is None:
            return f"{space}[0-9]+"
        if not self.from_right:
            return f"[0-9]{{1,{self.size}}}" if self.size > 1 else "[0-9]"
        return f"[0-9]{{1,{self.size}}}(?=(?:[0-9]{{{self.size}}})*(?![0-9]))"

    def chunks(self) -> list[str]:
        """Every chunk there can be, the shortest first, where they are all tokens."""
        assert self.size is not None, "whole chunks are of some size"
        return digit_strings(self.size)


def digit_strings(longest: int) -> list[str]:
    """All strings of one digit, of two, and so on."""
    return [
        "".join(digits)
        for length in range(1, longest + 1)
        for digits in product("0123456789", repeat=length)
    ]


def digit_rule(vocabulary: ByteVocabulary) -> DigitRule:
    """The rule by which a tokenizer cuts numbers, measured.

    Raises:
        UnsupportedError: It cannot spell digits, or cuts them in a way that is no such rule.
    """
    policy = vocabulary.digits
    if policy == "none":
        raise UnsupportedError(
            f"{vocabulary.source.name} cannot spell the digits from 0 to 9, so that there is no "
            "way of cutting numbers to keep.",
            "Leave --keep-digits out.",
        )
    if policy == "single":
        return DigitRule(policy, 1, whole=True)
    right = policy.endswith("right")
    groups = digit_strings(GROUP)
    if policy != "learned" and digit_cuts(vocabulary, groups) == tuple((len(g),) for g in groups):
        return DigitRule(policy, GROUP, right, whole=True)
    size, right = chunks_before_model(vocabulary)
    return DigitRule(policy, size, right, spaced=size is None and joins_space(vocabulary))


def chunks_before_model(vocabulary: ByteVocabulary) -> tuple[int | None, bool]:
    """Digits of the chunks into which runs are cut before the model, and whether from the right.

    Raises:
        UnsupportedError: The chunks are not of one size.
    """
    splitter = vocabulary.tokenizer.pre_tokenizer
    runs = [LONG_RUN[:length] for length in range(1, len(LONG_RUN) + 1)]
    if splitter is None:
        return None, False
    found = [
        [sum(map("0123456789".count, piece)) for piece, _ in splitter.pre_tokenize_str(run)]
        for run in runs
    ]
    found = [[count for count in row if count] for row in found]
    if found == [[len(run)] for run in runs]:
        return None, False
    for size in range(1, len(LONG_RUN)):
        left = [[size] * (len(run) // size) + [len(run) % size] * (len(run) % size > 0)
                for run in runs]  # fmt: skip
        for right, expected in ((False, left), (True, [row[::-1] for row in left])):
            if found == expected:
                return size, right
    raise UnsupportedError(
        f"{vocabulary.source.name} cuts numbers before its model in a way that is neither whole "
        "runs nor groups of one size.",
        "Leave --keep-digits out.",
    )


def joins_space(vocabulary: ByteVocabulary) -> bool:
    """Whether a space before a number is in one token with its first digits."""
    tokens = vocabulary.tokens
    texts = [f"a {LONG_RUN[start : start + 2]}" for start in range(len(LONG_RUN) - 1)]
    return any(
        tokens[token][:1] == b" " and tokens[token][1:].isdigit()
        for text in texts
        for token in vocabulary.encode(text)
    )
