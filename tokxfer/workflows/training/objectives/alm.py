"""Approximate likelihood matching: chunks come as likely as the teacher says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.distillation.alm import TAU, alm
from tokxfer.distillation.boundaries import BOUNDARIES, Boundaries
from tokxfer.distillation.chunksums import at_ends, valid_chunks
from tokxfer.distillation.hidden import Projector, channel_squares, hidden_states
from tokxfer.distillation.merging import GAMMA, Groups, merged, outcomes, runs_end
from tokxfer.distillation.part import Part
from tokxfer.errors import UsageError
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.cache import TeacherCache
from tokxfer.workflows.training.objective import Batch, Objective, Targets
from tokxfer.workflows.training.reading import Said, read, told


@dataclass(eq=False)
class ALM(Objective):
    """Approximate likelihood matching, alone or with the text itself or hidden states.

    Args:
        tau: How much small probabilities are raised: see `distillation.alm`.
        divergence: Of the two outcomes: "kl", "reverse_kl" or "tv".
        boundaries: What corrects the outcomes: "learned", "whitespace", or "none".
        gamma: Chunks behind which the teacher gives boundaries no more are joined with the next.
        sft: Whether the text itself is learnt, too.
        hidden: Whether hidden states at the ends of chunks are matched, too.

    Source: 2503.20083.
    """

    tau: float = TAU
    divergence: str = "kl"
    boundaries: str = "learned"
    gamma: float = GAMMA
    sft: bool = False
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.boundaries not in (*BOUNDARIES, "none"):
            raise UsageError(
                f"There are no boundaries {self.boundaries!r}.",
                f"Take one of {', '.join(BOUNDARIES)} or none.",
            )
        self.terms = ("alm", *(("sft",) if self.sft else ()), *(("hidden",) if self.hidden else ()))
        self.name = "+".join(self.terms)
        self._sets: Boundaries | None = None
        self._projector: Projector | None = None

    def begin(self, teacher: Any, student: Any) -> None:
        """Learn where tokens of both vocabularies surely end."""
        if self.boundaries != "none":
            self._sets = BOUNDARIES[self.boundaries](teacher.vocabulary, student.vocabulary)
        if self.hidden and teacher.model is not None:
            sides = (student, teacher)
            widths = [one.model.config.get_text_config().hidden_size for one in sides]
            if widths[0] != widths[1]:
                self._projector = Projector(*widths).to(student.model.device)

    def refuse_cache(self, cache: TeacherCache, student: str) -> None:
        """Refuse a cache whose boundaries are others, or that lacks hidden states.

        Raises:
            UsageError: It is one.
        """
        if self.hidden:
            super().refuse_cache(cache, student)
        found = cache.record["boundaries"]
        if found != self.boundaries:
            raise UsageError(
                f"The cache has {found} boundaries, and {self.boundaries} ones were asked for.",
                f"Give --boundaries {found}, or make the cache anew.",
            )
        if found == "learned" and cache.record["student"] != student:
            raise UsageError(
                "The cache's boundaries are those of another student's tokenizer.",
                "Make it anew with --student, or with --boundaries whitespace for any student.",
            )

    @torch.no_grad()
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher for the chunks' outcomes, and join those that it does not end."""
        side = batch["teacher"]
        if teacher is None:
            numbers = None if self._sets is None else self._sets.numbers(batch["last"])
            said = told(side, numbers)
        else:
            states = teacher.hidden(side["ids"], side["document"])
            said = self._read(teacher, batch, "teacher", states)
        groups, outcome = self.settled(said, batch)
        targets = Targets({"alm": int(groups.count)}, {"groups": groups, "outcomes": outcome})
        if self.sft:
            targets.counts["sft"] = int(batch["student"]["trained"].sum())
        if self.hidden:
            states = at_ends(states, side["final"])
            valid = valid_chunks(batch["counts"], states.shape[1])
            squares = channel_squares(states, valid)
            targets.counts["hidden"] = int(squares.count)
            targets.said |= {"states": states, "valid": valid, "squares": squares.total}
        return targets

    def settled(self, said: Said, batch: Batch) -> tuple[Groups, torch.Tensor]:
        """The teacher's groups of chunks, and their log-probabilities."""
        valid = valid_chunks(batch["counts"], said.chunks.shape[1])
        masses = torch.zeros_like(said.chunks) if said.masses is None else said.masses
        ends = [
            runs_end(batch[side]["chunk"], batch[side]["final"]) for side in ("teacher", "student")
        ]
        groups = merged(masses, valid, ends[0] | ends[1], self.gamma)
        return groups, outcomes(said.chunks, said.masses, groups)

    def combine(
        self, prepared: Sequence[Targets], add: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """Let all micro-batches of a step have the same scale of hidden states."""
        if self.hidden:
            total = add(torch.stack([one.said.pop("squares") for one in prepared]).sum(0))
            count = add(
                torch.tensor(sum(one.counts["hidden"] for one in prepared)).to(total.device)
            )
            for one in prepared:
                one.said["scale"] = total / count.clamp(min=1)

    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """Compare the student's chunks with the teacher's."""
        side, theirs = batch["student"], targets.said
        states = student.hidden(side["ids"], side["document"])
        said = self._read(student, batch, "student", states)
        groups: Groups = theirs["groups"]
        ours = outcomes(said.chunks, said.masses, groups)
        found = {"alm": alm(theirs["outcomes"], ours, groups.valid, self.tau, self.divergence)}
        if self.sft:
            found["sft"] = Part(-said.tokens.sum(), targets.counts["sft"])
        if self.hidden:
            ends = at_ends(states, side["final"])
            found["hidden"] = hidden_states(
                theirs["states"], ends, theirs["valid"], theirs["scale"], self._projector
            )
        return found

    def _read(self, body: Body, batch: Batch, side: str, states: torch.Tensor) -> Said:
        sets = set_of = None
        if self._sets is not None:
            sets, set_of = self._sets.side(side), self._sets.numbers(batch["last"])
        whole = self.sft and side == "student"
        return read(body, batch[side], sets=sets, set_of=set_of, whole=whole, hidden=states)

    def modules(self) -> list[torch.nn.Module]:
        """The projector, where there is one."""
        return [] if self._projector is None else [self._projector]
