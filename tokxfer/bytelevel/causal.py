"""Whether a model predicts text from what stands before it, and from nothing else."""

from __future__ import annotations

from typing import Any

import torch

from tokxfer.errors import UnsupportedError


@torch.no_grad()
def refuse_unless_causal(model: Any, size: int) -> None:
    """Refuse models that do not predict the next token; tried on two rows that begin alike.

    Args:
        model: A transformers model.
        size: Ids of the tokenizer.

    Raises:
        UnsupportedError: The model has no head, wants a source text, sees what comes next, or knows
            fewer ids than the tokenizer.
    """
    name = type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedError(
            f"{name} is an encoder-decoder: it predicts a text only for another one.",
            "Take a causal language model.",
        )
    ids = model.config.get_text_config().vocab_size
    rows = [[token % ids for token in row] for row in ((0, 1, 2, 3), (0, 4, 5, 6))]
    found = model(input_ids=torch.tensor(rows, device=model.device), use_cache=False)
    logits = getattr(found, "logits", None)
    if logits is None or logits.shape[:2] != (2, 4):
        raise UnsupportedError(
            f"{name} predicts no tokens: it has no head for them.", "Take a causal language model."
        )
    if logits.shape[-1] < size:
        raise UnsupportedError(
            f"{name} knows {logits.shape[-1]:,} ids, but its tokenizer has {size:,}.",
            "Give the model a row for each: model.resize_token_embeddings(len(tokenizer)).",
        )
    first, second = logits[:, 0].float()
    seen = first.isfinite() & second.isfinite()
    if float((first - second)[seen].abs().max()) > 0.1 * float(first[seen].std()):
        raise UnsupportedError(
            f"{name} is an encoder: what it says of a token depends on those behind it.",
            "Take a causal language model.",
        )
