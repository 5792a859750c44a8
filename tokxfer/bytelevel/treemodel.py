"""Models that are asked at the nodes of a growing tree of token sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from tokxfer.shapes import Float

ROOT = -1  # the parent of a sequence's first token
SLACK = 64  # dropped tokens whose keys and values may stay in the cache


class TreeModel(Protocol):
    """What answers for the next token behind any sequence of a growing tree.

    Nodes are numbered from 0 in the order in which they come.

    Attributes:
        size: How many nodes there are.
    """

    @property
    def size(self) -> int:
        """How many nodes there are."""
        ...

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree, each behind one that is there or comes before it.

        Args:
            parents: The number of the node before each; `ROOT` for the beginning of a sequence.
            tokens: Each one's token.
            asked: Which of them, by place in this call, are answered; None for all.

        Returns:
            Logits of the next token [asked, ids].
        """
        ...

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget all but some nodes and what comes before them: nothing else will be extended."""
        ...


class AttentionTree:
    """A transformer with one cache for the whole tree; a mask says who comes before whom.

    A node sees the nodes that it comes behind, at the positions that its tokens have in their own
    sequence. Where attention reaches back only so far, the mask says that, too.

    Args:
        model: A transformers causal LM whose attention takes a mask of four axes.
        ids: Ids of the tokenizer; what the model's head has beyond them is padding.
    """

    def __init__(self, model: Any, ids: int) -> None:
        from transformers import DynamicCache

        self.model, self.ids, self.size = model, ids, 0
        self._cache = DynamicCache()
        self._cached = 0
        self._seen: dict[int, np.ndarray] = {}  # of nodes that may be extended: cached places
        self._reach = reach(model.config)

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        first, self.size = self.size, self.size + len(tokens)
        depths = np.empty(len(tokens), dtype=np.int64)
        for at, parent in enumerate(parents):
            before = self._seen[parent] if parent != ROOT else np.empty(0, dtype=np.int64)
            self._seen[first + at] = np.append(before, self._cached + at)
            depths[at] = len(before)
        device = self.model.device
        told: dict[str, Any] = {
            "input_ids": torch.tensor([tokens], device=device),
            "position_ids": torch.from_numpy(depths).to(device)[None],
            "past_key_values": self._cache,
            "use_cache": True,
        }
        if not self._is_chain(first):
            told["attention_mask"] = self._masks(range(first, self.size))
        self._cached += len(tokens)
        if asked is not None:
            told["logits_to_keep"] = torch.tensor(asked, device=device)
        logits: torch.Tensor = self.model(**told).logits[0]
        if asked is not None and len(logits) != len(asked):
            logits = logits[told["logits_to_keep"]]
        return logits[:, : self.ids]

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._seen = {node: self._seen[node] for node in nodes}
        needed = np.zeros(self._cached, dtype=bool)
        for seen in self._seen.values():
            needed[seen] = True
        kept = np.flatnonzero(needed)
        if self._cached - len(kept) <= SLACK:
            return
        places = torch.from_numpy(kept).to(self.model.device)
        for layer in self._cache.layers:
            layer.keys = layer.keys.index_select(-2, places)
            layer.values = layer.values.index_select(-2, places)
        moved = np.cumsum(needed) - 1
        self._seen = {node: moved[seen] for node, seen in self._seen.items()}
        self._cached = len(kept)

    def cache_of(self, node: int, size: int) -> Any:
        """Keys and values of the first so many tokens up to a node, as transformers keeps them."""
        from transformers import DynamicCache

        found = DynamicCache()
        places = torch.from_numpy(self._seen[node][:size]).to(self.model.device)
        for number, layer in enumerate(self._cache.layers):
            found.update(
                layer.keys.index_select(-2, places), layer.values.index_select(-2, places), number
            )
        return found

    def _is_chain(self, first: int) -> bool:
        """Whether every new node sees all before it, as text does: no mask is needed."""
        if self._reach is not None:
            return False
        return all(
            len(self._seen[node]) == self._cached + at + 1
            for at, node in enumerate(range(first, self.size))
        )

    def _masks(self, nodes: Sequence[int]) -> torch.Tensor | dict[str, torch.Tensor]:
        """What to add to attention scores, for all layers or by their kind."""
        kinds = self._reach or {"": None}
        if "" in kinds:
            return self._mask(nodes, kinds[""])
        return {kind: self._mask(nodes, window) for kind, window in kinds.items()}

    def _mask(self, nodes: Sequence[int], window: int | None) -> torch.Tensor:
        """[1, 1, nodes, cached + nodes]: 0 where a node may look, the least number elsewhere."""
        dtype, device = self.model.dtype, self.model.device
        hidden = np.ones((len(nodes), self._cached + len(nodes)), dtype=bool)
        for row, node in enumerate(nodes):
            hidden[row, self._seen[node][-(window or 0) :]] = False
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        mask.masked_fill_(torch.from_numpy(hidden).to(device), torch.finfo(dtype).min)
        return mask[None, None]


class RowTree:
    """A model that reads every sequence from its beginning, those of one length together.

    For models that a mask cannot serve: those that carry a state from token to token.

    Args:
        model: A causal LM.
        ids: Ids of the tokenizer.
    """

    def __init__(self, model: Any, ids: int) -> None:
        self.model, self.ids, self.size = model, ids, 0
        self._paths: dict[int, list[int]] = {ROOT: []}

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        first, self.size = self.size, self.size + len(tokens)
        for at, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
            self._paths[first + at] = [*self._paths[parent], token]
        wanted = range(len(tokens)) if asked is None else asked
        by_length: dict[int, list[int]] = {}
        for at in wanted:
            by_length.setdefault(len(self._paths[first + at]), []).append(at)
        found: dict[int, torch.Tensor] = {}
        for group in by_length.values():
            rows = torch.tensor([self._paths[first + at] for at in group], device=self.model.device)
            logits = self.model(input_ids=rows, use_cache=False).logits[:, -1, : self.ids]
            found |= dict(zip(group, logits, strict=True))
        return torch.stack([found[at] for at in wanted])

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._paths = {node: self._paths[node] for node in (ROOT, *nodes)}


def tree_model(model: Any, ids: int) -> TreeModel:
    """The way of asking that suits a model: one cache for all where its attention takes a mask."""
    return AttentionTree(model, ids) if takes_trees(model) else RowTree(model, ids)


@torch.no_grad()
def takes_trees(model: Any) -> bool:
    """Whether a model answers in a tree as it answers to rows; tried on four tokens."""
    if getattr(model, "_is_stateful", False) or not reads_windows(model.config):
        return False
    parents, tokens, ids = [ROOT, 0, 0, 1], [0, 1, 2, 3], model.config.get_text_config().vocab_size
    tokens = [token % ids for token in tokens]
    tree, rows = AttentionTree(model, ids), RowTree(model, ids)
    try:
        found = tree.extend(parents, tokens)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    expected = rows.extend(parents, tokens)
    loose = 1e-3 if model.dtype in (torch.float32, torch.float64) else 0.1
    return bool(torch.allclose(found, expected, rtol=loose, atol=loose * float(expected.std())))


def reads_windows(config: Any) -> bool:
    """Whether layers attend to everything before them, or as far back as a window."""
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    return kinds <= {"full_attention", "sliding_attention"}


def reach(config: Any) -> dict[str, int | None] | None:
    """How many tokens attention reaches back, by kind of layer; None where it has no end.

    The kind is "" where all layers have one.
    """
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    kinds = set(getattr(text, "layer_types", None) or ())
    if not window or getattr(text, "use_sliding_window", True) is False:
        return None
    if len(kinds) == 1:
        return {"": window} if kinds == {"sliding_attention"} else None
    if not kinds:
        return {"": window}
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}
