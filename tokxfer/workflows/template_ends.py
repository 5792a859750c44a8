"""Which special token a chat template writes behind an answer."""

from __future__ import annotations

from pathlib import Path

from tokxfer.alignment.hidden import special_names
from tokxfer.checkpoints import has_chat_template, load_tokenizer
from tokxfer.errors import TokxferError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.chat import render, template_of

ASKED, ANSWERED = "tokxferaskedmark", "tokxferansweredmark"


def end_of_turn(place: Path, vocabulary: ByteVocabulary) -> tuple[bool, str | None]:
    """Whether a folder brings a chat template, and the name of the token that ends an answer.

    Args:
        place: The folder, or a file in which there is no template.
        vocabulary: Its tokens.

    Returns:
        The name is None where the template writes no special token there, or cannot be asked.
    """
    if not place.is_dir() or not has_chat_template(place):
        return False, None
    messages = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": ANSWERED},
    ]
    try:
        tokenizer = load_tokenizer(place)
        if tokenizer is None:
            return True, None
        written = str(render(tokenizer, messages, template_of(tokenizer, None), answered=None))
    except TokxferError:
        return True, None
    behind = written.rpartition(ANSWERED)[2]
    names = special_names(vocabulary)
    found = min(
        ((behind.find(name), -len(name), name) for name in names if name in behind), default=None
    )
    return True, None if found is None else found[2]
