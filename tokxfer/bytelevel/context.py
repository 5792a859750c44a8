"""What stands before a text: token ids, or what can be made into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any

from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary

Context = Sequence[int] | Sequence[Mapping[str, str]] | str | None


def context_ids(
    context: Context,
    vocabulary: ByteVocabulary,
    begin: int | None,
    tokenizer: Callable[[], Any] | None = None,
) -> list[int]:
    """The ids of a context.

    Args:
        context: Ids as they are; text, which is encoded behind the token that begins texts; chat
            messages, which the model's template puts into ids; None for the token that begins
            texts, or nothing where a model has none.
        vocabulary: The model's.
        begin: The token that begins texts.
        tokenizer: Loads the transformers tokenizer, which knows the chat template.

    Raises:
        UsageError: An id is out of range or none, or there is no chat template.
    """
    start = [] if begin is None else [begin]
    if context is None:
        return start
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
    return ids


def chat_ids(messages: Any, tokenizer: Callable[[], Any] | None) -> list[int]:
    """Chat messages by the model's template, up to where its answer begins."""
    loaded = None if tokenizer is None else tokenizer()
    if loaded is None or not getattr(loaded, "chat_template", None):
        raise UsageError(
            "The model has no chat template, so messages cannot be its context.",
            "Give the context as text or token ids.",
        )
    ids = loaded.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return [int(token) for token in ids]
