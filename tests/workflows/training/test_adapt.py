"""A transplant that is trained at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import Tiny
from tests.workflows.training.helpers import weights
from tokxfer.checkpoints import validate_folder
from tokxfer.cli.main import main
from tokxfer.errors import FolderError
from tokxfer.workflows.adapt import adapt
from tokxfer.workflows.planning import plan_transplant
from tokxfer.workflows.training import trainer
from tokxfer.workflows.training.schedule import Schedule

SHORT = Schedule(steps=4, batch_size=4, max_length=48, rate=0.01, save_every=2)


@pytest.fixture(scope="session")
def base(tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer="bytebpe", tied=False, seed=7)


def plan(base: Path, student: Path, out: Path, **told: Any) -> Any:
    return plan_transplant(base, student, out, method="mean", device="cpu", offline=True, **told)


def test_the_result_learnt_from_its_base_and_says_what_it_was_made_of(
    base: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    report = adapt(plan(base, student, tmp_path / "out"), data=[data], schedule=SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert all(check.ok for check in validate_folder(tmp_path / "out"))
    gaps = report.distillation.before.gap, report.distillation.after.gap
    assert gaps[1] < gaps[0]
    assert report.transplant is not None
    assert report.transplant.out == str(tmp_path / "out")
    assert (tmp_path / "out" / "tokxfer.json").is_file()  # where each row began
    card = (tmp_path / "out" / "README.md").read_text()
    assert '- "llama"' in card
    assert ".transplanted" not in card


def test_a_stopped_training_goes_on_without_a_second_transplant(
    base: Path, student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt(plan(base, student, tmp_path / "whole"), data=[data], schedule=SHORT)
    steps, seen = trainer.DistillationTrainer.training_step, []

    def killed(self: Any, *told: Any, **more: Any) -> Any:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return steps(self, *told, **more)

    monkeypatch.setattr(trainer.DistillationTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        adapt(plan(base, student, tmp_path / "cut"), data=[data], schedule=SHORT)
    monkeypatch.undo()
    report = adapt(plan(base, student, tmp_path / "cut"), data=[data], schedule=SHORT, resume=True)
    assert report.transplant is None
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "cut")[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_a_failed_training_leaves_nothing_and_an_existing_output_is_kept(
    base: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    adapt(plan(base, student, out), data=[data], schedule=SHORT)
    before = weights(out)
    with pytest.raises(FolderError, match="exists already"):
        plan(base, student, out)
    broken = Schedule(steps=4, max_length=1000)
    with pytest.raises(Exception, match="longer than the 128"):
        adapt(plan(base, student, out, force=True), data=[data], schedule=broken)
    assert all(torch.equal(tensor, weights(out)[name]) for name, tensor in before.items())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_prints_one_document_with_both_accounts(
    base: Path, student: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            ["transplant", str(base), str(student), str(tmp_path / "out"), "-m", "mean",
             "--distill", str(data), "--steps", "3", "--max-length", "48", "--batch-size", "4",
             "--new-rows-only", "--offline", "--device", "cpu", "--json"]
        )  # fmt: skip
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    told = json.loads(out)
    assert told["schema_version"] == 1
    assert told["method"] == "mean"
    assert told["distillation"]["steps"] == 3
    assert {"teacher", "before", "after", "seconds"} <= told["distillation"].keys()
