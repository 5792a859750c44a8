"""`ModelFolder`: a model on disk, opened without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.refusals import refuse_config, refuse_folder, refuse_tokenizer
from tokxfer.checkpoints.resolving import resolve
from tokxfer.checkpoints.tensorfiles import TensorInfo, read_tensors
from tokxfer.errors import FolderError

if TYPE_CHECKING:
    import torch

    from tokxfer.checkpoints.layout import EmbeddingLayout

_LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "chat_template.json",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A language model or an encoder on disk: configs read, weights listed, nothing loaded.

    Attributes:
        path: The folder.
        name: What the user called it.
        revision: The commit, if it came from the hub.
        config: config.json.
        generation_config: generation_config.json, or None.
        tensors: Every tensor by name, from the headers of the weight files.
        trust_remote_code: Whether Python code that comes with it may run.
    """

    path: Path
    name: str
    revision: str | None
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any] | None
    tensors: Mapping[str, TensorInfo]
    trust_remote_code: bool = field(default=False)

    @classmethod
    def open(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        offline: bool = False,
    ) -> ModelFolder:
        """Open a folder, or a model of the hub, and refuse what cannot be handled soundly.

        Args:
            name: A path, or a hub name such as "org/model" when no such path exists.
            revision: Branch, tag or commit of a hub name.
            trust_remote_code: Whether Python code that comes with the model may run.
            offline: Never ask the hub.

        Raises:
            FolderError: Something is missing or damaged.
            UnsupportedError: GGUF, adapter, pickled or quantized weights, only a slow tokenizer,
                a head for another task.
        """
        path, commit = resolve(name, revision=revision, offline=offline)
        refuse_folder(path)
        config = read_json(path / "config.json")
        refuse_config(path, config)
        refuse_tokenizer(path)
        generation = path / "generation_config.json"
        return cls(
            path=path,
            name=str(name),
            revision=commit,
            config=config,
            generation_config=read_json(generation) if generation.is_file() else None,
            tensors=read_tensors(path),
            trust_remote_code=trust_remote_code,
        )

    @cached_property
    def embeddings(self) -> EmbeddingLayout:
        """Where the rows of the vocabulary are: input, output, bias, tied or not.

        Raises:
            FolderError: Config and weights contradict each other.
            UnsupportedError: The architecture is unknown here, or has no embeddings and head.
        """
        from tokxfer.checkpoints.layout import find_layout

        return find_layout(self)

    def read(self, name: str) -> torch.Tensor:
        """Load one tensor, on the CPU, in its own dtype."""
        from safetensors import safe_open

        with safe_open(self.tensors[name].file, framework="pt") as weights:
            tensor: torch.Tensor = weights.get_tensor(name)
        return tensor

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the input embedding."""
        from tokxfer.checkpoints.hashing import torch_dtype

        return torch_dtype(self.tensors[self.embeddings.input].dtype)

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return sum(info.size for info in self.tensors.values())

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the config allows, in tokens; None if it says nothing."""
        for settings in (text_config(self.config), self.config):
            for key in _LENGTHS:
                if isinstance(settings.get(key), int):
                    return int(settings[key])
        return None

    def tokenizer_files(self) -> list[Path]:
        """The files that make up the tokenizer."""
        return [self.path / name for name in _TOKENIZER_FILES if (self.path / name).is_file()]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FolderError: If the file is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise FolderError(f"{path} is not JSON: {failure}.", "Repair or replace it.") from None
    if not isinstance(content, dict):
        raise FolderError(f"{path} is not a JSON object.", "Repair or replace it.")
    return content


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model: nested in multimodal models."""
    key = text_key(config)
    return config if key is None else dict(config[key])


def text_key(config: Mapping[str, Any]) -> str | None:
    """The key of the nested config of the language model; None if it is not nested."""
    keys = ("text_config", "llm_config", "language_config")
    return next((key for key in keys if isinstance(config.get(key), dict)), None)
