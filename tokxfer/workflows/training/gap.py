"""How far a student's chunks are from its teacher's, on text that nothing is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from tokxfer.distillation.chunksums import valid_chunks
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.reading import read
from tokxfer.workflows.training.rows import Rows

ROWS = 4  # read at once


@torch.no_grad()
def likelihood_gap(
    teacher: Body, student: Body, rows: Rows, collate: Callable[[Any], dict[str, Any]]
) -> float | None:
    """Mean difference between the chunks' log-probabilities, without sign.

    Args:
        teacher: Who is asked.
        student: Who learns.
        rows: Aligned rows.
        collate: Makes batches of them.

    Returns:
        In bits per byte of the chunks' text; None where no chunk has text.
    """
    total, size = 0.0, 0
    training = student.model.training
    student.model.eval()
    for start in range(0, len(rows), ROWS):
        batch = collate([rows[at] for at in range(start, min(start + ROWS, len(rows)))])
        device = student.core.device
        sides = {
            name: {key: tensor.to(device) for key, tensor in batch[name].items()}
            for name in ("teacher", "student")
        }
        found = [
            read(body, sides[name]).chunks
            for body, name in ((teacher, "teacher"), (student, "student"))
        ]
        valid = valid_chunks(batch["counts"].to(device), found[0].shape[1])
        total += float((found[0] - found[1]).abs()[valid].sum())
        size += int(batch["sizes"].sum())
    student.model.train(training)
    return total / size / math.log(2) if size else None
