"""Each initializer equals its formula, written out token by token, across tokenizer families."""

from __future__ import annotations

import dataclasses
import unicodedata

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from tests.embeddings.problems import draw, make_problem
from tests.families import FAMILIES
from tests.sparse.oracle import pursue, ridge_fit
from tokxfer.embeddings import OMP, Gaussian, Mean, Problem, Subword, Zero, assemble
from tokxfer.vocabulary import Kind, Origin

NAMES = list(FAMILIES)
CYCLE = list(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))  # each family is base and donor once
PAIRS = CYCLE + list(zip(NAMES, NAMES[3:] + NAMES[:3], strict=True))


def rebuilt(problem: Problem, method: object, size: int | None = None) -> torch.Tensor:
    return assemble(problem, method, size or problem.donor.size).rows(problem.base_rows)  # type: ignore[arg-type]


def ordinary_mean(problem: Problem) -> torch.Tensor:
    kept = [
        i for i, kind in enumerate(problem.base.kinds) if kind not in (Kind.SPECIAL, Kind.UNUSED)
    ]
    return problem.base_rows[kept].mean(dim=0)


def essence(spelled: bytes) -> str:
    """What is left of a text in a vocabulary that normalizes: letters without case and accents."""
    folded = unicodedata.normalize("NFKD", spelled.decode()).casefold()
    return "".join(c for c in folded if not unicodedata.combining(c) and not c.isspace())


@pytest.mark.parametrize(("base", "donor"), PAIRS)
def test_subword_is_the_mean_of_the_pieces_of_the_bytes(base: str, donor: str) -> None:
    problem = make_problem(base, donor, weights=False)
    rows = rebuilt(problem, Subword())
    for token in problem.missing.tolist():
        spelled = problem.donor.tokens[token]
        pieces = problem.base.readings([spelled])[0]
        if pieces:
            joined = b"".join(problem.base.tokens[piece] for piece in pieces)
            assert joined == spelled or (
                problem.base.normalizes and essence(joined) == essence(spelled)
            )
            expected = problem.base_rows[pieces].mean(dim=0)
        else:
            expected = ordinary_mean(problem)
        torch.testing.assert_close(rows[token], expected)


@pytest.mark.parametrize("method", [OMP(k=4), Subword(), Mean(), Gaussian(), Zero()])
@pytest.mark.parametrize(("base", "donor"), PAIRS)
def test_shared_tokens_keep_their_rows_bit_for_bit(base: str, donor: str, method: object) -> None:
    problem = make_problem(base, donor)
    rows = rebuilt(problem, method)
    kept = 0
    for token, spelled in enumerate(problem.donor.tokens):
        if problem.donor.kinds[token] in (Kind.SPECIAL, Kind.UNUSED):
            continue
        sources = problem.base.ids_of(spelled)
        if spelled in problem.base.standing:  # a mark that BERT cuts off whatever precedes it
            sources = (*sources, problem.base.standing[spelled])
        if sources:
            assert any(torch.equal(rows[token], problem.base_rows[i]) for i in sources)
            kept += 1
    assert kept == len(problem.sources) - len(problem.missing) - special_count(problem)


def special_count(problem: Problem) -> int:
    return int(np.isin(problem.donor.kinds, (Kind.SPECIAL, Kind.UNUSED)).sum())


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_omp_carries_scikit_learns_coefficients_over_to_the_base(base: str, donor: str) -> None:
    problem = make_problem(base, donor)
    assert problem.donor_rows is not None
    unit = problem.donor_rows / problem.donor_rows.norm(dim=1, keepdim=True)
    problem = dataclasses.replace(problem, donor_rows=unit)
    rows = rebuilt(problem, OMP(k=3, selection="normalized", ridge=0.0, tune=False))
    atoms = unit[torch.from_numpy(problem.anchors)].numpy().astype(np.float64)
    sources = problem.base_rows[torch.from_numpy(problem.sources[problem.anchors])].double()
    trusted = problem.missing[~problem.distrusted][:40]
    for token in trusted.tolist():
        target = unit[token].numpy().astype(np.float64)
        coefficients = orthogonal_mp(atoms.T, target, n_nonzero_coefs=3)
        expected = torch.from_numpy(coefficients) @ sources
        torch.testing.assert_close(rows[token].double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("base", "donor"), PAIRS)
@pytest.mark.parametrize(("selection", "ridge"), [("raw", 0.0), ("normalized", 0.3), ("raw", 0.3)])
def test_omp_is_the_slow_pursuit_for_rows_of_any_length(
    base: str, donor: str, selection: str, ridge: float
) -> None:
    problem = make_problem(base, donor)
    assert problem.donor_rows is not None
    lengths = torch.linspace(0.2, 3, len(problem.donor_rows))[:, None]
    problem = dataclasses.replace(problem, donor_rows=problem.donor_rows * lengths)
    assert problem.donor_rows is not None
    rows = rebuilt(problem, OMP(k=4, selection=selection, ridge=ridge, tune=False))
    atoms = problem.donor_rows[torch.from_numpy(problem.anchors)].double().numpy()
    sources = problem.base_rows[torch.from_numpy(problem.sources[problem.anchors])].double()
    for token in problem.missing[~problem.distrusted][::7].tolist():
        target = problem.donor_rows[token].double().numpy()
        support = pursue(target, atoms, 4, selection)
        penalty = ridge * (atoms**2).sum(axis=1).mean()
        coefficients = torch.from_numpy(ridge_fit(target, atoms[support], penalty))
        expected = coefficients @ sources[support]
        torch.testing.assert_close(rows[token].double(), expected, rtol=1e-3, atol=1e-4)


