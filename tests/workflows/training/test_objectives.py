"""Every objective in training: it runs, its step does not depend on how it is cut, it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.tiny import Tiny
from tests.workflows.training.helpers import weights
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.distill import distill
from tokxfer.workflows.training.objectives.same import KINDS
from tokxfer.workflows.training.reading import read
from tokxfer.workflows.training.registry import REGISTRY, build_objective
from tokxfer.workflows.training.schedule import Schedule

ANY = sorted(set(REGISTRY) - set(KINDS))


@pytest.fixture(scope="session")
def other(tiny: Tiny) -> Path:
    """A student with the teacher's tokenizer."""
    return tiny.model("llama", tokenizer="bytebpe", hidden=24, tied=False, seed=5)


def run(
    teacher: Path, student: Path, out: Path, data: Path, name: str, size: int, times: int
) -> Any:
    schedule = Schedule(
        steps=4, batch_size=size, accumulate=times, max_length=40, rate=0.01, warmup=0.0
    )
    return distill(
        teacher, student, out, data=data, objective=name, schedule=schedule, limit=24,
        device="cpu", offline=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_step_is_the_same_however_it_is_cut_by_every_objective(
    teacher: Path, student: Path, other: Path, data: Path, tmp_path: Path, name: str
) -> None:
    learner = other if name in KINDS else student
    reports = [
        run(teacher, learner, tmp_path / f"{size}", data, name, size, times)
        for size, times in ((4, 1), (1, 4))
    ]
    curves = [[point["loss"] for point in report.curve if "loss" in point] for report in reports]
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)
    whole, cut = weights(tmp_path / "4"), weights(tmp_path / "1")
    moved = {tensor: whole[tensor] - weights(learner)[tensor] for tensor in whole}
    assert any(bool(step.abs().max() > 1e-4) for step in moved.values())
    if name != "sinkd":  # its groups of positions are of a micro-batch
        for tensor in whole:  # Adam makes whole steps of gradients that are rounding alone
            apart = (whole[tensor] - cut[tensor]).abs()
            assert float(apart.mean()) < 2e-4, tensor


@pytest.mark.parametrize("name", ["alm", "byte-kl", "kl"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    teacher: Path, data: Path, tmp_path: Path, name: str
) -> None:
    report = run(teacher, teacher, tmp_path / "out", data, name, 4, 1)
    assert report.before.gap == pytest.approx(0.0, abs=1e-6)
    assert report.curve[0]["loss"] == pytest.approx(0.0, abs=1e-5)
    assert report.curve[0]["grad_norm"] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_distributions_over_different_tokens_are_not_compared_one_by_one(
    teacher: Path, student: Path, data: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="one vocabulary"):
        run(teacher, student, tmp_path / "out", data, name, 4, 1)


@pytest.mark.parametrize("name", ANY)
def test_rows_of_a_head_that_no_token_has_are_no_obstacle(
    tiny: Tiny, data: Path, tmp_path: Path, name: str
) -> None:
    padded = tiny.model("llama", tokenizer="bytebpe", rows=448, seed=1)
    student = tiny.model("llama", tokenizer="spbpe", rows=512, tied=False, seed=2)
    report = run(padded, student, tmp_path / "out", data, name, 4, 1)
    assert report.steps == 4


def test_gold_asks_for_no_last_token_whose_row_it_has(
    teacher: Path, student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def seen(body: Any, side: Any, **named: Any) -> Any:
        found = read(body, side, **named)
        asked.append((int((side["chunk"] >= 0).sum()), int((side["trained"] & ~_last(side)).sum())))
        return found

    monkeypatch.setattr("tokxfer.workflows.training.objectives.gold.read", seen)
    run(teacher, student, tmp_path / "out", data, "gold", 4, 1)
    assert len(asked) > 1
    assert any(tokens > 0 for tokens, _ in asked)
    assert all(tokens <= others for tokens, others in asked)


def _last(side: Any) -> torch.Tensor:
    """[batch, tokens] whether a token is the last of a chunk, or the first of its row."""
    found = torch.zeros_like(side["trained"])
    found[torch.arange(len(found))[:, None], side["final"]] = True
    return found


@pytest.mark.parametrize("name", ["gold", "mined", "alm"])
def test_tokenizers_without_overlap_get_a_sentence(
    tiny: Tiny, teacher: Path, data: Path, tmp_path: Path, name: str
) -> None:
    """All that the student reads is unknown to it, and nothing unknown is learnt."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("ⵣⵣⵣ", -1.0), ("ⴰⴰⴰ", -2.0)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}'
    )
    student = tiny.model("llama", tokenizer=folder, tied=False, seed=6)
    told = "can be trained on" if name == "alm" else "share no token"
    with pytest.raises(TokxferError, match=told):
        run(teacher, student, tmp_path / "out", data, name, 4, 1)
    assert not (tmp_path / "out").exists()


def test_an_option_of_another_objective_is_refused() -> None:
    with pytest.raises(UsageError, match="sft has no option 'tau'") as caught:
        build_objective("sft", tau=2.0, gamma=None)
    assert "alm" in str(caught.value.hint)


def test_every_objective_is_described_by_its_name_and_options() -> None:
    for name in REGISTRY:
        told = build_objective(name).to_dict()
        assert told["name"] == name
        assert build_objective(name).terms
