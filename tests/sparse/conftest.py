"""Both ways to correlate, and random dictionaries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tokxfer.sparse import coding


@pytest.fixture(params=["products", "gram"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test by residual products and by the Gram matrix, whatever the sizes would say."""
    monkeypatch.setattr(coding, "gram_pays", lambda *_: request.param == "gram")
    return request.param


@pytest.fixture
def force_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda way: monkeypatch.setattr(coding, "gram_pays", lambda *_: way == "gram")


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)
