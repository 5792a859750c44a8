"""What stands before a text: token ids, or what can be made into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any

from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary


class CachedContext(list[int]):
    """Token ids that a model has read already, with the keys and values that it kept of them.

    Args:
        ids: Ids of one sequence.
        cache: What the model gave as `past_key_values`, of the first ids or of all. It is not
            changed. A model that is read in rows, or keeps only a window, reads the ids again.

    Attributes:
        read: Of how many ids there are keys and values in all layers; the last is always read.

    Raises:
        UsageError: The cache is none of transformers, not of one sequence, or of more ids than
            there are.
    """

    def __init__(self, ids: Sequence[int], cache: Any) -> None:
        super().__init__(ids)
        layers = getattr(cache, "layers", None)
        if layers is None:
            raise UsageError(
                f"A {type(cache).__name__} is no cache of keys and values.",
                "Give what a model of transformers returns as past_key_values.",
            )
        kept = [getattr(layer, "keys", None) for layer in layers]
        sizes = [(0, 0) if keys is None else (keys.shape[0], keys.shape[-2]) for keys in kept]
        rows, longest = (max(column, default=0) for column in zip(*sizes, strict=True))
        if rows > 1:
            raise UsageError(
                f"The cache is of {rows} sequences.", "Take that of the one that goes on."
            )
        filled = cache.get_seq_length() if longest else 0
        if filled > len(self):
            raise UsageError(
                f"The cache is of {filled} tokens, the context of {len(self)}.",
                "Give all the ids that the cache was filled with.",
            )
        self.cache = cache
        whole = len(set(sizes)) == 1 and filled <= longest
        self.read = max(0, min(filled, len(self) - 1)) if whole else 0


class Beginning(list[int]):
    """Token ids behind which a text begins, with the space that encoding may put before it.

    Behind other ids text goes on, and may begin without it.
    """


Context = Sequence[int] | Sequence[Mapping[str, str]] | str | None


def context_ids(
    context: Context,
    vocabulary: ByteVocabulary,
    begin: int | None,
    tokenizer: Callable[[], Any] | None = None,
) -> list[int]:
    """The ids of a context.

    Args:
        context: Ids as they are, with their cache or without; text, which is encoded behind the
            token that begins texts; chat messages, which the model's template puts into ids; None
            for the token that begins texts, or nothing where a model has none.
        vocabulary: The model's.
        begin: The token that begins texts.
        tokenizer: Loads the transformers tokenizer, which knows the chat template.

    Raises:
        UsageError: An id is out of range or none, or there is no chat template.
    """
    start = [] if begin is None else [begin]
    if context is None:
        return Beginning(start)
    if isinstance(context, str):
        return [*start, *vocabulary.encode(context)]
    if len(context) and isinstance(context[0], Mapping):
        return chat_ids(context, tokenizer)
    try:
        if isinstance(context, bytes):
            raise TypeError
        ids = [index(token) for token in context]  # type: ignore[arg-type]
    except TypeError as failure:
        raise UsageError(
            "A context is text, a list of token ids, or a list of chat messages.",
            "Give bytes as the text itself, messages as dicts with a role and a content.",
        ) from failure
    for token in ids:
        if not 0 <= token < vocabulary.size:
            raise UsageError(
                f"The context holds id {token}, but the tokenizer's end at {vocabulary.size - 1}.",
                "Take ids of the model's own tokenizer.",
            )
    return context if isinstance(context, (CachedContext, Beginning)) else ids


def chat_ids(messages: Any, tokenizer: Callable[[], Any] | None) -> list[int]:
    """Chat messages by the model's template, up to where its answer begins."""
    loaded = chat_tokenizer(tokenizer)
    ids = loaded.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return [int(token) for token in ids]


def chat_tokenizer(load: Callable[[], Any] | None) -> Any:
    """The transformers tokenizer, if it knows a chat template.

    Raises:
        UsageError: It knows none.
    """
    loaded = None if load is None else load()
    if not getattr(loaded, "chat_template", None):
        raise UsageError(
            "The model has no chat template, so messages cannot be its context.",
            "Give the context as text or token ids.",
        )
    return loaded
