"""What stands before a text: ids, text, or chat messages."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.context import context_ids
from tokxfer.checkpoints import load_tokenizer
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary

MESSAGES = [{"role": "user", "content": "What is <|im_end|> for?"}]


@pytest.fixture(scope="module")
def vocabulary(tiny: Tiny) -> ByteVocabulary:
    return read_vocabulary(tiny.tokenizer("chat"))


def test_ids_are_taken_as_they_are(vocabulary: ByteVocabulary) -> None:
    assert context_ids([5, 9, 5], vocabulary, 3) == [5, 9, 5]
    assert context_ids(torch.tensor([5, 9]), vocabulary, 3) == [5, 9]
    assert context_ids([], vocabulary, 3) == []


def test_text_begins_behind_the_token_that_begins_texts(vocabulary: ByteVocabulary) -> None:
    encoded = vocabulary.encode("The dog")
    assert context_ids("The dog", vocabulary, 3) == [3, *encoded]
    assert context_ids("The dog", vocabulary, None) == encoded
    assert context_ids(None, vocabulary, 3) == [3]
    assert context_ids(None, vocabulary, None) == []


@pytest.mark.parametrize("wrong", [[5, -1], [100_000]])
def test_ids_of_another_tokenizer_are_refused(vocabulary: ByteVocabulary, wrong: list[int]) -> None:
    with pytest.raises(UsageError, match="The context holds id"):
        context_ids(wrong, vocabulary, None)


@pytest.mark.parametrize("wrong", [["a", "b"], [1.5], b"abc", [[1, 2]]])
def test_what_is_no_context_is_refused(vocabulary: ByteVocabulary, wrong: object) -> None:
    with pytest.raises(UsageError, match="text, a list of token ids, or a list of chat messages"):
        context_ids(wrong, vocabulary, None)  # type: ignore[arg-type]


def test_messages_go_through_the_template(tiny: Tiny, vocabulary: ByteVocabulary) -> None:
    folder = tiny.tokenizer("chat")
    found = context_ids(MESSAGES, vocabulary, None, lambda: load_tokenizer(folder))
    names = [
        vocabulary.source.id_to_token(token) if hasattr(vocabulary.source, "id_to_token") else ""
        for token in found
    ]
    start, end = (
        load_tokenizer(folder).convert_tokens_to_ids(n) for n in ("<|im_start|>", "<|im_end|>")
    )
    assert names
    assert found.count(start) == 2
    assert found[0] == start
    assert end in found
    assert found[-1] != end
    spelled = b"".join(vocabulary.tokens[token] for token in found)
    assert spelled.endswith(b"assistant\n") or b"assistant" in spelled


def test_messages_without_a_template_are_refused(tiny: Tiny, vocabulary: ByteVocabulary) -> None:
    plain = tiny.tokenizer("bytebpe")
    for tokenizer in (None, lambda: load_tokenizer(plain)):
        with pytest.raises(UsageError, match="no chat template"):
            context_ids(MESSAGES, vocabulary, None, tokenizer)


def test_a_model_goes_on_behind_messages(tiny: Tiny) -> None:
    folder = tiny.model("llama", tokenizer="chat")
    lm = ByteLM.from_pretrained(folder)
    ids = load_tokenizer(folder).apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_dict=False
    )
    told = lm.next_byte("Be", context=MESSAGES)
    torch.testing.assert_close(told.nats, lm.next_byte("Be", context=ids).nats)
    assert not torch.allclose(told.nats, lm.next_byte("Be", context="user").nats)


def test_a_template_that_writes_the_begin_token_gives_it_once(tiny: Tiny) -> None:
    folder = tiny.copy(tiny.model("llama", tokenizer="spbpe"))
    (folder / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    )
    lm = ByteLM.from_pretrained(folder)
    ids = lm.context(MESSAGES)
    assert lm.begin is not None
    assert ids[0] == lm.begin
    assert ids.count(lm.begin) == 1
    told = lm.next_byte("Be", context=MESSAGES)
    torch.testing.assert_close(told.nats, lm.next_byte("Be", context=ids).nats)
