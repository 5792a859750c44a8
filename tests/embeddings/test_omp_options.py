"""Centring, lengths by the donor, and one code for both matrices, each against its formula."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from tests.embeddings.problems import WIDTHS, draw, make_problem, vocabulary
from tests.embeddings.test_methods import CYCLE, ordinary_mean, rebuilt
from tokxfer.embeddings import OMP, Problem, held_out
from tokxfer.embeddings.spaces import joint
from tokxfer.vocabulary import Kind, Origin, match
from tokxfer.workflows.matrices import Matrices, pose_all

PLAIN: dict[str, Any] = {"k": 4, "selection": "normalized", "ridge": 0.0, "tune": False}


def donor_mean(problem: Problem) -> torch.Tensor:
    assert problem.donor_rows is not None
    ordinary = ~np.isin(problem.donor.kinds, (Kind.SPECIAL, Kind.UNUSED))
    return problem.donor_rows[np.flatnonzero(ordinary)].mean(dim=0)


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_centred_rows_are_coded_about_the_mean_rows_of_their_models(base: str, donor: str) -> None:
    problem = make_problem(base, donor)
    assert problem.donor_rows is not None
    rows = rebuilt(problem, OMP(**PLAIN, center=True))
    mean = ordinary_mean(problem).double()
    measured = (problem.donor_rows - donor_mean(problem)).double().numpy()
    atoms = measured[problem.anchors]
    lengths = np.linalg.norm(atoms, axis=1, keepdims=True)
    offsets = problem.base_rows[problem.sources[problem.anchors]].double() - mean
    trusted = problem.missing[~problem.distrusted][:20]
    for token in trusted.tolist():
        coefficients = orthogonal_mp((atoms / lengths).T, measured[token], n_nonzero_coefs=4)
        expected = mean + torch.from_numpy(coefficients / lengths[:, 0]) @ offsets
        torch.testing.assert_close(rows[token].double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("center", [True, False])
def test_matched_norms_are_the_donors_in_the_base_unit(center: bool) -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    assert problem.donor_rows is not None
    problem.donor_rows[problem.missing[5]] *= 7
    method = OMP(**PLAIN, center=center, match_norms=True)
    rows, plain = rebuilt(problem, method), rebuilt(problem, OMP(**PLAIN, center=center))
    mean = ordinary_mean(problem)
    far = (problem.donor_rows - donor_mean(problem)).norm(dim=1)
    base_far = (problem.base_rows - mean).norm(dim=1)[problem.sources[problem.anchors]].mean()
    trusted = problem.missing[~problem.distrusted]
    expected = far[trusted] * base_far / far[problem.anchors].mean()
    torch.testing.assert_close((rows[trusted] - mean).norm(dim=1), expected, rtol=1e-3, atol=1e-3)
    cosines = torch.cosine_similarity(rows[trusted] - mean, plain[trusted] - mean)
    assert cosines.min() > 0.999
    details = method.solve(problem).details
    ratios = (rows[trusted] - mean).norm(dim=1) / (plain[trusted] - mean).norm(dim=1)
    assert details["scale"] == pytest.approx(float(ratios.mean()), rel=1e-3)


def both(base: str, donor: str, *, tied_donor: bool = False) -> dict[str, Problem]:
    """The two problems of an untied base."""
    old, new = vocabulary(base), vocabulary(donor)
    rows = [draw(old.size, WIDTHS[0], seed) for seed in (1, 5)]
    donor_rows = [draw(new.size, WIDTHS[1], seed) for seed in (2, 6)]
    return pose_all(
        Matrices(*rows),
        Matrices(donor_rows[0], None if tied_donor else donor_rows[1]),
        old,
        new,
        match(old, new),
    )


@pytest.mark.parametrize("tied_donor", [True, False])
@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_shared_coefficients_code_both_matrices_side_by_side(
    base: str, donor: str, tied_donor: bool
) -> None:
    problems = both(base, donor, tied_donor=tied_donor)
    maps = {m: OMP(**PLAIN, shared=True).solve(p).map for m, p in problems.items()}
    first, second = maps.values()
    assert np.array_equal(first.indices, second.indices)
    assert np.array_equal(first.weights, second.weights)
    own = {m: OMP(**PLAIN).solve(p).map for m, p in problems.items()}
    if not tied_donor:
        assert not np.array_equal(own["input"].indices, own["output"].indices)
    problem, other = problems["input"], problems["output"]
    assert problem.donor_rows is not None
    assert other.donor_rows is not None
    parts = [rows / rows.square().mean().sqrt() for rows in (problem.donor_rows, other.donor_rows)]
    wide = torch.cat(parts, dim=1).double().numpy()
    anchors = np.intersect1d(problem.anchors, other.anchors)
    lengths = np.linalg.norm(wide[anchors], axis=1)
    for place in np.flatnonzero(first.origins == Origin.OMP)[:10].tolist():
        ids, weights = first.row(place)
        expected = orthogonal_mp(
            (wide[anchors] / lengths[:, None]).T, wide[problem.missing[place]], n_nonzero_coefs=4
        )
        expected /= lengths
        assert set(ids.tolist()) == set(problem.sources[anchors[expected != 0]].tolist())
        found = dict(zip(ids.tolist(), weights.tolist(), strict=True))
        for anchor in np.flatnonzero(expected).tolist():
            source = int(problem.sources[anchors[anchor]])
            assert found[source] == pytest.approx(expected[anchor], rel=1e-3, abs=1e-4)


def test_what_either_matrix_distrusts_both_do() -> None:
    problems = both("sentencepiece_bpe", "byte_level")
    problem, other = problems["input"], problems["output"]
    doubted = np.zeros(len(other.missing), dtype=bool)
    doubted[3] = True
    other = dataclasses.replace(other, distrusted=doubted, anchors=other.anchors[5:])
    whole = joint(dataclasses.replace(problem, other=other))
    assert whole.distrusted[3]
    assert whole.distrusted.sum() == problem.distrusted.sum() + 1
    assert np.array_equal(whole.anchors, problem.anchors[5:])
    assert joint(dataclasses.replace(problem, other=None)).donor_rows is problem.donor_rows


@pytest.mark.parametrize(
    "method", [OMP(center=True), OMP(match_norms=True), OMP(shared=True)], ids=["c", "m", "s"]
)
def test_every_option_can_be_judged_on_held_out_anchors(method: OMP) -> None:
    for problem in both("sentencepiece_bpe", "byte_level").values():
        score = held_out(problem, method)
        assert score.tokens > 8
        assert -1 <= score.cosine <= 1


def test_hidden_anchors_are_hidden_from_the_other_matrix_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    class Spy(OMP):
        def solve(self, problem: Problem) -> Any:
            seen.append(problem)
            return super().solve(problem)

    held_out(both("sentencepiece_bpe", "byte_level")["input"], Spy(shared=True))
    (problem,) = seen
    assert problem.other is not None
    assert not np.isin(problem.missing, problem.other.anchors).any()
    assert (problem.other.sources[problem.missing] == -1).all()
