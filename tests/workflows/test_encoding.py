from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from tests.tiny import Tiny, build_tokenizer
from tests.workflows.known import letters
from tokxfer.checkpoints import begin_token
from tokxfer.errors import FolderError, TokxferError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.encoding import Codec, encode_documents, lost_bytes

TEXT = "She said: the größe of 1234 dogs,\n\n  and an emoji 🙂."


@pytest.mark.parametrize("family", ["bytebpe", "spbpe"])
def test_every_kind_of_tokenizer_gives_the_same_ids_and_text(tiny: Tiny, family: str) -> None:
    folder = tiny.tokenizer(family)
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    kinds = [
        Codec.of(fast),
        Codec.of(AutoTokenizer.from_pretrained(folder)),
        Codec.of(ByteVocabulary.from_tokenizer(fast, None)),
    ]
    ids = [kind.encode(TEXT) for kind in kinds]
    assert ids[0] == ids[1] == ids[2]
    assert [lost_bytes(TEXT, kind.decode(ids[0])) for kind in kinds] == [None] * 3


@pytest.mark.parametrize("family", ["spbpe", "wordpiece"])
def test_a_post_processor_adds_nothing(family: str) -> None:
    tokenizer = build_tokenizer(family)
    assert len(tokenizer.encode("the dog").ids) > len(Codec.of(tokenizer).encode("the dog"))


def test_truncation_and_padding_saved_in_a_tokenizer_are_ignored_and_kept() -> None:
    tokenizer = letters()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=5)
    assert Codec.of(tokenizer).encode("abcabc") == [0, 1, 2, 0, 1, 2]
    assert tokenizer.truncation is not None
    assert tokenizer.padding is not None


def test_what_is_no_tokenizer_is_said_to_be_none() -> None:
    with pytest.raises(VocabularyError, match="A dict is not a tokenizer"):
        Codec.of({})


@pytest.mark.parametrize(
    ("text", "decoded", "lost"),
    [
        ("a b", "a b", None),
        ("a b", " a b", None),
        ("a b", "  a b", 0),
        ("The dog", "the dog", 1),
        ("a\n\nb", "a b", 2),
        ("né", "n<unk>", 2),
        ("ab", "ba", 0),
        ("🙂🙂", "🙂", 4),
    ],
)
def test_lost_bytes_are_those_of_characters_that_do_not_come_back(
    text: str, decoded: str, lost: int | None
) -> None:
    assert lost_bytes(text, decoded) == lost


def encode(documents: list[str], begin: int | None = None, rows: int = 99) -> Any:
    return encode_documents(Codec.of(letters()), documents, begin, rows, "it")


def test_documents_start_with_the_begin_token_which_is_not_counted() -> None:
    found = encode(["ab", "c"], begin=7)
    assert [list(ids) for ids in found.sequences] == [[7, 0, 1], [7, 2]]
    assert list(found.tokens) == [2, 1]


def test_bytes_are_those_of_the_documents_as_given() -> None:
    assert list(encode(["aé", "é🙂"]).bytes) == [3, 6]


def test_empty_documents_are_counted_and_left_out() -> None:
    found = encode(["", "a", ""])
    assert found.empty_documents == 2
    assert len(found.sequences) == 1


def test_documents_that_do_not_come_back_are_counted_with_what_they_lack() -> None:
    found = encode(["ab", "xyé", "a🙂"])
    assert (found.lossy_documents, found.lossy_bytes) == (2, 6)


def test_a_dummy_prefix_is_no_loss() -> None:
    codec = Codec.of(build_tokenizer("spbpe"))
    assert encode_documents(codec, ["dog", " dog", "  dog\n"], 1, 999, "it").lossy_documents == 0


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(TokxferError, match="Document 2 holds half of a surrogate pair"):
        encode(["a", "\ud800"])


@pytest.mark.parametrize("documents", [[], [""], ["", ""]])
def test_no_text_is_a_failure(documents: list[str]) -> None:
    with pytest.raises(TokxferError, match="no text"):
        encode(documents)


def test_an_id_beyond_the_matrix_is_named() -> None:
    with pytest.raises(FolderError, match="it gives id 2, but the model has only 2 embedding rows"):
        encode(["abc"], rows=2)


def test_a_begin_token_beyond_the_matrix_is_named() -> None:
    with pytest.raises(FolderError, match="gives id 50"):
        encode(["abc"], begin=50, rows=50)


def model(**ids: Any) -> SimpleNamespace:
    return SimpleNamespace(config=SimpleNamespace(**ids))


def nested(**ids: Any) -> SimpleNamespace:
    text = SimpleNamespace(**ids)
    return SimpleNamespace(config=SimpleNamespace(bos_token_id=None, get_text_config=lambda: text))


@pytest.mark.parametrize(
    ("given", "tokenizer", "begin"),
    [
        (model(bos_token_id=1, eos_token_id=2), model(), 1),
        (model(bos_token_id=0, eos_token_id=2), model(), 0),
        (model(bos_token_id=None, eos_token_id=2), model(), 2),
        (model(bos_token_id=None, eos_token_id=[4, 5]), model(), 4),
        (model(bos_token_id=None), SimpleNamespace(bos_token_id=6), 6),
        (model(eos_token_id=2), SimpleNamespace(bos_token_id=6), 6),
        (model(), SimpleNamespace(roles={"eos": 8}), 8),
        (model(bos_token_id=-1, eos_token_id=None), SimpleNamespace(bos_token_id=None), None),
        (nested(bos_token_id=9), model(), 9),
    ],
)
def test_documents_begin_with_bos_else_eos(given: Any, tokenizer: Any, begin: int | None) -> None:
    assert begin_token(given, tokenizer) == begin
