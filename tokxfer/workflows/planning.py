"""What a transplant will do: every input opened and every request checked, nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokxfer.checkpoints import (
    ModelFolder,
    check_target,
    parse_size,
    pick_device,
    pick_dtype,
    resolve,
)
from tokxfer.embeddings import ByteStart, Method, build_method, reads_donor, uses
from tokxfer.errors import FolderError, UnsupportedError, UsageError
from tokxfer.vocabulary import (
    ByteVocabulary,
    KeptDigits,
    Match,
    MatchKind,
    match,
    read_vocabulary,
    rewrite_digits,
)
from tokxfer.workflows.bytestudent import BYTES, ByteDonor, special_only
from tokxfer.workflows.corpus import Files, TextCorpus, open_corpus
from tokxfer.workflows.encoder import TextEncoder, open_encoder
from tokxfer.workflows.framing import Framed, frame_donor
from tokxfer.workflows.matrices import check_donor, check_vocabularies

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".gguf")


@dataclass(frozen=True)
class Plan:
    """A transplant ready to be carried out.

    Attributes:
        base: The base's folder.
        donor: The donor's folder; None where its weights are not needed.
        donor_path: Where the donor's tokenizer is.
        donor_name: The donor as people call it: a hub name, or the name of its folder.
        donor_revision: The donor's commit, if it came from the hub.
        out: The folder to write.
        method: The initializer.
        base_vocabulary: The base's tokens.
        donor_vocabulary: The donor's tokens, the new ones; rewritten where digits are kept.
        match: The donor's ids lined up with the base's.
        size: Rows of the new matrices, padding included.
        device: Where rows are computed.
        dtype: Of the written weights; None keeps each tensor's own.
        max_shard_size: Bytes of the largest weight file.
        memory_budget: Bytes that batches may take; None takes half of what is free.
        seed: Seed of everything random.
        trust_remote_code: Whether a model's own Python code may run.
        force: Whether an existing `out` is replaced.
        encoder: The text encoder; None where the method needs none.
        twins: What became of donor ids that no text becomes (see `match`).
        trust_undertrained: Whether rows that training hardly touched count like any other.
        corpus: The text that the method is fitted on; None where it is not.
        digits: How the donor's tokenizer came to cut numbers as the base's does; None where that
            was not asked for.
        framed: The donor's tokenizer within the base's frame, where that changes it.
        bytes_only: The tokenizer of bytes that stands for a donor; None where there is a donor.
        untie: Whether a tied base's output matrix gets rows of its own.
    """

    base: ModelFolder
    donor: ModelFolder | None
    donor_path: Path
    donor_name: str
    donor_revision: str | None
    out: Path
    method: Method
    base_vocabulary: ByteVocabulary
    donor_vocabulary: ByteVocabulary
    match: Match
    size: int
    device: torch.device
    dtype: torch.dtype | None
    max_shard_size: int
    memory_budget: int | None
    seed: int
    trust_remote_code: bool
    force: bool
    encoder: TextEncoder | None = None
    twins: str = "copy"
    trust_undertrained: bool = False
    corpus: TextCorpus | None = None
    digits: KeptDigits | None = None
    framed: Framed | None = None
    bytes_only: ByteDonor | None = None
    untie: bool = False

    @property
    def tied(self) -> bool:
        """Whether one matrix of the result serves as input and output."""
        return self.base.embeddings.tied and not self.untie

    @property
    def base_name(self) -> str:
        """The base as people call it: a hub name, or the name of its folder, never a path."""
        return public_name(self.base.name, self.base.path)

    def disk_bytes(self) -> int:
        """Size of the weights to be written."""
        sizes = {name: info.size for name, info in self.base.tensors.items()}
        total = sum(sizes.values())
        layout = self.base.embeddings
        for name in (layout.input, layout.output, layout.bias):
            if name is not None:
                total += sizes[name] * self.size // layout.rows - sizes[name]
        if self.untie:
            total += sizes[layout.input] * self.size // layout.rows
        if self.dtype is not None:
            total = total * self.dtype.itemsize // self.base.dtype.itemsize
        return int(total)

    def memory_bytes(self) -> int:
        """Working memory at the peak, roughly: both models' matrices in float32, old and new."""
        layout = self.base.embeddings
        matrices = 1 if layout.output is None and not self.untie else 2
        total = matrices * (layout.rows + self.size) * layout.dim * 4
        if self.donor is not None:
            donor = self.donor.embeddings
            total += (1 if donor.output is None else 2) * donor.rows * donor.dim * 8
        return total

    def to_dict(self) -> dict[str, Any]:
        """What `--dry-run --json` prints."""
        how = self.match.how
        return {
            "base": self.base_name,
            "donor": self.donor_name,
            "out": str(self.out),
            "method": self.method.name,
            "tied": self.tied,
            "untied": self.untie,
            "base_size": self.base_vocabulary.size,
            "donor_size": self.donor_vocabulary.size,
            "rows_before": self.base.embeddings.rows,
            "rows_after": self.size,
            "shared": self.match.shared,
            "copied_ids": int((how == MatchKind.BYTES).sum()),
            "role_ids": int((how == MatchKind.ROLE).sum()),
            "new_ids": int((self.match.base_ids < 0).sum()),
            "digits_kept": None if self.digits is None else self.digits.to_dict(),
            "disk_bytes": self.disk_bytes(),
            "memory_bytes": self.memory_bytes(),
        }


