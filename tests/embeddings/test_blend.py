"""`blend` weighs methods by least squares on rows that are hidden from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from tests.embeddings.problems import make_problem
from tests.embeddings.test_methods import CYCLE, ordinary_mean, rebuilt
from tokxfer.embeddings import Blend, Linear, Problem, Subword, held_out
from tokxfer.embeddings.blend import PARTS
from tokxfer.embeddings.heldout import hide


def learnable(base: str, donor: str, noise: float = 0.3) -> Problem:
    """A problem whose base rows are nearly linear in the donor's."""
    problem = make_problem(base, donor)
    assert problem.donor_rows is not None
    generator = torch.Generator().manual_seed(4)
    way = torch.randn(20, 24, generator=generator) / 20**0.5
    rows = problem.base_rows.clone()
    image = problem.donor_rows[problem.anchors] @ way
    image += noise * torch.randn(image.shape, generator=generator)
    rows[problem.sources[problem.anchors]] = image
    return dataclasses.replace(problem, base_rows=rows)


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_rows_are_the_parts_summed_with_weights_fitted_on_hidden_rows(
    base: str, donor: str
) -> None:
    problem = learnable(base, donor)
    distrusted = np.arange(len(problem.missing)) % 5 == 0
    problem = dataclasses.replace(problem, distrusted=distrusted)
    posed, mean = hide(problem), ordinary_mean(problem)
    shown = [rebuilt(posed, part)[posed.missing] - mean for part in PARTS]
    true = problem.base_rows[problem.sources[posed.missing]] - mean
    columns = np.stack([rows.flatten().double().numpy() for rows in shown], axis=1)
    weights, _ = nnls(columns, true.flatten().double().numpy())
    made = sum(w * rows for w, rows in zip(weights.tolist(), shown, strict=True))
    assert isinstance(made, torch.Tensor)
    scale = (true.norm(dim=1).sum() / made.norm(dim=1).sum()) ** 0.5
    details = Blend().solve(problem).details
    assert [details[part.name] for part in PARTS] == pytest.approx(weights.tolist(), abs=1e-3)
    assert details["scale"] == pytest.approx(float(scale), rel=1e-3)
    trusted = problem.missing[~problem.distrusted]
    parts = [rebuilt(problem, part)[trusted] - mean for part in PARTS]
    expected = mean + scale * sum(w * p for w, p in zip(weights.tolist(), parts, strict=True))
    rows = rebuilt(problem, Blend())
    torch.testing.assert_close(rows[trusted], expected, rtol=1e-3, atol=1e-3)
    doubted = problem.missing[distrusted]
    assert len(doubted)
    assert torch.equal(rows[doubted], rebuilt(problem, Subword())[doubted])


def test_it_comes_nearer_to_hidden_rows_than_a_part_does() -> None:
    problem = learnable("sentencepiece_bpe", "byte_level", noise=0.5)
    blended, linear = (held_out(problem, method) for method in (Blend(), Linear()))
    assert blended.cosine > linear.cosine - 0.02
    assert blended.cosine > 0.5


def test_with_few_anchors_it_is_the_mean_of_pieces() -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    few = dataclasses.replace(problem, anchors=problem.anchors[:12])
    assert torch.equal(rebuilt(few, Blend()), rebuilt(few, Subword()))
