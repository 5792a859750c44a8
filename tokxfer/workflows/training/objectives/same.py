"""Divergences of two models with one vocabulary, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.distillation.divergences import DIVERGENCES, divergence, same_vocabulary
from tokxfer.distillation.part import Part
from tokxfer.distillation.sinkd import sinkd
from tokxfer.distillation.taid import Interpolation, taid
from tokxfer.errors import UsageError
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.objectives.asking import need_one_vocabulary, rows_before

KINDS = (*DIVERGENCES, "taid", "sinkd")


@dataclass(eq=False)
class SameVocabulary(Objective):
    """A divergence of the teacher's and the student's next tokens.

    Args:
        kind: One of `KINDS`.
        temperature: Divides the logits of both; None takes 1, of "sinkd" the published 2.
        beta: Of "jsd": the teacher's share in its middle.
        alpha: Of the skew ones: how much of its own first argument the second one holds.
    """

    kind: str = "kl"
    temperature: float | None = None
    beta: float = 0.5
    alpha: float = 0.1
    terms = ("loss",)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"There is no divergence {self.kind!r}.", f"Take one of {', '.join(KINDS)}."
            )
        published = 2.0 if self.kind == "sinkd" else 1.0
        self._warmth = published if self.temperature is None else self.temperature
        self.name, self._way, self._steps = self.kind, Interpolation(), (0, 1)

    def begin(self, teacher: Any, student: Any) -> None:
        """See that the vocabularies are one."""
        need_one_vocabulary(teacher, student, self.kind)
        self._size = student.vocabulary.size

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher before every trained token."""
        assert teacher is not None
        side = batch["teacher"]
        places = side["trained"].flatten().nonzero()[:, 0]
        hidden = teacher.hidden(side["ids"], side["document"])
        return Targets({"loss": len(places)}, {"rows": rows_before(teacher, hidden, places)})

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """Compare, token by token."""
        side, theirs = batch["student"], targets.said["rows"]
        places = side["trained"].flatten().nonzero()[:, 0]
        hidden = student.hidden(side["ids"], side["document"])
        mine, told = rows_before(student, hidden, places), {"size": self._size}
        if self.kind == "sinkd":
            return {"loss": sinkd(mine, theirs, temperature=self._warmth, size=self._size)}
        measure = (
            taid(self._way.t)
            if self.kind == "taid"
            else divergence(self.kind, beta=self.beta, alpha=self.alpha)
        )
        found = same_vocabulary(mine, theirs, measure, temperature=self._warmth, **told)
        return {"loss": found}

    def after(self, losses: Mapping[str, float], progress: float) -> None:
        """Let the target move on."""
        self._way.step(losses["loss"], progress)

    def state(self) -> dict[str, Any]:
        """Where the target is."""
        return dict(self._way.state())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._way.restore(state)
