"""A loaded model that teaches or learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import ModelFolder, load_model, load_tokenizer, read_stop_ids
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.training.cache import TeacherCache


@dataclass(frozen=True, eq=False)
class Member:
    """A loaded model that teaches or learns.

    Attributes:
        name: What it is called.
        model: The transformers causal language model.
        vocabulary: Its tokens as bytes.
        tokenizer: The transformers tokenizer, for its chat template; None without one.
        stops: Ids that end a text.
        cache: What it said, where it is not there itself and the model is None.
    """

    name: str
    model: Any
    vocabulary: ByteVocabulary
    tokenizer: Any = None
    stops: tuple[int, ...] = ()
    cache: TeacherCache | None = None

    @property
    def pad(self) -> int:
        """An id to stand where there is none."""
        roles = self.vocabulary.roles
        return roles.get("pad", roles.get("eos", 0))


def load_member(folder: ModelFolder, dtype: torch.dtype | None, device: torch.device) -> Member:
    """Load a folder's model, tokenizer and vocabulary.

    Args:
        folder: The folder.
        dtype: Number format; None for its own.
        device: Where to.
    """
    remote = folder.trust_remote_code
    model = load_model(folder.path, dtype=dtype, device=device, trust_remote_code=remote)
    return member_of(folder, model)


def member_of(folder: ModelFolder, model: Any) -> Member:
    """A model that is loaded already, with its folder's tokenizer and vocabulary."""
    return Member(
        name=folder.name,
        model=model,
        vocabulary=ByteVocabulary.from_file(folder.path),
        tokenizer=load_tokenizer(folder.path, trust_remote_code=folder.trust_remote_code),
        stops=tuple(read_stop_ids(folder.path)),
    )


def cached_member(folder: Path) -> Member:
    """A teacher that is there by what it said.

    Raises:
        FolderError: The folder is no cache, or is damaged.
    """
    cache = TeacherCache.open(folder)
    return Member(
        name=str(cache.record["teacher"]),
        model=None,
        vocabulary=ByteVocabulary.from_file(folder),
        tokenizer=load_tokenizer(folder),
        cache=cache,
    )
