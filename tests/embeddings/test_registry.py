"""Methods by name: options reach them, and what is unknown is said."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest

from tokxfer.cli.methods import every
from tokxfer.embeddings import OMP, REGISTRY, Gaussian, Mean, Method, build_method
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
        ("knn", {"k": 2.5}, "k of knn is 2.5; it must be a whole number"),
        ("omp", {"k": True}, "k of omp is True; it must be a whole number"),
        ("omp", {"k": "many"}, "it must be a whole number"),
        ("omp", {"tune": 1}, "tune of omp is 1; it must be true or false"),
        ("omp", {"ridge": [1]}, "it must be a number or a word"),
        ("knn", {"weights": 3}, "it must be a word"),
        ("focus", {"dim": 2.5}, "dim of focus is 2.5; it must be a whole number"),
        ("gaussian", {"scale": float("nan")}, "it must be 0 or more"),
        ("gaussian", {"scale": -1}, "it must be 0 or more"),
    ],
)
def test_what_is_unknown_is_said(method: object, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_method(method, **options)  # type: ignore[arg-type]


def test_values_that_are_numbers_to_python_are_numbers() -> None:
    assert build_method("omp", k=np.int64(7), ridge=1) == OMP(k=7, ridge=1.0)
    assert build_method("gaussian", scale=np.float32(0.5)) == Gaussian(0.5)


def test_the_command_line_has_every_option_of_every_method() -> None:
    @every
    def command() -> None:
        """Nothing."""

    offered = {parameter.name for parameter in command.__click_params__}  # type: ignore[attr-defined]
    fields = {f.name for method in REGISTRY.values() for f in dataclasses.fields(cast(Any, method))}
    assert offered == fields


def test_a_ready_made_method_is_looked_at_too() -> None:
    method = OMP()
    object.__setattr__(method, "k", 2.5)  # tests check types on construction, users' runs do not
    with pytest.raises(UsageError, match=r"k of omp is 2\.5"):
        build_method(method)
