"""Tokens of two vocabularies that stand for the same, as indices into their heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.shapes import Int
from tokxfer.vocabulary import ByteVocabulary, MatchKind, match
from tokxfer.vocabulary.match import OUTPUT_ORDER


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of ids, one to one, and the ids of both heads that are in none.

    Attributes:
        student: [pairs] ids.
        teacher: [pairs] ids, pair by pair.
        student_rest: Ids of the student's head in no pair, rows of no token included.
        teacher_rest: The same of the teacher's.
    """

    student: Int[torch.Tensor, " pairs"]
    teacher: Int[torch.Tensor, " pairs"]
    student_rest: Int[torch.Tensor, " student_rest"]
    teacher_rest: Int[torch.Tensor, " teacher_rest"]

    @classmethod
    def of(
        cls,
        student: npt.NDArray[np.int64],
        teacher: npt.NDArray[np.int64],
        student_size: int,
        teacher_size: int,
    ) -> Matching:
        """Find the rest.

        Args:
            student: Ids of the student's side of each pair.
            teacher: Ids of the teacher's.
            student_size: Rows of the student's head.
            teacher_size: Rows of the teacher's head.

        Raises:
            ValueError: An id is in two pairs, or in no row of its head.
        """
        rests = []
        for ids, size in ((student, student_size), (teacher, teacher_size)):
            if len(ids) and not 0 <= ids.min() <= ids.max() < size:
                raise ValueError(f"a matched id is outside the {size} rows of its head")
            if len(np.unique(ids)) != len(ids):
                raise ValueError("an id is in two pairs")
            rests.append(torch.from_numpy(np.setdiff1d(np.arange(size), ids)))
        pairs = [torch.from_numpy(np.array(ids, dtype=np.int64)) for ids in (student, teacher)]
        return cls(pairs[0], pairs[1], rests[0], rests[1])

    @property
    def share(self) -> float:
        """Pairs over the rows of the teacher's head."""
        return len(self.teacher) / max(len(self.teacher) + len(self.teacher_rest), 1)

    def to(self, device: torch.device | str) -> Matching:
        """The same on a device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


def matched_ids(
    student: ByteVocabulary, teacher: ByteVocabulary
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids with the same bytes, and special tokens with the same role, one to one.

    Of several ids with the same bytes the one that text becomes is matched; of special tokens with
    one counterpart the one that ends texts. Spellings do not matter: `▁the` is `Ġthe`.

    Returns:
        [pairs] ids of the student in ascending order, and of the teacher.
    """
    lined = match(teacher, student, twins="mean")
    wanted = (lined.how == MatchKind.BYTES) | (lined.how == MatchKind.ROLE)
    ids = np.flatnonzero(wanted & (lined.output_ids >= 0))
    theirs = lined.output_ids[ids]
    alike = [student.tokens[i] == teacher.tokens[j] for i, j in zip(ids, theirs, strict=True)]
    rank = np.full(student.size, len(OUTPUT_ORDER))
    for place, role in reversed(list(enumerate(OUTPUT_ORDER))):
        if role in student.roles:
            rank[student.roles[role]] = place
    order = np.lexsort((ids, rank[ids], ~np.array(alike, dtype=bool)))
    _, first = np.unique(theirs[order], return_index=True)
    kept = np.sort(order[first])
    return ids[kept].astype(np.int64), theirs[kept].astype(np.int64)
