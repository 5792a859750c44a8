"""MinED: every token of the student stands for the teacher's token of nearest spelling.

Where a chunk is one token on either side, the teacher's logits, taken in the order of the student's
ids, are a target:

    L = Σ_pairs KL(softmax(t[nearest] / T) ‖ softmax(s / T)) + Σ_others −log p_S(token)

nearest being the teacher's id with the same bytes, else the one of smallest edit distance. All
other tokens learn the text itself. No factor of T² is put on. Source: Wan et al., 2401.10491
(FuseLLM), where sequences, too, are aligned by edit distances: `warped_pairs`. Chunks are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokxfer.distillation.divergences import log_softmax
from tokxfer.distillation.editdistance import levenshtein, nearest_tokens, padded
from tokxfer.distillation.logitrows import Rows, over_rows
from tokxfer.distillation.matching import matched_ids
from tokxfer.distillation.part import Part
from tokxfer.distillation.sft import sft
from tokxfer.shapes import Bool, Float, Int
from tokxfer.vocabulary import ByteVocabulary


def nearest_ids(student: ByteVocabulary, teacher: ByteVocabulary) -> npt.NDArray[np.int64]:
    """The teacher's id that each of the student's stands for [student.size], −1 for none.

    Special tokens go by their role; tokens of text by their bytes, or else by the smallest edit
    distance over bytes, of equal ones the lowest id. Gaps, and special tokens without a
    counterpart, stand for none.
    """
    found = np.full(student.size, -1, dtype=np.int64)
    ids, theirs = matched_ids(student, teacher)
    found[ids] = theirs
    for token in student.text_ids.tolist():  # twins: other ids of the same bytes
        if found[token] < 0 and student.tokens[token] in teacher.by_bytes:
            found[token] = teacher.ids_of(student.tokens[token])[0]
    open_ids = student.text_ids[found[student.text_ids] < 0]
    known = teacher.text_ids
    if len(open_ids) and len(known):
        spelled = sorted({student.tokens[i] for i in open_ids})
        places, _ = nearest_tokens(spelled, [teacher.tokens[i] for i in known])
        by_bytes = dict(zip(spelled, known[places].tolist(), strict=True))
        found[open_ids] = [by_bytes[student.tokens[i]] for i in open_ids]
    return found


def mined(
    student: Rows,
    teacher: Rows,
    nearest: Int[Tensor, " student_vocab"],
    log_probs: Float[Tensor, " *tokens"],
    others: Bool[Tensor, " *tokens"],
    *,
    temperature: float = 2.0,
    rows: int | None = None,
) -> Part:
    """Sum the divergence of pairs and the nats of other tokens.

    Args:
        student: What the student's head reads before the tokens of `one_to_one`.
        teacher: The same of the teacher, pair by pair.
        nearest: The teacher's id of every row of the student's head, −1 for none: no mass goes
            there.
        log_probs: The student's log-probability of each token.
        others: Which tokens are targets and in no pair.
        temperature: Divides the logits of pairs on both sides.
        rows: Pairs of a block, or None for what fits.

    Returns:
        Nats, and how many pairs and tokens they are of.

    Raises:
        ValueError: `nearest` is not of the student's head.
    """
    if len(nearest) != len(student.head.weight):
        found, size = len(nearest), len(student.head.weight)
        raise ValueError(f"{found} tokens have a nearest one, but the head has {size} rows")
    none = nearest < 0

    def loss(mine: Tensor, theirs: Tensor) -> Tensor:
        permuted = theirs[:, nearest.clamp(min=0)].masked_fill(none, -torch.inf)
        target = log_softmax(permuted, temperature)
        gap = (target - log_softmax(mine, temperature)).masked_fill(none, 0.0)
        return (target.exp() * gap).sum(-1)

    total = over_rows(loss, student, teacher, rows=rows)
    return Part(total, len(student.hidden)) + sft(log_probs, others)


def warped_pairs(
    teacher: Sequence[bytes], student: Sequence[bytes]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens that dynamic time warping puts against one another, one to one.

    The path from both beginnings to both ends that costs least, each cell costing the edit distance
    of its two tokens; of equal steps the one that moves on both sides, then the one on the
    teacher's. Pairs are its cells whose row and column hold no other cell of it.

    Args:
        teacher: Its tokens of a text, in order.
        student: The same.

    Returns:
        [pairs] places on the teacher's side, and on the student's.
    """
    height, width = len(teacher), len(student)
    if not height or not width:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    (left, left_sizes), (right, right_sizes) = padded(teacher), padded(student)
    rows, columns = np.repeat(np.arange(height), width), np.tile(np.arange(width), height)
    cost = levenshtein(left[rows], left_sizes[rows], right[columns], right_sizes[columns])
    total = np.full((height + 1, width + 1), np.inf)
    total[0, 0] = 0.0
    for i, line in enumerate(cost.reshape(height, width).tolist(), 1):
        for j, here in enumerate(line, 1):
            total[i, j] = here + min(total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])
    path = [(height, width)]
    while path[-1] != (1, 1):
        i, j = path[-1]
        path.append(min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda cell: total[cell]))
    cells = np.array(path[::-1], dtype=np.int64) - 1
    single = [np.bincount(side)[side] == 1 for side in cells.T]
    kept = cells[single[0] & single[1]]
    return kept[:, 0], kept[:, 1]
