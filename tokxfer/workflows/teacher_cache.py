"""`teacher-cache`: what a teacher says of texts, so that students learn without it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.sides import Pair, Side
from tokxfer.checkpoints import ModelFolder, atomic_folder, longest_window, pick_device, pick_dtype
from tokxfer.distillation.boundaries import BOUNDARIES, Boundaries
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.corpus import tokenizer_hash
from tokxfer.workflows.environment import versions
from tokxfer.workflows.manifest import file_hashes
from tokxfer.workflows.planning import public_name
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.scoring import NO_LENGTH, cut
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.cache import PRECISIONS, CacheWriter, digest
from tokxfer.workflows.training.chats import renderer
from tokxfer.workflows.training.examples import files_of, read_examples
from tokxfer.workflows.training.member import Member, load_member
from tokxfer.workflows.training.reading import read
from tokxfer.workflows.training.rows import TOGETHER, Collator, aligned
from tokxfer.workflows.training.run import out_of_memory_told
from tokxfer.workflows.writing import folder_files


@dataclass(frozen=True)
class CacheReport:
    """What a teacher was asked.

    Attributes:
        teacher: Its name.
        out: The folder written.
        documents: Texts and chats in it, each once.
        tokens: Of the teacher's.
        bytes_on_disk: Of the numbers that it said.
        boundaries: "learned", "whitespace" or "none".
        seconds: Wall time.
    """

    teacher: str
    out: str
    documents: int
    tokens: int
    bytes_on_disk: int
    boundaries: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return vars(self) | {"seconds": round(self.seconds, 3)}


def teacher_cache(
    teacher: str | Path,
    out: str | Path,
    *,
    data: str | Path | Sequence[str | Path],
    limit: int | None = None,
    student: str | Path | None = None,
    boundaries: str | None = None,
    precision: str = "float16",
    batch_size: int = 8,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool = False,
    force: bool = False,
    progress: bool = False,
) -> CacheReport:
    """Ask a teacher about texts once: the log-probability of every token, and of a boundary there.

    Texts longer than the teacher are read in windows that overlap by half, as `evaluate` reads
    them. `distill` takes the folder as its teacher, for likelihood matching.

    Args:
        teacher: Model folder or hub name.
        out: Folder to write.
        data: Files or folders of texts or chats.
        limit: Read so many examples of each file only.
        student: A model folder or tokenizer, if boundaries are to be those of both vocabularies.
        boundaries: "learned", which needs a student and is the default with one; "whitespace", the
            default without; or "none".
        precision: "float16" takes four bytes a token, "float32" eight.
        batch_size: Windows that are read at once.
        device, dtype, revision, trust_remote_code, offline, force: As everywhere.
        progress: Show a bar on stderr.

    Raises:
        UsageError: A value that makes no sense.
        TokxferError: In one sentence, what is wrong with data or model.
    """
    boundaries = boundaries or ("whitespace" if student is None else "learned")
    check(boundaries, student, precision, batch_size)
    started = time.perf_counter()
    files = [data] if isinstance(data, (str, Path)) else list(data)
    opening = {"trust_remote_code": trust_remote_code, "offline": offline}
    folder = ModelFolder.open(teacher, revision=revision, **opening)
    place = pick_device(device)
    examples = read_examples(files, limit)
    chosen = pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None)
    with atomic_folder(out, force=force, forbidden=[folder.path]) as partial:
        member = load_member(folder, chosen, place)
        other = None if student is None else ByteVocabulary.from_file(Path(student))
        sets = (
            None
            if boundaries == "none"
            else BOUNDARIES[boundaries](member.vocabulary, other or member.vocabulary)
        )
        aligner = Aligner(member.vocabulary, member.vocabulary)
        render = renderer(member, member, examples)
        documents = tokens = 0
        with (
            CacheWriter(partial, precision) as writer,
            out_of_memory_told(batch_size, longest_window(member.model.config) or NO_LENGTH),
            progress_bar(len(examples), "asking", "doc", progress) as bar,
        ):
            seen: set[bytes] = set()
            for at in range(0, len(examples), TOGETHER):
                part = list(range(at, min(at + TOGETHER, len(examples))))
                pairs = unseen(aligned(examples, part, aligner, render), seen)
                for pair, said in zip(pairs, asked(member, pairs, sets, batch_size), strict=True):
                    writer.add(pair.teacher.ids, said[:, 0], said[:, 1])
                    documents, tokens = documents + 1, tokens + len(said)
                bar.update(len(part))
            record = {
                "teacher": public_name(folder.name, folder.path),
                "revision": folder.revision,
                "sha256": file_hashes(folder_files(folder)),
                "data": file_hashes([file for path in files for file in files_of(Path(path))]),
                "limit": limit,
                "boundaries": boundaries,
                "student": None if other is None else tokenizer_hash(other),
                "precision": precision,
                "documents": documents,
                "tokens": tokens,
                "versions": versions(),
            }
            writer.finish(record)
        for file in folder.tokenizer_files():
            shutil.copyfile(file, partial / file.name)
    return CacheReport(
        teacher=str(record["teacher"]),
        out=str(out),
        documents=documents,
        tokens=tokens,
        bytes_on_disk=tokens * 2 * np.dtype(precision).itemsize,
        boundaries=boundaries,
        seconds=time.perf_counter() - started,
    )


def unseen(pairs: Sequence[Pair], seen: set[bytes]) -> list[Pair]:
    """Documents that are not there yet, each once; `seen` learns them."""
    found = []
    for pair in pairs:
        known = digest(pair.teacher.ids)
        if known not in seen:
            seen.add(known)
            found.append(pair)
    return found


def check(boundaries: str, student: str | Path | None, precision: str, batch_size: int) -> None:
    """Refuse values that make no sense.

    Raises:
        UsageError: One does.
    """
    if boundaries not in (*BOUNDARIES, "none"):
        raise UsageError(
            f"There are no boundaries {boundaries!r}.",
            f"Take one of {', '.join(BOUNDARIES)} or none.",
        )
    if boundaries == "learned" and student is None:
        raise UsageError(
            "Learned boundaries are those of two vocabularies.", "Give --student as well."
        )
    if precision not in PRECISIONS:
        raise UsageError(
            f"{precision!r} is no precision of a cache.", f"Take {' or '.join(PRECISIONS)}."
        )
    if batch_size < 1:
        raise UsageError(f"--batch-size must be 1 or more, not {batch_size}.")


@torch.no_grad()
def asked(
    member: Member, pairs: Sequence[Pair], sets: Boundaries | None, batch_size: int
) -> Iterator[np.ndarray]:
    """What a teacher says of documents [tokens, 2], in their order.

    Args:
        member: The teacher.
        pairs: Documents, each aligned with itself.
        sets: Boundary sets, or None.
        batch_size: Windows that are read at once.
    """
    body, collate = Body.of(member.model), Collator(member.pad, member.pad)
    body.check()
    length = longest_window(member.model.config) or NO_LENGTH
    places, windows = [], []
    for number, pair in enumerate(pairs):
        for window in cut(number, len(pair.teacher.ids), length):
            places.append(window)
            windows.append(scored_part(pair, window.start, window.stop, window.scored))
    found = [np.zeros((len(pair.teacher.ids), 2), dtype=np.float32) for pair in pairs]
    order = sorted(range(len(windows)), key=lambda at: len(windows[at].teacher.ids))
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        batch = collate([[windows[at]] for at in some])
        device = member.model.device
        side = {name: values.to(device) for name, values in batch["teacher"].items()}
        numbers = None if sets is None else sets.numbers(batch["last"].to(device))
        own = None if sets is None else sets.side("teacher")
        said = read(body, side, sets=own, set_of=numbers, whole=True)
        tokens = said.tokens.float().cpu().numpy()
        masses = np.zeros_like(tokens)
        if said.masses is not None:
            for row, count in enumerate(batch["counts"].tolist()):
                final = batch["teacher"]["final"][row, :count].numpy()
                masses[row, final] = said.masses[row, :count].float().cpu().numpy()
        for row, at in enumerate(some):
            window = places[at]
            here = slice(window.context, window.length)
            into = found[window.sequence][window.scored : window.stop]
            into[:, 0], into[:, 1] = tokens[row, here], masses[row, here]
    yield from found


def scored_part(pair: Pair, start: int, stop: int, scored: int) -> Pair:
    """A window of a document, of which the tokens from one on are asked for.

    Args:
        pair: The document, aligned with itself.
        start, stop: The tokens of the window.
        scored: The first one asked for.
    """
    side = pair.teacher
    chunk = side.chunk[start:stop].copy()
    chunk[: scored - start] = NONE
    first = int(chunk[chunk != NONE].min(initial=len(pair.sizes)))
    behind = int(chunk.max(initial=NONE)) + 1
    chunk = np.where(chunk == NONE, NONE, chunk - first).astype(np.int32)
    trained = np.arange(start, stop) >= scored
    kept = Side(side.ids[start:stop], chunk, trained, side.begin)
    behind = max(behind, first)
    return replace(
        pair,
        teacher=kept,
        student=kept,
        sizes=pair.sizes[first:behind],
        last=pair.last[first:behind],
    )
