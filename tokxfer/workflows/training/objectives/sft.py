"""Supervised fine-tuning: the student learns the text itself, and no teacher is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tokxfer.distillation.part import Part
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.reading import read


@dataclass(eq=False)
class SFT(Objective):
    """Nats of every trained token."""

    name = "sft"
    taught = False
    terms = ("sft",)

    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:  # noqa: ARG002
        """Count the tokens."""
        return Targets({"sft": int(batch["student"]["trained"].sum())})

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """The nats of all of them."""
        said = read(student, batch["student"], whole=True)
        return {"sft": Part(-said.tokens.sum(), targets.counts["sft"])}
