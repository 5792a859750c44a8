"""Methods by name: options reach them, and what is unknown is said."""

from __future__ import annotations

import pytest

from tokxfer.embeddings import OMP, REGISTRY, Mean, Method, build_method
from tokxfer.errors import UsageError


def test_every_entry_is_a_method_of_its_own_name() -> None:
    for name, method in REGISTRY.items():
        assert method.name == name
        assert isinstance(method(), Method)


def test_what_learns_from_the_donor_needs_its_weights_and_anchors() -> None:
    needing = {name for name, method in REGISTRY.items() if "donor weights" in method.needs}
    assert needing == {"blend", "omp", "knn", "linear", "procrustes"}
    assert all(REGISTRY[name].needs == {"donor weights", "anchors"} for name in needing)


def test_a_method_may_have_another_name() -> None:
    assert build_method("subword-uniform") == build_method("subword")


def test_options_reach_the_method_and_none_keeps_its_default() -> None:
    assert build_method("omp", k=7, selection=None) == OMP(k=7)


def test_a_ready_made_method_is_returned_as_it_is() -> None:
    method = OMP(k=3)
    assert build_method(method) is method


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("ompp", {}, "no method 'ompp'"),
        ("mean", {"k": 3}, "has no option 'k'"),
        (Mean(), {"k": 3}, "ready-made"),
    ],
)
def test_what_is_unknown_is_said(method: object, options: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_method(method, **options)  # type: ignore[arg-type]
