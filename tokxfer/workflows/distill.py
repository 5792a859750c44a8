"""`distill`: a student trained on what a teacher with any tokenizer says of text."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from tokxfer.checkpoints import (
    atomic_folder,
    check_target,
    pick_device,
    pick_dtype,
)
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.environment import versions
from tokxfer.workflows.manifest import file_hashes
from tokxfer.workflows.text import read_documents
from tokxfer.workflows.training.account import DistillReport
from tokxfer.workflows.training.examples import files_of, read_examples, set_apart
from tokxfer.workflows.training.loop import train
from tokxfer.workflows.training.newrows import is_transplant, new_ids
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.processes import count, first_alone, is_first, own_device
from tokxfer.workflows.training.registry import build_objective
from tokxfer.workflows.training.run import (
    folder_of,
    last_checkpoint,
    logs_beside,
    nothing_left_behind,
    out_of_memory_told,
    prepare_folder,
)
from tokxfer.workflows.training.saving import write_student
from tokxfer.workflows.training.schedule import Schedule
from tokxfer.workflows.training.sharing import former_member
from tokxfer.workflows.training.source import Source

__all__ = ["DistillReport", "distill"]

REPORTS = ("tensorboard", "wandb", "mlflow", "comet_ml", "clearml", "trackio", "swanlab")


def distill(
    teacher: str | Path,
    student: str | Path,
    out: str | Path,
    *,
    data: str | Path | Sequence[str | Path],
    eval_text: str | Path | Sequence[str | Path] | None = None,
    objective: str | Objective = "alm",
    schedule: Schedule | None = None,
    limit: int | None = None,
    packing: bool = True,
    balance: str = "auto",
    lora: int | None = None,
    new_rows_only: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    report_to: str = "none",
    resume: bool = False,
    force: bool = False,
    revision: str | None = None,
    student_revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool = False,
    names: tuple[str, str] | None = None,
    parents: Sequence[str] | None = None,
    one_body: bool = False,
    progress: bool = False,
) -> DistillReport:
    """Train a student on what a teacher says of text; their tokenizers may differ.

    Checkpoints are kept beside `out` while training goes on, and removed when `out` is in place.

    Args:
        teacher: Model folder or hub name, or what `teacher-cache` wrote.
        student: Model folder or hub name, whose weights the training begins with.
        out: Folder to write: a model like the student.
        data: Files or folders of text or chats: see `read_examples`.
        eval_text: Files to judge by; None sets the last 5 % of the texts apart.
        objective: Name of an objective, or one ready made, such as `ALM(tau=1)`.
        schedule: Steps, rate, batches: see `Schedule`.
        limit: Read so many examples of each file of data only.
        packing: Whether several documents may share a row, each unseen by the others; where a
            model's attention does not allow that, they do not.
        balance: How several losses are weighed: "gradmag", "gradnorm", "fixed", or "auto", the
            objective's own way.
        lora: Rank of adapters that are trained instead of the weights, and merged at the end. Of a
            student that a transplant wrote, the rows that it made are trained beside them.
        new_rows_only: Train the rows that a transplant made, and nothing else.
        device: "auto", "cpu", "cuda:0" or "mps".
        dtype: Of the teacher: "auto", "float32", "float16" or "bfloat16".
        report_to: "none", or one of `REPORTS`, such as "tensorboard" or "wandb".
        resume: Go on from the last checkpoint of a run to `out` that was stopped.
        force: Replace `out`, and checkpoints of a run that has not ended.
        revision: Of the teacher, if it is a hub name.
        student_revision: Of the student.
        trust_remote_code: Whether Python code that comes with a model may run.
        offline: Never ask the hub.
        names: What the account calls teacher and student; None for their own names.
        parents: Models that the card names as those it comes from; None for the student alone.
        one_body: Take the student's body for the teacher's, too: for a transplant that learns from
            its base by adapters, which leave the body's weights as they are.
        progress: Show bars on stderr.

    Returns:
        Teacher and student on held-out text, before and after, and the account.

    Raises:
        UsageError: A value that makes no sense, or a run resumed with other options.
        TokxferError: In one sentence, what is wrong with data or models, or went wrong.

    Example:
        >>> import tokxfer as tx
        >>> report = tx.distill("teacher", "student", "out", data="text.jsonl")  # doctest: +SKIP
    """
    need_packages(lora, report_to)
    schedule = schedule or Schedule()
    files = [data] if isinstance(data, (str, Path)) else list(data)
    judged_by = [eval_text] if isinstance(eval_text, (str, Path)) else list(eval_text or ())
    opening = {"trust_remote_code": trust_remote_code, "offline": offline}
    sources = (
        Source.open(teacher, cached=True, revision=revision, **opening),
        Source.open(student, revision=student_revision, **opening),
    )
    inputs = [source.path for source in sources]
    target = Path(out)
    if not resume:
        check_target(target, force=force, forbidden=inputs)
    examples = read_examples(files, limit)
    if judged_by:
        judged = [text for file in judged_by for text in read_documents(file)]
    else:
        examples, judged = set_apart(examples)
    if not examples:
        raise TokxferError("There is nothing to train on.", "Give more documents.")
    chosen = build_objective(objective) if isinstance(objective, str) else objective
    place = own_device(pick_device(device))
    options = {
        "teacher": sources[0].given,
        "student": sources[1].given,
        "data": [str(file) for file in files],
        "eval_text": [str(file) for file in judged_by] or None,
        "limit": limit,
        "objective": chosen.to_dict(),
        **asdict(schedule),
        "packing": packing,
        "balance": balance,
        "lora": lora,
        "new_rows_only": new_rows_only,
        "one_body": one_body,
        "device": place.type,
        "processes": count(),
        "dtype": dtype,
        "report_to": report_to,
        "trust_remote_code": trust_remote_code,
    }
    if new_rows_only and lora:
        raise UsageError(
            "--lora trains adapters and new rows, --new-rows-only those alone.", "Give one of them."
        )
    if one_body and not lora:
        raise UsageError("A body that is trained cannot be the teacher's, too.", "Give --lora.")
    beside = bool(lora) and is_transplant(sources[1].path)
    only = new_ids(sources[1].path) if new_rows_only or beside else None
    checkpoints = folder_of(target)
    with first_alone(place) as first:
        checkpoint = (
            prepare_folder(checkpoints, options, resume=resume, force=force) if first else None
        )
    checkpoint = checkpoint if first else last_checkpoint(checkpoints)
    teacher_dtype = pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None)
    learner = sources[1].load(torch.float32, place)
    if one_body and sources[0].folder is not None:
        asked = former_member(sources[0].folder, learner, teacher_dtype)
    else:
        asked = sources[0].load(teacher_dtype, place)
    told = out_of_memory_told(schedule.batch_size, schedule.max_length)
    with nothing_left_behind(checkpoints), logs_beside(target), told:
        trained = train(
            asked, learner, examples, judged, chosen, schedule, checkpoints,
            checkpoint=checkpoint, packing=packing, balance=balance, lora=lora, only=only,
            report_to=report_to, progress=progress,
        )  # fmt: skip
    called = names or tuple(source.name for source in sources)
    report = DistillReport(
        teacher=trained.teacher,
        before=trained.before,
        after=trained.after,
        out=str(target),
        objective=chosen.name,
        steps=trained.steps,
        seconds=trained.seconds,
        data=trained.figures,
        options=options,
        curve=trained.curve,
        versions=versions(),
    )
    if not is_first():
        return report
    made_of = {
        "teacher": sources[0].to_dict(),
        "student": sources[1].to_dict(),
        "data": file_hashes([file for path in files for file in files_of(Path(path))]),
    }
    assert sources[1].folder is not None
    with atomic_folder(target, force=force or resume, forbidden=inputs) as partial:
        warnings = write_student(
            trained.model, sources[1].folder, partial, report,
            names=called, parents=parents or called[1:], teacher=inputs[0], inputs=made_of,
        )  # fmt: skip
    shutil.rmtree(checkpoints)
    return replace(report, warnings=tuple(warnings))


def need_packages(lora: int | None, report_to: str) -> None:
    """Refuse to train without the packages that it takes.

    Raises:
        UsageError: One is missing, a rank makes no sense, or nobody is known to report to.
    """
    if lora is not None and lora < 1:
        raise UsageError(f"The rank of adapters must be 1 or more, not {lora}.")
    if report_to not in ("none", *REPORTS):
        raise UsageError(
            f"There is no {report_to!r} to report to.", f"Take one of {', '.join(REPORTS)} or none."
        )
    for package in ("accelerate", *(("peft",) if lora else ())):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"Training needs the package {package}.", "pip install 'tokxfer[train]'"
            )
    if report_to != "none" and importlib.util.find_spec(report_to) is None:
        raise UsageError(f"{report_to} is not installed.", f"pip install {report_to}")
