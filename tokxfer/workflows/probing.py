"""A few steps of training, after which a transplant says more about itself than at its start."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import longest_window
from tokxfer.errors import UsageError
from tokxfer.workflows.distill import need_packages
from tokxfer.workflows.training.lesson import Lesson, take_steps
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.registry import build_objective
from tokxfer.workflows.training.run import out_of_memory_told
from tokxfer.workflows.training.schedule import Schedule

ROWS, LENGTH = 4, 256  # of a step, and tokens of a row at most


@dataclass(frozen=True, eq=False)
class Probe:
    """A short training by the base, the same for every transplant of it.

    Attributes:
        teacher: The base.
        texts: What is trained on.
        objective: The name of the loss.
        schedule: Steps, rows, lengths.
    """

    teacher: Member
    texts: Sequence[str]
    objective: str
    schedule: Schedule

    @classmethod
    def of(
        cls, teacher: Member, texts: Sequence[str], *, steps: int, objective: str, seed: int
    ) -> Probe:
        """A probe of so many steps."""
        length = min(LENGTH, longest_window(teacher.model.config) or LENGTH)
        schedule = Schedule(steps=steps, batch_size=ROWS, max_length=length, seed=seed % 2**32)
        return cls(teacher, texts, objective, schedule)

    def trained(self, model: Any, name: str, vocabulary: Any) -> Any:
        """A trained copy of a model; the model itself stays as it is.

        Args:
            model: The transplant.
            name: What messages call it.
            vocabulary: Its tokens.

        Returns:
            The copy, in the model's own number format.

        Raises:
            TokxferError: It cannot be trained, or a loss is no number.
        """
        student = Member(name, copy.deepcopy(model).to(torch.float32), vocabulary)
        objective, schedule = build_objective(self.objective), self.schedule
        told = out_of_memory_told(schedule.batch_size, schedule.max_length)
        with told, tempfile.TemporaryDirectory() as folder:
            lesson = Lesson.of(self.teacher, student, self.texts, objective, schedule)
            take_steps(lesson, student.model, objective, schedule, Path(folder), saves=False)
        return student.model.to(model.dtype).eval()


def check_probe(steps: int | None, objective: str) -> None:
    """Say before any work that there can be no such probe.

    Raises:
        UsageError: Steps or objective make no sense, or a package is missing.
    """
    if steps is None:
        return
    if steps < 1:
        raise UsageError(f"A probe takes 1 step or more, not {steps}.")
    build_objective(objective)
    need_packages(None, "none")
