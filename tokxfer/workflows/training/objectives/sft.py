"""Supervised fine-tuning: the student learns the text itself, and no teacher is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tokxfer.distillation.part import Part
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.reading import read_targets, targets_of


@dataclass(eq=False)
class SFT(Objective):
    """Nats of every trained token."""

    name = "sft"
    taught = False
    terms = ("sft",)

    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:  # noqa: ARG002
        """Count the tokens."""
        return Targets({"sft": len(targets_of(batch["student"])[0])})

    def parts(
        self,
        student: Body,
        batch: Batch,
        targets: Targets,  # noqa: ARG002
    ) -> dict[str, Part]:
        """The nats of all of them."""
        nats = read_targets(student, batch["student"])
        return {"sft": Part(-nats.sum(), len(nats))}
