"""The failures a user can mend: one sentence that says what and where, and a hint what to do."""

from __future__ import annotations


class TokxferError(Exception):
    """A known failure. The command line prints it as one sentence and exits with code 1.

    Args:
        message: What is wrong and where, in the user's own words (paths, names, numbers).
        hint: What to do next, or None.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TokxferError):
    """The request itself makes no sense (k = 0, an unknown method): exit code 2."""


class FolderError(TokxferError):
    """A model or tokenizer folder is missing something, or is damaged."""


class VocabularyError(TokxferError):
    """A tokenizer whose tokens cannot be read as bytes, or two that cannot be aligned."""


class UnsupportedError(TokxferError):
    """A kind of model this package refuses rather than damages (quantized, adapter, pickle…)."""


class VerificationError(TokxferError):
    """A result failed its own post-conditions; nothing was left behind."""
