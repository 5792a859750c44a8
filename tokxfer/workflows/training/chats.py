"""Chats as two models' own templates write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokxfer.alignment.sides import Rendered, RenderedChat
from tokxfer.errors import UsageError
from tokxfer.workflows.chat import Messages, render, template_of
from tokxfer.workflows.training.examples import Chat, Example
from tokxfer.workflows.training.member import Member

LEARNT = "assistant"  # the role whose messages a student is to write


def renderer(
    teacher: Member, student: Member, examples: Sequence[Example]
) -> Callable[[Chat], RenderedChat] | None:
    """What renders chats by both models' templates; None where there are no chats.

    Raises:
        UsageError: There are, and a model has no template.
    """
    if not any(isinstance(example, Chat) for example in examples):
        return None
    templates = [template(teacher), template(student)]

    def both(chat: Chat) -> RenderedChat:
        sides = [
            written(member, chat.messages, found)
            for member, found in zip((teacher, student), templates, strict=True)
        ]
        trained = tuple(message["role"] == LEARNT for message in chat.messages)
        return RenderedChat(sides[0], sides[1], trained)

    return both


def template(member: Member) -> str:
    """A model's chat template.

    Raises:
        UsageError: It has none.
    """
    if member.tokenizer is None or not member.tokenizer.chat_template:
        raise UsageError(
            f"{member.name} has no chat template, and the data hold chats.",
            "Give its tokenizer one, or train on plain text.",
        )
    return template_of(member.tokenizer, None)


def written(member: Member, messages: Messages, found: str) -> Rendered:
    """A chat as a template writes it, and where in it what each message says stands.

    Where that is, the template itself says of messages that are marks. Templates may take white
    space off a message, or leave one out: then its content is what is there of it, or empty.

    Args:
        member: Whose template it is.
        messages: The chat.
        found: The template.
    """
    marks = [f"tokxfer{number}mark" for number in range(len(messages))]
    marked = [{**one, "content": mark} for one, mark in zip(messages, marks, strict=True)]
    skeleton, text = (
        str(render(member.tokenizer, chat, found, answered=None)) for chat in (marked, messages)
    )
    said = [message["content"] for message in messages]
    contents = between_marks(skeleton, marks, text, said)
    return Rendered(text, tuple(searched(text, said) if contents is None else contents))


def between_marks(
    skeleton: str, marks: Sequence[str], text: str, said: Sequence[str]
) -> list[tuple[int, int]] | None:
    """Where contents stand in a text that is a skeleton but for them; None if it is not."""
    contents, at, behind = [], 0, 0  # in the text, in the skeleton
    for mark, content in zip(marks, said, strict=True):
        start = skeleton.find(mark, behind)
        if start < 0:
            contents.append((at, at))
            continue
        around = skeleton[behind:start]
        following = skeleton[start + len(mark) :][:1]
        at += len(around)
        behind = start + len(mark)
        whole = next(
            (
                one
                for one in (content, content.strip())
                if text.startswith(around, at - len(around))
                and text.startswith(one + following, at)
            ),
            None,
        )
        if whole is None:
            return None
        contents.append((at, at + len(whole)))
        at += len(whole)
    return contents if text[at:] == skeleton[behind:] else None


def searched(text: str, said: Sequence[str]) -> list[tuple[int, int]]:
    """Where contents stand in a text, one behind another; empty where one is not there."""
    contents, behind = [], 0
    for content in said:
        places = ((text.find(one, behind), one) for one in (content, content.strip()))
        start, whole = next(((at, one) for at, one in places if at >= 0), (behind, ""))
        contents.append((start, start + len(whole)))
        behind = start + len(whole)
    return contents
