"""Models that are asked at the nodes of a growing tree of token sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol, cast

import numpy as np
import torch

from tokxfer.bytelevel.products import products
from tokxfer.shapes import Float, Int

ROOT = -1  # the parent of a sequence's first token
SLACK = 64  # dropped tokens whose keys and values may stay in the cache
OTHER_WINDOWS = (  # settings of models that count places in the cache, not tokens of a sequence
    "window_size", "sliding_window_size", "keep_window_size", "attention_window_size",
    "local_attention_window_len",
)  # fmt: skip


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


@dataclass(eq=False, repr=False, slots=True)
class Cached:
    """A node of a tree in a cache.

    Attributes:
        before: The node that it comes behind; None where it has none, or its places are known.
        place: Its own place in the cache.
        depth: How many nodes it comes behind.
        known: [depth + 1] the places of all of them and its own, once they were asked for.
    """

    before: Cached | None
    place: int
    depth: int
    known: Int[np.ndarray, " places"] | None = None

    @property
    def places(self) -> Int[np.ndarray, " places"]:
        """The places of all nodes that this one comes behind, and its own [depth + 1]."""
        if self.known is None:
            found, node = np.empty(self.depth + 1, dtype=np.int64), self
            while node.known is None:
                found[node.depth] = node.place
                if node.before is None:
                    break
                node = node.before
            if node.known is not None:
                found[: node.depth + 1] = node.known
            self.known, self.before = found, None
        return self.known


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
        self._device, self._dtype = model.device, model.dtype
        self._cache = DynamicCache()
        self._cached = 0
        self._nodes: dict[int, Cached] = {}  # those that may be extended
        self._reach = reach(model.config)

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        new: list[Cached] = []
        for at, parent in enumerate(parents, start=self._cached):
            before = None if parent == ROOT else self._nodes[parent]
            new.append(Cached(before, at, before.depth + 1 if before else 0))
            self._nodes[self.size] = new[-1]
            self.size += 1
        told: dict[str, Any] = {
            "input_ids": torch.tensor([tokens], device=self._device),
            "position_ids": torch.tensor([[node.depth for node in new]], device=self._device),
            "past_key_values": self._cache,
            "use_cache": True,
        }
        if self._reach is not None or any(node.depth < node.place for node in new):
            told["attention_mask"] = self._masks(new)
        self._cached += len(new)
        if asked is None:
            return answers(self.model, told)[0, :, : self.ids]
        return answers(self.model, told, asked)[0, :, : self.ids]

    def adopt(self, tokens: Sequence[int], cache: Any) -> int:
        """Begin with a sequence that was read already.

        Args:
            tokens: Its tokens; they become the first nodes of an empty tree.
            cache: Their keys and values, as transformers keeps them; perhaps those of more.

        Returns:
            How many were taken: all.
        """
        size = len(tokens)
        if not size:
            return 0
        for number, layer in enumerate(cache.layers):
            keys, values = layer.keys[..., :size, :], layer.values[..., :size, :]
            self._cache.update(keys.to(self._device), values.to(self._device), number)
        self._nodes[size - 1] = Cached(None, size - 1, size - 1, np.arange(size))
        self.size = self._cached = size
        return size

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._nodes = {node: self._nodes[node] for node in nodes}
        needed = np.zeros(self._cached, dtype=bool)
        for node in self._nodes.values():
            needed[node.places] = True
        kept = np.flatnonzero(needed)
        if self._cached - len(kept) <= SLACK:
            return
        places = torch.from_numpy(kept).to(self._device)
        for layer in self._cache.layers:
            layer.keys = layer.keys.index_select(-2, places)
            layer.values = layer.values.index_select(-2, places)
        moved = np.cumsum(needed) - 1
        for node in self._nodes.values():
            node.known = moved[node.places]
        self._cached = len(kept)

    def cache_of(self, node: int, size: int) -> Any:
        """Keys and values of the first so many tokens up to a node, as transformers keeps them."""
        from transformers import DynamicCache

        found = DynamicCache()
        places = torch.from_numpy(self._nodes[node].places[:size]).to(self._device)
        for number, layer in enumerate(self._cache.layers):
            found.update(
                layer.keys.index_select(-2, places), layer.values.index_select(-2, places), number
            )
        return found

    def _masks(self, nodes: Sequence[Cached]) -> torch.Tensor | dict[str, torch.Tensor]:
        """What to add to attention scores, for all layers or by their kind."""
        kinds = self._reach or {"": None}
        if "" in kinds:
            return self._mask(nodes, kinds[""])
        return {kind: self._mask(nodes, window) for kind, window in kinds.items()}

    def _mask(self, nodes: Sequence[Cached], window: int | None) -> torch.Tensor:
        """[1, 1, nodes, cached + nodes]: 0 where a node may look, the least number elsewhere."""
        dtype, device = self._dtype, self._device
        hidden = np.ones((len(nodes), self._cached + len(nodes)), dtype=bool)
        for row, node in enumerate(nodes):
            hidden[row, node.places[-(window or 0) :]] = False
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        mask.masked_fill_(torch.from_numpy(hidden).to(device), torch.finfo(dtype).min)
        return mask[None, None]


@dataclass(eq=False, repr=False, slots=True)
class Link:
    """A token of a row, behind those before it."""

    before: Link | None
    token: int

    def row(self) -> list[int]:
        """The tokens from the first on."""
        found: list[int] = []
        link: Link | None = self
        while link is not None:
            found.append(link.token)
            link = link.before
        return found[::-1]


class RowTree:
    """A model that reads every sequence from its beginning, those of one length together.

    For models that a mask cannot serve: those that carry a state from token to token.

    Args:
        model: A causal LM.
        ids: Ids of the tokenizer.
    """

    def __init__(self, model: Any, ids: int) -> None:
        self.model, self.ids, self.size = model, ids, 0
        self._links: dict[int, Link] = {}

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        first = self.size
        for parent, token in zip(parents, tokens, strict=True):
            self._links[self.size] = Link(None if parent == ROOT else self._links[parent], token)
            self.size += 1
        wanted = list(range(len(tokens)) if asked is None else asked)
        rows = {at: self._links[first + at].row() for at in wanted}
        by_length: dict[int, list[int]] = {}
        for at in wanted:
            by_length.setdefault(len(rows[at]), []).append(at)
        found: dict[int, torch.Tensor] = {}
        for length, group in by_length.items():
            told = {
                "input_ids": torch.tensor([rows[at] for at in group], device=self.model.device),
                "use_cache": False,
            }
            logits = answers(self.model, told, [length - 1])[:, 0, : self.ids]
            found |= dict(zip(group, logits, strict=True))
        return torch.stack([found[at] for at in wanted])

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._links = {node: self._links[node] for node in nodes}


def answers(
    model: Any, told: dict[str, Any], asked: Sequence[int] | None = None
) -> Float[torch.Tensor, "rows places ids"]:
    """A model's logits, at some places of all rows or at all of them."""
    ids = told["input_ids"]
    with products(ids.device, model.dtype, ids.numel()):
        if asked is None:
            return cast(torch.Tensor, model(**told).logits)
        places = torch.tensor(asked, device=ids.device)
        if "logits_to_keep" in signature(model.forward).parameters:
            return cast(torch.Tensor, model(**told, logits_to_keep=places).logits)
        return cast(torch.Tensor, model(**told).logits.index_select(1, places))


@torch.no_grad()
def takes_trees(model: Any) -> bool:
    """Whether a model answers in a tree as it answers to rows; tried on four tokens."""
    if getattr(model, "_is_stateful", False) or not reads_windows(model.config):
        return False
    ids = model.config.get_text_config().vocab_size
    tokens = [token % ids for token in range(4)]
    tree, rows = AttentionTree(model, ids), RowTree(model, ids)
    try:
        found = [tree.extend([ROOT, 0, 0], tokens[:3]), tree.extend([1], tokens[3:], asked=[0])]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False
    expected = rows.extend([ROOT, 0, 0, 1], tokens)
    loose = 1e-3 if model.dtype in (torch.float32, torch.float64) else 0.1
    near = loose * float(expected[expected.isfinite()].std())
    return torch.allclose(torch.cat(found), expected, rtol=loose, atol=near)


def reads_windows(config: Any) -> bool:
    """Whether layers attend to everything before them, or as far back as a window."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    return kinds <= {"full_attention", "sliding_attention"} and not any(
        getattr(text, name, None) for name in OTHER_WINDOWS
    )


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
