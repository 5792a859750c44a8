"""What `doctor` says of a teacher and a student is what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import normalizers

import tokxfer as tx
from tests.families import FAMILIES, TEXT
from tests.tiny import Tiny
from tests.vocabulary.vocabularies import content_of, write
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.report import alignment_figures
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.doctor import DoctorReport, changes, doctor, lacking


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bare tokenizers of every family."""
    root = tmp_path_factory.mktemp("families")
    return {name: write(root / name, content_of(name)) for name in FAMILIES}


def asked(folders: dict[str, Path], teacher: str, student: str, **told: object) -> DoctorReport:
    return doctor(folders[teacher], folders[student], device="cpu", **told)  # type: ignore[arg-type]


def test_figures_are_those_of_the_alignment(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    found = asked(folders, "byte_level", "gemma", text=tmp_path / "a.txt")
    both = [ByteVocabulary.from_file(folders[name]) for name in ("byte_level", "gemma")]
    assert found.figures == alignment_figures(Aligner(*both), [TEXT])
    assert not found.sample
    assert asked(folders, "byte_level", "gemma").sample


@pytest.mark.parametrize("teacher", FAMILIES)
@pytest.mark.parametrize("student", FAMILIES)
def test_every_pair_of_families_is_looked_at(
    folders: dict[str, Path], teacher: str, student: str
) -> None:
    found = asked(folders, teacher, student)
    assert found.figures.recall == 1.0
    assert found.figures.unequal == 0
    assert found.memory is None
    json.dumps(found.to_dict())


def test_a_class_lacks_what_only_the_other_has(folders: dict[str, Path]) -> None:
    left, right = (ByteVocabulary.from_file(folders[n]) for n in ("byte_level", "gemma"))
    for letters in (b"0123456789", b" \t\n\r"):
        found = lacking([left, right], letters)
        have = {
            name: {
                spelled if b" " in letters else spelled.removeprefix(b" ")
                for spelled in vocabulary.by_bytes
                if spelled and all(byte in letters for byte in spelled.removeprefix(b" "))
            }
            - {b""}
            for name, vocabulary in (("teacher", left), ("student", right))
        }
        if b" " in letters:
            have = {n: {s for s in tokens if not s.strip(letters)} for n, tokens in have.items()}
        assert {s.encode() for s in found["teacher"]} == have["student"] - have["teacher"]
        assert {s.encode() for s in found["student"]} == have["teacher"] - have["student"]
    numbers = lacking([left, right], b"0123456789")
    assert numbers["student"]
    assert numbers["teacher"] == ()


def test_steps_that_change_text_are_named() -> None:
    vocabularies = {name: ByteVocabulary.from_tokenizer(make()) for name, make in FAMILIES.items()}
    found = {name: list(changes(vocabulary)) for name, vocabulary in vocabularies.items()}
    assert found.pop("unigram") == ["NFKC"]
    assert found.pop("word_piece") == ["BertNormalizer", "BertPreTokenizer (white space is lost)"]
    assert not any(found.values())
    spaced = FAMILIES["sentencepiece_bpe"]()
    spaced.normalizer = normalizers.Sequence([normalizers.NFKC(), spaced.normalizer])
    assert list(changes(ByteVocabulary.from_tokenizer(spaced))) == ["NFKC"]


@pytest.mark.parametrize(
    ("teacher", "student", "words"),
    [
        ("byte_level", "sentencepiece_bpe", "Numbers are cut differently: learned by the teacher"),
        ("byte_level", "unigram", "the student by NFKC"),
        ("word_piece", "gemma", "the teacher by BertNormalizer"),
        ("gemma", "unigram", "hold an unknown token"),
    ],
)
def test_what_may_go_wrong_is_warned_of(
    folders: dict[str, Path], teacher: str, student: str, words: str
) -> None:
    assert any(words in warning for warning in asked(folders, teacher, student).warnings)


def test_a_model_and_itself_give_no_warning(folders: dict[str, Path]) -> None:
    assert asked(folders, "gemma", "gemma").warnings == ()


def test_a_side_without_special_tokens_is_warned_of(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    bare = tmp_path / "tokenizer.json"
    FAMILIES["byte_level"](specials=()).save(str(bare))
    told = doctor(bare, folders["gemma"], device="cpu").warnings
    assert any("teacher has no token that begins texts" in warning for warning in told)
    assert any("teacher has no token that ends texts" in warning for warning in told)


def test_texts_that_share_no_boundary_are_warned_of(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("ω ", encoding="utf-8")
    found = asked(folders, "word_piece", "unigram", text=tmp_path / "a.txt", limit=1)
    assert found.figures.chunks == 1
    (tmp_path / "a.txt").write_text("\u200d", encoding="utf-8")
    found = asked(folders, "word_piece", "unigram", text=tmp_path / "a.txt")
    assert found.figures.chunks == 0
    assert any("there is nothing to learn from" in warning for warning in found.warnings)


def test_the_end_of_a_turn_is_what_the_template_writes(tiny: Tiny) -> None:
    found = doctor(
        tiny.model("llama", tokenizer="chat", seed=3), tiny.model("llama", seed=3), device="cpu"
    )
    assert (found.teacher.template, found.teacher.end_of_turn) == (True, "<|im_end|>")
    assert "<|im_start|>" in found.teacher.markers
    assert (found.student.template, found.student.end_of_turn) == (False, None)
    assert any("teacher has a chat template and the student has none" in w for w in found.warnings)


def test_of_names_that_begin_alike_the_longest_ends_the_turn(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tokxfer.workflows.template_ends.special_names",
        lambda _: {"<|im": 0, "<|im_end|>": 1, "<|im_": 2},
    )
    folder = tiny.model("llama", tokenizer="chat", seed=3)
    assert doctor(folder, folder, device="cpu").student.end_of_turn == "<|im_end|>"


def test_a_template_without_an_end_is_warned_of(tiny: Tiny) -> None:
    folder = tiny.copy(tiny.model("llama", tokenizer="chat", seed=3))
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    found = doctor(folder, folder, device="cpu")
    assert (found.student.template, found.student.end_of_turn) == (True, None)
    assert any("no special token behind an answer" in warning for warning in found.warnings)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    assert doctor(folder, folder, device="cpu").student.end_of_turn is None


def test_memory_is_estimated_where_there_are_weights(
    tiny: Tiny, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.model("llama", seed=3)
    found = doctor(model, model, device="cpu", batch_size=3, max_length=50)
    assert found.memory is not None
    assert (found.memory.rows, found.memory.tokens) == (3, 50)
    assert doctor(model, folders["gemma"], device="cpu").memory is None
    monkeypatch.setattr("tokxfer.workflows.doctor.available_memory", lambda: 1000)
    tight = doctor(model, model, device="cpu").warnings
    assert any("1 KB are free: lower --batch-size" in warning for warning in tight)


def test_impossible_batches_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(tx.TokxferError, match="at least"):
        asked(folders, "gemma", "gemma", batch_size=0)
    with pytest.raises(tx.TokxferError, match="does not exist"):
        doctor("nowhere", folders["gemma"], device="cpu")
