"""What methods share whose vectors are fitted on a text: the text, and tokens that it lacks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokxfer.embeddings.gaussian import Gaussian
from tokxfer.embeddings.mean import empty_map
from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Corpus, Problem, Solution
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.shapes import Bool, Float
from tokxfer.vocabulary import Origin, VocabularyMap

UNSEEN = ("gaussian", "pieces")


def corpus_of(problem: Problem) -> Corpus:
    """The problem's text.

    Raises:
        UsageError: There is none.
    """
    if problem.corpus is None:
        raise UsageError("This method is fitted on text.", "Give some as train_text=….")
    return problem.corpus


def check_unseen(unseen: str) -> None:
    """Refuse what is no way to make rows of tokens without a vector.

    Raises:
        UsageError: It is none.
    """
    if unseen not in UNSEEN:
        raise UsageError(
            f"There is no way {unseen!r} to make rows of unseen tokens.",
            f"Use {' or '.join(UNSEEN)}.",
        )


def check_seen(count: int, what: str, min_count: int) -> None:
    """Say that a text is too short to learn anything from.

    Args:
        count: Tokens with a vector to make rows of.
        what: What they are.
        min_count: Occurrences that a vector takes.

    Raises:
        VocabularyError: There is no such token.
    """
    if count == 0:
        raise VocabularyError(
            f"No {what} has a vector: none occurs {min_count:,} times in the training text.",
            "Give more text, or take vectors of rarer tokens: --min-count 1.",
        )


def directions(rows: Float[np.ndarray, "rows dim"]) -> npt.NDArray[np.float32]:
    """The rows at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (rows / np.maximum(lengths, 1e-30)).astype(np.float32)
    return unit


def with_unseen(
    problem: Problem, seen: Bool[np.ndarray, " missing"], learned: VocabularyMap, unseen: str
) -> Solution:
    """Learned rows [seen] at their places among the missing, and the others' made otherwise.

    Args:
        problem: One matrix's problem.
        seen: Which missing tokens have a vector.
        learned: The rows of those.
        unseen: "gaussian" draws the other rows around the mean row, as `gaussian` does; "pieces"
            takes the means of their pieces.
    """
    counts = {"seen": int(seen.sum()), "unseen": int((~seen).sum())}
    if seen.all():
        return Solution(learned, details=counts)
    if unseen == "pieces":
        outside, others = None, pieces_map(problem, problem.missing.tolist())
    else:
        outside, others = Gaussian().solve(problem).outside, empty_map(problem, Origin.OUTSIDE)
    return Solution(others.replace(np.flatnonzero(seen), learned), outside, counts)
