"""Universal logit distillation: sorted probabilities, beside the text itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.distillation.part import Part
from tokxfer.distillation.positions import first_tokens, kth_tokens
from tokxfer.distillation.uld import uld
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.objectives.asking import rows_before
from tokxfer.workflows.training.reading import read


@dataclass(eq=False)
class ULD(Objective):
    """Sorted probabilities at the k-th targets, or where both models have read the same text.

    Args:
        aligned: Whether positions are the first tokens of chunks; the paper compares the k-th
            target of a text with the k-th, whatever they say.
        weight: Of the distance, beside the text's own nats.

    Source: 2402.12030.
    """

    aligned: bool = False
    weight: float = 1.5
    name = "uld"
    terms = ("sft", "uld")

    def weights(self) -> dict[str, float]:
        """The published ones."""
        return {"sft": 1.0, "uld": self.weight}

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher at its positions."""
        assert teacher is not None
        theirs, mine = batch["teacher"], batch["student"]
        if self.aligned:
            chunks = theirs["final"].shape[1]
            places = [first_tokens(one["chunk"], batch["counts"], chunks) for one in (theirs, mine)]
        else:
            places = list(
                kth_tokens(theirs["trained"], mine["trained"], theirs["document"], mine["document"])
            )
        hidden = teacher.hidden(theirs["ids"], theirs["document"])
        said: dict[str, Any] = {
            "rows": rows_before(teacher, hidden, places[0]),
            "places": places[1],
        }
        return Targets({"sft": int(mine["trained"].sum()), "uld": len(places[1])}, said)

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """The text's nats, and the distance."""
        side = batch["student"]
        hidden = student.hidden(side["ids"], side["document"])
        tokens = read(student, side, whole=True, hidden=hidden).tokens
        mine = rows_before(student, hidden, targets.said["places"])
        return {
            "sft": Part(-tokens.sum(), targets.counts["sft"]),
            "uld": uld(mine, targets.said["rows"]),
        }
