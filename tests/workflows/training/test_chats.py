"""Chats, written by each model's own template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import CHAT_TEMPLATE, Tiny
from tokxfer.checkpoints import load_tokenizer
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.distill import distill
from tokxfer.workflows.training.chats import renderer, written
from tokxfer.workflows.training.examples import Chat
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.schedule import Schedule

SAID = ["You are user.", "user", "  assistant\n", "Hi", "The dog sleeps."]
ROLES = ["system", "user", "assistant", "user", "assistant"]
MESSAGES = [{"role": role, "content": said} for role, said in zip(ROLES, SAID, strict=True)]
TRIMMING = (
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "[INST] {{ m['content'] | trim }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] | trim }}</s>{% endif %}{% endfor %}"
)


def member(folder: Path, template: str | None) -> Member:
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = template
    return Member(folder.name, None, ByteVocabulary.from_file(folder), tokenizer)


@pytest.fixture(scope="session")
def chatty(tiny: Tiny) -> Path:
    """A model with markers and a chat template."""
    folder = tiny.copy(tiny.model("llama", tokenizer="chat", tokens=440, seed=8))
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": CHAT_TEMPLATE}))
    return folder


@pytest.fixture(scope="session")
def instructed(tiny: Tiny) -> Path:
    """Another, with other ones."""
    folder = tiny.copy(tiny.model("llama", tokenizer="spbpe", seed=9))
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": TRIMMING}))
    return folder


def found(folder: Path, template: str) -> list[str]:
    rendered = written(member(folder, template), MESSAGES, template)
    return [rendered.text[start:stop] for start, stop in rendered.contents]


def test_contents_are_found_where_the_template_puts_them(chatty: Path) -> None:
    """A message that says "user" is not the template's word."""
    rendered = written(member(chatty, CHAT_TEMPLATE), MESSAGES, CHAT_TEMPLATE)
    assert [rendered.text[start:stop] for start, stop in rendered.contents] == SAID
    assert rendered.text[: rendered.contents[1][0]].endswith("<|im_start|>user\n")


def test_messages_that_a_template_trims_or_leaves_out_are_what_is_there(instructed: Path) -> None:
    assert found(instructed, TRIMMING) == ["", "user", "assistant", "Hi", "The dog sleeps."]


def test_a_template_that_looks_into_messages_is_searched_for_them(chatty: Path) -> None:
    template = "{% for m in messages %}{{ m['content'] | length }}:{{ m['content'] }};{% endfor %}"
    assert found(chatty, template) == SAID


def test_only_what_the_assistant_says_is_learnt(chatty: Path, instructed: Path) -> None:
    both = renderer(
        member(chatty, CHAT_TEMPLATE), member(instructed, TRIMMING), [Chat(tuple(MESSAGES))]
    )
    assert both is not None
    assert both(Chat(tuple(MESSAGES))).trained == (False, False, True, False, True)


def test_a_model_without_a_template_is_refused_where_there_are_chats(chatty: Path) -> None:
    plain, other = member(chatty, None), member(chatty, CHAT_TEMPLATE)
    assert renderer(plain, other, ["text"]) is None
    with pytest.raises(UsageError, match="has no chat template"):
        renderer(plain, other, [Chat(tuple(MESSAGES))])


@pytest.mark.parametrize("objective", ["alm", "alm+sft"])
def test_chats_and_texts_are_trained_on_together(
    chatty: Path, instructed: Path, tmp_path: Path, objective: str
) -> None:
    lines: list[dict[str, Any]] = [{"messages": MESSAGES}] * 8 + [{"text": SAID[4]}] * 8
    data = tmp_path / "chats.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = distill(
        chatty, instructed, tmp_path / "out", data=data, objective=objective, device="cpu",
        schedule=Schedule(steps=6, batch_size=4, max_length=96, rate=0.01), offline=True,
    )  # fmt: skip
    assert report.data["documents"] == 15
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]
