"""MinED: the teacher's distribution carried over to the student's nearest tokens by spelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tokxfer.distillation.mined import mined, nearest_ids
from tokxfer.distillation.part import Part
from tokxfer.distillation.positions import one_to_one
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.objectives.asking import need_shared_tokens, rows_before
from tokxfer.workflows.training.reading import read


@dataclass(eq=False)
class MinED(Objective):
    """KL where a chunk is one token on either side; elsewhere the text itself.

    Args:
        temperature: Divides the logits where distributions are compared.
    """

    temperature: float = 2.0
    name = "mined"
    terms = ("mined",)

    def begin(self, teacher: Any, student: Any) -> None:
        """Find the teacher's nearest token of each of the student's.

        Raises:
            VocabularyError: None is the same.
        """
        need_shared_tokens(teacher, student, self.name)
        size = len(student.model.get_output_embeddings().weight)
        found = nearest_ids(student.vocabulary, teacher.vocabulary)
        padded = np.append(found, np.full(size - len(found), -1, dtype=found.dtype))
        self._nearest = torch.from_numpy(padded).to(student.model.device)

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher where both sides have one token."""
        assert teacher is not None
        theirs, mine = batch["teacher"], batch["student"]
        chunks = theirs["final"].shape[1]
        places = one_to_one(theirs["chunk"], mine["chunk"], batch["counts"], chunks)
        others = mine["trained"].clone().flatten()
        others[places[1]] = False
        hidden = teacher.hidden(theirs["ids"], theirs["document"])
        said = {
            "rows": rows_before(teacher, hidden, places[0]),
            "places": places[1],
            "others": others,
        }
        return Targets({"mined": len(places[1]) + int(others.sum())}, said)

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """The divergence of pairs, and the nats of other tokens."""
        side, said = batch["student"], targets.said
        hidden = student.hidden(side["ids"], side["document"])
        tokens = read(student, side, whole=True, hidden=hidden).tokens.flatten()
        mine = rows_before(student, hidden, said["places"])
        return {
            "mined": mined(
                mine, said["rows"], self._nearest, tokens, said["others"],
                temperature=self.temperature,
            )
        }  # fmt: skip
