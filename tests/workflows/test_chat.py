"""Prompts that chat templates write: their special tokens are ids, all else is text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import tokxfer as tx
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.errors import UsageError
from tokxfer.workflows import chat
from tokxfer.workflows.chat import ChatPrompt, place, render, template_of
from tokxfer.workflows.likelihood import continuations, until

MESSAGES = [{"role": "user", "content": "the quick fox"}]
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}{{ m['content'] }}{% endfor %}"
)


@pytest.fixture(scope="module")
def lm(tiny: Tiny) -> ByteLM:
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer="chat", seed=3))


@pytest.fixture(scope="module")
def prompt(lm: ByteLM) -> ChatPrompt:
    tokenizer = lm.chat_tokenizer
    return render(tokenizer, MESSAGES, tokenizer.chat_template, answered=False)


def test_special_tokens_are_context_and_what_stands_behind_them_is_text(
    lm: ByteLM, prompt: ChatPrompt
) -> None:
    placed = place(lm, prompt, "The dog<|im_end|>")
    assert placed.context is not None
    whole = lm.context(MESSAGES)
    assert list(placed.context) == whole[: len(placed.context)]
    specials = {lm.vocabulary.names.index(name) for name in ("<|im_start|>", "<|im_end|>")}
    assert placed.context[-1] in specials
    assert not specials & set(whole[len(placed.context) :])
    assert placed.data == b"assistant\nThe dog<|im_end|>"
    assert placed.data[placed.start :] == b"The dog<|im_end|>"


def test_other_strings_are_text_though_they_name_special_tokens(
    lm: ByteLM, prompt: ChatPrompt
) -> None:
    placed = place(lm, str(prompt), "!")
    assert placed.context is None
    assert placed.data == f"{prompt}!".encode()
    plain = place(lm, ChatPrompt("no marks here"), "!")
    assert (plain.context, plain.data) == (None, b"no marks here!")


@pytest.mark.parametrize("family", ["bytebpe", "spbpe", "unigram"])
@pytest.mark.parametrize("text", ["girl", " girl", "\ngirl", ""])
def test_text_behind_a_special_token_is_spelled_as_the_tokenizer_spells_it(
    tiny: Tiny, family: str, text: str
) -> None:
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer=family, seed=3))
    name = lm.vocabulary.names[lm.vocabulary.roles["eos"]]
    placed = place(lm, ChatPrompt(f"the dog{name}{text}"), "s")
    ids = lm.vocabulary.encode(f"the dog{name}{text}s")
    at = ids.index(lm.vocabulary.roles["eos"]) + 1
    assert list(placed.context or ()) == ids[:at]
    assert placed.data == b"".join(lm.canonical.tokens[token] for token in ids[at:])
    assert placed.data[placed.start :].lstrip() == b"s"


def test_continuations_of_a_chat_are_scored_behind_its_ids(lm: ByteLM, prompt: ChatPrompt) -> None:
    pairs = [(prompt, "The dog"), ("The fox", " runs"), (prompt, " a")]
    found = continuations(lm, pairs)
    context = place(lm, prompt).context
    for at in (0, 2):
        text = ("assistant\n" + pairs[at][1]).encode()
        expected = lm.score(text, context).nats[len("assistant\n") :].sum()
        assert found[at][0] == pytest.approx(float(expected), abs=1e-4)
    assert found[1] == continuations(lm, [("The fox", " runs")])[0]
    spelled = continuations(lm, [(str(prompt), "The dog")])[0][0]
    assert abs(spelled - found[0][0]) > 1e-3


def test_a_chat_goes_on_behind_its_ids(lm: ByteLM, prompt: ChatPrompt) -> None:
    written = until(lm, prompt, {"max_gen_toks": 5})
    context = place(lm, prompt).context
    expected = lm.generate(
        b"assistant\n", context, max_new_bytes=5, temperature=0.0, by="bytes"
    ).text
    assert written == expected


def test_of_a_chat_longer_than_the_model_the_end_is_kept(lm: ByteLM) -> None:
    tokenizer = lm.chat_tokenizer
    long = [{"role": "user", "content": "the quick fox " * 100}]
    prompt = render(tokenizer, long, tokenizer.chat_template, answered=False)
    placed = place(lm, prompt, "a")
    assert lm.length is not None
    assert len(placed.context or ()) == lm.length
    assert continuations(lm, [(prompt, "a")])[0][0] < 0


def test_a_last_message_that_begins_the_answer_goes_on(lm: ByteLM) -> None:
    begun = [*MESSAGES, {"role": "assistant", "content": "The d"}]
    tokenizer = lm.chat_tokenizer
    prompt = render(tokenizer, begun, tokenizer.chat_template, answered=True)
    assert prompt.endswith("<|im_start|>assistant\nThe d")


def test_a_prompt_stays_one_when_it_is_kept(prompt: ChatPrompt) -> None:
    kept = pickle.loads(pickle.dumps(prompt))
    assert type(kept) is ChatPrompt
    assert kept == prompt


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged as a warning, whatever another test has made of the log."""
    found: list[str] = []
    monkeypatch.setattr(chat._log, "warning", lambda said, *told: found.append(said % told))
    return found


def test_a_template_that_takes_no_system_message_gets_none(lm: ByteLM, warned: list[str]) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    found = render(lm.chat_tokenizer, messages, NO_SYSTEM, answered=False)
    assert found == "the quick fox"
    assert [said for said in warned if "left out" in said] == warned != []
    with pytest.raises(UsageError, match="refuses the messages: never"):
        render(lm.chat_tokenizer, MESSAGES, "{{ raise_exception('never') }}", answered=False)


def test_one_of_several_templates_goes_by_its_name(warned: list[str]) -> None:
    class Loaded:
        chat_template: Any = None

    Loaded.chat_template = {"default": "one", "brief": "two"}
    assert [template_of(Loaded, name) for name in (None, "brief")] == ["one", "two"]
    with pytest.raises(UsageError, match="no chat template 'long'"):
        template_of(Loaded, "long")
    Loaded.chat_template = {"brief": "two"}
    with pytest.raises(UsageError, match="No chat template is the default"):
        template_of(Loaded, None)
    Loaded.chat_template = "only"
    assert template_of(Loaded, "brief") == "only"
    assert [said for said in warned if "not heeded" in said] == warned != []


def test_a_model_without_a_template_says_so(tiny: Tiny) -> None:
    folder: Path = tiny.model("llama", seed=3)
    with pytest.raises(tx.TokxferError, match="no chat template"):
        _ = ByteLM.from_pretrained(folder).chat_tokenizer


def test_a_template_that_writes_the_begin_token_gives_it_once(tiny: Tiny) -> None:
    folder = tiny.copy(tiny.model("llama", tokenizer="spbpe", seed=3))
    template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    lm = ByteLM.from_pretrained(folder)
    placed = place(lm, render(lm.chat_tokenizer, MESSAGES, template, answered=False), "a")
    assert placed.context is not None
    assert list(placed.context) == lm.context(MESSAGES)
    assert placed.context.count(lm.begin) == 1
