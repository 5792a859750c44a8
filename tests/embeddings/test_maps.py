"""Methods that carry donor rows over by neighbours or by a map equal their formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from tests.embeddings.problems import WIDTHS, make_problem
from tests.embeddings.test_methods import CYCLE, rebuilt
from tokxfer.embeddings import Linear, Neighbours, Problem, Procrustes, Subword, assemble, knn
from tokxfer.embeddings.linear import SHARES
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.vocabulary import Origin

METHODS = (Neighbours(), Linear(), Procrustes())


def parts(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Trusted missing ids, their donor rows, and the anchors' donor and base rows, in float64."""
    assert problem.donor_rows is not None
    donor, base = problem.donor_rows.double().numpy(), problem.base_rows.double().numpy()
    trusted = problem.missing[~problem.distrusted]
    sources = base[problem.sources[problem.anchors]]
    return trusted, donor[trusted], donor[problem.anchors], sources


@pytest.mark.parametrize("scheme", ["distance", "barycentric", "least-squares"])
@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_neighbours_are_combined_by_the_weights_of_the_donor(
    base: str, donor: str, scheme: str
) -> None:
    problem = make_problem(base, donor)
    rows = rebuilt(problem, Neighbours(k=5, weights=scheme))
    trusted, targets, atoms, sources = parts(problem)
    for token, x in list(zip(trusted, targets, strict=True))[:40]:
        distances = np.linalg.norm(atoms - x, axis=1)
        near = np.argsort(distances)[:5]
        a = atoms[near]
        if scheme == "distance":
            weights = 1 / distances[near]
            weights /= weights.sum()
        elif scheme == "barycentric":
            gram = (a - x) @ (a - x).T
            gram += 1e-3 * np.trace(gram) / 5 * np.eye(5)
            bordered = np.block([[gram, np.ones((5, 1))], [np.ones((1, 5)), np.zeros((1, 1))]])
            weights = np.linalg.solve(bordered, np.eye(6)[5])[:5]
        else:
            penalty = 1e-3 * (atoms**2).sum(axis=1).mean()
            weights = np.linalg.solve(a @ a.T + penalty * np.eye(5), a @ x)
        expected = torch.from_numpy(weights @ sources[near])
        torch.testing.assert_close(rows[token].double(), expected, rtol=1e-3, atol=1e-4)


def test_no_more_neighbours_are_taken_than_there_are() -> None:
    problem = make_problem("byte_level", "unigram")
    few = dataclasses.replace(problem, anchors=problem.anchors[:3])
    solved = Neighbours(k=50).solve(few)
    assert solved.details["k"] == 3
    assert solved.map.counts()["neighbours"] == (~problem.distrusted).sum()


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_a_linear_relation_is_found_again(base: str, donor: str) -> None:
    problem = make_problem(base, donor)
    assert problem.donor_rows is not None
    _, first = np.unique(problem.sources[problem.anchors], return_index=True)
    problem = dataclasses.replace(
        problem, anchors=problem.anchors[np.sort(first)], base_rows=problem.base_rows.clone()
    )
    assert problem.donor_rows is not None
    generator = torch.Generator().manual_seed(3)
    turn = torch.randn(WIDTHS[1], WIDTHS[0], generator=generator)
    images = problem.donor_rows @ turn + 1.5
    ids = torch.from_numpy(problem.sources[problem.anchors])
    problem.base_rows[ids] = images[torch.from_numpy(problem.anchors)]
    rows = rebuilt(problem, Linear())
    trusted = torch.from_numpy(problem.missing[~problem.distrusted])
    error = (rows[trusted] - images[trusted]).norm() / images[trusted].norm()
    assert error < 0.01


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_a_linear_map_is_ridge_regression_with_the_penalty_told(base: str, donor: str) -> None:
    problem = make_problem(base, donor)
    solution = Linear().solve(problem)
    assert solution.outside is not None
    trusted, targets, atoms, sources = parts(problem)
    centre, mean = atoms.mean(axis=0), sources.mean(axis=0)
    a, b = atoms - centre, sources - mean
    penalty = solution.details["ridge"] * (a**2).sum() / a.shape[1]
    weights = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
    expected = mean + (targets - centre) @ weights
    found = solution.outside[torch.from_numpy(np.flatnonzero(~problem.distrusted))]
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-3, atol=1e-4)
    assert len(trusted) > 5


def test_targets_solved_in_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    whole = rebuilt(problem, Neighbours(k=4))
    monkeypatch.setattr(knn, "BATCH", 7)
    torch.testing.assert_close(rebuilt(problem, Neighbours(k=4)), whole)


