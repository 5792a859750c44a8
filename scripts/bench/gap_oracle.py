"""The best new rows there are: those of the tokens a base lacks, trained with all else frozen.

Only the missing rows are parameters; a step puts them into the frozen matrices and predicts the
next token. Muon and the schedule are those of the reference models' inner matrices: Muon evens out
directions, but leaves a rare token's step as small as its gradient, where Adam makes its noise as
large as a frequent token's step. Of all the points at which development documents were measured,
the best one's rows are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference.train import Muon, learning_rate
from tokxfer.vocabulary import ByteVocabulary

Rows = dict[str, torch.Tensor]
PIECE = 256  # tokens whose logits exist at once
POINTS = 5  # measurements on the development documents, beside the one at the start


@dataclass(frozen=True)
class Training:
    """How rows are trained.

    Args:
        tokens: Training tokens, each seen once.
        rate: Muon's rate at its height.
        batch: Windows a step.
        context: Tokens of a window.
        noise: Standard deviation of what is added to the rows at the start, in parts of theirs.
        seed: Seed of that noise.
    """

    tokens: int = 300_000
    rate: float = 0.006
    batch: int = 1
    context: int = 512
    noise: float = 0.05
    seed: int = 0

    @property
    def steps(self) -> int:
        return max(1, (self.tokens - 1) // (self.batch * self.context))


class NewRows:
    """A model's missing rows as parameters of their own.

    Args:
        model: A loaded model that holds rows to start from; it is frozen. Its head is taken for a
            matrix and a bias, with nothing after it.
        missing: Ids of the rows to train by matrix: "input" and "output", or "tied".
    """

    def __init__(self, model: Any, missing: Mapping[str, Sequence[int]]) -> None:
        self.model = model.requires_grad_(False)
        self.ids = {matrix: torch.as_tensor(list(ids)) for matrix, ids in missing.items()}
        embedding, self._head = model.get_input_embeddings(), model.get_output_embeddings()
        self._body = model.base_model
        self._name = next(
            name for name, part in self._body.named_parameters() if part is embedding.weight
        )
        weights = {"input": embedding.weight, "output": self._head.weight}
        weights["tied"] = weights["input"]
        self._weights = {matrix: weights[matrix] for matrix in missing}
        self.rows: Rows = {
            matrix: weight[self.ids[matrix]].clone().requires_grad_()
            for matrix, weight in self._weights.items()
        }

    def backward(self, windows: torch.Tensor) -> float:
        """Add the gradients of the mean nats of all tokens of windows but each one's first.

        Args:
            windows: Token ids [batch, context + 1].

        Returns:
            The mean nats.
        """
        first, last = next(iter(self.rows)), next(reversed(self.rows))
        whole = self._weights[first].index_copy(0, self.ids[first], self.rows[first])
        told = {"input_ids": windows[:, :-1], "use_cache": False}
        hidden = functional_call(self._body, {self._name: whole}, (), told)[0]
        with torch.no_grad():
            head = self._weights[last].index_copy(0, self.ids[last], self.rows[last])
        loss, from_hidden, from_rows = self._read(
            hidden.detach().flatten(0, 1), windows[:, 1:].flatten(), head, self.ids[last]
        )
        hidden.backward(from_hidden.view_as(hidden))
        rows = self.rows[last]
        rows.grad = from_rows if rows.grad is None else rows.grad + from_rows
        return loss

    @torch.no_grad()
    def _read(
        self, hidden: torch.Tensor, targets: torch.Tensor, head: torch.Tensor, new: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """Mean nats, and their gradients by hidden states [tokens, dim] and by the head's new rows.

        Some tokens at a time, so that logits stay in the processor's cache.
        """
        total, count = 0.0, len(targets)
        from_hidden = torch.empty_like(hidden)
        from_rows = torch.zeros(len(new), head.shape[1])
        for part in torch.arange(count).split(PIECE):
            logits = functional.linear(hidden[part], head, self._head.bias)
            logits -= logits.logsumexp(dim=1, keepdim=True)
            at = targets[part, None]
            total -= logits.gather(1, at).sum().item()
            errors = logits.exp_()
            errors.scatter_add_(1, at, torch.full(at.shape, -1.0))
            from_hidden[part] = errors @ head
            from_rows += errors[:, new].T @ hidden[part]
        return total / count, from_hidden / count, from_rows / count

    @torch.no_grad()
    def put(self, rows: Rows | None = None) -> None:
        """Write rows, by default the present ones, into the model."""
        for matrix, values in (rows or self.rows).items():
            self._weights[matrix].index_copy_(0, self.ids[matrix], values)

    def copy(self) -> Rows:
        """The present rows."""
        return {matrix: rows.detach().clone() for matrix, rows in self.rows.items()}

    @torch.no_grad()
    def disturb(self, noise: float, seed: int) -> None:
        """Add normal noise, in parts of the rows' root mean square."""
        random = torch.Generator().manual_seed(seed)
        for rows in self.rows.values():
            scale = noise * rows.square().mean().sqrt()
            rows.add_(scale * torch.randn(rows.shape, generator=random))


def train_rows(
    new: NewRows,
    ids: np.ndarray,
    training: Training,
    develop: Callable[[], float],
    advance: Callable[[int], Any] = lambda _: None,
) -> list[dict[str, float]]:
    """Train the rows; the model then holds the best of them.

    Args:
        new: The rows.
        ids: Training tokens, documents one after another.
        training: How.
        develop: Bits per byte of the development documents under the model as it is.
        advance: Called with the number of tokens trained on.

    Returns:
        The curve: tokens seen, bits per byte of the development documents, mean training nats of
        the stretch before.
    """
    steps, context = training.steps, training.context
    size = training.batch * context
    new.disturb(training.noise, training.seed)
    new.put()
    optimizer = Muon(list(new.rows.values()), lr=training.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: learning_rate(at, steps))
    best = new.copy()
    curve = [{"tokens": 0, "bits_per_byte": develop()}]
    stops = {round(steps * point / POINTS) for point in range(1, POINTS + 1)}
    nats: list[float] = []
    for step in range(steps):
        part = torch.from_numpy(ids[step * size : (step + 1) * size + 1].astype(np.int64))
        windows = part.unfold(0, context + 1, context)
        nats.append(new.backward(windows))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        advance(size)
        if step + 1 in stops:
            new.put()
            point = {"tokens": (step + 1) * size, "bits_per_byte": develop()}
            if point["bits_per_byte"] < min(one["bits_per_byte"] for one in curve):
                best = new.copy()
            curve.append(point | {"train_nats": float(np.mean(nats))})
            nats = []
    new.put(best)
    return curve


def pack(documents: Sequence[str], vocabulary: ByteVocabulary, tokens: int) -> np.ndarray:
    """Ids of documents as `bos text eos`, one after another, as many tokens as wanted."""
    begin, end = (vocabulary.roles.get(role) for role in ("bos", "eos"))
    parts: list[int] = []
    for text in documents:
        parts += [] if begin is None else [begin]
        parts += vocabulary.encode(text)
        parts += [] if end in (None, begin) else [end]
        if len(parts) > tokens:
            break
    return np.array(parts[: tokens + 1], dtype=np.int32)
