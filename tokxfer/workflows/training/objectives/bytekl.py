"""The exact divergence of the next bytes: what likelihood matching approximates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.gradients import laws_with_gradients
from tokxfer.bytelevel.spelled import spell_places
from tokxfer.distillation.bytekl import (
    BYTE_DIVERGENCES,
    behind,
    byte_divergence,
    common,
    drawn,
)
from tokxfer.distillation.part import Part
from tokxfer.errors import UsageError
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.processes import count


@dataclass(eq=False)
class ByteKL(Objective):
    """Divergence of the laws of the next byte, at every byte or at some drawn ones.

    Args:
        kind: "kl", "reverse-kl" or "jsd".
        share: Of the bytes at which the models are compared; 1 for all.
        stops: Whether the end of a text is an outcome.
        seed: Draws the bytes, by batch.
    """

    kind: str = "kl"
    share: float = 1.0
    stops: bool = True
    seed: int = 0
    name = "byte-kl"
    terms = ("byte_kl",)

    def __post_init__(self) -> None:
        if self.kind not in BYTE_DIVERGENCES:
            raise UsageError(
                f"{self.kind!r} is no divergence of bytes.",
                f"Take one of {', '.join(BYTE_DIVERGENCES)}.",
            )
        if not 0 < self.share <= 1:
            raise UsageError(f"The share of bytes must be above 0 and at most 1, not {self.share}.")

    def begin(self, teacher: Any, student: Any) -> None:
        """Make both models distributions over bytes.

        Raises:
            UsageError: Several processes train, whose gradients would not be put together.
        """
        if count() > 1:
            raise UsageError("byte-kl trains in one process only.", "Take alm on several.")
        self._lms = tuple(
            ByteLM(one.model, one.vocabulary, stops=one.stops) for one in (teacher, student)
        )

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:  # noqa: ARG002
        """Spell the texts, draw places, and ask the teacher there."""
        texts = [text for row in batch["texts"] for text in row]
        numbers = [number for row in batch["numbers"] for number in row]
        groups, laws, total = [], [], 0
        for begins in (True, False):
            some = [text.data for text in texts if text.begins == begins]
            if not some:
                continue
            contexts = [behind(lm, None, begins) for lm in self._lms]
            sides = [
                [spell_places(lm, text, context) for text in some]
                for lm, context in zip(self._lms, contexts, strict=True)
            ]
            both = list(map(common, *sides))
            size = sum(map(len, both))
            wanted = None if self.share == 1 else max(1, round(self.share * size))
            chosen = drawn(both, wanted, np.random.default_rng([self.seed, begins, *numbers]))
            theirs, mine = (
                (
                    [one.data for one in side],
                    [one.places[at] for one, at in zip(side, chosen, strict=True)],
                )
                for side in sides
            )
            asked = laws_with_gradients(self._lms[0], theirs[0], contexts[0], theirs[1])
            laws.append(torch.cat(asked))
            groups.append((mine, contexts[1]))
            total += sum(map(len, chosen))
        return Targets({"byte_kl": total}, {"groups": groups, "laws": laws})

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:  # noqa: ARG002
        """Ask the student there, and compare."""
        stops = self.stops and all(bool(lm.stops) for lm in self._lms)
        found = []
        for ((data, places), context), theirs in zip(
            targets.said["groups"], targets.said["laws"], strict=True
        ):
            mine = torch.cat(laws_with_gradients(self._lms[1], data, context, places))
            found.append(byte_divergence(theirs, mine, self.kind, stops=stops))
        return {"byte_kl": sum(found[1:], found[0])}
