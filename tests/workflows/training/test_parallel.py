"""Training on several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.workflows.training.helpers import weights

OPTIONS = "--objective sft --steps 3 --max-length 48 --lr 0.01 --device cpu --offline -q --json"


def test_two_processes_train_as_one_with_batches_twice_as_large(
    teacher: Path, student: Path, data: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    parallel = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, before, size in (("one", [], "4"), ("two", parallel, "2")):
        told = [str(teacher), str(student), str(tmp_path / name), "--data", str(data)]
        run = subprocess.run(
            [sys.executable, *before, "-m", "tokxfer", "distill", *told, *OPTIONS.split(),
             "--batch-size", size],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("\n") == 1  # one process reports
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=2e-5) for name in one)
