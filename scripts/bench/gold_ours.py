"""This package's objectives on a batch of `gold_worker.py`, as training calls them."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from gold_worker import Case, Ready, Side
from torch import Tensor

from tokxfer.distillation.matching import Matching
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.objectives.alm import ALM
from tokxfer.workflows.training.objectives.gold import GOLD

SETS = 100  # boundary sets, one for each last character
MEMBERS = 0.3  # share of the tokens in each


class Given(Body):
    """A model whose hidden states are given."""

    @property
    def head(self) -> Any:
        return SimpleNamespace(weight=self.core.weight, bias=None)

    @property
    def scale(self) -> float:
        return 1.0

    @property
    def softcap(self) -> float | None:
        return None

    def hidden(self, ids: Tensor, document: Tensor) -> Tensor:  # noqa: ARG002
        found: Tensor = self.core.hidden
        return found


class Drawn:
    """Boundary sets [sets, vocab] drawn at random, of both sides."""

    def __init__(self, vocab: int) -> None:
        self.all = torch.rand(SETS, vocab) < MEMBERS

    def members(self, which: Tensor, start: int, stop: int) -> Tensor:
        return self.all[which, start:stop]

    def side(self, name: str) -> Drawn:  # noqa: ARG002
        return self

    def numbers(self, last: Tensor) -> Tensor:
        return last


def ready(case: Case, task: dict[str, Any]) -> Ready:
    """A step's loss, the teacher asked too."""
    torch.manual_seed(task["seed"])
    objective: Objective
    if task["way"] == "gold":
        objective = GOLD()
        objective._matching = Matching.of(
            *(ids.numpy() for ids in case.pairs), task["vocab"], task["vocab"]
        )
    else:
        objective = ALM()
        objective._sets = Drawn(task["vocab"])  # type: ignore[assignment]

    def loss(case: Case) -> Tensor:
        chunks = case.student.final.shape[1]
        batch: dict[str, Any] = {
            "student": read(case.student),
            "teacher": read(case.teacher),
            "counts": torch.full((len(case.student.ids),), chunks, dtype=torch.int32),
            "last": (case.student.ids.sum() + torch.arange(case.student.final.numel()))
            .remainder(SETS)
            .view_as(case.student.final),
        }
        student, teacher = (Given(side, side) for side in (case.student, case.teacher))
        (part,) = objective.parts(student, batch, objective.prepare(teacher, batch)).values()
        return part.mean

    return Ready(loss, {"tokxfer": version("tokxfer")}, [])


def read(side: Side) -> dict[str, Tensor]:
    """A side of a batch as training has it."""
    return {
        "ids": side.ids,
        "document": torch.zeros_like(side.ids),
        "chunk": side.chunk,
        "final": side.final,
        "trained": side.chunk >= 0,
    }
