"""The estimate of a step's memory against what a model and its optimizer really hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tokxfer.checkpoints import ModelFolder
from tokxfer.workflows.step_memory import Shape, step_memory

NAMES = ("english-spbpe", "english-bytebpe")
ROWS, TOKENS = 4, 96


def shape(models: Path, name: str) -> Shape:
    found = Shape.of(ModelFolder.open(models / name))
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_weights_gradients_and_moments_are_counted(models: Path, name: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(models / name, dtype=torch.float32)
    size = sum(weights.nbytes for weights in model.parameters())
    found = step_memory(
        shape(models, name), shape(models, name), rows=1, tokens=8, ratio=1.0, stored=False
    )
    assert found.teacher_weights == found.student_weights == found.gradients == size
    assert found.optimizer == 2 * size
    assert found.total == 5 * size + found.activations
    assert found.logits == 8 * 4 * model.config.vocab_size
    stored = replace(shape(models, name), bytes=1000)
    half = step_memory(stored, stored, rows=1, tokens=8, ratio=1.0, stored=True)
    assert (half.teacher_weights, half.student_weights) == (1000, size)


@pytest.mark.parametrize("name", NAMES)
def test_activations_are_what_layers_keep(models: Path, name: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(models / name, dtype=torch.float32).train()
    own = {weights.untyped_storage().data_ptr() for weights in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            kept.setdefault(place, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.model(torch.zeros(ROWS, TOKENS, dtype=torch.long), use_cache=False)
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del hidden
    found = step_memory(
        shape(models, name), shape(models, name), rows=ROWS, tokens=TOKENS, ratio=0.0, stored=True
    )
    mask = 4 * ROWS * TOKENS**2
    assert real <= found.activations - mask <= 1.3 * real


def test_a_longer_teacher_takes_more(models: Path) -> None:
    student = shape(models, "english-spbpe")
    sizes = [
        step_memory(student, student, rows=2, tokens=64, ratio=ratio, stored=True).activations
        for ratio in (0.5, 1.0, 2.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_config_without_measures_has_no_shape(models: Path) -> None:
    folder = ModelFolder.open(models / "english-spbpe")
    silent = ModelFolder(folder.path, folder.name, None, {"vocab_size": 9}, None, folder.tensors)
    assert Shape.of(silent) is None
