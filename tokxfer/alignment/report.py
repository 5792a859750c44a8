"""How well two tokenizations of some texts line up, told by slow and independent means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.places import Placer
from tokxfer.alignment.sides import Pair, Side
from tokxfer.vocabulary import Kind

LONGEST = 16  # sizes above are counted together
SHOWN = 20  # unequal chunks that are kept


@dataclass(frozen=True)
class Unequal:
    """A chunk of which a side's tokens do not spell the text.

    Attributes:
        number: Which of the texts it is in.
        text: The chunk's text; bytes of no character as U+FFFD.
        teacher: What the teacher's tokens spell.
        student: What the student's tokens spell.
    """

    number: int
    text: str
    teacher: str
    student: str


@dataclass(frozen=True)
class AlignmentFigures:
    """How two tokenizations of some texts line up.

    Attributes:
        texts: How many.
        bytes: Of all, in UTF-8.
        tokens: Of each side, "teacher" and "student".
        chunks: Stretches between neighbouring bytes at which tokens of both sides end.
        recall: Share of the bytes where both sides' tokens end, by a slow walk, at which chunks do.
        shared: Of each side, the share of its tokens that end a chunk.
        unequal: How many chunks there are of which a side's tokens do not spell the text, as that
            side's tokenizer writes it.
        examples: The first of these.
        unknown: Chunks that hold an unknown token, of which nobody can tell what it spells.
        sizes: How many chunks have so many bytes; above 16 they are counted as 17.
        lengths: Of each side, how many chunks have so many tokens; above 16 they are counted as 17.
    """

    texts: int
    bytes: int
    tokens: Mapping[str, int]
    chunks: int
    recall: float
    shared: Mapping[str, float]
    unequal: int
    examples: tuple[Unequal, ...]
    unknown: int
    sizes: Mapping[int, int]
    lengths: Mapping[str, Mapping[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values; sizes are keys in words, the last one "17+"."""
        body = asdict(self)
        body["sizes"] = named(self.sizes)
        body["lengths"] = {side: named(counts) for side, counts in self.lengths.items()}
        return body


def named(counts: Mapping[int, int]) -> dict[str, int]:
    """A histogram with keys of JSON, in order."""
    return {f"{size}+" if size > LONGEST else str(size): counts[size] for size in sorted(counts)}


def alignment_figures(aligner: Aligner, texts: Sequence[str]) -> AlignmentFigures:
    """Align texts, and judge the outcome.

    Args:
        aligner: Of the two tokenizers.
        texts: Any; what is slow here takes about a second for a million bytes.
    """
    placers = {"teacher": aligner.teacher, "student": aligner.student}
    readers = {name: Reader(placer) for name, placer in placers.items()}
    tokens, ending, sizes = Counter[str](), Counter[str](), Counter[int]()
    lengths = {name: Counter[int]() for name in placers}
    found = common = unknown = total = 0
    unequal: list[Unequal] = []
    for pair, text in zip(aligner.align(texts, add_ends=False), texts, strict=True):
        ends = np.cumsum(pair.sizes)
        walked = walk(aligner.teacher, text) & walk(aligner.student, text)
        found, common = found + len(walked & set(ends.tolist())), common + len(walked)
        total += len(ends)
        sizes.update(np.minimum(pair.sizes, LONGEST + 1).tolist())
        for name in placers:
            side: Side = getattr(pair, name)
            counts = np.bincount(side.chunk[side.chunk != NONE], minlength=len(ends))
            lengths[name].update(np.minimum(counts, LONGEST + 1).tolist())
            tokens[name] += len(side.ids)
            ending[name] += len(ends)
        for verdict in verdicts(pair, readers):
            if verdict is None:
                unknown += 1
            else:
                unequal.append(verdict)
    return AlignmentFigures(
        texts=len(texts),
        bytes=sum(len(text.encode()) for text in texts),
        tokens={name: tokens[name] for name in placers},
        chunks=total,
        recall=found / common if common else 1.0,
        shared={name: ending[name] / max(tokens[name], 1) for name in placers},
        unequal=len(unequal),
        examples=tuple(unequal[:SHOWN]),
        unknown=unknown,
        sizes=sizes,
        lengths=lengths,
    )


class Reader:
    """What a side makes of a stretch of text, and what its tokens spell.

    Args:
        placer: The side's.
    """

    def __init__(self, placer: Placer) -> None:
        self.vocabulary = placer.vocabulary
        self.normalizer = placer.vocabulary.tokenizer.normalizer
        self.unknown = placer.vocabulary.kinds == Kind.SPECIAL
        self._read: dict[bytes, bytes] = {}

    def spelled(self, ids: Sequence[int]) -> bytes | None:
        """What tokens spell; None with one of them unknown."""
        if self.unknown[ids].any():
            return None
        return b"".join(self.vocabulary.tokens[token] for token in ids)

    def equal(self, spelled: bytes, text: bytes, first: bool) -> bool:
        """Whether tokens spell a chunk's text, which may be the first of its text's.

        Where a tokenizer changes text, both are compared as it writes them, but for white space.
        """
        if spelled == text or (first and spelled == b" " + text):
            return True
        if not self.vocabulary.normalizes:
            return False
        if text not in self._read:
            self._read[text] = self._folded(text, True)
        return self._folded(spelled, False) == self._read[text]

    def _folded(self, data: bytes, normalize: bool) -> bytes:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        if normalize and self.normalizer is not None:
            text = self.normalizer.normalize_str(text)
        return "".join(text.replace("▁", " ").split()).encode()


def verdicts(pair: Pair, readers: Mapping[str, Reader]) -> Iterator[Unequal | None]:
    """The chunks of a pair that are unequal, and None for each of which nobody can tell."""
    ends = list(accumulate(pair.sizes.tolist()))
    groups = {name: grouped(getattr(pair, name), len(ends)) for name in readers}
    for at, (low, high) in enumerate(zip([0, *ends], ends, strict=False)):
        text = pair.text[low:high]
        spelled = {name: reader.spelled(groups[name][at]) for name, reader in readers.items()}
        if None in spelled.values():
            yield None
        elif not all(
            readers[name].equal(said, text, at == 0)
            for name, said in spelled.items()
            if said is not None
        ):
            told = {name: (said or b"").decode(errors="replace") for name, said in spelled.items()}
            yield Unequal(pair.number, text.decode(errors="replace"), **told)


def grouped(side: Side, count: int) -> list[list[int]]:
    """The ids of each chunk."""
    found: list[list[int]] = [[] for _ in range(count)]
    for token, chunk in zip(side.ids.tolist(), side.chunk.tolist(), strict=True):
        if chunk != NONE:
            found[chunk].append(token)
    return found


def walk(placer: Placer, text: str) -> set[int]:
    """The bytes of a text at which tokens end: token by token, by their bytes or their offsets."""
    encoding = placer.with_offsets(text)
    sizes = list(accumulate(len(one.encode()) for one in text))
    spelled = b"".join(placer.spelled(token) for token in encoding.ids)
    if spelled in (text.encode(), b" " + text.encode()):
        behind = len(spelled) - len(text.encode())
        ends = accumulate(len(placer.spelled(token)) for token in encoding.ids)
        return {end - behind for end in ends if end > behind}
    found: set[int] = set()
    following = [start for start, _ in encoding.offsets[1:]] + [len(text)]
    reached = 0
    for (_, stop), start in zip(encoding.offsets, following, strict=False):
        reached = max(reached, stop)
        if start < reached:
            continue  # the next one has a part of the same character
        while reached < start and not text[reached].isspace():
            reached += 1
        if reached:
            found.add(sizes[reached - 1])
    return found
