"""What an objective of training is, and what it learns of a batch before the student is asked.

The teacher speaks first, of all micro-batches of a step: only then is known how many chunks there
are in all, by which every micro-batch's sum is divided.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, ClassVar

import torch

from tokxfer.distillation.part import Part
from tokxfer.errors import UsageError
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.cache import TeacherCache

Batch = Mapping[str, Any]


@dataclass
class Targets:
    """What the student is to be compared with.

    Attributes:
        counts: How many losses each term will sum.
        said: What the teacher said, tensors by name.
    """

    counts: dict[str, int]
    said: dict[str, Any] = field(default_factory=dict)


class Objective(ABC):
    """A loss, or several, of aligned batches.

    Attributes:
        name: As `--objective` calls it.
        taught: Whether a teacher is asked at all.
        packs: Whether rows may hold several documents.
        terms: The names of its losses.
    """

    name: str
    taught: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    terms: tuple[str, ...] = ("loss",)

    def begin(self, teacher: Any, student: Any) -> None:  # noqa: B027 - most need nothing
        """Learn the two models' vocabularies before anything else.

        Args:
            teacher, student: Each a `Member`.
        """

    @abstractmethod
    def prepare(self, teacher: Body | None, batch: Batch) -> Targets:
        """Ask the teacher; without gradients."""

    @abstractmethod
    def parts(self, student: Body, batch: Batch, targets: Targets) -> dict[str, Part]:
        """Losses by term; their counts are those of the targets."""

    def to_dict(self) -> dict[str, Any]:
        """Its name and options, as JSON."""
        options: dict[str, Any] = asdict(self) if is_dataclass(self) else {}
        return {"name": self.name, **options}

    def combine(  # noqa: B027
        self, prepared: Sequence[Targets], add: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """Settle what depends on all micro-batches of a step together.

        Args:
            prepared: Of this process.
            add: Sums a tensor over all processes.
        """

    def modules(self) -> list[torch.nn.Module]:
        """What it trains beside the student, such as a projector."""
        return []

    def refuse_cache(self, cache: TeacherCache, student: str) -> None:  # noqa: ARG002
        """Refuse to learn from what a teacher said, where that does not suffice.

        Args:
            cache: What it said.
            student: Hash of the student's tokenizer.

        Raises:
            UsageError: The teacher itself is needed, or it was asked otherwise.
        """
        if self.taught:
            raise UsageError(
                f"{self.name} asks the teacher for more than a cache holds.",
                "Give the teacher's model, or take the objective alm or alm+sft.",
            )

    def weights(self) -> dict[str, float] | None:
        """Its own weights of its losses; None where they are to be balanced."""
        return None

    def after(self, losses: Mapping[str, float], progress: float) -> None:  # noqa: B027
        """Hear of a whole step.

        Args:
            losses: Its mean losses.
            progress: Share of all steps that are done.
        """

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Go on from what `state` gave."""
