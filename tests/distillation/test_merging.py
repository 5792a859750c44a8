"""Chunks are joined until a boundary is likely, and are counted once."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokxfer.distillation.alm import alm
from tokxfer.distillation.chunksums import valid_chunks
from tokxfer.distillation.merging import merged, outcomes, runs_end


def by_hand(masses: list[float], ends: list[bool], count: int, gamma: float) -> list[list[int]]:
    """The chunks of each group of a row, in a loop."""
    groups: list[list[int]] = []
    open_group = False
    for chunk in range(count):
        if not open_group:
            groups.append([])
        groups[-1].append(chunk)
        open_group = not (math.exp(masses[chunk]) > gamma or ends[chunk])
    return groups


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 10_000), gamma=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_groups_and_outcomes_are_those_of_a_loop(seed: int, gamma: float) -> None:
    source = torch.Generator().manual_seed(seed)
    masses, chunks = (-3 * torch.rand(2, 3, 8, generator=source, dtype=torch.float64)).unbind(0)
    ends = torch.rand(3, 8, generator=source) < 0.2
    counts = torch.randint(0, 9, (3,), generator=source)
    groups = merged(masses, valid_chunks(counts, 8), ends, gamma)
    found = outcomes(chunks, masses, groups)
    bare = outcomes(chunks, None, groups)
    for row in range(3):
        expected = by_hand(masses[row].tolist(), ends[row].tolist(), int(counts[row]), gamma)
        assert int(groups.valid[row].sum()) == len(expected)
        for group, members in enumerate(expected):
            assert groups.group[row, members].tolist() == [group] * len(members)
            whole = sum(float(chunks[row, member]) for member in members)
            assert float(bare[row, group]) == pytest.approx(whole)
            assert float(found[row, group]) == pytest.approx(
                whole + float(masses[row, members[-1]])
            )


def test_the_mean_counts_merged_chunks_once() -> None:
    """A peer joins what is joined once more before it divides: its loss was 27/16 of this."""
    places = torch.arange(54)
    masses = torch.where(places % 2 == 0, math.log(0.01), math.log(0.9)).unsqueeze(0)
    valid = torch.ones(1, 54, dtype=torch.bool)
    groups = merged(masses, valid, torch.zeros(1, 54, dtype=torch.bool))
    teacher, student = torch.full((1, 54), -1.0), torch.full((1, 54), -1.5)
    part = alm(outcomes(teacher, masses, groups), outcomes(student, masses, groups), groups.valid)
    assert part.count == 27
    p, q = (math.exp((2 * each + math.log(0.9)) / 5) for each in (-1.0, -1.5))
    one = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert part.mean.item() == pytest.approx(one, rel=1e-4)


def test_documents_of_a_row_are_never_joined() -> None:
    """The first token of a document is in no chunk: behind chunk 1 another document begins."""
    chunk = torch.tensor([[-1, 0, 1, 1, -1, 2, 3, -1]])
    final = torch.tensor([[1, 3, 5, 6]])
    ends = runs_end(chunk, final)
    assert ends.tolist() == [[False, True, False, True]]
    unlikely = torch.full((1, 4), math.log(0.001))
    groups = merged(unlikely, torch.ones(1, 4, dtype=torch.bool), ends)
    assert groups.group.tolist() == [[0, 0, 1, 1]]
    assert groups.last.tolist() == [[False, True, False, True]]


def test_a_run_ends_at_the_last_place_of_a_row() -> None:
    assert runs_end(torch.tensor([[-1, 0, 1]]), torch.tensor([[1, 2]])).tolist() == [[False, True]]


def test_a_last_chunk_ends_its_group_though_no_boundary_is_likely() -> None:
    unlikely = torch.full((1, 3), math.log(0.001))
    groups = merged(
        unlikely, torch.tensor([[True, True, False]]), torch.zeros(1, 3, dtype=torch.bool)
    )
    assert groups.group.tolist() == [[0, 0, -1]]
    assert groups.count == 1


def test_gamma_zero_joins_none() -> None:
    masses = torch.full((1, 3), -80.0)
    groups = merged(
        masses, torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool), 0.0
    )
    assert groups.count == 3


def test_gradients_reach_chunks_and_the_masses_that_count() -> None:
    masses = torch.tensor([[-9.0, -0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    chunks = torch.tensor([[-1.0, -2.0, -3.0]], dtype=torch.float64, requires_grad=True)
    everywhere = torch.ones(1, 3, dtype=torch.bool)
    groups = merged(masses.detach(), everywhere, ~everywhere)
    found = outcomes(chunks, masses, groups)
    assert found.tolist() == [[-3.1, -3.2, 0.0]]
    found.sum().backward()
    assert chunks.grad is not None
    assert masses.grad is not None
    assert chunks.grad.tolist() == [[1.0, 1.0, 1.0]]
    assert masses.grad.tolist() == [[0.0, 1.0, 1.0]]
