"""What a training is made of before its first step, and the steps themselves, nothing judged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.alignment.pairing import Aligner
from tokxfer.checkpoints import longest_window, quiet_transformers
from tokxfer.errors import UsageError
from tokxfer.workflows.corpus import tokenizer_hash
from tokxfer.workflows.training.balancing import build_balance
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.callbacks import Bar
from tokxfer.workflows.training.chats import renderer
from tokxfer.workflows.training.examples import Example
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.newrows import NewRows
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.rows import Collator, Lengths, Rows, rows_of
from tokxfer.workflows.training.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a student is to learn from a teacher, ready to be read.

    Attributes:
        asked: The teacher, which is not trained; None where there is what it said.
        aligner: Of the two tokenizers.
        lengths: Of rows.
        rows: Aligned rows, in their order.
        collator: Makes batches of them.
        packing: Whether several documents share a row.
    """

    asked: Body | None
    aligner: Aligner
    lengths: Lengths
    rows: Rows
    collator: Collator
    packing: bool

    @classmethod
    def of(
        cls,
        teacher: Member,
        student: Member,
        examples: Sequence[Example],
        objective: Objective,
        schedule: Schedule,
        *,
        packing: bool = True,
        progress: bool = False,
    ) -> Lesson:
        """Check both models, and align what there is to learn.

        Raises:
            TokxferError: The data hold nothing to train on.
            UnsupportedError: A model whose head is not one matrix.
        """
        learner, asked = Body.of(student.model), asked_body(teacher)
        bodies = [learner] if asked is None else [asked, learner]
        for body in bodies:
            body.check()
        aligner = Aligner(teacher.vocabulary, student.vocabulary)
        lengths = lengths_of(asked, learner, schedule.max_length)
        packing = packing and all(body.packs for body in bodies)
        if teacher.cache is not None:
            objective.refuse_cache(teacher.cache, tokenizer_hash(student.vocabulary))
        objective.begin(teacher, student)
        rows = rows_of(
            examples, aligner, lengths,
            packing=packing and objective.packs, wanted=schedule.rows, seed=schedule.seed,
            render=renderer(teacher, student, examples), cache=teacher.cache, progress=progress,
        )  # fmt: skip
        return cls(asked, aligner, lengths, rows, Collator(teacher.pad, student.pad), packing)


def take_steps(
    lesson: Lesson,
    model: Any,
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    *,
    saves: bool = True,
    checkpoint: Path | None = None,
    balance: str = "auto",
    judge: Callable[[Any], dict[str, float]] | None = None,
    new_rows: NewRows | None = None,
    report_to: str = "none",
    progress: bool = False,
) -> Any:
    """Train a model, in place.

    Args:
        lesson: What it reads.
        model: The student, with adapters or without.
        objective: The losses.
        schedule: Steps, rate, batches.
        folder: For checkpoints.
        saves: Whether there are to be any.
        checkpoint: The one to go on from, or None.
        balance: How several losses are weighed.
        judge: Figures of the student as it is, for evaluations on the way.
        new_rows: Rows that are trained beside adapters, or None.
        report_to: What transformers reports to.
        progress: Show a bar on stderr.

    Returns:
        The Trainer's state: steps that were taken, and the log.

    Raises:
        TokxferError: A loss is no number.
    """
    from transformers import PrinterCallback

    from tokxfer.workflows.training.trainer import DistillationTrainer

    width = model.config.get_text_config().hidden_size
    trainer = DistillationTrainer(
        model=model,
        args=schedule.arguments(folder, width, model.device, report_to, saves=saves),
        train_dataset=lesson.rows,
        eval_dataset=lesson.rows,  # what is judged is text, by `judge`
        data_collator=lesson.collator,
        callbacks=[Bar(progress), *stopping(schedule)],
        objective=objective,
        teacher=lesson.asked if objective.taught else None,
        balance=build_balance(balance, objective),
        judge=judge,
        new_rows=new_rows,
    )
    trainer.remove_callback(PrinterCallback)  # it prints on stdout
    with quiet_transformers():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return trainer.state


def asked_body(teacher: Member) -> Body | None:
    """The teacher's model, which is not trained; None where there is what it said."""
    if teacher.model is None:
        return None
    return Body.of(teacher.model.eval().requires_grad_(False))


def lengths_of(teacher: Body | None, student: Body, max_length: int) -> Lengths:
    """Tokens of rows: as many as asked for of the student's, and what the teacher can take.

    Raises:
        UsageError: The student does not take as many.
    """
    longest = longest_window(student.core.config)
    if longest is not None and max_length > longest:
        raise UsageError(
            f"Rows of {max_length:,} tokens are longer than the {longest:,} that the student was "
            "made for.",
            f"Give --max-length {longest} or less.",
        )
    if teacher is None:
        return Lengths(sys.maxsize, max_length)
    return Lengths(longest_window(teacher.core.config) or 4 * max_length, max_length)


def stopping(schedule: Schedule) -> list[Any]:
    """What ends a training early, where it is asked for."""
    if schedule.patience is None:
        return []
    from transformers import EarlyStoppingCallback

    return [EarlyStoppingCallback(early_stopping_patience=schedule.patience)]
