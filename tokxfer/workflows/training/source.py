"""Where a teacher or student comes from: a model folder, or what a teacher said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import ModelFolder
from tokxfer.workflows.manifest import file_hashes
from tokxfer.workflows.planning import public_name
from tokxfer.workflows.training.cache import RECORD, TeacherCache, is_cache
from tokxfer.workflows.training.member import Member, cached_member, load_member
from tokxfer.workflows.writing import folder_files


@dataclass(frozen=True)
class Source:
    """Where a teacher or student comes from.

    Attributes:
        given: What the user called it.
        path: Its folder.
        folder: The model; None for a teacher's cache.
    """

    given: str
    path: Path
    folder: ModelFolder | None

    @classmethod
    def open(cls, name: str | Path, *, cached: bool = False, **told: Any) -> Source:
        """Open a model folder or hub name, or a teacher's cache.

        Args:
            name: Which.
            cached: Whether it may be a cache.
            told: As of `ModelFolder.open`.

        Raises:
            TokxferError: It is neither.
        """
        if cached and is_cache(Path(name)):
            TeacherCache.open(name)
            return cls(str(name), Path(name), None)
        folder = ModelFolder.open(name, **told)
        return cls(folder.name, folder.path, folder)

    @property
    def name(self) -> str:
        """What others call it: never a path."""
        if self.folder is None:
            return str(TeacherCache.open(self.path).record["teacher"])
        return public_name(self.given, self.path)

    def load(self, dtype: torch.dtype | None, device: torch.device) -> Member:
        """Load it."""
        if self.folder is None:
            return cached_member(self.path)
        return load_member(self.folder, dtype, device)

    def to_dict(self) -> dict[str, Any]:
        """Name, revision and hashes, for the manifest."""
        files = [self.path / RECORD] if self.folder is None else folder_files(self.folder)
        return {
            "name": self.name,
            "revision": None if self.folder is None else self.folder.revision,
            "cached": self.folder is None,
            "sha256": file_hashes(files),
        }