def plan_transplant(
    base: str | Path,
    donor: str | Path,
    out: str | Path,
    *,
    method: str | Method = "omp",
    encoder: str | Path | None = None,
    twins: str = "copy",
    trust_undertrained: bool = False,
    train_text: Files | TextCorpus | None = None,
    keep_digits: bool = False,
    untie: bool | None = None,
    pad_to_multiple_of: int | None = None,
    max_shard_size: str | int = "5GB",
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    donor_revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool = False,
    force: bool = False,
    seed: int = 0,
    memory_budget: int | str | None = None,
    **options: Any,
) -> Plan:
    """Open both models and check the whole request; the arguments are those of `transplant`.

    Args:
        options: The method's own; those that are None keep their defaults. A donor "bytes" has the
            default method `ByteStart`.

    Raises:
        TokxferError: In one sentence, what is wrong.
    """
    chosen = build_method(method, **options)
    wants_bytes = donor == BYTES
    if wants_bytes and method == "omp":
        chosen = ByteStart()
    if wants_bytes and keep_digits:
        raise UsageError("--keep-digits is for donors that have numbers as tokens, not for bytes.")
    inputs = [Path(each) for each in (base, *([] if wants_bytes else [donor]))]
    inputs = [path for path in inputs if path.exists()]
    check_target(out, force=force, forbidden=inputs)
    base_folder = ModelFolder.open(
        base, revision=revision, trust_remote_code=trust_remote_code, offline=offline
    )
    base_vocabulary = read_vocabulary(base_folder.path)
    made = ByteDonor(base_folder, base_vocabulary) if wants_bytes else None
    donor_path, commit = resolve(
        donor if made is None else made.path,
        revision=donor_revision, offline=offline, weights=reads_donor(chosen),
    )  # fmt: skip
    donor_folder = None
    if reads_donor(chosen) and not is_bare(donor_path):
        try:
            donor_folder = ModelFolder.open(
                donor, revision=donor_revision, trust_remote_code=trust_remote_code, offline=offline
            )
        except (FolderError, UnsupportedError):
            if uses(chosen, "donor weights"):
                raise
    check_donor(chosen, donor_name=str(donor), weights=donor_folder is not None)
    donor_vocabulary = read_vocabulary(donor_path)
    kept = rewrite_digits(base_vocabulary, donor_vocabulary) if keep_digits else None
    donor_vocabulary = donor_vocabulary if kept is None else kept.vocabulary
    matched = match(base_vocabulary, donor_vocabulary, twins=twins)
    check_vocabularies(matched, base_vocabulary, base_folder.embeddings.rows)
    if isinstance(chosen, ByteStart):
        matched = special_only(matched)
    refuse_other(base_folder)
    framed = None
    if base_folder.embeddings.headless:
        file = donor_path / "tokenizer.json" if donor_path.is_dir() else donor_path
        framed = frame_donor(
            base_vocabulary, donor_vocabulary, file, counterparts(matched),
            None if kept is None else kept.content,
        )  # fmt: skip
    if framed is not None:
        donor_vocabulary = framed.vocabulary
        matched = match(base_vocabulary, donor_vocabulary, twins=twins)
    refuse_padding(base_folder, donor_vocabulary)
    text_encoder = open_encoder(
        chosen, encoder, device=device, offline=offline, trust_remote_code=trust_remote_code
    )
    corpus = open_corpus(chosen, train_text)
    return Plan(
        base=base_folder,
        donor=donor_folder,
        donor_path=donor_path,
        donor_name=BYTES if made is not None else public_name(str(donor), donor_path),
        donor_revision=commit,
        out=Path(out),
        method=chosen,
        base_vocabulary=base_vocabulary,
        donor_vocabulary=donor_vocabulary,
        match=matched,
        size=new_size(matched, base_folder.embeddings.rows, pad_to_multiple_of),
        device=pick_device(device),
        dtype=pick_dtype(dtype),
        max_shard_size=parse_size(max_shard_size),
        memory_budget=None if memory_budget in (None, "auto") else parse_size(memory_budget or 0),
        seed=seed,
        trust_remote_code=trust_remote_code,
        force=force,
        encoder=text_encoder,
        twins=twins,
        trust_undertrained=trust_undertrained,
        corpus=corpus,
        digits=kept,
        framed=framed,
        bytes_only=made,
        untie=base_folder.embeddings.tied and (wants_bytes if untie is None else untie),
    )


