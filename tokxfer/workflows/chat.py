"""Chat messages for a harness that hands prompts on as strings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tokxfer.bytelevel import ByteLM
from tokxfer.checkpoints.loading import one_line
from tokxfer.errors import UsageError

_log = logging.getLogger("tokxfer")
Messages = Sequence[Mapping[str, str]]


class ChatPrompt(str):
    """A prompt that a chat template wrote: names of special tokens in it stand for these tokens.

    In any other string they are text. A harness hands prompts on as strings, and may keep them from
    one run to the next, so the prompt itself says what it is.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Placed:
    """A prompt with what follows it, as a model reads them.

    Attributes:
        context: Ids before the text; None where it begins a text.
        data: The bytes of the text: of what of the prompt is no context, and of what follows.
        start: Where in them that begins.
    """

    context: tuple[int, ...] | None
    data: bytes
    start: int


def place(lm: ByteLM, prompt: str, following: str = "") -> Placed:
    """A prompt and what follows it, as one text, behind the special tokens that a template wrote.

    Of a `ChatPrompt` all up to its last special token is context, as ids; what stands behind that
    is text, so that tokens may span the place where the prompt ends. Of a chat longer than the
    model its last tokens are kept.

    Args:
        lm: The model.
        prompt: A `ChatPrompt`, or any other string, which is text from beginning to end.
        following: What the prompt is followed by: always text.

    Raises:
        UsageError: The text holds what the tokenizer cannot spell.
    """
    if isinstance(prompt, ChatPrompt):
        encoded = lm.vocabulary.tokenizer.encode(str(prompt), add_special_tokens=False)
        special = [at for at, token in enumerate(encoded.ids) if not lm.canonical.tokens[token]]
        if special:
            last = special[-1]
            context = encoded.ids[: last + 1]
            kept = context[-lm.length :] if lm.length is not None else context
            tail = str(prompt)[encoded.offsets[last][1] :]
            data = spell_behind(lm, context[-1], tail + following)
            return Placed(tuple(kept), data, seam(spell_behind(lm, context[-1], tail), data))
    data = lm.spell(str(prompt) + following)
    return Placed(None, data, seam(lm.spell(str(prompt)), data))


def seam(context: bytes, data: bytes) -> int:
    """Where a text's bytes go on from those of its context.

    A context may be spelled otherwise once it goes on. No space is put before an added token, so
    that of a context which breaks off in the first one is not there in the text. Where a normalizer
    joins both, all that is not the context's any more goes on from it.
    """
    if context[:1] == b" " and not data.startswith(context) and data.startswith(context[1:]):
        return len(context) - 1
    same = (one == other for one, other in zip(context, data, strict=False))
    return sum(takewhile(bool, same))


def spell_behind(lm: ByteLM, token: int, text: str) -> bytes:
    """The bytes of a text behind a special token, with the space that encoding may put there."""
    if not text:
        return b""
    letter = " a" if text.startswith(" ") else "a"
    ids = lm.vocabulary.encode(lm.vocabulary.names[token] + letter)
    spelled = b"".join(lm.canonical.tokens[one] for one in ids)
    space = spelled[: max(0, len(spelled) - len(letter))]
    return space + lm.spell("a" + text)[len(lm.spell("a")) :]


def template_of(tokenizer: Any, name: str | None) -> str:
    """A tokenizer's chat template, by name where it has several.

    Raises:
        UsageError: There is none of that name, or none that is the default.
    """
    if name is not None and not isinstance(tokenizer.chat_template, dict):
        _log.warning("There is one chat template only, so %r is not heeded.", name)
        name = None
    templates = tokenizer.chat_template
    if not isinstance(templates, dict):
        return str(templates)
    if (name or "default") not in templates:
        raise UsageError(
            f"There is no chat template {name!r}." if name else "No chat template is the default.",
            f"Name one of {', '.join(sorted(templates))}.",
        )
    return str(templates[name or "default"])


def render(
    tokenizer: Any, messages: Messages, template: str, *, answered: bool | None
) -> ChatPrompt:
    """Messages by a chat template, up to where the model's answer begins or goes on.

    A template that refuses the messages gets them once more without those of the system, as from
    the harness's own models.

    Args:
        tokenizer: The transformers tokenizer.
        messages: Each with a role and a content.
        template: In Jinja.
        answered: Whether the last message is the beginning of the answer, which goes on; None for
            messages that are a whole chat.

    Raises:
        UsageError: The template refuses the messages.
    """
    from jinja2 import TemplateError

    attempts = [list(messages), [one for one in messages if one["role"] != "system"]]
    for number, attempt in enumerate(attempts):
        try:
            text = tokenizer.apply_chat_template(
                attempt, chat_template=template, tokenize=False,
                add_generation_prompt=answered is False, continue_final_message=answered is True,
            )  # fmt: skip
            return ChatPrompt(text)
        except TemplateError as failure:
            if number or attempts[1] == attempt:
                raise UsageError(
                    f"The chat template refuses the messages: {one_line(failure)}",
                    "Run without chat templates, or mend the model's.",
                ) from failure
            _log.warning("The chat template refuses a system message, which is left out.")
    raise AssertionError
