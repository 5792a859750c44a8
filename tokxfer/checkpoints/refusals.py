"""Kinds of model folder that are refused, each with a sentence that says what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokxfer.checkpoints.tensorfiles import INDEX, SINGLE
from tokxfer.errors import FolderError, TokxferError, UnsupportedError

SLOW_FILES = (
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json",
    "merges.txt", "tekken.json", "tokenizer.tiktoken",
)  # fmt: skip
_RESAVE = (
    'python -c "from transformers import AutoModelForCausalLM as A; '
    "A.from_pretrained('{0}').save_pretrained('{0}-safetensors')\", and copy the tokenizer's files"
)


def refuse_folder(path: Path) -> None:
    """Raise if a path is no folder that holds a plain full-precision causal model in safetensors.

    Raises:
        FolderError: A file, or a folder without config.json or weights.
        UnsupportedError: GGUF, an adapter, or pickled weights.
    """
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
    if any(name.endswith(".gguf") for name in names) and not names & {SINGLE, INDEX}:
        raise UnsupportedError(
            f"{path} is in GGUF format.",
            "Give the original model in safetensors that it was converted from; convert the result "
            "to GGUF afterwards.",
        )
    if not path.is_dir():
        raise FolderError(f"{path} is a file, not a model folder.", "Give its folder.")
    if "adapter_config.json" in names:
        raise UnsupportedError(
            f"{path} holds an adapter (adapter_config.json), not a whole model.",
            "Merge it first, with peft: AutoPeftModelForCausalLM.from_pretrained(…)"
            ".merge_and_unload().save_pretrained(…).",
        )
    if "config.json" not in names:
        raise FolderError(
            f"{path} has no config.json.", "Give a folder written by save_pretrained."
        )
    if not names & {SINGLE, INDEX}:
        raise _without_weights(path, names)


def _without_weights(path: Path, names: set[str]) -> TokxferError:
    pickled = sorted(n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".msgpack")))
    if pickled:
        return UnsupportedError(
            f"{path} has its weights only in {pickled[0]}, a format that can run code when loaded.",
            f"Convert a model that you trust: {_RESAVE.format(path)}.",
        )
    other = sorted(n for n in names if n.endswith(".safetensors"))
    if other:
        return FolderError(
            f"{path} has {other[0]}, but neither {SINGLE} nor {INDEX}, which transformers loads.",
            f"Save it again with save_pretrained, or rename a single whole file to {SINGLE}.",
        )
    return FolderError(
        f"{path} has no weights (neither {SINGLE} nor {INDEX}).",
        "Download the model again, weights included.",
    )


def refuse_tokenizer(path: Path) -> None:
    """Raise if a folder has no fast tokenizer.

    Raises:
        UnsupportedError: Only a slow tokenizer's files are there.
        FolderError: There is no tokenizer at all.
    """
    if (path / "tokenizer.json").is_file():
        return
    slow = [name for name in SLOW_FILES if (path / name).is_file()]
    if slow:
        raise UnsupportedError(
            f"{path} has only a slow tokenizer ({slow[0]}), no tokenizer.json.",
            'Convert it once: python -c "from transformers import AutoTokenizer as A; '
            f"A.from_pretrained('{path}').save_pretrained('{path}')\" "
            "(SentencePiece files also need: pip install sentencepiece protobuf).",
        )
    raise FolderError(
        f"{path} has no tokenizer (no tokenizer.json).", "Copy the model's tokenizer.json into it."
    )


def refuse_config(path: Path, config: Mapping[str, Any]) -> None:
    """Raise if a config says that the weights are quantized, or that the model is no decoder.

    Raises:
        UnsupportedError: Quantized, or encoder-decoder.
    """
    nested = [value for value in config.values() if isinstance(value, dict)]
    for settings in (config, *nested):
        for key in ("quantization_config", "compression_config"):
            if settings.get(key):
                scheme = settings[key]
                method = scheme.get("quant_method") if isinstance(scheme, dict) else None
                raise UnsupportedError(
                    f"{path} is quantized{f' ({method})' if method else ''}.",
                    "Give the full-precision model that it was made from; quantize the result "
                    "afterwards.",
                )
    if config.get("is_encoder_decoder"):
        raise UnsupportedError(
            f"{path} is an encoder-decoder model ({config.get('model_type')}).",
            "tokxfer works on causal language models.",
        )
