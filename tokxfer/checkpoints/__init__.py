"""Model folders: opened, refused, streamed, rewritten, put in place atomically, checked.

This room alone knows where a model keeps its embeddings, whether they are tied, how config files
name special ids, and what makes a folder sound. Names are loaded on first use; transformers is only
imported inside the functions that need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokxfer.checkpoints.atomic import atomic_folder, check_target
    from tokxfer.checkpoints.chattemplates import has_chat_template
    from tokxfer.checkpoints.configs import rewrite_config, rewrite_generation_config
    from tokxfer.checkpoints.context import begin_token, longest_window
    from tokxfer.checkpoints.devices import pick_device, pick_dtype
    from tokxfer.checkpoints.folder import ModelFolder
    from tokxfer.checkpoints.hashing import file_hash, tensor_hash
    from tokxfer.checkpoints.layout import EmbeddingLayout
    from tokxfer.checkpoints.loading import load_model, load_tokenizer, quiet_transformers
    from tokxfer.checkpoints.resolving import resolve
    from tokxfer.checkpoints.roles import read_roles, read_stop_ids
    from tokxfer.checkpoints.sizes import format_size, parse_size
    from tokxfer.checkpoints.skeletons import skeleton
    from tokxfer.checkpoints.soundness import Check, validate_folder
    from tokxfer.checkpoints.tensorfiles import TensorInfo
    from tokxfer.checkpoints.tokenizerfiles import WrittenTokenizer, write_tokenizer
    from tokxfer.checkpoints.writing import write_model

_HOMES = {
    "Check": "soundness",
    "EmbeddingLayout": "layout",
    "ModelFolder": "folder",
    "TensorInfo": "tensorfiles",
    "WrittenTokenizer": "tokenizerfiles",
    "atomic_folder": "atomic",
    "begin_token": "context",
    "check_target": "atomic",
    "file_hash": "hashing",
    "format_size": "sizes",
    "has_chat_template": "chattemplates",
    "load_model": "loading",
    "load_tokenizer": "loading",
    "longest_window": "context",
    "parse_size": "sizes",
    "pick_device": "devices",
    "pick_dtype": "devices",
    "quiet_transformers": "loading",
    "read_roles": "roles",
    "read_stop_ids": "roles",
    "resolve": "resolving",
    "rewrite_config": "configs",
    "rewrite_generation_config": "configs",
    "skeleton": "skeletons",
    "tensor_hash": "hashing",
    "validate_folder": "soundness",
    "write_model": "writing",
    "write_tokenizer": "tokenizerfiles",
}

__all__ = [
    "Check",
    "EmbeddingLayout",
    "ModelFolder",
    "TensorInfo",
    "WrittenTokenizer",
    "atomic_folder",
    "begin_token",
    "check_target",
    "file_hash",
    "format_size",
    "has_chat_template",
    "load_model",
    "load_tokenizer",
    "longest_window",
    "parse_size",
    "pick_device",
    "pick_dtype",
    "quiet_transformers",
    "read_roles",
    "read_stop_ids",
    "resolve",
    "rewrite_config",
    "rewrite_generation_config",
    "skeleton",
    "tensor_hash",
    "validate_folder",
    "write_model",
    "write_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokxfer.checkpoints' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tokxfer.checkpoints.{_HOMES[name]}"), name)
