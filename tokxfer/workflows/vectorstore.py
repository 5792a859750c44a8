"""Vectors of texts on disk: sixteen bytes of hash and a row of float16 for each."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

DIGEST = 16


def cache_folder() -> Path:
    """Where things are kept that can be computed again.

    `$TOKXFER_CACHE`, else `tokxfer` in `$XDG_CACHE_HOME`, else in `~/.cache`.
    """
    own = os.environ.get("TOKXFER_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(shared) / "tokxfer"


class VectorStore:
    """Vectors by text, rounded to float16 whether they were stored before or not.

    Args:
        path: The file that keeps them; one that is damaged counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[bytes, int] = {}
        self._vectors: npt.NDArray[np.generic] = np.zeros((0, 0), dtype=np.float16)
        found = load_arrays(path)
        if found.keys() == {"digests", "vectors"} and len(found["digests"]) == len(
            found["vectors"]
        ):
            self._vectors = found["vectors"]
            self._places = {row.tobytes(): at for at, row in enumerate(found["digests"])}

    def lacking(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts without a vector, each once."""
        return [text for text in dict.fromkeys(texts) if digest(text) not in self._places]

    def add(self, texts: Sequence[str], vectors: npt.NDArray[np.floating]) -> None:
        """Take in the vectors [texts, dim] of texts that had none, and write the file anew."""
        parts = [self._vectors] if len(self._vectors) else []
        first = len(self._vectors)
        self._vectors = np.concatenate([*parts, vectors.astype(np.float16)])
        self._places |= {digest(text): first + at for at, text in enumerate(texts)}
        keys = np.frombuffer(b"".join(self._places), dtype=np.uint8).reshape(-1, DIGEST)
        save_arrays(self.path, {"digests": keys, "vectors": self._vectors})

    def take(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Rows of length 1 [texts, dim]; every text must have a vector."""
        places = [self._places[digest(text)] for text in texts]
        rows = self._vectors[np.array(places, dtype=np.int64)].astype(np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-30))
        return unit


def digest(text: str) -> bytes:
    """A short hash of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()


def load_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a file; none where it is missing or damaged."""
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError):
        return {}


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
    """Write a file beside its place and move it there; where nothing can be written, leave it.

    A cache that cannot be kept costs time and nothing else.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            partial = Path(stream.name)
        save_file({name: np.ascontiguousarray(rows) for name, rows in arrays.items()}, partial)
        partial.replace(path)
    except (OSError, SafetensorError):
        return
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
