"""`transplant`: a model with another tokenizer, without training."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import ModelFolder, atomic_folder
from tokxfer.embeddings import Method
from tokxfer.errors import FolderError
from tokxfer.workflows.matrices import Matrices, Rebuilt, rebuild
from tokxfer.workflows.planning import Plan, plan_transplant
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.transplant_report import TransplantReport, peak_memory
from tokxfer.workflows.writing import write_transplant

__all__ = ["TransplantReport", "carry_out", "transplant"]


def transplant(
    base: str | Path,
    donor: str | Path,
    out: str | Path,
    *,
    method: str | Method = "omp",
    progress: bool = False,
    **options: Any,
) -> TransplantReport:
    """Give a model the tokenizer of another, streaming from folder to folder.

    Only the embedding matrices are held in memory; every other tensor is passed through. The
    result is written beside `out`, checked (loaded once, where it fits the memory budget), and only
    then put in its place.

    Args:
        base: Model folder or hub name whose tokenizer is replaced.
        donor: Model folder or hub name, or a bare tokenizer, that brings the new one; the word
            "bytes" for 256 tokens, one a byte (a folder of that name is "./bytes").
        out: Folder to write.
        method: Name of an initializer, or one ready made, such as `OMP(k=32)`.
        progress: Show bars on stderr.
        options: k (shared tokens per combination, at most), selection ("raw", "normalized" or
            "auto"), ridge, tune, center, match_norms and shared, for `omp`;
            decay, for `subword-first` and `subword-last`; k and weights, for `knn`; share, k,
            temperature, threshold and encoder (a text encoder's folder or hub name), for
            `tokenadapt-…`; train_text (files to fit vectors on), unseen, min_count, epochs, dim and
            negatives, for `focus` and `wechsel`, and k and temperature, for the latter; twins
            ("copy" or "mean": rows of ids that have the same bytes as another and that no text
            becomes); trust_undertrained (learn from rows that training hardly touched, too);
            keep_digits (the donor's tokenizer is rewritten to cut numbers as the base's does);
            untie (a tied base's output matrix gets rows of its own; by default for bytes alone);
            pad_to_multiple_of (rounds the rows up);
            max_shard_size (such as "5GB"); device ("auto", "cpu", "cuda:0", "mps"); dtype
            ("auto" keeps the base's); revision and donor_revision (of hub names);
            trust_remote_code; offline; force (replace `out`); seed; memory_budget (bytes, "2GB",
            or None for half of what is free).

    Returns:
        What was done, what it cost, and every check of the result.

    Raises:
        TokxferError: In one sentence, what is wrong with the inputs; nothing is written.
        VerificationError: The result failed a check; nothing is left behind.

    Example:
        >>> import tokxfer as tx
        >>> report = tx.transplant("models/english-spbpe", "models/english-bytebpe", "out",
        ...                        method=tx.OMP(k=32))  # doctest: +SKIP
    """
    return carry_out(plan_transplant(base, donor, out, method=method, **options), progress=progress)


def carry_out(plan: Plan, *, progress: bool = False) -> TransplantReport:
    """Do what a plan says: compute the rows, write the folder, check it, put it in place."""
    started = time.perf_counter()
    forbidden = [plan.base.path, plan.donor_path]
    with atomic_folder(plan.out, force=plan.force, forbidden=forbidden) as partial:
        rebuilt = compute(plan, progress)
        report = write_transplant(plan, partial, rebuilt, progress=progress)
    return report.replace(seconds=time.perf_counter() - started, peak_bytes=peak_memory())


def compute(plan: Plan, progress: bool) -> Rebuilt:
    """The new matrices, on the base's dtype."""
    base = read_matrices(plan.base).to(plan.device)
    check_finite(plan.base, base, plan.base.embeddings.rows)
    if plan.untie:
        base = dataclasses.replace(base, output=base.input)
    donor = None
    if plan.donor is not None:
        donor = read_matrices(plan.donor).to(plan.device)
        if plan.digits is not None and plan.digits.added:  # padding is no row of what was added
            donor = donor.first(plan.digits.donor_size)
        check_finite(plan.donor, donor, plan.donor_vocabulary.size)
    if plan.encoder is not None:
        plan.encoder.progress = progress
    if plan.corpus is not None:
        plan.corpus.progress = progress
    new = int((plan.match.base_ids < 0).sum()) * (1 if base.output is None else 2)
    with progress_bar(new, f"rows by {plan.method.name}", "row", progress) as bar:
        return rebuild(
            base,
            donor,
            plan.base_vocabulary,
            plan.donor_vocabulary,
            plan.match,
            plan.method,
            plan.size,
            seed=plan.seed,
            memory_budget=plan.memory_budget,
            advance=bar.update,
            encoder=plan.encoder,
            trust_undertrained=plan.trust_undertrained,
            corpus=plan.corpus,
        )


def check_finite(folder: ModelFolder, matrices: Matrices, rows: int) -> None:
    """Refuse a model whose first `rows` rows hold numbers that are not finite.

    Raises:
        FolderError: A row does.
    """
    layout = folder.embeddings
    for name, matrix in (
        (layout.input, matrices.input),
        (layout.output, matrices.output),
        (layout.bias, matrices.bias),
    ):
        if matrix is None:
            continue
        broken = ~torch.isfinite(matrix[:rows]).reshape(min(rows, len(matrix)), -1).all(dim=1)
        if bool(broken.any()):
            raise FolderError(
                f"Row {int(broken.nonzero()[0]):,} of {name} in {folder.name} has numbers that "
                "are not finite.",
                "Download the model again, or give one that is whole.",
            )


def read_matrices(folder: ModelFolder) -> Matrices:
    """A model's embedding matrices and head bias, read from its weight files."""
    layout = folder.embeddings
    return Matrices(
        folder.read(layout.input),
        None if layout.output is None else folder.read(layout.output),
        None if layout.bias is None else folder.read(layout.bias),
        layout.headless,
    )
