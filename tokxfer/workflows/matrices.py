"""New embedding matrices for a new vocabulary: the step both ways of transplanting share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.embeddings import (
    Assembly,
    Method,
    Problem,
    Settled,
    apply_map,
    assemble,
    pose,
    settled,
)
from tokxfer.embeddings.spaces import side_by_side
from tokxfer.errors import UnsupportedError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary, Kind, Match


@dataclass(frozen=True)
class Matrices:
    """A model's embedding matrices.

    Attributes:
        input: [rows, dim].
        output: [rows, dim]; None where it is tied to the input, or there is none.
        bias: The head's bias [rows]; None where there is none.
        headless: Whether there is no output matrix: the input matrix is all.
    """

    input: torch.Tensor
    output: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    headless: bool = False

    def to(self, device: torch.device) -> Matrices:
        """The same matrices on another device."""
        moved = [m if m is None else m.to(device) for m in (self.input, self.output, self.bias)]
        assert moved[0] is not None
        return Matrices(moved[0], moved[1], moved[2], self.headless)

    def first(self, rows: int) -> Matrices:
        """The same matrices without the rows behind the first so many."""
        cut = [m if m is None else m[:rows] for m in (self.input, self.output, self.bias)]
        assert cut[0] is not None
        return Matrices(cut[0], cut[1], cut[2])


@dataclass(frozen=True)
class Rebuilt:
    """The matrices for the new vocabulary, and how each row of each came about."""

    matrices: Matrices
    assemblies: dict[str, Assembly]


def rebuild(
    base: Matrices,
    donor: Matrices | None,
    base_vocabulary: ByteVocabulary,
    donor_vocabulary: ByteVocabulary,
    match: Match,
    method: Method,
    size: int,
    **options: Any,
) -> Rebuilt:
    """The base's matrices, rebuilt for the donor's vocabulary.

    Input and output matrix are separate problems; a tied matrix is one problem, in which an untied
    donor shows both of its matrices side by side.

    Args:
        base: The base's matrices.
        donor: The donor's; None for a bare tokenizer.
        base_vocabulary: The base's vocabulary.
        donor_vocabulary: The donor's, which becomes the new one.
        match: The donor's ids lined up with the base's.
        method: The initializer.
        size: Rows of the new matrices, padding included.
        options: As for `pose`: seed, memory_budget, advance, encoder, corpus, trust_undertrained.

    Returns:
        The matrices in the base's dtype and on its device.
    """
    problems = pose_all(base, donor, base_vocabulary, donor_vocabulary, match, **options)
    return solve_all(problems, base, method, size)


def pose_all(
    base: Matrices,
    donor: Matrices | None,
    base_vocabulary: ByteVocabulary,
    donor_vocabulary: ByteVocabulary,
    match: Match,
    **options: Any,
) -> dict[str, Problem]:
    """One problem for each of the base's matrices, by its name; arguments as for `rebuild`."""
    rows = {"input" if base.headless or base.output is not None else "tied": base.input}
    if base.output is not None:
        rows["output"] = base.output
    posed = {
        matrix: pose(
            matrix,
            rows[matrix],
            None if donor is None else donor_rows(matrix, donor),
            base_vocabulary,
            donor_vocabulary,
            match,
            **options,
        )
        for matrix in rows
    }
    others = dict(zip(posed, reversed(posed.values()), strict=True)) if len(posed) > 1 else {}
    return {
        matrix: dataclasses.replace(problem, other=others.get(matrix))
        for matrix, problem in posed.items()
    }


def solve_all(
    problems: Mapping[str, Problem], base: Matrices, method: Method | Settled, size: int
) -> Rebuilt:
    """The new matrices by one method, after its choice where it is one that chooses."""
    chosen = settled(method, list(problems.values()))
    assemblies = {matrix: assemble(problem, chosen, size) for matrix, problem in problems.items()}
    first, last = assemblies[next(iter(assemblies))], assemblies[next(reversed(assemblies))]
    new_input = first.rows(base.input)
    new_output = None if base.output is None else last.rows(base.output)
    new_bias = None if base.bias is None else rebuild_bias(base.bias, last)
    return Rebuilt(Matrices(new_input, new_output, new_bias, base.headless), assemblies)


def donor_rows(matrix: str, donor: Matrices) -> torch.Tensor:
    """The donor's rows that describe a token for one of the base's matrices [rows, donor dim]."""
    if donor.output is None or matrix == "input":
        return donor.input
    if matrix == "output":
        return donor.output
    return side_by_side(donor.input, donor.output)


def rebuild_bias(bias: torch.Tensor, assembly: Assembly) -> torch.Tensor:
    """The head's bias [new rows], by the same combinations as the head's rows; else its mean."""
    column = bias[:, None]
    mean = column.float().mean(dim=0)
    outside = mean.expand(assembly.map.rows, 1)
    return apply_map(assembly.map, column, mean=mean, outside=outside)[:, 0]


def check_donor(method: Method, *, donor_name: str, weights: bool) -> None:
    """Say at once that a method needs weights where the donor has none.

    Raises:
        UnsupportedError: The donor is a bare tokenizer.
    """
    if "donor weights" in method.needs and not weights:
        raise UnsupportedError(
            f"The method {method.name!r} needs the donor's weights, and {donor_name} is a bare "
            "tokenizer.",
            "Give a model folder as DONOR, or use a method without donor weights: -m subword.",
        )


def check_vocabularies(match: Match, base: ByteVocabulary, base_rows: int) -> None:
    """Say before any work why two vocabularies do not do.

    Raises:
        VocabularyError: They share no token, or ordinary tokens of the base have no row.
    """
    beyond = [
        token_id
        for token_id in range(base_rows, base.size)
        if base.kinds[token_id] not in (Kind.SPECIAL, Kind.UNUSED, Kind.ADDED)
    ]
    if beyond:
        raise VocabularyError(
            f"The base's tokenizer has ids up to {base.size - 1}, its embedding matrix only "
            f"{base_rows} rows.",
            "This tokenizer belongs to another model; give the base its own.",
        )
    if match.shared == 0:
        raise VocabularyError(
            "The two vocabularies share no token, so that nothing could be kept.",
            "Look at both with 'tokxfer align BASE DONOR'.",
        )
