"""Where a text begins for a model, and how many tokens the model takes."""

from __future__ import annotations

from typing import Any

LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
)


def begin_token(model: Any, tokenizer: Any) -> int | None:
    """The id that documents start after: bos, else eos, by the config, else by the tokenizer."""
    config = model.config
    sources = [config, *([config.get_text_config()] if hasattr(config, "get_text_config") else [])]
    for role in ("bos", "eos"):
        for source in (*sources, tokenizer):
            value = getattr(source, f"{role}_token_id", None)
            value = value[0] if isinstance(value, (list, tuple)) and value else value
            if value is None:
                value = getattr(source, "roles", {}).get(role)
            if isinstance(value, int) and value >= 0:
                return value
    return None


def longest_window(config: Any) -> int | None:
    """The number of tokens a model was made for, by its config; None where it has no limit."""
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in LENGTHS:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 1:
            return value
    return None
