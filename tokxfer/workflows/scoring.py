"""Windows over token sequences, and the cost of their tokens in batches that fit in memory."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

NO_LENGTH = 2048  # for models that do not say how far they reach, such as Mamba
ENOUGH_TOKENS = {"cpu": 2048, "cuda": 32_768, "mps": 8192}  # larger batches are no faster
WORK = 1 << 25  # bytes of logits that are worked on at once


@dataclass(frozen=True, slots=True)
class Window:
    """A slice [start, stop) of one sequence, of which the tokens from `scored` on are scored."""

    sequence: int
    start: int
    stop: int
    scored: int

    @property
    def context(self) -> int:
        """Tokens of the window that are only read."""
        return self.scored - self.start

    @property
    def length(self) -> int:
        """Tokens of the window."""
        return self.stop - self.start


def cut(sequence: int, length: int, window: int) -> list[Window]:
    """Cut a sequence of `length` tokens into windows that score each token but the first once.

    The first window scores all its tokens but its first. Each further one starts half a window
    later and scores the tokens that the one before did not reach, each after half a window or more.
    """
    if length < 2:
        return []
    windows = [Window(sequence, 0, min(window, length), 1)]
    while (last := windows[-1]).stop < length:
        start = last.start + window // 2
        windows.append(Window(sequence, start, min(start + window, length), last.stop))
    return windows


@dataclass(frozen=True)
class Plan:
    """How many bytes a forward takes, and how many it may take.

    Args:
        budget: Bytes for one batch.
        logits: Bytes per position whose logits are computed.
        body: Bytes per token that is fed.
        square: Bytes per token fed and token in its window: attention that stores its weights.
        keeps: Whether the model computes logits only where it is told to.
        tokens: Fed tokens beyond which a larger batch gains nothing.
        size: Most windows in a batch, or None.
    """

    budget: int
    logits: int
    body: int
    square: int
    keeps: bool
    tokens: int
    size: int | None = None

    @classmethod
    def of(cls, model: Any, budget: int, size: int | None = None) -> Plan:
        """Estimate the costs of a transformers causal language model, on the generous side."""
        config = model.config
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        width = getattr(text, "hidden_size", None) or 0
        hidden = getattr(text, "intermediate_size", None) or 4 * width
        heads = getattr(text, "num_attention_heads", None) or 0
        weight = embedding_rows(model)
        eager = getattr(config, "_attn_implementation", None) == "eager"
        return cls(
            budget=budget,
            logits=2 * len(weight) * weight.element_size(),  # capped heads keep a copy
            body=(10 * width + 3 * hidden) * weight.element_size() + 64,
            square=8 * heads if eager else 0,
            keeps="logits_to_keep" in inspect.signature(model.forward).parameters,
            tokens=ENOUGH_TOKENS.get(weight.device.type, 2048),
            size=size,
        )

    @property
    def work(self) -> int:
        """Bytes for turning logits into costs, some rows at a time."""
        return min(WORK, self.budget // 4)

    def holds(self, count: int, window: Window) -> bool:
        """Whether `count` windows as long as `window` make a batch that fits and is not idle."""
        fed = window.length - 1
        scored = window.length - window.context if self.keeps else fed
        cost = count * (fed * (self.body + fed * self.square) + scored * self.logits)
        return (
            cost + self.work <= self.budget
            and count * fed <= self.tokens
            and (self.size is None or count <= self.size)
        )

    def positions(self, count: int, window: Window) -> int:
        """Positions of `count` such windows whose logits fit at once, at least one.

        A body that takes the whole budget cannot be cut; a quarter is then left for logits.
        """
        if not self.keeps:
            return window.length
        fed = window.length - 1
        left = self.budget - self.work - count * fed * (self.body + fed * self.square)
        return max(1, max(left, self.budget // 4) // (count * self.logits))


def embedding_rows(model: Any) -> torch.Tensor:
    """The weight [rows, width] of a model's input embedding: a row for each id, and padding."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def batches(windows: Sequence[Window], plan: Plan) -> Iterator[list[Window]]:
    """Put windows with equal context together, the longest first, as many as the plan holds."""
    ordered = sorted(windows, key=lambda window: (window.context, window.length), reverse=True)
    for _, group in itertools.groupby(ordered, key=lambda window: window.context):
        batch: list[Window] = []
        for window in group:
            if batch and not plan.holds(len(batch) + 1, batch[0]):
                yield batch
                batch = []
            batch.append(window)
        yield batch


def score_windows(
    model: Any,
    sequences: Sequence[NDArray[np.int64]],
    windows: Sequence[Window],
    plan: Plan,
    advance: Callable[[int], object] = lambda _: None,
) -> NDArray[np.float64]:
    """Add up what the scored tokens of each sequence cost.

    Args:
        model: A causal language model in evaluation mode.
        sequences: Token ids, begin token included.
        windows: What to score, from `cut`.
        plan: Costs and budget.
        advance: Called with the number of tokens scored, batch by batch.

    Returns:
        Nats [sequences]: minus the natural logarithm of the probability of all scored tokens.
    """
    nats = np.zeros(len(sequences))
    device = embedding_rows(model).device
    with torch.inference_mode():
        for batch in batches(windows, plan):
            rows = [sequences[window.sequence][window.start : window.stop] for window in batch]
            # Padding follows the text, and causal models do not look ahead: no mask is needed.
            ids = np.full((len(batch), batch[0].length), rows[0][0])
            for row, tokens in zip(ids, rows, strict=True):
                row[: len(tokens)] = tokens
            costs = score_batch(model, torch.from_numpy(ids).to(device), batch[0], plan)
            for window, cost in zip(batch, costs, strict=True):
                nats[window.sequence] += cost[: window.stop - window.scored].sum()
            advance(sum(window.stop - window.scored for window in batch))
    return nats


def score_batch(model: Any, ids: torch.Tensor, window: Window, plan: Plan) -> NDArray[np.float64]:
    """The nats [batch, scored] of the tokens `ids` [batch, time] after the window's context."""
    parts = []
    places = torch.arange(window.context - 1, window.length - 1, device=ids.device)
    for kept in torch.split(places, plan.positions(len(ids), window)):
        fed = ids[:, : int(kept[-1]) + 1]
        if plan.keeps:
            logits = model(input_ids=fed, use_cache=False, logits_to_keep=kept).logits
        else:
            logits = model(input_ids=fed, use_cache=False).logits[:, kept]
        targets = ids[:, kept + 1].to(logits.device)
        parts.append(negative_log_likelihood(logits, targets, plan.work))
    return torch.cat(parts, dim=1).double().numpy()


def negative_log_likelihood(
    logits: torch.Tensor, targets: torch.Tensor, work: int = WORK
) -> torch.Tensor:
    """The nats [batch, time] float32 on the CPU of targets under logits [batch, time, tokens].

    Works in float32 on as many rows at a time as `work` bytes hold, so that no second copy of the
    logits exists.
    """
    rows = max(1, work // (12 * logits.shape[-1]))
    costs = []
    pieces = torch.split(logits.flatten(0, 1), rows)
    for some, ids in zip(pieces, torch.split(targets.flatten(), rows), strict=True):
        some = some.float()
        costs.append(some.logsumexp(-1) - some.gather(-1, ids[:, None]).squeeze(-1))
    return torch.cat(costs).view(targets.shape).cpu()
