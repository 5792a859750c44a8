"""Vectors of symbols fitted on sequences of them, by gensim's fastText."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tokxfer.embeddings import Training
from tokxfer.errors import UsageError
from tokxfer.workflows.progress import progress_bar

WINDOW = 5  # symbols to either side
BUCKETS = 100_000  # n-grams are hashed to so many rows; gensim's own two million take 800 MB
FITTED = 0.5  # share of the missing tokens with a vector, below which a reader is told
LONGEST = 10_000  # symbols of a sequence that gensim reads; it drops what follows
FIRST_BYTE, AGAIN = 0x100, 0x200  # characters for bytes, and for further symbols of the same bytes


def check_gensim() -> None:
    """Say at once that the library is not there.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("gensim") is None:
        raise UsageError(
            "Methods that are fitted on text need the library gensim.",
            "Install it: pip install 'tokxfer[vectors]'.",
        )


def hardly_fitted(method: str, chosen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence on a method that was fitted on text and found few of the missing tokens in it.

    Args:
        method: Its name.
        chosen: By matrix, its own account.
    """
    counts = next((found for found in chosen.values() if "unseen" in found), None)
    if counts is None or counts["seen"] >= FITTED * (counts["seen"] + counts["unseen"]):
        return []
    return [
        f"{method} has a fitted vector for only {counts['seen']:,} of "
        f"{counts['seen'] + counts['unseen']:,} missing tokens, and makes the others without any: "
        "give it more text (--train-text)."
    ]


def gensim_version() -> str:
    """The library's version, which decides what a fit is."""
    return version("gensim")


def fit(
    sequences: Sequence[npt.NDArray[np.int32]],
    names: Mapping[int, str],
    training: Training,
    *,
    description: str,
    progress: bool,
) -> npt.NDArray[np.float32]:
    """Fit one vector for every symbol that has a name.

    One thread reads the sequences in their order, and numpy draws the first vectors: equal input
    gives equal vectors, whatever the seed of Python's own hashes.

    Args:
        sequences: Symbols in the order of the text; those without a name are skipped.
        names: What n-grams are taken of; no two the same. Each must occur `training.min_count`
            times.
        training: The fit's settings.
        description: What is fitted, for the bar.
        progress: Show a bar on stderr.

    Returns:
        [names, dim], in the order of `names`.
    """
    from gensim.models import FastText

    symbols = np.array(list(names), dtype=np.int64)
    counts = np.bincount(np.concatenate(sequences), minlength=int(symbols.max()) + 1)
    model = FastText(
        vector_size=training.dim,
        window=WINDOW,
        min_count=1,
        sg=0,
        negative=training.negatives,
        bucket=BUCKETS,
        seed=training.seed % 2**32,
        workers=1,
    )
    model.build_vocab_from_freq(
        {names[symbol]: int(counts[symbol]) for symbol in symbols.tolist()},
        corpus_count=len(sequences),
    )
    total = training.epochs * sum(map(len, sequences))
    with progress_bar(total, description, "tok", progress) as bar:
        model.train(
            Sentences(sequences, names, bar),
            total_examples=len(sequences),
            total_words=int(counts[symbols].sum()),
            epochs=training.epochs,
        )
    rows = [model.wv.key_to_index[names[symbol]] for symbol in symbols.tolist()]
    fitted: npt.NDArray[np.float32] = model.wv.vectors[rows]
    return fitted


class Sentences:
    """Sequences as lists of names, none too long for gensim; can be read several times."""

    def __init__(
        self,
        sequences: Sequence[npt.NDArray[np.int32]],
        names: Mapping[int, str],
        bar: tqdm[None],
    ) -> None:
        self.sequences, self.names, self.bar = sequences, names, bar

    def __iter__(self) -> Iterator[list[str]]:
        for sequence in self.sequences:
            named = [self.names[s] for s in sequence.tolist() if s in self.names]
            for start in range(0, len(named), LONGEST):
                yield named[start : start + LONGEST]
            self.bar.update(len(sequence))


def distinct_names(spelled: Mapping[int, bytes]) -> dict[int, str]:
    """A name for every symbol: one character for each byte, so that n-grams are of bytes.

    No byte becomes `<` or `>`, which mark the ends of a word for fastText. A symbol whose bytes
    another has too gets a further character: what is counted apart is never one.
    """
    found: dict[int, str] = {}
    again: dict[bytes, int] = {}
    for symbol, token in spelled.items():
        name = "".join(chr(FIRST_BYTE + byte) for byte in token)
        before = again.get(token, 0)
        again[token] = before + 1
        found[symbol] = name + (chr(AGAIN + before) if before else "")
    return found
