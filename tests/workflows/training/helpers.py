"""What tests of training look at."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model folder."""
    return load_file(folder / "model.safetensors")
