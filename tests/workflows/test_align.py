"""What two vocabularies share, by token and by text."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import tokxfer
from tests.families import FAMILIES
from tests.vocabulary.vocabularies import PAIRS, added, small_bpe, vocabulary, write
from tokxfer.errors import FolderError, TokxferError, UsageError, VocabularyError
from tokxfer.vocabulary import Kind, MatchKind, match
from tokxfer.workflows.align import AlignmentReport, align, align_vocabularies
from tokxfer.workflows.text import batches

DOCUMENTS = ["the quick brown fox, 2024", "Größe ", "naïve\n\n\ndog"]


@pytest.mark.parametrize(("base", "donor"), PAIRS)
def test_every_id_is_counted_under_one_kind(base: str, donor: str) -> None:
    report = align_vocabularies(vocabulary(base), vocabulary(donor))
    assert sum(report.kinds.values()) == report.donor_size == vocabulary(donor).used


def test_kinds_tell_spellings_byte_tokens_and_roles_apart() -> None:
    base, donor = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    matched = match(base, donor)
    counts = dict.fromkeys(
        ("same_spelling", "other_spelling", "byte_token", "role", "unmatched",
         "unmatched_special"), 0,
    )  # fmt: skip
    for token in range(donor.size):
        row = int(matched.base_ids[token])
        if matched.how[token] == MatchKind.ROLE:
            counts["role"] += 1
        elif row < 0:
            counts["unmatched"] += 1
        elif base.names[row] == donor.names[token]:
            counts["same_spelling"] += 1
        elif base.kinds[row] == Kind.BYTE:
            counts["byte_token"] += 1
        else:
            counts["other_spelling"] += 1
    assert align_vocabularies(base, donor).kinds == counts
    assert all(counts[kind] for kind in counts if kind != "unmatched_special")


def test_special_tokens_without_counterpart_are_counted_apart() -> None:
    report = align_vocabularies(vocabulary("byte_level"), vocabulary("gemma"))
    assert report.kinds["unmatched_special"] == 4  # <pad>, <unk> and two of the chat
    assert report.kinds["role"] == 2


@pytest.mark.parametrize(("base", "donor"), [("gemma", "byte_level"), ("unigram", "gemma")])
def test_the_texts_share_is_that_of_its_tokens_one_by_one(base: str, donor: str) -> None:
    one, other = vocabulary(base), vocabulary(donor)
    how = match(one, other).how
    tokens = [token for text in DOCUMENTS for token in other.encode(text)]
    shared = [token for token in tokens if how[token] == MatchKind.BYTES]
    lengths = {token: len(other.tokens[token]) for token in tokens}
    text = align_vocabularies(one, other, DOCUMENTS).text
    assert text is not None
    assert text.token_coverage == len(shared) / len(tokens)
    assert text.byte_coverage == sum(map(lengths.get, shared)) / sum(map(lengths.get, tokens))
    assert text.donor.tokens == len(tokens)
    assert text.base.tokens == sum(len(one.encode(text)) for text in DOCUMENTS)


def test_a_text_that_a_tokenizer_cannot_encode_is_explained(tmp_path: Path) -> None:
    content = {"model": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": None}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"} | content))
    (tmp_path / "text.txt").write_text("b")
    with pytest.raises(VocabularyError, match="cannot encode the text"):
        align(tmp_path, tmp_path, text=tmp_path / "text.txt")


def test_fertility_is_per_byte_and_per_word() -> None:
    text = align_vocabularies(vocabulary("gemma"), vocabulary("gemma"), DOCUMENTS).text
    assert text is not None
    size = sum(len(text.encode()) for text in DOCUMENTS)
    assert (text.documents, text.words, text.bytes) == (3, 8, size)
    assert text.base == text.donor
    assert text.base.bytes_per_token == size / text.base.tokens
    assert text.base.tokens_per_word == text.base.tokens / 8
    assert text.token_coverage == text.byte_coverage == 1


def test_unknown_tokens_of_the_text_are_counted() -> None:
    text = align_vocabularies(vocabulary("unigram"), vocabulary("byte_level"), ["漢 dog 漢"]).text
    assert text is not None
    assert (text.base.unknown, text.donor.unknown) == (2, 0)


def test_a_text_without_words_has_no_infinite_fertility() -> None:
    text = align_vocabularies(vocabulary("gemma"), vocabulary("gemma"), [" "]).text
    assert text is not None
    assert (text.words, text.base.tokens_per_word) == (0, 1)


def test_documents_are_gathered_without_loss_or_change_of_order() -> None:
    documents = ["x" * 400_000] * 5 + ["y"]
    gathered = list(batches(documents))
    assert [text for batch in gathered for text in batch] == documents
    assert [len(batch) for batch in gathered] == [3, 3]
    assert list(batches([])) == []


def test_names_are_folders_files_and_texts(tmp_path: Path) -> None:
    for name in ("gemma", "byte_level"):
        (tmp_path / name).mkdir()
        FAMILIES[name]().save(str(tmp_path / name / "tokenizer.json"))
    for number, text in enumerate(DOCUMENTS):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    texts = [tmp_path / f"{number}.txt" for number in range(3)]
    base, donor = tmp_path / "gemma", str(tmp_path / "byte_level" / "tokenizer.json")
    report = align(base, donor, text=texts)
    expected = align_vocabularies(vocabulary("gemma"), vocabulary("byte_level"), DOCUMENTS)
    assert report == dataclasses.replace(expected, base=str(base), donor=donor)
    single = align(base, donor, text=str(texts[0])).text
    assert single is not None
    assert single.documents == 1


def test_a_limit_holds_for_each_file(tmp_path: Path, tiny) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS))
    folder = tiny.tokenizer("spbpe")
    text = align(folder, folder, text=[path, path], limit=2).text
    assert text is not None
    assert text.documents == 4


def test_the_public_name_returns_a_frozen_report(tiny) -> None:
    report = tokxfer.align(tiny.tokenizer("spbpe"), tiny.tokenizer("bytebpe", bare=True))
    assert isinstance(report, AlignmentReport)
    assert 0 < report.coverage < 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.shared = 0  # type: ignore[misc]


def test_the_dictionary_is_plain_json(tiny) -> None:
    folders = tiny.tokenizer("spbpe"), tiny.tokenizer("chat")
    body = tokxfer.align(*folders).to_dict()
    assert json.loads(json.dumps(body)) == json.loads(json.dumps(body, allow_nan=False))
    assert {"shared", "base_size", "donor_size", "coverage", "roles", "digits", "text"} < set(body)
    pad = next(role for role in body["roles"] if role["role"] == "pad")
    assert pad == {
        "role": "pad",
        "donor_token": "<|endoftext|>",
        "donor_id": 417,
        "base_token": None,
        "base_id": None,
        "row": "mean",
    }


def test_sizes_count_ids_not_gaps(tmp_path: Path) -> None:
    entries = [added("<x>", 9, special=True)]
    folder = write(tmp_path, small_bpe({"a": 0, "b": 4}, added_tokens=entries))
    report = align(folder, folder)
    assert (report.base_size, report.donor_size) == (3, 3)


def test_different_digits_are_warned_of() -> None:
    (warning,) = align_vocabularies(vocabulary("gemma"), vocabulary("byte_level")).warnings
    assert "single by the base, learned by the donor" in warning
    assert align_vocabularies(vocabulary("gemma"), vocabulary("gemma")).warnings == ()


def test_nothing_shared_is_warned_of(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, small_bpe({name: 0})) for name in "ab"]
    assert any("No token is shared" in warning for warning in align(*folders).warnings)


def test_a_missing_folder_is_said(tmp_path: Path, tiny) -> None:
    with pytest.raises(FolderError, match="nowhere does not exist"):
        align(tiny.tokenizer(), tmp_path / "nowhere")


def test_a_missing_text_is_said(tmp_path: Path, tiny) -> None:
    with pytest.raises(TokxferError, match=r"nowhere\.txt does not exist"):
        align(tiny.tokenizer(), tiny.tokenizer(), text=tmp_path / "nowhere.txt")


@pytest.mark.parametrize("option", ["revision", "donor_revision"])
def test_a_revision_of_a_path_is_refused(tiny, option: str) -> None:
    with pytest.raises(UsageError, match="path on this machine"):
        align(tiny.tokenizer(), tiny.tokenizer(), **{option: "main"})


def test_a_hub_name_that_is_not_here_is_said() -> None:
    with pytest.raises(FolderError, match="no-one/nothing"):
        align("no-one/nothing", "no-one/nothing", offline=True)
