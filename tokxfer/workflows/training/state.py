"""What of a training is in neither model, optimizer nor schedule, kept with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tokxfer.distillation.balance import Balance
from tokxfer.workflows.training.objective import Objective

FILE = "objective.safetensors"


def save_state(folder: Path, balance: Balance, objective: Objective) -> None:
    """Write the state of a balance, of an objective and of what it trains into a checkpoint."""
    tensors = {f"balance.{name}": tensor for name, tensor in balance.state().items()}
    for number, module in enumerate(objective.modules()):
        for name, tensor in module.state_dict().items():
            tensors[f"module.{number}.{name}"] = tensor
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, folder / FILE, metadata={"objective": json.dumps(objective.state())})


def restore_state(folder: Path, balance: Balance, objective: Objective) -> None:
    """Go on from what `save_state` wrote."""
    with safe_open(folder / FILE, framework="pt") as saved:
        tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
        objective.restore(json.loads((saved.metadata() or {})["objective"]))
    balance.restore(begun_with(tensors, "balance."))
    for number, module in enumerate(objective.modules()):
        module.load_state_dict(begun_with(tensors, f"module.{number}."))


def begun_with(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin so, by the rest of them."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
