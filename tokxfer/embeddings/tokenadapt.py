"""What the three forms of TokenAdapt share: pieces and neighbours weighed by a text encoder.

Source: S. Sharthak et al., "Achieving Tokenizer Flexibility in Language Models through Heuristic
Adaptation and Supertoken Learning" (2505.09738), section 3. Here token text keeps its leading
space, and bytes that are no whole character are spelled out (see `token_text`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokxfer.embeddings.pieces import pieces_of
from tokxfer.embeddings.problem import Encoder, Problem
from tokxfer.embeddings.tokentext import token_text
from tokxfer.errors import UsageError
from tokxfer.shapes import Float, Int
from tokxfer.vocabulary import Origin, VocabularyMap

Floats = npt.NDArray[np.float32]
CANDIDATES = 4  # times k: near tokens among which those that start alike come first at a tie
TIE = 3  # decimals of a cosine that count
CHUNK = 16_384  # pieces compared at a time


def local_map(problem: Problem, temperature: float) -> VocabularyMap:
    """The base's pieces of every missing token, weighed by likeness to the whole and by length.

    With s the token, pᵢ its pieces, φ the encoder and |·| the length in characters:
    u = softmax(cos(φ(s), φ(pᵢ))), lᵢ = |pᵢ| / Σ |pⱼ|, w = softmax((u + l) / 2 / temperature).
    Bytes that are no whole character count as the characters that replace them. A token that the
    base cannot spell is of origin MEAN.
    """
    encoder, tokens = encoder_of(problem), problem.base.tokens
    if len(problem.missing) == 0:
        return VocabularyMap.from_rows(len(problem.base_rows), [])
    whole = [problem.donor.tokens[donor_id] for donor_id in problem.missing.tolist()]
    size, pieces = len(problem.base_rows), pieces_of(problem, problem.missing.tolist())
    counts = np.array([len(found) for found in pieces], dtype=np.int64)
    flat = np.array([piece for found in pieces for piece in found], dtype=np.int64)
    rows = np.repeat(np.arange(len(pieces)), counts)
    kinds, place = np.unique(flat, return_inverse=True)
    tokens_of = [token_text(tokens[piece]) for piece in kinds.tolist()]
    vectors, wholes = encoder.encode(tokens_of), encoder.encode([token_text(t) for t in whole])
    likeness = np.zeros(len(flat), dtype=np.float32)
    for start in range(0, len(flat), CHUNK):
        part = slice(start, start + CHUNK)
        likeness[part] = np.einsum("ed,ed->e", vectors[place[part]], wholes[rows[part]])
    lengths = np.array([len(tokens[piece].decode("utf-8", "replace")) for piece in kinds.tolist()])
    shares = (
        lengths[place] / np.bincount(rows, lengths[place], len(pieces))[rows] if len(flat) else 0
    )
    weights = softmax((softmax(likeness, rows) + shares) / 2 / temperature, rows)
    origins = np.where(counts > 0, Origin.PIECES, Origin.MEAN)
    return compressed(size, counts, flat, weights, origins)


def global_map(problem: Problem, k: int, temperature: float, threshold: float) -> VocabularyMap:
    """The k tokens of the base nearest to every missing token in the encoder's space.

    Weights are softmax(cos / temperature) over those whose cosine is at least `threshold`; a token
    without any is of origin MEAN. Between tokens that the encoder cannot tell apart (many strip
    spaces), those that begin with a space like the missing token, or like it do not, come first.
    """
    encoder = encoder_of(problem)
    if len(problem.missing) == 0:
        return VocabularyMap.from_rows(len(problem.base_rows), [])
    ids = spellings(problem)
    texts = [token_text(problem.base.tokens[base_id]) for base_id in ids.tolist()]
    whole = [problem.donor.tokens[donor_id] for donor_id in problem.missing.tolist()]
    wanted = min(CANDIDATES * k + 1, len(ids))
    places, cosines = encoder.nearest([token_text(token) for token in whole], texts, wanted)
    begins = np.array([problem.base.tokens[base_id].startswith(b" ") for base_id in ids.tolist()])
    unlike = begins[places] != np.array([t.startswith(b" ") for t in whole])[:, None]
    near = ids[places]
    itself = np.array([(*problem.base.ids_of(token), -1)[0] for token in whole])  # when held out
    own = near == itself[:, None]
    order = np.lexsort((unlike, -np.round(cosines, TIE), own), axis=1)[:, :k]
    kept = np.take_along_axis((cosines >= threshold) & ~own, order, axis=1)
    near = np.take_along_axis(near, order, axis=1)[kept]
    likeness = np.take_along_axis(cosines, order, axis=1)[kept]
    counts = kept.sum(axis=1)
    rows = np.repeat(np.arange(len(whole)), counts)
    origins = np.where(counts > 0, Origin.NEIGHBOURS, Origin.MEAN)
    weights = softmax(likeness / temperature, rows)
    return compressed(len(problem.base_rows), counts, near, weights, origins)


def spellings(problem: Problem) -> Int[np.ndarray, " tokens"]:
    """Ids of the base's tokens of text that have a row, one for every byte string.

    Of two ids with the same bytes (`<0x65>` and `e`) the one that text becomes stands for both.
    Rows that training hardly touched are left out, unless there are no others.
    """
    ids = np.array(sorted(same[0] for same in problem.base.by_bytes.values()), dtype=np.int64)
    ids = ids[ids < len(problem.base_rows)]
    trained = ids[~np.isin(ids, problem.poor)]
    return trained if len(trained) else ids


def blend(local: VocabularyMap, near: VocabularyMap, share: float) -> VocabularyMap:
    """(1 − share) · local + share · near, row by row; where one has nothing, the other alone."""
    both = (local.origins == Origin.PIECES) & (near.origins == Origin.NEIGHBOURS)
    parts = []
    for part, weight in ((local, 1 - share), (near, share)):
        counts = np.diff(part.indptr)
        alone = np.where(both, weight, 1.0)
        parts.append((counts, part.indices, part.weights * np.repeat(alone, counts)))
    rows = np.concatenate([np.repeat(np.arange(local.rows), counts) for counts, _, _ in parts])
    order = np.argsort(rows, kind="stable")
    origins = np.where(local.origins == Origin.PIECES, local.origins, near.origins)
    return compressed(
        local.source_size,
        parts[0][0] + parts[1][0],
        np.concatenate([indices for _, indices, _ in parts])[order],
        np.concatenate([weights for _, _, weights in parts])[order],
        np.where(both, Origin.MIXED, origins),
    )


def softmax(scores: npt.NDArray[np.floating], rows: Int[np.ndarray, " entries"]) -> Floats:
    """Softmax within every run of entries of the same row; `rows` ascends."""
    if len(scores) == 0:
        return np.zeros(0, dtype=np.float32)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(np.append(starts, len(rows)))
    powers = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), lengths))
    shares: Floats = (powers / np.repeat(np.add.reduceat(powers, starts), lengths)).astype("f4")
    return shares


def compressed(
    size: int,
    counts: Int[np.ndarray, " rows"],
    indices: Int[np.ndarray, " entries"],
    weights: Float[np.ndarray, " entries"],
    origins: Int[np.ndarray, " rows"],
) -> VocabularyMap:
    """A map from the number of entries of every row, and the entries."""
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return VocabularyMap(
        size, indptr, indices, weights.astype(np.float32), origins.astype(np.uint8)
    )


def encoder_of(problem: Problem) -> Encoder:
    """The problem's encoder.

    Raises:
        UsageError: There is none.
    """
    if problem.encoder is None:
        raise UsageError("This method needs a text encoder.", "Give one as encoder=….")
    return problem.encoder


def check_options(
    *, temperature: float, k: int = 1, threshold: float = 0.0, share: float = 0.0
) -> None:
    """Refuse options that are out of range.

    Raises:
        UsageError: One is.
    """
    if not 0 < temperature < float("inf"):
        raise UsageError(f"The temperature is {temperature}; it must be positive.", "Use 0.3, say.")
    if k < 1:
        raise UsageError(f"k is {k}; at least one neighbour is needed.", "Use -k 3.")
    if not -1 <= threshold <= 1:
        raise UsageError(
            f"The threshold is {threshold}; cosines lie between -1 and 1.", "Use 0, say."
        )
    if not 0 <= share <= 1:
        raise UsageError(f"The share is {share}; it must lie between 0 and 1.", "Use 0.3, say.")
