"""A trained student as a sound model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokxfer.checkpoints import ModelFolder, quiet_transformers, validate_folder
from tokxfer.errors import VerificationError
from tokxfer.workflows.card import licence_of, write_card
from tokxfer.workflows.manifest import MANIFEST as TRANSPLANT
from tokxfer.workflows.manifest import PROVENANCE
from tokxfer.workflows.training.account import DistillReport
from tokxfer.workflows.training.plot import draw_curve

MANIFEST = "tokxfer_distillation.json"
PLOT = "distillation.svg"
CARD = Path(__file__).with_name("card.md.jinja")


def write_student(
    model: Any,
    student: ModelFolder,
    folder: Path,
    report: DistillReport,
    *,
    names: Sequence[str],
    parents: Sequence[str],
    teacher: Path,
    inputs: Mapping[str, Any],
) -> list[str]:
    """Write weights, tokenizer, card, curve and manifest, and judge the folder.

    Args:
        model: The trained model.
        student: The folder that it was loaded from.
        folder: An empty folder.
        report: The account.
        names: What teacher and student are called.
        parents: The models that it comes from, for the card.
        teacher: The teacher's folder, whose licence counts, too.
        inputs: Names, revisions and hashes of everything that went in, for the manifest.

    Returns:
        Warnings.

    Raises:
        VerificationError: The folder is not sound.
    """
    with quiet_transformers():
        model.to(student.dtype).save_pretrained(folder)
    code = sorted(student.path.glob("*.py")) if student.trust_remote_code else []
    begun = [student.path / name for name in (TRANSPLANT, PROVENANCE)]
    for file in (*student.tokenizer_files(), *code, *filter(Path.is_file, begun)):
        shutil.copyfile(file, folder / file.name)
    marks = {"before": report.before.evaluation.bits_per_byte}
    if report.teacher is not None:
        marks["teacher"] = report.teacher.evaluation.bits_per_byte
    drawn = draw_curve(report.curve, marks, folder / PLOT)
    facts = {
        "teacher": names[0],
        "student": names[1],
        "parents": parents,
        "report": report,
        "plot": PLOT if drawn else None,
    }
    licences = {"student": licence_of(student.path), "teacher": licence_of(teacher)}
    conflict = write_card(folder, facts, licences, CARD)
    document = {"schema_version": 1, "inputs": dict(inputs), **report.to_dict()}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    for check in validate_folder(folder, trust_remote_code=student.trust_remote_code):
        if not check.ok:
            raise VerificationError(
                f"The trained model failed its check '{check.name}': {check.detail}",
                "Run 'tokxfer validate' on the student: it may have had the same fault.",
            )
    return [] if conflict is None else [conflict]
