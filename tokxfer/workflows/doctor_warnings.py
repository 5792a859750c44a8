"""What a teacher and a student are a warning of, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokxfer.alignment.report import AlignmentFigures
from tokxfer.checkpoints import format_size

if TYPE_CHECKING:
    from tokxfer.workflows.doctor import DoctorReport

SIDES = ("teacher", "student")
LONG = 32  # bytes a chunk above which there is little to learn from


def warnings_of(report: DoctorReport) -> Iterator[str]:
    """All warnings, the worst first."""
    yield from of_chunks(report.figures)
    yield from of_text(report)
    yield from of_specials(report)
    yield from of_memory(report)


def of_chunks(figures: AlignmentFigures) -> Iterator[str]:
    """What the chunks are a warning of."""
    if not figures.chunks:
        yield "No token of both ends at one byte: there is nothing to learn from."
        return
    if figures.recall < 1:
        yield f"Only {figures.recall:.2%} of the common boundaries are found."
    if figures.unequal:
        yield f"{figures.unequal:,} chunks hold other text on one side: see the examples."
    if figures.unknown > 0.01 * figures.chunks:
        yield (
            f"{figures.unknown / figures.chunks:.1%} of the chunks hold an unknown token: that "
            "side cannot spell the text."
        )
    if figures.bytes > LONG * figures.chunks:
        yield f"Chunks are long: {figures.bytes / figures.chunks:.0f} bytes each."


def of_text(report: DoctorReport) -> Iterator[str]:
    """What digits and normalizers are a warning of."""
    teacher, student = report.teacher, report.student
    if teacher.digits != student.digits:
        yield (
            f"Numbers are cut differently: {teacher.digits} by the teacher, {student.digits} by "
            "the student. Arithmetic is learnt from whole numbers only."
        )
    if teacher.changes != student.changes:
        told = [
            f"the {side} by {', '.join(one.changes)}"
            for side, one in zip(SIDES, (teacher, student), strict=True)
            if one.changes
        ]
        yield (
            f"Text is changed before it is tokenized, {' and '.join(told)}: what the other side "
            "tells apart is one to this one."
        )


def of_specials(report: DoctorReport) -> Iterator[str]:
    """What special tokens and templates are a warning of."""
    for side, one in zip(SIDES, (report.teacher, report.student), strict=True):
        if not {"bos", "cls"} & set(one.roles):
            yield (
                f"The {side} has no token that begins texts: the first chunk of every window is "
                "no target."
            )
        if not {"eos", "sep"} & set(one.roles):
            yield f"The {side} has no token that ends texts: the student does not learn to end."
    sides = (report.teacher, report.student)
    if report.teacher.template != report.student.template:
        have, lack = SIDES if report.teacher.template else SIDES[::-1]
        yield f"The {have} has a chat template and the {lack} has none: chats cannot be trained on."
    for side, one in zip(SIDES, sides, strict=True):
        if one.template and one.end_of_turn is None:
            yield f"The {side}'s chat template writes no special token behind an answer."


def of_memory(report: DoctorReport) -> Iterator[str]:
    """What memory is a warning of."""
    if report.memory is not None and report.memory.total > report.available:
        yield (
            f"A step takes some {format_size(report.memory.total)}, and "
            f"{format_size(report.available)} are free: lower --batch-size or "
            "--max-length."
        )