def is_bare(path: Path) -> bool:
    """Whether a path is a tokenizer and no model: a file, or a folder without config or weights.

    An adapter, pickled weights or GGUF are no bare tokenizer: opening them says what they are.
    """
    if not path.is_dir():
        return path.is_file() and path.suffix != ".gguf"
    files = {entry.name for entry in path.iterdir()}
    return not files & {"config.json", "adapter_config.json"} and not any(
        name.endswith(WEIGHTS) for name in files
    )


def refuse_other(base: ModelFolder) -> None:
    """Raise if a model has rows per token that are neither its embedding nor its head.

    Raises:
        UnsupportedError: Those rows would keep the old vocabulary's meaning.
    """
    other = base.embeddings.other
    if other:
        raise UnsupportedError(
            f"{base.name} has other tensors with a row per token ({', '.join(other)}), which "
            "would keep the meaning of the old vocabulary.",
            "Give a model whose only such tensors are its embeddings and its head.",
        )


def refuse_padding(base: ModelFolder, new: ByteVocabulary) -> None:
    """Raise if a model counts positions from the id of padding, and that id would be another's.

    Raises:
        UnsupportedError: The positions of all tokens would move.
    """
    counted = base.embeddings.counted_from
    if counted is not None and new.roles.get("pad") != counted:
        raise UnsupportedError(
            f"{base.name} counts positions from its padding token (id {counted}), which is "
            f"{new.roles.get('pad', 'missing')} in the donor.",
            f"Give a donor whose padding token has id {counted}.",
        )


def public_name(name: str, path: Path) -> str:
    """A hub name as it is; of a path, the last part (of a tokenizer.json, its folder's)."""
    if not Path(name).exists():
        return name
    resolved = path.resolve()
    return resolved.parent.name if resolved.is_file() else resolved.name


def new_size(matched: Match, base_rows: int, multiple: int | None) -> int:
    """Rows of the new matrices: one per id, rounded up; a vocabulary onto itself keeps its padding.

    Raises:
        UsageError: `multiple` is below 1, or more than there are rows.
    """
    if multiple is not None and multiple < 1:
        raise UsageError(
            f"--pad-to-multiple-of is {multiple}; rows come in whole numbers.", "Use 64, say."
        )
    ids = len(matched.base_ids)
    if multiple is not None and multiple > max(ids, base_rows):
        raise UsageError(
            f"--pad-to-multiple-of is {multiple:,}, more than the {max(ids, base_rows):,} rows.",
            "Use 64, say.",
        )
    if multiple is None and is_identity(matched):
        return max(ids, base_rows)
    step = multiple or 1
    return -(-ids // step) * step


def is_identity(matched: Match) -> bool:
    """Whether every id of the donor takes over the base's row of the same id."""
    return bool(np.array_equal(matched.base_ids, np.arange(len(matched.base_ids))))


def counterparts(matched: Match) -> dict[int, int]:
    """The new id of each of the base's ids that has one, for settings that name tokens by id.

    Where several new ids take one of the base's, the first counts; the end of text before other
    roles, and roles before other tokens.
    """
    taken = np.flatnonzero(matched.base_ids >= 0)[::-1]
    ids = dict(zip(matched.base_ids[taken].tolist(), taken.tolist(), strict=True))
    ends = [role for role in matched.roles if role.role == "eos"]
    for role in (*reversed(matched.roles), *ends):
        if role.base_id is not None:
            ids[role.base_id] = role.donor_id
    return ids
