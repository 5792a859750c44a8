"""A causal model's hidden states and its head apart, so that its logits need not all be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.bytelevel.treemodel import reach, takes_trees
from tokxfer.errors import UnsupportedError
from tokxfer.shapes import Bool, Float, Int

MULTIPLIERS = ("logit_scale", "lm_head_multiplier")  # settings by which logits are multiplied
DIVISORS = ("logits_scaling",)


@dataclass(frozen=True, eq=False)
class Body:
    """A causal model that stops before its head.

    Args:
        model: A transformers causal language model, as it is or in a wrapper of parallel training,
            through which its forward pass goes.
        core: The model itself.
    """

    model: Any
    core: Any

    @classmethod
    def of(cls, model: Any) -> Body:
        """A model by itself."""
        return cls(model, model)

    @property
    def head(self) -> Any:
        """The module that makes logits of hidden states."""
        return self.core.get_output_embeddings()

    @property
    def scale(self) -> float:
        """What the head's products are multiplied by."""
        config, found = self.core.config.get_text_config(), 1.0
        for name in MULTIPLIERS:
            found *= getattr(config, name, None) or 1.0
        for name in DIVISORS:
            found /= getattr(config, name, None) or 1.0
        return found

    @property
    def softcap(self) -> float | None:
        """The bound c of c tanh(x / c), which logits go through last; None for none."""
        return getattr(self.core.config.get_text_config(), "final_logit_softcapping", None)

    def hidden(
        self,
        ids: Int[torch.Tensor, "batch tokens"],
        document: Int[torch.Tensor, "batch tokens"],
    ) -> Float[torch.Tensor, "batch tokens dim"]:
        """What the head would be given at every token.

        Args:
            ids: [batch, tokens] ids, whatever where there is none.
            document: [batch, tokens] which document of its row a token belongs to, −1 for none.
                Tokens see those before them in their own document only.
        """
        told: dict[str, Any] = {"input_ids": ids, "use_cache": False}
        first = document[:, :1]
        if not bool(((document == first) | (document < 0)).all() & (first == 0).all()):
            told |= {
                "position_ids": positions(document),
                "attention_mask": self._mask(document),
            }
        with self._stopped() as found:
            self.model(**told)
        return found[-1]

    def _mask(self, document: torch.Tensor) -> torch.Tensor:
        """What is added to attention [batch, 1, tokens, tokens]: nothing, or about −inf."""
        seen = attended(document)[:, None]
        dtype = self.core.dtype
        away = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return away.masked_fill_(~seen, torch.finfo(dtype).min)

    @contextmanager
    def _stopped(self) -> Iterator[list[torch.Tensor]]:
        """Let the head hand on what it is given, and one number of it as its answer."""
        head, found = self.head, list[torch.Tensor]()

        def keep(hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            found.append(hidden)
            return hidden[..., :1]

        head.forward = keep
        try:
            yield found
        finally:
            del head.forward

    @torch.no_grad()
    def check(self) -> None:
        """See that hidden states and head make the model's own logits; tried on a few tokens.

        Raises:
            UnsupportedError: They do not.
        """
        size = self.core.get_input_embeddings().weight.shape[0]
        ids = torch.arange(4, device=self.core.device)[None] % size
        own = self.core(input_ids=ids, use_cache=False).logits[0].float()
        hidden = self.hidden(ids, torch.zeros_like(ids))[0]
        logits = torch.nn.functional.linear(hidden, self.head.weight, self.head.bias).float()
        logits *= self.scale
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        loose = 1e-3 if self.core.dtype in (torch.float32, torch.float64) else 5e-2
        if own.shape != logits.shape or not torch.allclose(
            own, logits, rtol=loose, atol=loose * float(own.std())
        ):
            raise UnsupportedError(
                f"{type(self.core).__name__} does more to its logits than is known here, so a "
                "loss of them would be another model's.",
                "Take a model whose head is one matrix.",
            )

    @property
    def packs(self) -> bool:
        """Whether several documents may share a row, each unseen by the others."""
        return reach(self.core.config) is None and takes_trees(self.core)


def positions(document: Int[torch.Tensor, "batch tokens"]) -> Int[torch.Tensor, "batch tokens"]:
    """The place of each token in its own document; 0 for those of none."""
    place = torch.arange(document.shape[1], device=document.device).expand_as(document)
    begins = torch.ones_like(document, dtype=torch.bool)
    begins[:, 1:] = document[:, 1:] != document[:, :-1]
    first = torch.where(begins, place, 0).cummax(dim=1).values
    return torch.where(document >= 0, place - first, 0)


def attended(document: Int[torch.Tensor, "batch tokens"]) -> Bool[torch.Tensor, "batch tokens at"]:
    """Whether a token sees another: itself, and those before it of the same document."""
    size = document.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=document.device).tril()
    same = document[:, :, None] == document[:, None, :]
    alone = torch.eye(size, dtype=torch.bool, device=document.device)
    return (before & same & (document >= 0)[:, :, None]) | alone
