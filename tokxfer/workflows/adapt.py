"""A transplant that is trained at once: initialized by any method, then taught by its own base."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.checkpoints import check_target
from tokxfer.workflows.distill import DistillReport, distill
from tokxfer.workflows.planning import Plan
from tokxfer.workflows.training.processes import first_alone, is_first, own_device
from tokxfer.workflows.training.run import folder_of
from tokxfer.workflows.training.schedule import Schedule
from tokxfer.workflows.transplant import TransplantReport, carry_out


@dataclass(frozen=True)
class AdaptReport:
    """A transplant, and the training behind it.

    Attributes:
        transplant: What was transplanted; None where a stopped run went on.
        distillation: What the training gained.
    """

    transplant: TransplantReport | None
    distillation: DistillReport

    def to_dict(self) -> dict[str, Any]:
        """The transplant's account, with that of the training."""
        begun = {} if self.transplant is None else self.transplant.to_dict()
        trained = self.distillation.to_dict()
        warnings = [*begun.get("warnings", ()), *trained.pop("warnings")]
        return begun | {"warnings": warnings, "distillation": trained}


def adapt(
    plan: Plan,
    *,
    data: Sequence[str | Path],
    schedule: Schedule | None = None,
    resume: bool = False,
    progress: bool = False,
    **told: Any,
) -> AdaptReport:
    """Transplant, and let the result learn from its base, which reads text by its old tokens.

    The transplant lies beside the output, as `<out>.transplanted`, until the training has ended.
    With adapters, base and transplant are one body in memory.

    Args:
        plan: What is to be transplanted.
        data: Texts to train on.
        schedule: Steps, rate, batches.
        resume: Go on with a training that was stopped.
        progress: Show bars on stderr.
        told: As of `distill`.

    Raises:
        TokxferError: In one sentence, what is wrong; nothing half-written is left.
    """
    begun = plan.out.parent / f"{plan.out.name}.transplanted"
    device = own_device(plan.device)
    report = None
    with first_alone(device) as first:
        if not resume:
            check_target(plan.out, force=plan.force, forbidden=[plan.base.path, plan.donor_path])
        if first and not (resume and begun.is_dir()):
            moved = dataclasses.replace(plan, out=begun, force=True)
            report = carry_out(moved, progress=progress).replace(out=str(plan.out))
    with removed_unless_resumable(begun, folder_of(plan.out)):
        distilled = distill(
            plan.base.path,
            begun,
            plan.out,
            data=data,
            schedule=schedule,
            resume=resume,
            progress=progress,
            force=plan.force,
            device=str(plan.device),
            trust_remote_code=plan.trust_remote_code,
            names=(plan.base_name, f"{plan.base_name} with the tokenizer of {plan.donor_name}"),
            parents=(plan.base_name, plan.donor_name),
            one_body=bool(told.get("lora")) and plan.dtype is None,
            **told,
        )
    if begun.is_dir():
        shutil.rmtree(begun)
    return AdaptReport(report, distilled)


@contextmanager
def removed_unless_resumable(begun: Path, checkpoints: Path) -> Iterator[None]:
    """Remove a transplant whose training failed before there was anything to go on from."""
    try:
        yield
    except BaseException:
        if not checkpoints.is_dir() and is_first():
            shutil.rmtree(begun, ignore_errors=True)
        raise
