"""Models and tokenizers whose every probability is written down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

LETTERS = "abcdé \n"
BEGIN = len(LETTERS)


def letters() -> Tokenizer:
    """A tokenizer of single characters, ids in the order of `LETTERS`; all others are <unk>."""
    vocab = {letter: index for index, letter in enumerate(LETTERS)} | {"<s>": BEGIN}
    vocab["<unk>"] = len(vocab)
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


class Table(torch.nn.Module):
    """A bigram model: the next token's logits are the row `table[last token]` [tokens, tokens].

    Keeps the ids it was fed and the shapes of the logits it made.
    """

    def __init__(self, table: torch.Tensor, **config: Any) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(table)
        self.embedding = torch.nn.Embedding(len(table), 1)
        self.config = SimpleNamespace(**{"bos_token_id": BEGIN, **config})
        self.fed: list[torch.Tensor] = []
        self.shapes: list[torch.Size] = []

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def forward(self, input_ids: torch.Tensor, use_cache: bool, logits_to_keep: Any) -> Any:
        assert not use_cache
        self.fed.append(input_ids)
        logits = self.table[input_ids[:, logits_to_keep]]
        self.shapes.append(logits.shape)
        return SimpleNamespace(logits=logits)


class WholeTable(Table):
    """The same, in the manner of models that cannot be told where logits are wanted."""

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        return super().forward(input_ids, use_cache, slice(None))


def random_table(seed: int = 0, size: int = BEGIN + 2) -> torch.Tensor:
    """Some logits [tokens, tokens]."""
    return torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
