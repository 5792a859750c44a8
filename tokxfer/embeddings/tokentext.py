"""Tokens as text that a text encoder can read."""

from __future__ import annotations

import unicodedata


def token_text(token: bytes) -> str:
    """What an encoder is shown for a token: its text, a leading space kept.

    Bytes that are no whole UTF-8, and tokens of nothing but white space or control characters, are
    spelled byte by byte as `<0xE2><0x80>`: encoders would read all of the former as one replacement
    character and all of the latter as the empty text, and every such token would be the same.
    """
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return spelled(token)
    return text if any(visible(character) for character in text) else spelled(token)


def visible(character: str) -> bool:
    """Whether a character leaves a mark: no white space, no control or format character."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def spelled(token: bytes) -> str:
    """Every byte as two hexadecimal digits: `<0x0A>`."""
    return "".join(f"<0x{byte:02X}>" for byte in token)
