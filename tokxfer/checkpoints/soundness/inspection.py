"""What the checks look at: each part of a folder is read once, when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.folder import ModelFolder, read_json
from tokxfer.checkpoints.layout import Located, locate
from tokxfer.checkpoints.roles import stated_roles, token_ids
from tokxfer.checkpoints.sizes import available_memory
from tokxfer.checkpoints.tensorfiles import TensorInfo, read_tensors

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Unsound(Exception):  # noqa: N818 — a finding, not an error of this program
    """A point does not hold; the message says how."""


class NotApplicable(Exception):  # noqa: N818
    """A point cannot be judged; the message says why."""


@dataclass(frozen=True)
class Inspection:
    """One folder under inspection.

    Attributes:
        path: The folder.
        trust_remote_code: Whether Python code that comes with it may run.
        memory_budget: Bytes that loading may take, or None.
    """

    path: Path
    trust_remote_code: bool
    memory_budget: int | None

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return read_json(self.path / "config.json")

    @cached_property
    def generation(self) -> dict[str, Any] | None:
        """generation_config.json, or None."""
        file = self.path / "generation_config.json"
        return read_json(file) if file.is_file() else None

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Every stored tensor."""
        return read_tensors(self.path)

    @cached_property
    def folder(self) -> ModelFolder:
        """The folder as the rest of the package sees it, without the refusals."""
        return ModelFolder(
            path=self.path,
            name=str(self.path),
            revision=None,
            config=self.config,
            generation_config=self.generation,
            tensors=self.tensors,
            trust_remote_code=self.trust_remote_code,
        )

    @cached_property
    def located(self) -> Located:
        """Where its embeddings are."""
        return locate(self.folder)

    @property
    def rows(self) -> int:
        """Rows of the stored input matrix."""
        name = self.located.stored[0] or self.located.stored[1]
        if name is None:
            raise Unsound(f"No tensor is the input embedding ({self.located.parameters[0]}).")
        return self.tensors[name].shape[0]

    @property
    def has_tokenizer(self) -> bool:
        """Whether there is a tokenizer.json."""
        return (self.path / "tokenizer.json").is_file()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """tokenizer.json itself, without anything that stands beside it."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.path / "tokenizer.json"))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id by token of tokenizer.json."""
        return token_ids(read_json(self.path / "tokenizer.json"))[0]

    @property
    def size(self) -> int:
        """Number of ids of the tokenizer: the largest + 1."""
        return max(self.ids.values(), default=-1) + 1

    @cached_property
    def roles(self) -> dict[str, str]:
        """The token of each role that the tokenizer's config names."""
        stated = stated_roles(self.path) or {}
        return {role: token for role, token in stated.items() if token is not None}

    @property
    def budget(self) -> int:
        """Bytes that loading the model may take."""
        return available_memory() // 2 if self.memory_budget is None else self.memory_budget
