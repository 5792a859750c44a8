"""What each matrix of a tied or untied base is made of, with a tied or untied donor."""

from __future__ import annotations

import pytest
import torch

from tests.embeddings.problems import WIDTHS, draw, vocabulary
from tokxfer.embeddings import OMP, REGISTRY, Method, assemble, build_method, pose
from tokxfer.vocabulary import match
from tokxfer.workflows.matrices import Matrices, rebuild

ABLE = [
    name
    for name in REGISTRY
    if name not in ("auto", "omp") and not REGISTRY[name].needs & {"encoder", "text"}
]


def method_of(name: str) -> Method:
    return OMP(k=3, tune=False) if name == "omp" else build_method(name)


@pytest.mark.parametrize("tied_donor", [True, False], ids=["donor-tied", "donor-untied"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", ["omp", *ABLE])
def test_every_matrix_is_rebuilt_from_its_own_rows(name: str, tied: bool, tied_donor: bool) -> None:
    old, new = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    base = [draw(old.size, WIDTHS[0], seed) for seed in (1, 5)]
    donor = [draw(new.size, WIDTHS[1], seed) for seed in (2, 6)]
    matched, method = match(old, new), method_of(name)
    rebuilt = rebuild(
        Matrices(base[0], None if tied else base[1]),
        Matrices(donor[0], None if tied_donor else donor[1]),
        old, new, matched, method, new.size,
    ).matrices  # fmt: skip
    if tied:
        wide = [rows / (rows * rows).mean() ** 0.5 for rows in donor]
        shown = {"tied": donor[0] if tied_donor else torch.cat(wide, dim=1)}
        found = {"tied": rebuilt.input}
        assert rebuilt.output is None
    else:
        assert rebuilt.output is not None
        shown = {"input": donor[0], "output": donor[0] if tied_donor else donor[1]}
        found = {"input": rebuilt.input, "output": rebuilt.output}
    for rows, (matrix, donor_rows) in zip(base, shown.items(), strict=False):
        problem = pose(matrix, rows, donor_rows, old, new, matched)
        expected = assemble(problem, method, new.size).rows(rows)
        torch.testing.assert_close(found[matrix], expected)
