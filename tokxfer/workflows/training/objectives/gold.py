"""GOLD's hybrid: tokens that both have by a divergence, the rest by sorted probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.distillation.gold import gold
from tokxfer.distillation.matching import Matching, matched_ids
from tokxfer.distillation.part import Part
from tokxfer.distillation.positions import earlier, last_tokens
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.objectives.asking import need_shared_tokens, rows_before
from tokxfer.workflows.training.reading import Side, read


@dataclass(eq=False)
class GOLD(Objective):
    """A divergence of tokens with the same bytes, a sorted distance of the others, by chunk.

    Args:
        beta: The teacher's share in the middle of the divergence.
        bucket: Whether the mass of the others is one more outcome, which the published loss has
            not: without, tokens that the teacher lacks are pushed down.
    """

    beta: float = 0.5
    bucket: bool = False
    name = "gold"
    terms = ("gold",)

    def begin(self, teacher: Any, student: Any) -> None:
        """Match the tokens of both vocabularies.

        Raises:
            VocabularyError: There is nothing to match.
        """
        need_shared_tokens(teacher, student, self.name)
        mine, theirs = matched_ids(student.vocabulary, teacher.vocabulary)
        sizes = [len(one.model.get_output_embeddings().weight) for one in (student, teacher)]
        self._matching = Matching.of(mine, theirs, *sizes)

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher before the last token of every chunk."""
        assert teacher is not None
        rows, before = self._ends(teacher, batch["teacher"], batch["counts"])
        return Targets({"gold": int(batch["counts"].sum())}, {"rows": rows, "before": before})

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """Compare the student's rows with the teacher's."""
        rows, before = self._ends(student, batch["student"], batch["counts"])
        found = gold(
            rows, targets.said["rows"], self._matching,
            student_before=before, teacher_before=targets.said["before"],
            beta=self.beta, bucket=self.bucket,
        )  # fmt: skip
        return {"gold": found}

    def _ends(self, body: Body, side: Side, counts: torch.Tensor) -> tuple[Any, torch.Tensor]:
        """Rows before chunks' last tokens, and the log-probability of the tokens before these."""
        hidden = body.hidden(side["ids"], side["document"])
        last = last_tokens(side["final"], counts, side["ids"].shape[1])
        others = side["chunk"].flatten().index_fill(0, last, -1)  # their rows say what the last are
        asked = {**side, "chunk": others.view_as(side["chunk"])}
        tokens = read(body, asked, hidden=hidden).tokens
        return (
            rows_before(body, hidden, last),
            earlier(tokens, side["chunk"], side["final"], counts),
        )
