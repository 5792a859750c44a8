"""Training the new rows of a transplant, alone or beside adapters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tokxfer.errors import FolderError, UsageError
from tokxfer.workflows.manifest import MANIFEST

KEPT = ("copied", "role")
FILE = "new_rows.safetensors"


def new_ids(folder: Path) -> dict[str, list[int]]:
    """Ids of the rows that a transplant did not take over from its base, by matrix.

    Args:
        folder: What `transplant` wrote.

    Returns:
        Of "input" and "output", or of "tied".

    Raises:
        FolderError: Nothing there says how its rows came about.
    """
    if not is_transplant(folder):
        raise FolderError(
            f"{folder} has no {MANIFEST}, so nobody knows which of its rows are new.",
            "Give a model that 'tokxfer transplant' wrote, or train all weights.",
        )
    document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    names = {int(number): name for number, name in document["origins"].items()}
    kept = [number for number, name in names.items() if name in KEPT]
    return {
        matrix: np.flatnonzero(~np.isin(told["origin"], kept)).tolist()
        for matrix, told in document["provenance"].items()
    }


def is_transplant(folder: Path) -> bool:
    """Whether a folder says how its rows came about."""
    return (folder / MANIFEST).is_file()


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of embedding matrices that are trained, the others not.

    Attributes:
        weights: The matrices: "input" and "output", or "tied".
        ids: Which rows of each.
    """

    weights: Mapping[str, torch.nn.Parameter]
    ids: Mapping[str, torch.Tensor]

    def save(self, folder: Path) -> None:
        """Write the rows [ids, dim] of each matrix into a checkpoint of adapters."""
        kept = {name: self.weights[name].detach()[ids].cpu() for name, ids in self.ids.items()}
        save_file(kept, folder / FILE)

    @torch.no_grad()
    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        for name, rows in load_file(folder / FILE).items():
            weight = self.weights[name]
            weight[self.ids[name]] = rows.to(weight.device, weight.dtype)


def train_new_rows(model: Any, ids: Mapping[str, list[int]], weight_decay: float) -> None:
    """Let gradients reach some rows of the embedding matrices, and nothing else of a model.

    Args:
        model: A transformers causal language model.
        ids: Rows by matrix: "input" and "output", or "tied".
        weight_decay: Must be 0, since it would move all rows.

    Raises:
        UsageError: Weights decay, or there are no new rows.
    """
    if not any(ids.values()):
        raise UsageError("The transplant has no new rows: every token kept its own.")
    model.requires_grad_(False)
    free_rows(model, ids, weight_decay)


def free_rows(model: Any, ids: Mapping[str, list[int]], weight_decay: float) -> NewRows:
    """Let gradients reach some rows of the embedding matrices, whatever else is trained.

    Adam leaves rows as they are whose gradient is nothing from the first step on.

    Args:
        model: A transformers causal language model, with adapters or without.
        ids: Rows by matrix: "input" and "output", or "tied"; those without any stay as they are.
        weight_decay: Must be 0, since it would move all rows.

    Raises:
        UsageError: Weights decay.
    """
    if weight_decay:
        raise UsageError(
            "Weight decay would change rows that are to stay.", "Leave out --weight-decay."
        )
    places = {
        "input": model.get_input_embeddings().weight,
        "output": model.get_output_embeddings().weight,
    }
    places["tied"] = places["input"]
    found = {
        matrix: torch.as_tensor(rows, dtype=torch.long, device=places[matrix].device)
        for matrix, rows in ids.items()
        if rows
    }
    for matrix, rows in found.items():
        weight = places[matrix]
        weight.requires_grad_(True)
        moved = torch.zeros(len(weight), 1, dtype=weight.dtype, device=weight.device)
        moved[rows] = 1
        weight.register_hook(lambda gradient, moved=moved: gradient * moved)
    return NewRows({matrix: places[matrix] for matrix in found}, found)
