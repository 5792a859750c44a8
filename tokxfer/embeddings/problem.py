"""What an initializer is asked, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.errors import UsageError
from tokxfer.shapes import Float, Int
from tokxfer.vocabulary import ByteVocabulary, VocabularyMap

Ids = npt.NDArray[np.int64]


@runtime_checkable
class Encoder(Protocol):
    """A text encoder, such as a sentence-transformers model: texts in, directions out."""

    def encode(self, texts: Sequence[str]) -> Float[npt.NDArray[np.float32], "texts dim"]:
        """One row of length 1 for every text."""
        ...

    def nearest(
        self, queries: Sequence[str], keys: Sequence[str], k: int
    ) -> tuple[Int[Ids, "queries k"], Float[npt.NDArray[np.float32], "queries k"]]:
        """Places of the k keys nearest to every query, and their cosines; nearest first."""
        ...


@dataclass(frozen=True)
class Training:
    """How vectors are fitted on a text: continuous bags of words with byte n-grams.

    Attributes:
        dim: Numbers in a vector.
        epochs: Times the text is read.
        negatives: Random words that every word is told apart from.
        min_count: Occurrences below which a word has no vector.
        seed: Seed of the fit.

    Raises:
        UsageError: A number is below 1.

    Source: Bojanowski et al., "Enriching Word Vectors with Subword Information" (1607.04606).
    """

    dim: int = 100
    epochs: int = 3
    negatives: int = 10
    min_count: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "epochs", "negatives", "min_count"):
            if (value := getattr(self, name)) < 1:
                raise UsageError(
                    f"The option {name} is {value}; it must be 1 or more.",
                    f"Leave it out for the default, {getattr(type(self), name)}.",
                )


@runtime_checkable
class Corpus(Protocol):
    """A text that vectors are fitted on; a fit made once is not made again."""

    def token_vectors(
        self, vocabulary: ByteVocabulary, training: Training
    ) -> tuple[Int[Ids, " tokens"], Float[npt.NDArray[np.float32], "tokens dim"]]:
        """The ids of text that occur often enough in the tokenized text, ascending; their vectors.

        Raises:
            VocabularyError: None does.
        """
        ...

    def word_vectors(
        self, training: Training
    ) -> tuple[Sequence[bytes], Int[Ids, " words"], Float[npt.NDArray[np.float32], "words dim"]]:
        """The words that occur often enough, leading space included; their counts and vectors.

        Raises:
            VocabularyError: None does.
        """
        ...


@dataclass(frozen=True)
class Problem:
    """One embedding matrix of the base, to be rebuilt for the donor's vocabulary.

    Attributes:
        matrix: "input", "output", or "tied" for one matrix that serves as both.
        base_rows: The base's matrix [base rows, dim], padding rows included.
        donor_rows: The donor's matrix [donor rows, donor dim]; None for a bare tokenizer.
        base: The base's vocabulary.
        donor: The donor's vocabulary, which is the new one.
        sources: The base id whose row each donor id takes over [donor ids], -1 for none.
        how: Why it does, a `MatchKind` each [donor ids].
        missing: Donor ids without a row in the base [missing], ascending.
        anchors: Donor ids of the shared tokens to learn from [anchors].
        distrusted: Whether the donor hardly trained the row of a missing token [missing].
        seed: Seed of everything random.
        memory_budget: Bytes that batches may take; None takes half of what is free.
        advance: Called with the number of tokens done, for a progress bar.
        encoder: The text encoder, for methods that need one.
        corpus: The text to fit vectors on, for methods that need one.
        hidden: Whether the missing tokens are shared ones held out, so that no row may be made of
            the base's own row for the same bytes (see `hide`).
        undertrained: How many rows of ordinary tokens training hardly touched, by model: "base",
            and "donor" where it has weights.
        poor: Base ids that are no neighbours to learn from, since training hardly touched their
            rows; none where those count like any other.
        other: The same problem for the base's other matrix; None for a tied one.
    """

    matrix: str
    base_rows: Float[torch.Tensor, "base_tokens dim"]
    donor_rows: Float[torch.Tensor, "donor_tokens donor_dim"] | None
    base: ByteVocabulary
    donor: ByteVocabulary
    sources: Ids
    how: npt.NDArray[np.uint8]
    missing: Ids
    anchors: Ids
    distrusted: npt.NDArray[np.bool_]
    seed: int = 0
    memory_budget: int | None = None
    advance: Callable[[int], None] | None = None
    encoder: Encoder | None = None
    corpus: Corpus | None = None
    hidden: bool = False
    undertrained: Mapping[str, int] = field(default_factory=dict)
    poor: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    other: Problem | None = None


@dataclass(frozen=True)
class Solution:
    """Rows for the missing tokens of a problem.

    Attributes:
        map: One row per missing token, over the base's rows. Rows of origin MEAN are empty and
            stand for the mean row; rows of origin OUTSIDE are taken from `outside`.
        outside: Rows that are no combination of the base's, [missing, dim]; None where unused.
        details: What was chosen and measured on the way, for the report (JSON types).
        advanced: Whether the method itself reported its progress.
    """

    map: VocabularyMap
    outside: Float[torch.Tensor, "missing dim"] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    advanced: bool = False


@runtime_checkable
class Solver(Protocol):
    """What makes rows for missing tokens."""

    def solve(self, problem: Problem) -> Solution:
        """Rows for `problem.missing`."""
        ...


@runtime_checkable
class Method(Solver, Protocol):
    """An initializer: a frozen dataclass of options that solves problems.

    `needs` names what must be at hand before any work: "donor weights", "anchors", "encoder",
    "text"; `wants`, where there is one, what is used if it is given.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]


def label(method: Method) -> str:
    """A method's name, with those of its options that are not at their defaults."""
    plain = type(method)()
    own = {f.name: getattr(method, f.name) for f in dataclasses.fields(cast(Any, method))}
    told = [f"{name}={value}" for name, value in own.items() if value != getattr(plain, name)]
    return f"{method.name} ({', '.join(told)})" if told else method.name


def uses(method: Method, what: str) -> bool:
    """Whether a method needs something, such as "encoder", or makes use of it where it is given."""
    return what in method.needs | getattr(method, "wants", frozenset())


def reads_donor(method: Method) -> bool:
    """Whether a method gains from the donor's weights: for rows, or to know which are trained."""
    return uses(method, "donor weights") or "anchors" in method.needs
