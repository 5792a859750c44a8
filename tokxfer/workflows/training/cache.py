"""What a teacher said of texts, kept: two numbers a token, so that it need not be asked again.

A folder with the teacher's tokenizer, `teacher_cache.json`, and arrays that are memory-mapped:
`labels.npy` and `masses.npy` [tokens], the log-probability of each token and the log-mass of a
boundary behind it; `first.npy` [documents + 1] and `digests.npy` [documents, 16], by which a
document is found again from its ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from tokxfer.alignment.sides import Pair
from tokxfer.errors import FolderError, TokxferError
from tokxfer.shapes import Float, Int

RECORD = "teacher_cache.json"
ARRAYS = ("labels", "masses")
PRECISIONS = ("float16", "float32")
DIGEST = 16


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """What a teacher said, as it lies on disk.

    Attributes:
        folder: Where.
        record: Whose it is, how it was made, what its boundaries are.
    """

    folder: Path
    record: Mapping[str, Any] = field(repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> TeacherCache:
        """Open a cache.

        Raises:
            FolderError: It is none, is of another version, or a part of it is missing.
        """
        folder = Path(folder)
        if not is_cache(folder):
            raise FolderError(
                f"{folder} is no teacher's cache: it has no {RECORD}.",
                "Make one with 'tokxfer teacher-cache'.",
            )
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record.get("schema_version") != 1:
            raise FolderError(
                f"{folder} was made by another version of tokxfer.",
                "Make it anew with 'tokxfer teacher-cache'.",
            )
        cache = cls(folder, record)
        sizes = {len(cache.labels), len(cache.masses), int(cache._first[-1])}
        if len(sizes) > 1:
            raise FolderError(
                f"{folder} is damaged: its parts are not of one length.", "Make it anew."
            )
        return cache

    @cached_property
    def labels(self) -> Float[np.ndarray, " tokens"]:
        """The log-probability of every token, memory-mapped."""
        return self._array("labels")

    @cached_property
    def masses(self) -> Float[np.ndarray, " tokens"]:
        """The log-mass of a boundary behind every token, memory-mapped."""
        return self._array("masses")

    def told(self, pair: Pair) -> Pair:
        """A pair whose teacher's side says what the cache holds.

        Raises:
            TokxferError: The cache does not hold this text.
        """
        number = self._numbers.get(digest(pair.teacher.ids))
        if number is None:
            raise TokxferError(
                f"The cache {self.folder} does not hold document {pair.number + 1} of the data.",
                "Make it from the same data, with the same --limit.",
            )
        here = slice(int(self._first[number]), int(self._first[number + 1]))
        said = np.stack([self.labels[here], self.masses[here]], axis=1).astype(np.float32)
        return replace(pair, teacher=replace(pair.teacher, said=said))

    @cached_property
    def _first(self) -> Int[np.ndarray, " bounds"]:
        return self._array("first")

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return {row.tobytes(): at for at, row in enumerate(self._array("digests"))}

    def _array(self, name: str) -> npt.NDArray[Any]:
        try:
            found: npt.NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError) as failure:
            raise FolderError(
                f"{self.folder / name}.npy is missing or damaged.", "Make the cache anew."
            ) from failure
        return found


class CacheWriter:
    """Writes a cache, document by document.

    Args:
        folder: An empty folder.
        precision: "float16", four bytes a token, or "float32", eight.
    """

    def __init__(self, folder: Path, precision: str = "float16") -> None:
        self.folder, self.precision = folder, precision
        self._streams: dict[str, BinaryIO] = {}
        self._first, self._digests = [0], list[bytes]()

    def __enter__(self) -> Self:
        self._streams = {name: (self.folder / f"{name}.part").open("wb") for name in ARRAYS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in self._streams.values():
            stream.close()

    def add(
        self,
        ids: Int[np.ndarray, " tokens"],
        labels: Float[np.ndarray, " tokens"],
        masses: Float[np.ndarray, " tokens"],
    ) -> None:
        """Add a document that is not there yet.

        Args:
            ids: As the teacher reads it, special tokens included.
            labels: Log-probability of each, 0 of the first.
            masses: Log-mass of a boundary behind each, 0 without boundaries.
        """
        self._digests.append(digest(ids))
        self._first.append(self._first[-1] + len(ids))
        for name, values in zip(ARRAYS, (labels, masses), strict=True):
            self._streams[name].write(values.astype(self.precision).tobytes())

    def finish(self, record: Mapping[str, Any]) -> None:
        """Put the arrays in their places, and write the record last."""
        tokens = self._first[-1]
        for name, stream in self._streams.items():
            stream.close()
            part = self.folder / f"{name}.part"
            kept = np.lib.format.open_memmap(
                self.folder / f"{name}.npy", mode="w+", dtype=self.precision, shape=(tokens,)
            )
            kept[:] = np.memmap(part, dtype=self.precision, mode="r", shape=(tokens,))
            kept.flush()
            part.unlink()
        np.save(self.folder / "first.npy", np.array(self._first, dtype=np.int64))
        rows = np.frombuffer(b"".join(self._digests), dtype=np.uint8).reshape(-1, DIGEST)
        np.save(self.folder / "digests.npy", rows)
        text = json.dumps({"schema_version": 1, **record}, ensure_ascii=False, allow_nan=False)
        (self.folder / RECORD).write_text(text + "\n", encoding="utf-8")


def is_cache(folder: Path) -> bool:
    """Whether a folder is a teacher's cache."""
    return (folder / RECORD).is_file()


def digest(ids: Int[np.ndarray, " tokens"]) -> bytes:
    """A short hash of a document's ids."""
    told = np.ascontiguousarray(ids, dtype=np.int64).tobytes()
    return hashlib.blake2b(told, digest_size=DIGEST).digest()
