"""Distilling folder to folder: steps that can be cut and resumed, and what goes wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import Tiny
from tests.workflows.training.helpers import weights
from tokxfer.checkpoints import validate_folder
from tokxfer.errors import FolderError, TokxferError, UsageError
from tokxfer.workflows.distill import distill
from tokxfer.workflows.training import trainer
from tokxfer.workflows.training.schedule import Schedule

SHORT = Schedule(steps=6, batch_size=4, max_length=48, rate=0.01, save_every=3)


def run(teacher: Path, student: Path, out: Path, data: Path, **told: Any) -> Any:
    told = {"schedule": SHORT, "objective": "sft", **told}
    return distill(teacher, student, out, data=data, device="cpu", offline=True, **told)


def test_the_result_is_a_sound_model_that_fits_the_text_better(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    report = run(teacher, student, tmp_path / "out", data)
    assert all(check.ok for check in validate_folder(tmp_path / "out"))
    assert report.after.evaluation.bits_per_byte < report.before.evaluation.bits_per_byte
    assert report.steps == 6
    assert not (tmp_path / "out.checkpoints").exists()
    told = json.loads((tmp_path / "out" / "tokxfer_distillation.json").read_text())
    assert told["after"]["bits_per_byte"] == report.after.evaluation.bits_per_byte
    assert set(told["inputs"]) == {"teacher", "student", "data"}


@pytest.mark.parametrize("packing", [True, False])
def test_a_step_is_the_same_however_it_is_cut(
    teacher: Path, student: Path, data: Path, tmp_path: Path, packing: bool
) -> None:
    """Loss multiplied by gradient accumulation: 1.23, 2.45, 4.90 elsewhere."""
    found, curves = [], []
    for size, times in ((4, 1), (2, 2), (1, 4)):
        cut = Schedule(steps=4, batch_size=size, accumulate=times, max_length=48, rate=0.01)
        out = tmp_path / f"{size}x{times}"
        report = run(teacher, student, out, data, schedule=cut, packing=packing)
        found.append(weights(out))
        curves.append([point["loss"] for point in report.curve if "loss" in point])
    for other, curve in zip(found[1:], curves[1:], strict=True):
        assert curve == pytest.approx(curves[0], rel=1e-4)
        for name, tensor in found[0].items():
            assert torch.allclose(tensor, other[name], atol=2e-5), name


def test_a_killed_and_resumed_run_equals_the_uninterrupted_one(
    teacher: Path,
    student: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(teacher, student, tmp_path / "whole", data)
    steps = trainer.DistillationTrainer.training_step
    seen = []

    def killed(self: Any, *told: Any, **more: Any) -> Any:
        seen.append(self.state.global_step)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return steps(self, *told, **more)

    monkeypatch.setattr(trainer.DistillationTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(teacher, student, tmp_path / "cut", data)
    monkeypatch.undo()
    assert not (tmp_path / "cut").exists()
    with pytest.raises(FolderError, match="has not ended"):
        run(teacher, student, tmp_path / "cut", data)
    other = Schedule(**{**vars(SHORT), "rate": 0.02})
    with pytest.raises(UsageError, match=r"rate was 0\.01, not 0\.02"):
        run(teacher, student, tmp_path / "cut", data, resume=True, schedule=other)
    report = run(teacher, student, tmp_path / "cut", data, resume=True)
    assert report.steps == 6
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "cut")[name]), name


@pytest.mark.parametrize(("objective", "balance"), [("alm+hidden", "gradnorm"), ("taid", "auto")])
def test_what_an_objective_and_a_balance_learnt_is_resumed_too(
    tiny: Tiny,
    teacher: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    balance: str,
) -> None:
    student = tiny.model("llama", tokenizer="bytebpe", hidden=24, tied=False, seed=5)
    told = {"objective": objective, "balance": balance}
    run(teacher, student, tmp_path / "whole", data, **told)
    steps, seen = trainer.DistillationTrainer.training_step, []

    def killed(self: Any, *given: Any, **more: Any) -> Any:
        seen.append(1)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return steps(self, *given, **more)

    monkeypatch.setattr(trainer.DistillationTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(teacher, student, tmp_path / "cut", data, **told)
    monkeypatch.undo()
    run(teacher, student, tmp_path / "cut", data, resume=True, **told)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "cut")[name]), name


def test_a_folder_that_is_no_run_is_not_touched(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.checkpoints").mkdir()
    (tmp_path / "out.checkpoints" / "mine").write_text("mine")
    for force in (False, True):
        with pytest.raises(FolderError, match="is something else"):
            run(teacher, student, tmp_path / "out", data, force=force)
    assert (tmp_path / "out.checkpoints" / "mine").read_text() == "mine"


def test_resuming_nothing_is_refused(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        run(teacher, student, tmp_path / "out", data, resume=True)


def test_a_loss_that_is_no_number_names_step_and_documents(
    teacher: Path,
    student: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tokxfer.workflows.training.objectives.sft import SFT

    parts = SFT.parts

    def broken(self: Any, *told: Any) -> Any:
        found = parts(self, *told)
        found["sft"] = type(found["sft"])(found["sft"].total * math.nan, found["sft"].count)
        return found

    monkeypatch.setattr(SFT, "parts", broken)
    with pytest.raises(TokxferError, match=r"no number at step 1, on documents \d+"):
        run(teacher, student, tmp_path / "out", data)
    assert not list(tmp_path.iterdir())


def test_a_lack_of_memory_says_what_to_lower(
    teacher: Path,
    student: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.DistillationTrainer, "compute_loss", lacking)
    with pytest.raises(TokxferError, match="Memory does not suffice") as caught:
        run(teacher, student, tmp_path / "out", data)
    assert "--batch-size" in str(caught.value.hint)


def test_low_rank_adapters_are_merged_into_a_plain_model(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    report = run(teacher, student, tmp_path / "out", data, lora=4)
    before, after = weights(student), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed
    assert all("_proj" in name for name in changed)
    assert report.after.evaluation.bits_per_byte < report.before.evaluation.bits_per_byte


def test_training_ends_early_where_nothing_gets_better(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    hot = Schedule(
        steps=40, batch_size=4, max_length=48, rate=5.0, judge_every=2, patience=2, save_every=2,
        warmup=0.0,
    )  # fmt: skip
    report = run(teacher, student, tmp_path / "out", data, schedule=hot)
    assert report.steps < 40
    judged = [p["eval_bits_per_byte"] for p in report.curve if "eval_bits_per_byte" in p]
    assert report.after.evaluation.bits_per_byte == pytest.approx(min(judged), rel=1e-6)


@pytest.mark.parametrize(
    ("told", "failure"),
    [
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"rate": 0.0}, "--lr must be above 0"),
        ({"rate": math.nan}, "--lr must be above 0"),
        ({"warmup": 1.0}, "--warmup must be"),
        ({"patience": 2}, "--patience"),
        ({"max_length": 1}, "--max-length must be 2"),
    ],
)
def test_values_that_make_no_sense_are_refused(told: dict[str, Any], failure: str) -> None:
    with pytest.raises(UsageError, match=failure):
        Schedule(**told)


def test_rows_longer_than_the_student_are_refused(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="longer than the 128"):
        run(teacher, student, tmp_path / "out", data, schedule=Schedule(max_length=200))


def test_an_unknown_objective_names_those_there_are(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no objective 'magic'") as caught:
        run(teacher, student, tmp_path / "out", data, objective="magic")
    assert "sft" in str(caught.value.hint)


def test_the_output_may_not_be_an_input(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(FolderError, match="is the input"):
        run(teacher, student, student, data, force=True)