@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
def test_the_penalty_is_that_of_the_least_error_on_anchors_left_out(noise: float) -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    assert problem.donor_rows is not None
    problem = dataclasses.replace(problem, anchors=problem.anchors[:60])
    random = np.random.default_rng(3)
    way = torch.from_numpy(random.standard_normal((WIDTHS[1], WIDTHS[0])).astype(np.float32))
    rows = problem.base_rows.clone()
    image = problem.donor_rows[problem.anchors] @ way
    image += noise * torch.from_numpy(random.standard_normal(image.shape).astype(np.float32))
    rows[problem.sources[problem.anchors]] = image
    problem = dataclasses.replace(problem, base_rows=rows)
    _, _, atoms, sources = parts(problem)
    unit = ((atoms - atoms.mean(axis=0)) ** 2).sum() / atoms.shape[1]

    def left_out(share: float) -> float:
        """Squared error of every anchor under the regression on all others."""
        total = 0.0
        for at in range(len(atoms)):
            a, b = np.delete(atoms, at, axis=0), np.delete(sources, at, axis=0)
            centre, mean = a.mean(axis=0), b.mean(axis=0)
            gram = (a - centre).T @ (a - centre) + share * unit * np.eye(a.shape[1])
            weights = np.linalg.solve(gram, (a - centre).T @ (b - mean))
            total += float(((mean + (atoms[at] - centre) @ weights - sources[at]) ** 2).sum())
        return total

    errors = {share: left_out(share) for share in SHARES}
    told = Linear().solve(problem).details["ridge"]
    nearest = min(SHARES, key=lambda share: abs(np.log(share / told)))
    assert told == pytest.approx(nearest)
    assert errors[nearest] <= 1.001 * min(errors.values())
    assert (nearest > 1e-3) == (noise > 0)


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_a_rotation_is_scipys(base: str, donor: str) -> None:
    """The narrower donor is filled up with zeros, as scipy wants matrices of one shape."""
    problem = make_problem(base, donor)
    rows = rebuilt(problem, Procrustes())
    trusted, targets, atoms, sources = parts(problem)
    centre, mean = atoms.mean(axis=0), sources.mean(axis=0)
    extra = ((0, 0), (0, WIDTHS[0] - WIDTHS[1]))
    a, b = np.pad(atoms - centre, extra), sources - mean
    turn, total = orthogonal_procrustes(a, b)
    expected = mean + total / (a**2).sum() * np.pad(targets - centre, extra) @ turn
    found = rows[torch.from_numpy(trusted)].double()
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-3, atol=1e-4)


def test_a_wider_donor_is_projected() -> None:
    problem = make_problem("byte_level", "unigram")
    assert problem.donor_rows is not None
    wider = torch.cat(
        [problem.base_rows.new_zeros(len(problem.donor_rows), 9), problem.donor_rows], 1
    )
    one = rebuilt(dataclasses.replace(problem, donor_rows=wider), Procrustes())
    torch.testing.assert_close(one, rebuilt(problem, Procrustes()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_distrusted_tokens_get_the_mean_of_their_pieces(method: object) -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    poor = np.zeros(len(problem.missing), dtype=bool)
    poor[::2] = True
    problem = dataclasses.replace(problem, distrusted=poor)
    rows, means = rebuilt(problem, method), rebuilt(problem, Subword())
    for token, distrusted in zip(problem.missing.tolist(), poor.tolist(), strict=True):
        assert torch.equal(rows[token], means[token]) == distrusted


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_without_anchors_there_is_nothing_to_learn_from(method: object) -> None:
    problem = dataclasses.replace(
        make_problem("byte_level", "unigram"), anchors=np.zeros(0, dtype=np.int64)
    )
    with pytest.raises(VocabularyError, match="nothing to learn from"):
        method.solve(problem)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_where_nothing_is_missing_nothing_is_made(method: object) -> None:
    problem = make_problem("sentencepiece_bpe", "sentencepiece_bpe")
    assembly = assemble(problem, method, problem.donor.size)  # type: ignore[arg-type]
    assert torch.equal(assembly.rows(problem.base_rows), problem.base_rows)
    assert set(assembly.map.origins.tolist()) <= {Origin.COPIED, Origin.ROLE}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"k": 0}, "k is 0"), ({"weights": "best"}, "no weights 'best'")],
)
def test_wrong_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Neighbours(**options)  # type: ignore[arg-type]
