"""Folders and files, sound and not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vocabulary.vocabularies import content_of, small_bpe, vocabulary, write
from tokxfer.errors import FolderError, TokxferError, UnsupportedError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content["normalizer"]["normalizers"][0].pop("type"),
        lambda content: content["model"]["vocab"].update(x="y"),
        lambda content: content["model"].update(merges=[5]),
        lambda content: content["added_tokens"][0].pop("content"),
        lambda content: content.update(added_tokens=7),
    ],
)
def test_content_of_another_form_is_called_damaged(tmp_path: Path, damage) -> None:
    content = content_of("sentencepiece_bpe")
    damage(content)
    with pytest.raises(VocabularyError, match="is damaged"):
        read_vocabulary(write(tmp_path, content))


def test_a_folder_and_its_file_are_the_same(tmp_path: Path) -> None:
    write(tmp_path, content_of("gemma"), tokenizer_config={"pad_token": "<eos>"})
    folder, file = read_vocabulary(tmp_path), read_vocabulary(tmp_path / "tokenizer.json")
    assert folder == file == ByteVocabulary.from_file(str(tmp_path))
    assert folder.names[folder.roles["pad"]] == "<eos>"


def test_a_file_of_another_name_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path, content_of("gemma"), tokenizer_config={"pad_token": "<eos>"})
    (tmp_path / "tokenizer.json").rename(tmp_path / "gemma.json")
    known = read_vocabulary(tmp_path / "gemma.json")
    assert known == vocabulary("gemma")


def test_a_loaded_tokenizer_is_copied() -> None:
    from tests.families import byte_level

    tokenizer = byte_level()
    known = ByteVocabulary.from_tokenizer(tokenizer)
    tokenizer.add_special_tokens(["<late>"])
    assert known.tokenizer.token_to_id("<late>") is None


@pytest.mark.parametrize("family", ["byte_level", "unigram", "word_piece"])
def test_files_of_old_versions_that_do_not_name_the_model_are_read(
    tmp_path: Path, family: str
) -> None:
    content = content_of(family)
    del content["model"]["type"]
    assert read_vocabulary(write(tmp_path, content)).tokens == vocabulary(family).tokens


def test_merges_written_as_strings_are_read(tmp_path: Path) -> None:
    content = content_of("byte_level")
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    assert (
        read_vocabulary(write(tmp_path, content)).digit_cuts == vocabulary("byte_level").digit_cuts
    )


def test_a_metaspace_decoder_alone_gives_the_mark(tmp_path: Path) -> None:
    content = content_of("sentencepiece_bpe")
    content |= {"normalizer": None, "decoder": {"type": "Metaspace", "replacement": "▁"}}
    assert read_vocabulary(write(tmp_path, content)).spelling.mark == "▁"


def test_a_replacing_decoder_alone_gives_the_mark(tmp_path: Path) -> None:
    content = content_of("sentencepiece_bpe") | {"normalizer": None}
    assert read_vocabulary(write(tmp_path, content)).spelling.mark == "▁"


def test_a_vocabulary_without_mark_or_byte_alphabet_is_of_characters(tmp_path: Path) -> None:
    content = small_bpe({"a": 0, "é": 1}, pre_tokenizer=None, decoder=None)
    known = read_vocabulary(write(tmp_path, content))
    assert known.family == "character BPE"
    assert known.tokens[1] == "é".encode()


def refusal(path: Path) -> TokxferError:
    with pytest.raises(TokxferError) as caught:
        read_vocabulary(path)
    assert str(path) in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    failure = refusal(tmp_path / "nowhere")
    assert isinstance(failure, FolderError)
    assert "does not exist" in failure.message


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    failure = refusal(tmp_path)
    assert isinstance(failure, FolderError)
    assert "no tokenizer.json" in failure.message


@pytest.mark.parametrize("name", ["tokenizer.model", "spiece.model", "vocab.txt", "tekken.json"])
def test_a_slow_tokenizer_is_refused_with_the_way_to_convert_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    failure = refusal(tmp_path)
    assert isinstance(failure, UnsupportedError)
    assert name in failure.message
    assert "save_pretrained" in str(failure.hint)


def test_a_tokenizer_of_python_code_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {}, tokenizer_config={"auto_map": {"AutoTokenizer": ["x.Y", None]}})
    (tmp_path / "tokenizer.json").unlink()
    failure = refusal(tmp_path)
    assert isinstance(failure, UnsupportedError)
    assert "Python code" in failure.message


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"model": {}}', "{}", '"x"', "\x00"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text, encoding="utf-8")
    assert isinstance(refusal(path), VocabularyError)


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    write(tmp_path, content_of("gemma"))
    (tmp_path / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(VocabularyError, match=r"tokenizer_config\.json is damaged"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "WordLevel"),
        (
            {"type": "BPE", "vocab": {"a</w>": 0}, "merges": [], "end_of_word_suffix": "</w>"},
            "</w>",
        ),
        (
            {"type": "BPE", "vocab": {"a": 0}, "merges": [], "continuing_subword_prefix": "@@"},
            "@@",
        ),
        ({"vocab": {"a": 0}}, "WordLevel"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, model: dict[str, Any], word: str) -> None:
    content = small_bpe({}) | {"model": model}
    failure = refusal(write(tmp_path, content))
    assert isinstance(failure, UnsupportedError)
    assert word in failure.message


def test_content_that_cannot_be_loaded_is_said_when_it_is_needed(tmp_path: Path) -> None:
    content = small_bpe({"a": 0}, normalizer={"type": "Prepend"})
    known = read_vocabulary(write(tmp_path, content))
    with pytest.raises(VocabularyError, match="cannot be loaded"):
        known.encode("a")
    with pytest.raises(VocabularyError, match="cannot be loaded"):
        known.digits  # noqa: B018
