"""Examples as aligned rows, and rows as batches of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tokxfer.alignment.batches import AlignedBatch
from tokxfer.alignment.pairing import Aligner, Pair
from tokxfer.alignment.windows import collate, cut, left_out, pack, targets
from tokxfer.errors import TokxferError
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.training.cache import TeacherCache
from tokxfer.workflows.training.examples import Chat, Example

TOGETHER = 256  # texts that are tokenized at once


@dataclass(frozen=True)
class Lengths:
    """Tokens that a row may hold.

    Attributes:
        teacher: Of the teacher's.
        student: Of the student's.
    """

    teacher: int
    student: int


@dataclass(eq=False)
class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of aligned windows, one or several documents each, in an order drawn once.

    Attributes:
        rows: Windows by row; each knows the number of its document in the data.
        figures: Documents, rows, tokens and chunks; what was left out.
    """

    rows: list[list[Pair]]
    figures: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> list[Pair]:
        return self.rows[at]


def rows_of(
    examples: Sequence[Example],
    aligner: Aligner,
    lengths: Lengths,
    *,
    packing: bool = False,
    wanted: int | None = None,
    seed: int | None = None,
    render: Callable[[Chat], Any] | None = None,
    cache: TeacherCache | None = None,
    progress: bool = False,
) -> Rows:
    """Align examples, until there are rows enough or no examples left.

    Args:
        examples: Texts and chats.
        aligner: Of the two tokenizers.
        lengths: Of rows.
        packing: Whether windows of several documents share a row.
        wanted: Rows to stop at; None for all.
        seed: Of the order; None for the one that they are given in.
        render: What makes a chat's renderings, where there are chats.
        cache: What the teacher said of the examples, where it is not asked now.
        progress: Show a bar on stderr.

    Raises:
        TokxferError: Nothing of the data can be trained on.
    """
    order = list(range(len(examples)))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    windows: list[Pair] = []
    documents = lost = tokens = 0
    with progress_bar(len(order), "aligning", "doc", progress) as bar:
        for at in range(0, len(order), TOGETHER):
            part = order[at : at + TOGETHER]
            for pair in aligned(examples, part, aligner, render):
                if cache is not None:
                    pair = cache.told(pair)
                found = cut(pair, lengths.teacher, lengths.student)
                lost += left_out(pair, found)
                tokens += sum(len(window.student.ids) for window in found)
                windows += found
            documents += len(part)
            bar.update(len(part))
            if wanted is not None and wanted <= (
                tokens // lengths.student if packing else len(windows)
            ):
                break
    if packing:
        rows = pack(windows, lengths.teacher, lengths.student)
    else:
        rows = [[window] for window in windows]
    if not any(bool(targets(window).any()) for window in windows):
        raise TokxferError(
            "Nothing of the data can be trained on: no window holds a chunk at whose end tokens of "
            "both models end.",
            "Give more text, or a larger --max-length.",
        )
    figures = {
        "documents": documents,
        "rows": len(rows),
        "tokens": tokens,
        "teacher_tokens": sum(len(window.teacher.ids) for window in windows),
        "bytes": sum(int(window.sizes.sum()) for window in windows),
        "chunks": sum(int(targets(window).sum()) for window in windows),
        "chunks_left_out": lost,
    }
    return Rows(rows, figures)


def aligned(
    examples: Sequence[Example],
    part: Sequence[int],
    aligner: Aligner,
    render: Callable[[Chat], Any] | None,
) -> list[Pair]:
    """The examples of some numbers, aligned, in their order."""
    texts = [at for at in part if not isinstance(examples[at], Chat)]
    chats = [(at, one) for at in part if isinstance(one := examples[at], Chat)]
    pairs = dict(zip(texts, aligner.align([str(examples[at]) for at in texts]), strict=True))
    if chats:
        assert render is not None
        rendered = aligner.align_chats([render(chat) for _, chat in chats])
        pairs |= dict(zip([at for at, _ in chats], rendered, strict=True))
    return [replace(pairs[at], number=at) for at in part]


@dataclass(frozen=True)
class Collator:
    """Makes batches of rows.

    Attributes:
        teacher_pad: Id where the teacher has none.
        student_pad: Id where the student has none.
    """

    teacher_pad: int
    student_pad: int

    def __call__(self, rows: Sequence[Sequence[Pair]]) -> dict[str, Any]:
        """A batch: tensors of both sides by name, texts, and numbers of documents."""
        batch = collate(rows, self.teacher_pad, self.student_pad)
        return tensors(batch) | {"numbers": [[pair.number for pair in row] for row in rows]}


def tensors(batch: AlignedBatch) -> dict[str, Any]:
    """An aligned batch as tensors by name; whole numbers are all of one type."""
    names = ("ids", "document", "chunk", "trained", "final")
    sides = {
        side: {name: tensor(getattr(getattr(batch, side), name)) for name in names}
        for side in ("teacher", "student")
    }
    if batch.teacher.said is not None:
        sides["teacher"]["said"] = torch.from_numpy(batch.teacher.said)
    shared = {name: tensor(getattr(batch, name)) for name in ("counts", "sizes", "last")}
    return sides | shared | {"texts": batch.texts}


def tensor(values: np.ndarray) -> torch.Tensor:
    """An array as a tensor."""
    found = torch.from_numpy(values)
    return found if found.dtype == torch.bool else found.long()
