"""One pair of models, opened once, on which methods are tried one after the other."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import ModelFolder, resolve
from tokxfer.embeddings import HeldOut, Method, Problem, held_out, settled
from tokxfer.embeddings.pieces import pieces_map
from tokxfer.errors import FolderError, UnsupportedError, VocabularyError
from tokxfer.vocabulary import (
    ByteVocabulary,
    KeptDigits,
    Match,
    match,
    read_vocabulary,
    rewrite_digits,
)
from tokxfer.workflows.corpus import TextCorpus
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.matrices import (
    Matrices,
    check_donor,
    check_vocabularies,
    pose_all,
    solve_all,
)
from tokxfer.workflows.memory import MemoryPeak
from tokxfer.workflows.planning import counterparts, is_bare, new_size, public_name, refuse_other
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.sharing import Former
from tokxfer.workflows.transplant import check_finite, read_matrices
from tokxfer.workflows.transplant_model import install


@dataclass(frozen=True)
class Pair:
    """A base and a donor, checked.

    Attributes:
        base: The base's folder.
        donor: The donor's folder; None for a bare tokenizer, or where its weights cannot be read.
        donor_path: Where the donor's tokenizer is.
        base_name, donor_name: As people call them.
        base_vocabulary, donor_vocabulary: Their tokens.
        match: The donor's ids lined up with the base's.
        digits: How the donor's tokenizer came to cut numbers as the base's does; None where that
            was not asked for.
        donor_failure: Why the donor's weights cannot be read; "" where nothing is wrong.
    """

    base: ModelFolder
    donor: ModelFolder | None
    donor_path: Path
    base_name: str
    donor_name: str
    base_vocabulary: ByteVocabulary
    donor_vocabulary: ByteVocabulary
    match: Match
    digits: KeptDigits | None = None
    donor_failure: str = ""

    @classmethod
    def open(
        cls,
        base: str | Path,
        donor: str | Path,
        methods: Sequence[Method],
        *,
        revision: str | None = None,
        donor_revision: str | None = None,
        twins: str = "copy",
        keep_digits: bool = False,
        trust_remote_code: bool = False,
        offline: bool = False,
    ) -> Pair:
        """Open both models and line their vocabularies up.

        The donor's weights are read whatever the methods are: they say which of its tokens training
        hardly touched, and those must be hidden from none. A donor whose weights cannot be read
        counts as a bare tokenizer if some method does without them.

        Raises:
            TokxferError: In one sentence, what is wrong.
        """
        common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "offline": offline}
        base_folder = ModelFolder.open(base, revision=revision, **common)
        donor_path, _ = resolve(donor, revision=donor_revision, offline=offline, weights=True)
        donor_folder, why = None, ""
        if not is_bare(donor_path):
            try:
                donor_folder = ModelFolder.open(donor, revision=donor_revision, **common)
            except (FolderError, UnsupportedError) as failure:
                if all("donor weights" in method.needs for method in methods):
                    raise
                why = str(failure)
        old, new = read_vocabulary(base_folder.path), read_vocabulary(donor_path)
        kept = rewrite_digits(old, new) if keep_digits else None
        new = new if kept is None else kept.vocabulary
        matched = match(old, new, twins=twins)
        check_vocabularies(matched, old, base_folder.embeddings.rows)
        refuse_other(base_folder)
        return cls(
            base=base_folder,
            donor=donor_folder,
            donor_path=donor_path,
            base_name=public_name(base_folder.name, base_folder.path),
            donor_name=public_name(str(donor), donor_path),
            base_vocabulary=old,
            donor_vocabulary=new,
            match=matched,
            digits=kept,
            donor_failure=why,
        )


@dataclass(frozen=True)
class Made:
    """What one method made of a pair.

    Attributes:
        options: The method's options.
        held_out: For each matrix, what it makes of hidden shared tokens.
        worst: For each matrix, the text of those it is worst at, with their cosines.
        rows: For each matrix, how many rows came about in which way.
        chosen: For each matrix, what the method chose and measured.
        seconds: Wall time of making the rows, all tokens encoded and all vectors fitted before.
        preparing_seconds: Wall time of a first run, after which the encoder and the text keep on
            disk what they found; 0 for methods that need neither.
        preparing_bytes: Memory that the first run took at its peak, beyond what was held before:
            encoder and fit included. None where nobody knows, 0 for methods that need neither.
        extra_bytes: The same for making the rows, all prepared before.
    """

    options: dict[str, Any]
    held_out: dict[str, HeldOut]
    worst: dict[str, tuple[tuple[str, float], ...]]
    rows: dict[str, dict[str, int]]
    chosen: dict[str, dict[str, Any]]
    seconds: float
    preparing_seconds: float
    preparing_bytes: int | None
    extra_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """For reports; the ids of the worst tokens are left to their texts."""
        figures = asdict(self)
        for name in ("seconds", "preparing_seconds"):
            figures[name] = round(figures[name], 3)
        for score in figures["held_out"].values():
            del score["worst"]
        return figures


class Workbench:
    """A loaded base that gets the rows of one method after the other.

    Args:
        pair: The models.
        model: The base, loaded in float32; its matrices are replaced.
        device: Where rows are made.
        seed: Seed of everything random.
        budget: Bytes that batches may take; None for half of what is free.
        trust_undertrained: Whether rows that training hardly touched count like any other.

    Attributes:
        undertrained: For each matrix, how many rows training hardly touched, by model.
    """

    def __init__(
        self,
        pair: Pair,
        model: Any,
        device: torch.device,
        *,
        seed: int,
        budget: int | None,
        trust_undertrained: bool = False,
    ) -> None:
        self.pair, self.model, self.device = pair, model, device
        self._config = copy.deepcopy(model.config)  # new rows bring another
        self._options = {
            "seed": seed,
            "memory_budget": budget,
            "trust_undertrained": trust_undertrained,
        }
        self._base = read_matrices(pair.base).to(device)
        check_finite(pair.base, self._base, pair.base.embeddings.rows)
        self._donor: Matrices | None = None
        if pair.donor is not None:
            self._donor = read_matrices(pair.donor).to(device)
            if pair.digits is not None:
                self._donor = self._donor.first(pair.digits.donor_size)
            check_finite(pair.donor, self._donor, pair.donor_vocabulary.size)
        self._size = new_size(pair.match, len(self._base.input), None)
        self._installed = False
        plain = self._pose()
        first = next(iter(plain.values()))
        pieces_map(first, first.missing[:1].tolist())  # what all share is paid for before the race
        self.undertrained = {matrix: dict(p.undertrained) for matrix, p in plain.items()}

    def base(self) -> Member:
        """The base as a teacher, whatever rows the model has: on its body, with the old ones."""
        pair = self.pair
        former = Former(self.model, self._base, self._config)
        return Member(pair.base_name, former, pair.base_vocabulary)

    def _pose(self, **helpers: Any) -> dict[str, Problem]:
        """The problems of a method; the donor's weights are shown, so that all hide the same."""
        pair = self.pair
        return pose_all(
            self._base,
            self._donor,
            pair.base_vocabulary,
            pair.donor_vocabulary,
            pair.match,
            **(self._options | helpers),
        )

    def make(
        self,
        method: Method,
        encoder: TextEncoder | None = None,
        corpus: TextCorpus | None = None,
    ) -> Made:
        """Give the model the rows of a method, and say what they are worth without any text.

        For a method that chooses, that is what its choice is worth.

        Raises:
            UnsupportedError: The method needs donor weights, and the donor has none.
            VocabularyError: There is nothing to learn from, or a row is not finite.
        """
        pair = self.pair
        if pair.donor_failure and "donor weights" in method.needs:
            raise UnsupportedError(pair.donor_failure)
        check_donor(method, donor_name=pair.donor_name, weights=self._donor is not None)
        problems = self._pose(encoder=encoder, corpus=corpus)
        preparing: float = 0.0
        taken: int | None = 0
        if encoder is not None or corpus is not None:  # what they keep would be paid for only once
            started = time.perf_counter()
            with MemoryPeak(self.device) as first:
                solve_all(problems, self._base, method, self._size)
            preparing, taken = time.perf_counter() - started, first.extra_bytes
        started = time.perf_counter()
        with MemoryPeak(self.device) as peak:
            chosen = settled(method, list(problems.values()))
            rebuilt = solve_all(problems, self._base, chosen, self._size)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - started
        scores = {}
        for matrix, problem in problems.items():
            try:
                scores[matrix] = held_out(problem, chosen)
            except VocabularyError:
                continue
        check_numbers(rebuilt.matrices, scores.values())
        self._put(rebuilt.matrices)
        return Made(
            options=asdict(method),  # type: ignore[call-overload]
            held_out=scores,
            worst={matrix: self._spelled(score) for matrix, score in scores.items()},
            rows={matrix: part.map.counts() for matrix, part in rebuilt.assemblies.items()},
            chosen={matrix: dict(part.details) for matrix, part in rebuilt.assemblies.items()},
            seconds=seconds,
            preparing_seconds=preparing,
            preparing_bytes=taken,
            extra_bytes=peak.extra_bytes,
        )

    def _spelled(self, score: HeldOut) -> tuple[tuple[str, float], ...]:
        tokens = self.pair.donor_vocabulary.tokens
        return tuple((tokens[i].decode("utf-8", "backslashreplace"), c) for i, c in score.worst)

    @torch.no_grad()
    def _put(self, new: Matrices) -> None:
        """The first rows bring the new size and the new special ids, later ones only values."""
        if not self._installed:
            roles = self.pair.donor_vocabulary.roles
            install(self.model, new, roles, counterparts(self.pair.match))
            self._installed = True
            return
        embedding, head = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        embedding.weight.copy_(new.input)
        if new.output is not None:
            head.weight.copy_(new.output)
        if new.bias is not None:
            head.bias.copy_(new.bias)


def check_numbers(made: Matrices, scores: Iterable[HeldOut]) -> None:
    """Refuse rows, or scores of rows, that are not finite.

    Raises:
        VocabularyError: One is not.
    """
    parts = [part for part in (made.input, made.output, made.bias) if part is not None]
    told = [value for score in scores for value in (score.cosine, score.relative_error, score.rank)]
    if not all(map(math.isfinite, told)) or not all(bool(p.isfinite().all()) for p in parts):
        raise VocabularyError("Its rows are not finite numbers.", "Take other options.")
