"""Training the new rows of a transplant alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokxfer.errors import FolderError, UsageError
from tokxfer.workflows.manifest import MANIFEST

KEPT = ("copied", "role")


def new_ids(folder: Path) -> dict[str, list[int]]:
    """Ids of the rows that a transplant did not take over from its base, by matrix.

    Args:
        folder: What `transplant` wrote.

    Returns:
        Of "input" and "output", or of "tied".

    Raises:
        FolderError: Nothing there says how its rows came about.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise FolderError(
            f"{folder} has no {MANIFEST}, so nobody knows which of its rows are new.",
            "Give a model that 'tokxfer transplant' wrote, or train all weights.",
        )
    document = json.loads(file.read_text(encoding="utf-8"))
    names = {int(number): name for number, name in document["origins"].items()}
    kept = [number for number, name in names.items() if name in KEPT]
    return {
        matrix: np.flatnonzero(~np.isin(told["origin"], kept)).tolist()
        for matrix, told in document["provenance"].items()
    }


def train_new_rows(model: Any, ids: Mapping[str, list[int]], weight_decay: float) -> None:
    """Let gradients reach some rows of the embedding matrices, and nothing else of a model.

    Adam leaves rows as they are whose gradient is nothing from the first step on.

    Args:
        model: A transformers causal language model.
        ids: Rows by matrix: "input" and "output", or "tied".
        weight_decay: Must be 0, since it would move all rows.

    Raises:
        UsageError: Weights decay, or there are no new rows.
    """
    if weight_decay:
        raise UsageError(
            "Weight decay would change rows that are to stay.", "Leave out --weight-decay."
        )
    if not any(ids.values()):
        raise UsageError("The transplant has no new rows: every token kept its own.")
    model.requires_grad_(False)
    places = {
        "input": model.get_input_embeddings().weight,
        "output": model.get_output_embeddings().weight,
    }
    places["tied"] = places["input"]
    for matrix, rows in ids.items():
        weight = places[matrix]
        weight.requires_grad_(True)
        moved = torch.zeros(len(weight), 1, dtype=weight.dtype, device=weight.device)
        moved[torch.as_tensor(rows, dtype=torch.long, device=weight.device)] = 1
        weight.register_hook(lambda gradient, moved=moved: gradient * moved)
