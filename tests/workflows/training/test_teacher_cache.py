"""Asking a teacher once, and learning from what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import TEXT, Tiny
from tests.workflows.training.helpers import weights
from tokxfer.checkpoints import load_model
from tokxfer.cli.main import main
from tokxfer.errors import FolderError, TokxferError, UsageError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.distill import distill
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.teacher_cache import teacher_cache
from tokxfer.workflows.training.cache import TeacherCache
from tokxfer.workflows.training.objectives.alm import ALM
from tokxfer.workflows.training.schedule import Schedule

SHORT = Schedule(steps=4, batch_size=4, max_length=100, rate=0.01)


def ask(teacher: Path, out: Path, data: Path, **told: Any) -> Any:
    told = {"precision": "float32", "device": "cpu", "offline": True, **told}
    return teacher_cache(teacher, out, data=data, **told)


def learn(teacher: Path, student: Path, out: Path, data: Path, **told: Any) -> Any:
    told = {"schedule": SHORT, "device": "cpu", "offline": True, **told}
    return distill(teacher, student, out, data=data, **told)


@pytest.mark.parametrize("objective", ["alm", "alm+sft"])
@pytest.mark.parametrize("boundaries", ["learned", "whitespace", "none"])
def test_learning_from_a_cache_is_learning_from_the_teacher(
    teacher: Path, student: Path, data: Path, tmp_path: Path, boundaries: str, objective: str
) -> None:
    other = student if boundaries == "learned" else None
    ask(teacher, tmp_path / "cache", data, student=other, boundaries=boundaries)
    loss = [ALM(boundaries=boundaries, sft="sft" in objective) for _ in range(2)]
    live = learn(teacher, student, tmp_path / "live", data, objective=loss[0])
    cached = learn(tmp_path / "cache", student, tmp_path / "cached", data, objective=loss[1])
    assert cached.teacher is None
    losses = [[point["loss"] for point in one.curve] for one in (live, cached)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    one, two = weights(tmp_path / "live"), weights(tmp_path / "cached")
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_it_holds_what_the_teacher_gives_every_token(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    """Texts longer than the model, too, are read as `evaluate` reads them."""
    long = tmp_path / "long.jsonl"
    texts = [" ".join(TEXT), TEXT[0], TEXT[4]]
    long.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    report = ask(teacher, tmp_path / "cache", long)
    cache = TeacherCache.open(tmp_path / "cache")
    vocabulary, model = ByteVocabulary.from_file(teacher), load_model(teacher)
    found = evaluate_model(model, vocabulary, texts)
    assert report.documents == 3
    first = np.load(tmp_path / "cache" / "first.npy")
    for at, nats in enumerate(found.nats):
        here = cache.labels[first[at] : first[at + 1] - 1]  # without the end of the text
        assert -float(here.astype(np.float64).sum()) == pytest.approx(nats, rel=1e-4)


def test_two_half_precision_numbers_take_four_bytes_a_token(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    report = ask(teacher, tmp_path / "cache", data, precision="float16")
    sizes = [(tmp_path / "cache" / f"{name}.npy").stat().st_size for name in ("labels", "masses")]
    assert sum(sizes) == 4 * report.tokens + 2 * 128  # and the headers
    cache = TeacherCache.open(tmp_path / "cache")
    assert isinstance(cache.labels, np.memmap)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_texts_that_come_twice_are_asked_once(teacher: Path, data: Path, tmp_path: Path) -> None:
    assert ask(teacher, tmp_path / "cache", data).documents == len(set(TEXT))


def test_a_text_that_was_not_asked_about_is_named(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    ask(teacher, tmp_path / "cache", data, limit=3)
    with pytest.raises(TokxferError, match=r"does not hold document \d+ of the data"):
        learn(
            tmp_path / "cache", student, tmp_path / "out", data,
            objective=ALM(boundaries="whitespace"),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.checkpoints").exists()


@pytest.mark.parametrize("objective", ["byte-kl", "uld", "gold", "alm+hidden"])
def test_objectives_that_ask_for_more_are_refused(
    teacher: Path, student: Path, data: Path, tmp_path: Path, objective: str
) -> None:
    ask(teacher, tmp_path / "cache", data, student=student)
    with pytest.raises(UsageError, match="more than a cache holds"):
        learn(tmp_path / "cache", student, tmp_path / "out", data, objective=objective)


def test_other_boundaries_and_another_student_are_refused(
    tiny: Tiny, teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    ask(teacher, tmp_path / "spaces", data)
    with pytest.raises(UsageError, match="whitespace boundaries, and learned"):
        learn(tmp_path / "spaces", student, tmp_path / "out", data)
    ask(teacher, tmp_path / "learned", data, student=student)
    other = tiny.model("llama", tokenizer="unigram", tied=False, seed=4)
    with pytest.raises(UsageError, match="another student's tokenizer"):
        learn(tmp_path / "learned", other, tmp_path / "out", data)


def test_a_damaged_cache_is_refused(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    ask(teacher, tmp_path / "cache", data)
    (tmp_path / "cache" / "masses.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(FolderError, match=r"masses\.npy is missing or damaged"):
        learn(tmp_path / "cache", student, tmp_path / "out", data)
    with pytest.raises(FolderError, match="no teacher's cache"):
        TeacherCache.open(teacher)


@pytest.mark.parametrize(
    ("told", "failure"),
    [
        ({"boundaries": "learned"}, "two vocabularies"),
        ({"boundaries": "magic"}, "no boundaries"),
        ({"precision": "int8"}, "no precision"),
        ({"batch_size": 0}, "--batch-size"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    teacher: Path, data: Path, tmp_path: Path, told: dict[str, Any], failure: str
) -> None:
    with pytest.raises(UsageError, match=failure):
        ask(teacher, tmp_path / "cache", data, **told)
    assert not (tmp_path / "cache").exists()


def test_the_command_says_what_was_asked(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [str(teacher), str(tmp_path / "cache"), "--data", str(data), "--offline", "--json"]
    with pytest.raises(SystemExit) as stop:
        main(["teacher-cache", *told])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert document["documents"] == len(set(TEXT))
