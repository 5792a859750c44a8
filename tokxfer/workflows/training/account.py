"""The account of a distillation: what it was made of, how it went, what it gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokxfer.workflows.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class Judged:
    """A model on the held-out text, alone and beside its teacher.

    Attributes:
        evaluation: Its costs.
        gap: Mean difference of its chunks' log-probabilities from the teacher's, without sign, in
            bits per byte; None without a teacher to compare with.
    """

    evaluation: Evaluation
    gap: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures as `evaluate` gives them, and the gap."""
        return self.evaluation.to_dict() | {"gap": self.gap}


@dataclass(frozen=True, eq=False)
class DistillReport:
    """What a distillation did.

    Attributes:
        teacher: The teacher on the held-out text; None where it is a cache.
        before: The student as it came.
        after: The student as it was written.
        out: Where that was.
        objective: The losses.
        steps: Updates of the weights.
        seconds: Wall time of the training, evaluations included.
        data: Documents, rows, tokens of both sides, chunks; what was left out.
        options: Everything that was asked for, resolved.
        curve: Losses by step, and what evaluations found.
        versions: Of the packages.
        warnings: What a user should know.
    """

    teacher: Judged | None
    before: Judged
    after: Judged
    out: str
    objective: str
    steps: int
    seconds: float
    data: Mapping[str, Any]
    options: Mapping[str, Any]
    curve: Sequence[Mapping[str, float]] = field(repr=False)
    versions: Mapping[str, str | None] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "teacher": None if self.teacher is None else self.teacher.to_dict(),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "out": self.out,
            "objective": self.objective,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "data": dict(self.data),
            "options": dict(self.options),
            "curve": [dict(point) for point in self.curve],
            "versions": dict(self.versions),
            "warnings": list(self.warnings),
        }
