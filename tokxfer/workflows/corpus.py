"""Text that methods are fitted on; what was fitted once is kept on disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokxfer.embeddings import Method, Training, uses
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.fitting import (
    BUCKETS,
    WINDOW,
    check_gensim,
    distinct_names,
    fit,
    gensim_version,
)
from tokxfer.workflows.text import batches, read_documents
from tokxfer.workflows.vectorstore import cache_folder, load_arrays, save_arrays

Arrays = dict[str, npt.NDArray[Any]]
Files = str | Path | Sequence[str | Path]
WORD = re.compile(r" ?\S+|\s+(?!\S)|\s")  # the space before a word is the word's


class TextCorpus:
    """Documents, and the vectors fitted on them.

    A fit is kept in memory, and under `cache` by the hash of everything that it depends on.

    Args:
        documents: Texts, at least one of them not empty.
        files: Names of the files they come from.
        cache: Folder for fits; None takes `vectors` in the cache of the package.
        progress: Show a bar on stderr.

    Attributes:
        fingerprint: A hash of the documents.

    Raises:
        UsageError: gensim is not installed.
    """

    def __init__(
        self,
        documents: Sequence[str],
        files: Sequence[str] = (),
        *,
        cache: Path | None = None,
        progress: bool = False,
    ) -> None:
        check_gensim()
        self.documents, self.files, self.progress = tuple(documents), tuple(files), progress
        self.bytes = sum(len(text.encode()) for text in documents)
        self.fingerprint = text_hash(documents)
        self._folder = cache or cache_folder() / "vectors"
        self._known: dict[str, Arrays] = {}

    @classmethod
    def open(cls, files: Files, *, progress: bool = False) -> TextCorpus:
        """Read files as `evaluate` takes them; nothing is fitted yet.

        Raises:
            UsageError: gensim is not installed.
            TokxferError: A file is missing, empty, or no text.
        """
        check_gensim()
        paths = [files] if isinstance(files, (str, Path)) else list(files)
        documents = [document for path in paths for document in read_documents(path)]
        return cls(documents, [Path(path).name for path in paths], progress=progress)

    def to_dict(self) -> dict[str, Any]:
        """For reports and manifests."""
        return {
            "files": list(self.files),
            "documents": len(self.documents),
            "bytes": self.bytes,
            "fingerprint": self.fingerprint,
            "gensim": gensim_version(),
        }

    def token_vectors(
        self, vocabulary: ByteVocabulary, training: Training
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids of text [tokens] that occur often enough, ascending, and their vectors [tokens, dim].

        Raises:
            VocabularyError: None does.
        """
        found = self._fitted(
            training,
            tokenizer_hash(vocabulary),
            lambda: fit_tokens(self.documents, vocabulary, training, self.progress),
        )
        return found["ids"].astype(np.int64), found["vectors"].astype(np.float32)

    def word_vectors(
        self, training: Training
    ) -> tuple[list[bytes], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Words that occur often enough; how often [words], and their vectors [words, dim].

        A word is a run without white space and the one space before it; white space between
        words makes words of its own.

        Raises:
            VocabularyError: None does.
        """
        found = self._fitted(
            training, "words", lambda: fit_words(self.documents, training, self.progress)
        )
        joined, ends = found["spelled"].tobytes(), found["ends"].tolist()
        words = [joined[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        return words, found["counts"].astype(np.int64), found["vectors"].astype(np.float32)

    def _fitted(self, training: Training, units: str, make: Callable[[], Arrays]) -> Arrays:
        """What `make` gives, computed once for all runs with the same settings."""
        told = [self.fingerprint, units, asdict(training), WINDOW, BUCKETS, gensim_version()]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
        if key not in self._known:
            file = self._folder / f"{key}.safetensors"
            found: Arrays = load_arrays(file)
            if not found:
                found = make()
                save_arrays(file, found)
            self._known[key] = found
        return self._known[key]


def open_corpus(
    method: Method, files: Files | TextCorpus | None, *, progress: bool = False
) -> TextCorpus | None:
    """The text that a method is fitted on; None where it is not fitted on text.

    Raises:
        UsageError: It needs text and there is none, or there is text that it has no use for.
        TokxferError: See `TextCorpus.open`.
    """
    none = files is None or (isinstance(files, (list, tuple)) and not files)
    if "text" not in method.needs:
        if not none and not uses(method, "text"):
            raise UsageError(
                f"The method {method.name!r} is not fitted on text.", "Leave --train-text out."
            )
        if none:
            return None
    if isinstance(files, TextCorpus):
        return files
    if files is None or none:
        raise UsageError(
            f"The method {method.name!r} is fitted on text, and none is given.",
            "Give some megabytes of what the model will read: --train-text FILE.",
        )
    return TextCorpus.open(files, progress=progress)


def fit_tokens(
    documents: Sequence[str], vocabulary: ByteVocabulary, training: Training, progress: bool
) -> Arrays:
    """Ids and vectors of the tokens of text that occur often enough."""
    sequences = [
        np.array(encoding.ids, dtype=np.int32)
        for batch in batches(documents)
        for encoding in vocabulary.tokenizer.encode_batch(batch, add_special_tokens=False)
    ]
    counts = np.bincount(np.concatenate(sequences), minlength=vocabulary.size)
    ids = vocabulary.text_ids[counts[vocabulary.text_ids] >= training.min_count]
    check_often(len(ids), "token", training.min_count)
    every = {token: vocabulary.tokens[token] for token in vocabulary.text_ids.tolist()}
    named = distinct_names(every)
    names = {token: named[token] for token in ids.tolist()}
    vectors = fit(
        sequences, names, training, description="fitting vectors of tokens", progress=progress
    )
    return {"ids": ids, "vectors": vectors}


def fit_words(documents: Sequence[str], training: Training, progress: bool) -> Arrays:
    """Spellings, counts and vectors of the words that occur often enough."""
    numbers: dict[str, int] = {}
    sequences = [
        np.array([numbers.setdefault(w, len(numbers)) for w in WORD.findall(text)], dtype=np.int32)
        for text in documents
    ]
    counts = np.bincount(np.concatenate(sequences), minlength=len(numbers))
    spelled = {
        number: word.encode()
        for word, number in numbers.items()
        if counts[number] >= training.min_count
    }
    check_often(len(spelled), "word", training.min_count)
    vectors = fit(
        sequences,
        distinct_names(spelled),
        training,
        description="fitting vectors of words",
        progress=progress,
    )
    return {
        "spelled": np.frombuffer(b"".join(spelled.values()), dtype=np.uint8),
        "ends": np.cumsum([len(word) for word in spelled.values()]),
        "counts": counts[list(spelled)],
        "vectors": vectors,
    }


def check_often(count: int, what: str, min_count: int) -> None:
    """Refuse a text in which nothing is frequent.

    Raises:
        VocabularyError: No token or word occurs often enough.
    """
    if not count:
        raise VocabularyError(
            f"No {what} occurs {min_count:,} times in the training text.",
            "Give more text, or take vectors of rarer ones: --min-count 1.",
        )


def text_hash(documents: Sequence[str]) -> str:
    """A hash of documents and of where each ends."""
    whole = hashlib.sha256()
    for text in documents:
        content = text.encode()
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()[:32]


def tokenizer_hash(vocabulary: ByteVocabulary) -> str:
    """A hash of everything that decides how text is tokenized."""
    return hashlib.sha256(vocabulary.tokenizer.to_str().encode()).hexdigest()[:32]