def test_omp_gives_tokens_that_the_donor_hardly_trained_the_mean_of_their_pieces() -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    poor = np.zeros(len(problem.missing), dtype=bool)
    poor[::2] = True
    problem = dataclasses.replace(problem, distrusted=poor)
    rows, means = rebuilt(problem, OMP(k=4)), rebuilt(problem, Subword())
    for token, distrusted in zip(problem.missing.tolist(), poor.tolist(), strict=True):
        assert torch.equal(rows[token], means[token]) == distrusted


def test_omp_copies_the_base_row_of_an_anchor_with_the_same_donor_row() -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    assert problem.donor_rows is not None
    twin, missing = problem.anchors[3], problem.missing[~problem.distrusted][0]
    problem.donor_rows[missing] = problem.donor_rows[twin]
    method = OMP(k=5, selection="normalized", ridge=0.0, tune=False)
    rows = rebuilt(problem, method)
    expected = problem.base_rows[problem.sources[twin]]
    torch.testing.assert_close(rows[missing], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("base", "donor"), PAIRS)
def test_mean_is_the_mean_of_ordinary_rows(base: str, donor: str) -> None:
    problem = make_problem(base, donor, weights=False)
    rows = rebuilt(problem, Mean())
    expected = ordinary_mean(problem).expand(len(problem.missing), -1)
    torch.testing.assert_close(rows[torch.from_numpy(problem.missing)], expected)


def test_zero_rows_are_zero_and_counted_as_given_from_outside() -> None:
    problem = make_problem("unigram", "byte_level", weights=False)
    assembly = assemble(problem, Zero(), problem.donor.size)
    missing = torch.from_numpy(problem.missing)
    assert not assembly.rows(problem.base_rows)[missing].any()
    assert assembly.map.counts()["outside"] == len(problem.missing)


def test_gaussian_rows_have_the_mean_and_spread_of_the_base_in_every_dimension() -> None:
    problem = make_problem("byte_level", "unigram", weights=False)
    many = dataclasses.replace(problem, missing=np.arange(20_000))
    drawn = Gaussian().solve(many).outside
    assert drawn is not None
    kept = [i for i, k in enumerate(problem.base.kinds) if k not in (Kind.SPECIAL, Kind.UNUSED)]
    rows = problem.base_rows[kept]
    # 20,000 draws: the mean's standard error is 0.7% of the deviation, the deviation's 0.5%
    torch.testing.assert_close(drawn.mean(dim=0), rows.mean(dim=0), rtol=0, atol=0.04)
    torch.testing.assert_close(drawn.std(dim=0), rows.std(dim=0), rtol=0.03, atol=0)


def test_gaussian_rows_follow_the_seed_and_the_scale() -> None:
    one = make_problem("byte_level", "unigram", weights=False, seed=1)
    two = make_problem("byte_level", "unigram", weights=False, seed=2)
    assert torch.equal(rebuilt(one, Gaussian()), rebuilt(one, Gaussian()))
    assert not torch.equal(rebuilt(one, Gaussian()), rebuilt(two, Gaussian()))
    torch.testing.assert_close(rebuilt(one, Gaussian(scale=0.0)), rebuilt(one, Mean()))


def test_padding_and_roles_without_counterpart_get_the_mean_row() -> None:
    problem = make_problem("byte_level", "word_piece", weights=False)
    size = problem.donor.size + 7
    assembly = assemble(problem, Subword(), size)
    rows = assembly.rows(problem.base_rows)
    mask = problem.donor.roles["mask"]
    assert assembly.map.origins[mask] == Origin.MEAN
    assert (assembly.map.origins[-7:] == Origin.PADDING).all()
    for place in (mask, *range(problem.donor.size, size)):
        torch.testing.assert_close(rows[place], ordinary_mean(problem))


@pytest.mark.parametrize("method", [OMP(k=4), Subword(), Mean(), Gaussian()])
def test_rows_keep_the_dtype_of_the_base(method: object) -> None:
    problem = make_problem("unigram", "byte_level")
    half = dataclasses.replace(problem, base_rows=problem.base_rows.bfloat16())
    rows = rebuilt(half, method)
    assert rows.dtype == torch.bfloat16
    copied = torch.from_numpy(np.flatnonzero(problem.sources >= 0))
    sources = torch.from_numpy(problem.sources[problem.sources >= 0])
    assert torch.equal(rows[copied], half.base_rows[sources])


def test_the_permuted_vocabulary_permutes_rows_exactly() -> None:
    problem = make_problem("sentencepiece_bpe", "sentencepiece_bpe")
    rows = rebuilt(problem, Mean())
    assert len(problem.missing) == 0
    assert torch.equal(rows, problem.base_rows)


def test_draws_are_the_same_on_every_call() -> None:
    assert torch.equal(draw(3, 4, 5), draw(3, 4, 5))
