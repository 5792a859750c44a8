"""TRL's GOLD on a batch of `gold_worker.py`: imported by the Python of its own environment."""

from __future__ import annotations

import os
import tempfile
import time
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from gold_worker import Case, Ready, Side
from torch import Tensor

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
from trl.experimental.gold import GOLDConfig
from trl.experimental.gold.gold_trainer import ULDLoss

NONE = -100  # label of what is no target


def ready(case: Case, task: dict[str, Any]) -> Ready:
    """The loss as its trainer calls it, behind the two heads' logits."""
    loss_of, marks = function(case, task), list[float]()

    def loss(case: Case) -> Tensor:
        mine = torch.nn.functional.linear(case.student.hidden, case.student.weight)
        with torch.no_grad():
            theirs = torch.nn.functional.linear(case.teacher.hidden, case.teacher.weight)
        marks.append(time.process_time())
        mine.register_hook(lambda _: marks.append(time.process_time()))
        found: Tensor = loss_of(**arguments(case, mine, theirs))
        return found

    return Ready(loss, {name: version(name) for name in ("trl", "transformers")}, marks)


def function(case: Case, task: dict[str, Any]) -> Any:
    """TRL's own, with its settings but for the hybrid and how tokens of a chunk are merged."""
    with tempfile.TemporaryDirectory() as folder:
        config = GOLDConfig(
            output_dir=folder, use_cpu=True, bf16=False, report_to="none", use_uld_loss=True,
            uld_use_hybrid_loss=True, uld_token_merge_strategy=task["strategy"],
        )  # fmt: skip
    names = [
        {f"both {number}": token for number, token in enumerate(pairs.tolist())}
        for pairs in case.pairs
    ]
    for which, known in enumerate(names):
        rest = set(range(task["vocab"])) - set(known.values())
        known |= {f"{which} {token}": token for token in rest}
    tokenizers = [SimpleNamespace(get_vocab=lambda known=known: known) for known in names]
    return ULDLoss(config, *tokenizers, device=torch.device("cpu"))


def arguments(case: Case, mine: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    """What its trainer would hand over; the last labelled place is the end, which it skips."""
    found = {"student_logits": mine, "teacher_logits": theirs}
    for name, side in (("student", case.student), ("teacher", case.teacher)):
        labels = side.ids.clone()
        labels[:, 0] = NONE
        starts = torch.nn.functional.pad(side.ends[:, :-1], (1, 0))
        found |= {
            f"{name}_labels": labels,
            f"{name}_input_ids": side.ids,
            f"{name}_byte_offsets": torch.stack([starts, side.ends], -1),
        }
    return found


@torch.no_grad()
def exactness(case: Case, task: dict[str, Any]) -> dict[str, float]:
    """How far the student's merged rows are, at the chunks' own text, from the chunks.

    Where a row is of a chunk's last token (`bayesian`) or of its first one (`observed`), its entry
    for that token should be the probability of the whole chunk. Mean of |Δ| in nats, over the first
    text.
    """
    loss_of, seen = function(case, task), list[Tensor]()
    compare = loss_of._compute_hybrid_uld_loss

    def noted(student: Tensor, teacher: Tensor) -> Tensor:
        seen.append(student)
        found: Tensor = compare(student, teacher)
        return found

    loss_of._compute_hybrid_uld_loss = noted
    mine, theirs = (side.hidden @ side.weight.T for side in (case.student, case.teacher))
    loss_of(**arguments(case, mine, theirs))
    student: Side = case.student
    ids, final = student.ids[0], student.final[0]
    tokens = mine[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
    chunks = torch.zeros(len(final)).index_add(0, student.chunk[0, 1:-1].long(), tokens[:-1])
    first = torch.cat([torch.ones(1, dtype=torch.long), final[:-1] + 1])
    at = final if task["strategy"] == "bayesian" else first
    said = seen[0].gather(1, ids[at][:, None])[:, 0].log()
    return {"nats": float((said - chunks).abs().mean())}
