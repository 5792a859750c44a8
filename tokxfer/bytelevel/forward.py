"""A model's answers at all nodes of a tree, from one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel.tree import CoverTree
from tokxfer.errors import UsageError
from tokxfer.shapes import Float


def tree_nats(
    model: Any, context: Sequence[int], tree: CoverTree, ids: int
) -> Float[torch.Tensor, "nodes ids"]:
    """Log-probabilities of the next token behind every node [nodes, ids], in one forward pass.

    A node sees the context and the nodes that it comes behind, at the positions that its tokens
    have in their own sequence.

    Args:
        model: A transformers causal LM; its attention must take a mask of four axes.
        context: Ids before the text; at least one.
        tree: The text's tree.
        ids: Ids of the tokenizer; what the model's head has beyond them is padding.

    Raises:
        UsageError: The context is empty.
    """
    if not len(context):
        raise UsageError(
            "There is nothing for the model to start from.",
            "Give a context, or a model whose tokenizer has a token that begins texts.",
        )
    before, device = len(context) - 1, model.device
    told = torch.tensor([*context, *tree.tokens[1:].tolist()], device=device)
    places = np.concatenate([np.arange(before), before + tree.depths])
    logits = model(
        input_ids=told[None],
        attention_mask=tree_mask(tree, before, model.dtype).to(device),
        position_ids=torch.from_numpy(places).to(device)[None],
        use_cache=False,
    ).logits[0, before:, :ids]
    exact = torch.promote_types(logits.dtype, torch.float32)
    nats: Float[torch.Tensor, "nodes ids"] = logits.to(exact).log_softmax(dim=-1)
    return nats


def tree_mask(
    tree: CoverTree, before: int, dtype: torch.dtype
) -> Float[torch.Tensor, "1 1 queries keys"]:
    """What to add to attention scores: 0 where a token may look, the least number elsewhere.

    Args:
        tree: The tree; its root is the last token of the context.
        before: Tokens of the context before that.
        dtype: The scores'.
    """
    size = before + len(tree)
    sees = np.tri(size, dtype=bool)
    sees[before:, before:] = tree.ancestors()
    mask = torch.zeros(size, size, dtype=dtype)
    return mask.masked_fill_(~torch.from_numpy(sees), torch.finfo(dtype).min)[None, None]
