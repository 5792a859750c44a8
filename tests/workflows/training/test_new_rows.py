"""Training the rows that a transplant made, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.training.helpers import weights
from tokxfer.errors import FolderError, UsageError
from tokxfer.workflows.distill import distill
from tokxfer.workflows.training.newrows import new_ids
from tokxfer.workflows.training.schedule import Schedule

SHORT = Schedule(steps=4, batch_size=4, max_length=48, rate=0.01)


@pytest.mark.parametrize("tied", [True, False])
def test_only_new_rows_change(
    tiny: Tiny, student: Path, data: Path, tmp_path: Path, tied: bool
) -> None:
    base = tiny.model("llama", tokenizer="bytebpe", tied=tied, seed=3)
    tx.transplant(base, student, tmp_path / "moved", method="mean", twins="mean")
    new = new_ids(tmp_path / "moved")
    assert set(new) == ({"tied"} if tied else {"input", "output"})
    distill(
        base, tmp_path / "moved", tmp_path / "out", data=data, objective="sft", schedule=SHORT,
        new_rows_only=True, device="cpu", offline=True,
    )  # fmt: skip
    before, after = weights(tmp_path / "moved"), weights(tmp_path / "out")
    names = {"tied": "model.embed_tokens.weight", "input": "model.embed_tokens.weight"}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {names.get(matrix, "lm_head.weight") for matrix in new}
    for matrix, rows in new.items():
        name = names.get(matrix, "lm_head.weight")
        moved = (before[name] != after[name]).any(1).nonzero()[:, 0].tolist()
        assert moved
        assert set(moved) <= set(rows)


def test_a_model_that_no_transplant_wrote_is_refused(student: Path) -> None:
    with pytest.raises(FolderError, match="nobody knows which of its rows are new"):
        new_ids(student)


def test_weight_decay_would_move_the_other_rows(
    tiny: Tiny, student: Path, data: Path, tmp_path: Path
) -> None:
    base = tiny.model("llama", tokenizer="bytebpe", seed=3)
    tx.transplant(base, student, tmp_path / "moved", method="mean")
    decaying = Schedule(steps=2, max_length=48, weight_decay=0.1)
    with pytest.raises(UsageError, match="Weight decay"):
        distill(
            base, tmp_path / "moved", tmp_path / "out", data=data, objective="sft",
            schedule=decaying, new_rows_only=True, device="cpu", offline=True,
        )  # fmt: skip
