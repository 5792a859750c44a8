"""Texts as callers give them, one or several: checked before anything is asked."""

from __future__ import annotations

from typing import Any

from tokxfer.errors import UsageError


def several(texts: Any) -> list[Any]:
    """One text or several as a list, its items not looked at yet.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(texts, (str, bytes)):
        return [texts]
    try:
        return [*texts]
    except TypeError:
        raise not_text(texts) from None


def written(text: Any) -> str | bytes:
    """A text, if it is one.

    Raises:
        UsageError: It is neither str nor bytes, or holds what is no character.
    """
    if not isinstance(text, (str, bytes)):
        raise not_text(text)
    if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(
            "The text holds half of a surrogate pair, which is no character.",
            "Give its bytes, or leave it out.",
        )
    return text


def raw(text: Any) -> bytes:
    """The bytes of a text, with nothing put before it.

    Raises:
        UsageError: It is no text: see `written`.
    """
    found = written(text)
    return found.encode() if isinstance(found, str) else found


def not_text(found: object) -> UsageError:
    """What is said of something that should be a text."""
    return UsageError(
        f"A text is a str or bytes, not {type(found).__name__}.",
        "Decode token ids first, or give them as a context.",
    )


def nothing(context: object) -> UsageError:
    """What is said where nothing stands before the first byte that is asked for.

    Args:
        context: As it was given.
    """
    why = "and the model has no token that begins texts" if context is None else "as is the context"
    return UsageError(f"The prompt is empty, {why}.", "Give it some text, or a context.")
