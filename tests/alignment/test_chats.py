"""Chats, each side by its own template: messages are aligned, what is around them is not."""

from __future__ import annotations

from itertools import accumulate, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import FAMILIES
from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.sides import Pair, Rendered, RenderedChat, Side
from tokxfer.alignment.windows import collate, cut
from tokxfer.vocabulary import ByteVocabulary, Kind

Messages = list[tuple[str, str]]
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARIES = {
    "chatml": ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](specials=CHATML)),
    "llama3": ByteVocabulary.from_tokenizer(FAMILIES["byte_level_groups"]()),
    "llama2": ByteVocabulary.from_tokenizer(FAMILIES["sentencepiece_bpe"]()),
    "gemma": ByteVocabulary.from_tokenizer(FAMILIES["gemma"]()),
    "unigram": ByteVocabulary.from_tokenizer(FAMILIES["unigram"]()),
}
WRITTEN = {  # what begins a chat, what is before a message's text, and what behind it
    "chatml": ("", "<|im_start|>{}\n", "<|im_end|>\n"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"),
    "llama2": ("<s>", "[{}] ", " </s>"),
    "gemma": ("<bos>", "<start_of_turn>{}\n", "<end_of_turn>\n"),
    "unigram": ("<s>", "{}: ", "</s>"),
}
ENDS = {
    "chatml": "<|im_end|>", "llama3": "<|eot_id|>", "llama2": "</s>", "gemma": "<end_of_turn>",
    "unigram": "</s>",
}  # fmt: skip
PAIRS = list(product(VOCABULARIES, VOCABULARIES))
ALIGNERS = {
    (left, right): Aligner(VOCABULARIES[left], VOCABULARIES[right]) for left, right in PAIRS
}
MESSAGES = [("user", "Where is the dog?"), ("assistant", "The dog sat down, 1492.")]
SPELLED = "say <|im_end|> or <|eot_id|> or </s> or <end_of_turn> now"


def rendered(name: str, messages: Messages) -> Rendered:
    begin, before, behind = WRITTEN[name]
    text, contents = begin, []
    for role, content in messages:
        text += before.format(role)
        contents.append((len(text), len(text) + len(content)))
        text += content + behind
    return Rendered(text, tuple(contents))


def aligned(left: str, right: str, messages: Messages) -> Pair:
    trained = tuple(role == "assistant" for role, _ in messages)
    chat = RenderedChat(rendered(left, messages), rendered(right, messages), trained)
    return ALIGNERS[left, right].align_chats([chat])[0]


def texts_of(pair: Pair) -> list[bytes]:
    return [pair.text[low:high] for low, high in pairwise([0, *accumulate(pair.sizes.tolist())])]


def names_of(side: Side, name: str, chunk: int) -> list[str]:
    return [VOCABULARIES[name].names[token] for token in side.ids[side.chunk == chunk].tolist()]


@pytest.mark.parametrize(("left", "right"), PAIRS)
@given(
    messages=st.lists(
        st.tuples(
            st.sampled_from(["user", "assistant"]),
            st.one_of(st.text(alphabet="aeit dog.12\n漢é🙂<|>", max_size=15), st.just(SPELLED)),
        ),
        max_size=3,
    )
)
@settings(max_examples=12)
def test_no_chunk_has_sides_of_different_text(left: str, right: str, messages: Messages) -> None:
    pair = aligned(left, right, messages)
    for side in (pair.teacher, pair.student):
        placed = side.chunk[side.chunk != NONE]
        assert (np.diff(placed) >= 0).all()
        assert set(placed.tolist()) == set(range(len(pair.sizes)))
    for at, text in enumerate(texts_of(pair)):
        for side, name in ((pair.teacher, left), (pair.student, right)):
            vocabulary = VOCABULARIES[name]
            ids = side.ids[side.chunk == at].tolist()
            if not text:
                assert names_of(side, name, at) == [ENDS[name]]
            elif not vocabulary.normalizes:
                spelled = b"".join(vocabulary.tokens[token] for token in ids)
                assert spelled in (text, b" " + text)
                assert spelled == text or name == "llama2"


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_ends_of_turns_are_one_chunk_whatever_they_are_called(left: str, right: str) -> None:
    pair = aligned(left, right, [*MESSAGES, *MESSAGES])
    closing = np.flatnonzero(pair.sizes == 0).tolist()
    assert len(closing) == 2
    assert closing[-1] == len(pair.sizes) - 1
    assert pair.last[closing].tolist() == [-1, -1]
    for chunk in closing:
        assert names_of(pair.teacher, left, chunk) == [ENDS[left]]
        assert names_of(pair.student, right, chunk) == [ENDS[right]]
        assert pair.teacher.trained[pair.teacher.chunk == chunk].all()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_ids_are_those_of_the_models_own_tokenizer(name: str) -> None:
    pair = aligned(name, "gemma", MESSAGES)
    text = rendered(name, MESSAGES).text
    assert pair.teacher.ids.tolist() == VOCABULARIES[name].encode(text)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_a_message_that_spells_a_special_token_is_text(left: str, right: str) -> None:
    said = aligned(left, right, [("user", SPELLED), ("assistant", SPELLED)])
    plain = aligned(left, right, [("user", "a"), ("assistant", "b")])
    for side, other, name in (
        (said.teacher, plain.teacher, left),
        (said.student, plain.student, right),
    ):
        special = VOCABULARIES[name].kinds == Kind.SPECIAL
        special[VOCABULARIES[name].roles.get("unk", 0)] = False
        found, expected = side.ids[special[side.ids]], other.ids[special[other.ids]]
        assert found.tolist() == expected.tolist()


def test_a_token_over_a_border_ends_no_chunk_that_begins_there() -> None:
    messages = [("user", "the dog"), ("assistant", "the fox")]
    pair = aligned("chatml", "llama2", messages)
    names = [VOCABULARIES["llama2"].names[token] for token in pair.student.ids.tolist()]
    text = rendered("llama2", messages)
    assert text.text[: text.contents[0][1]].endswith("] the dog")
    over = [at for at, name in enumerate(names) if name == "▁the"]  # the template's space in them
    assert len(over) == 2
    assert pair.student.chunk[over].tolist() == [NONE, NONE]
    assert pair.student.trained[over].tolist() == [False, True]
    assert texts_of(pair)[0][:1] == b" "
    assert pair.text == b" dog fox"
    first = int(np.flatnonzero(pair.teacher.chunk == 0)[0])
    spelled = [VOCABULARIES["chatml"].tokens[token] for token in pair.teacher.ids[:first].tolist()]
    assert b"".join(spelled).endswith(b"user\nthe")


def test_targets_are_what_the_assistant_says_and_the_end_of_its_turn() -> None:
    pair = aligned("llama3", "gemma", MESSAGES)
    for side, name in ((pair.teacher, "llama3"), (pair.student, "gemma")):
        vocabulary = VOCABULARIES[name]
        spelled = b"".join(vocabulary.tokens[token] for token in side.ids[side.trained].tolist())
        assert spelled.decode() == MESSAGES[1][1] + ENDS[name]


def test_a_chat_that_begins_with_its_answer_has_no_target_first() -> None:
    bare = Rendered("the dog", ((0, 7),))
    pair = ALIGNERS["chatml", "gemma"].align_chats([RenderedChat(bare, bare, (True,))])[0]
    for side in (pair.teacher, pair.student):
        assert side.chunk[0] == 0
        assert side.trained.tolist() == [False] + [True] * (len(side.ids) - 1)


def test_what_a_template_writes_before_the_end_of_a_turn_is_a_target_without_a_chunk() -> None:
    pair = aligned("gemma", "llama2", MESSAGES)
    side, llama = pair.student, VOCABULARIES["llama2"]
    closing = int(np.flatnonzero(side.chunk == len(pair.sizes) - 1)[0])
    assert llama.tokens[side.ids[closing - 1]] == b" "
    assert side.chunk[closing - 1] == NONE
    assert side.trained[closing - 1]


def test_messages_that_templates_write_differently_have_no_chunks() -> None:
    stripped = [("user", "Hello dog"), ("assistant", "the fox")]
    chat = RenderedChat(
        rendered("chatml", [("user", " Hello dog "), *stripped[1:]]),
        rendered("gemma", stripped),
        (False, True),
    )
    pair = ALIGNERS["chatml", "gemma"].align_chats([chat])[0]
    assert pair.text == b"the fox"
    assert pair.teacher.trained.any()


def test_a_turn_that_one_side_does_not_end_has_no_chunk_for_its_end() -> None:
    open_ended = rendered("chatml", MESSAGES)
    cut_off = Rendered(open_ended.text[: open_ended.contents[-1][1]], open_ended.contents)
    chat = RenderedChat(rendered("gemma", MESSAGES), cut_off, (False, True))
    pair = ALIGNERS["gemma", "chatml"].align_chats([chat])[0]
    assert pair.sizes.min() > 0
    assert VOCABULARIES["gemma"].names[pair.teacher.ids[pair.teacher.trained][-1]] == ENDS["gemma"]


def test_batches_hold_the_chunks_of_the_answers_only() -> None:
    pair = aligned("llama3", "gemma", MESSAGES)
    batch = collate([[pair]], 0, 0)
    assert batch.sizes[0].sum() == len(MESSAGES[1][1])
    assert batch.sizes[0, -1] == 0
    assert batch.teacher.trained.sum() == pair.teacher.trained.sum()


def test_windows_of_a_chat_hold_no_prompt_alone() -> None:
    long = [("user", "the dog " * 30), ("assistant", "the quick fox " * 30)]
    pair = aligned("llama3", "gemma", long)
    windows = cut(pair, 48, 48)
    assert len(windows) > 1
    begin = VOCABULARIES["gemma"].roles["bos"]
    for window in windows:
        assert window.teacher.trained.any()
        assert window.student.ids[0] == begin
    answers = [collate([[window]], 0, 0).sizes.sum() for window in windows]
    assert sum(answers) == len(long[1][1])


def test_sides_with_other_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="same messages"):
        RenderedChat(rendered("gemma", MESSAGES), rendered("gemma", MESSAGES[:1]), (True,))
    assert ALIGNERS["gemma", "gemma"].align_chats([]) == []
