from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workflows.known import Table, WholeTable, random_table
from tokxfer.checkpoints import longest_window
from tokxfer.workflows.scoring import (
    Plan,
    batches,
    cut,
    negative_log_likelihood,
    score_windows,
)

ROOMY = 1 << 30


@given(length=st.integers(0, 300), window=st.integers(2, 64))
@settings(deadline=None, derandomize=True)
def test_every_token_but_the_first_is_scored_exactly_once(length: int, window: int) -> None:
    scored = [at for w in cut(0, length, window) for at in range(w.scored, w.stop)]
    assert scored == list(range(1, length))


@given(length=st.integers(0, 300), window=st.integers(2, 64))
@settings(deadline=None, derandomize=True)
def test_a_token_sees_all_before_it_or_at_least_half_a_window(length: int, window: int) -> None:
    for part in cut(0, length, window):
        assert part.length <= window
        assert part.start == 0 or part.context >= window / 2


def test_windows_start_half_a_window_apart() -> None:
    assert [(w.start, w.stop, w.scored) for w in cut(0, 21, 8)] == [
        (0, 8, 1),
        (4, 12, 8),
        (8, 16, 12),
        (12, 20, 16),
        (16, 21, 20),
    ]


def test_windows_of_all_lengths_end_up_in_one_batch_each() -> None:
    windows = [w for at, length in enumerate([5, 40, 2, 17, 40]) for w in cut(at, length, 16)]
    plan = Plan.of(Table(random_table()), ROOMY, size=3)
    made = list(batches(windows, plan))
    assert sorted(id(w) for batch in made for w in batch) == sorted(id(w) for w in windows)
    assert all(len(batch) <= 3 for batch in made)
    assert all(len({w.context for w in batch}) == 1 for batch in made)
    assert all(batch[0].length == max(w.length for w in batch) for batch in made)


def brute_force(table: torch.Tensor, sequence: np.ndarray) -> float:
    log_probabilities = table.double().log_softmax(-1)
    return -sum(float(log_probabilities[a, b]) for a, b in itertools.pairwise(sequence))


SEQUENCES = [
    np.random.default_rng(at).integers(0, 9, length) for at, length in enumerate([70, 3, 1, 33, 70])
]


@pytest.mark.parametrize("budget", [1, 2000, 20_000, ROOMY])
@pytest.mark.parametrize("size", [None, 1, 2])
@pytest.mark.parametrize("kind", [Table, WholeTable])
def test_neither_batch_size_nor_budget_changes_the_costs(
    budget: int, size: int | None, kind: type[Table]
) -> None:
    model = kind(random_table())
    windows = [w for at, ids in enumerate(SEQUENCES) for w in cut(at, len(ids), 16)]
    nats = score_windows(model, SEQUENCES, windows, Plan.of(model, budget, size))
    expected = [brute_force(model.table.detach(), ids) for ids in SEQUENCES]
    assert nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("budget", [5_000, 20_000, 100_000])
def test_logits_stay_within_the_budget(budget: int) -> None:
    model = Table(random_table(size=100))
    windows = [w for at, ids in enumerate(SEQUENCES) for w in cut(at, len(ids), 32)]
    score_windows(model, SEQUENCES, windows, Plan.of(model, budget))
    assert max(shape.numel() * 4 for shape in model.shapes) <= budget
    assert max(shape.numel() * 4 for shape in model.shapes) > budget / 20


def test_no_logits_are_made_of_positions_that_are_only_read() -> None:
    model = Table(random_table())
    ids = SEQUENCES[0]
    windows = cut(0, len(ids), 16)
    score_windows(model, [ids], windows, Plan.of(model, ROOMY, size=1))
    assert sum(shape[1] for shape in model.shapes) == len(ids) - 1


def test_a_long_text_is_scored_in_batches_when_memory_allows() -> None:
    model = Table(random_table())
    ids = np.zeros(200, np.int64)
    score_windows(model, [ids], cut(0, 200, 16), Plan.of(model, ROOMY))
    assert len(model.fed) == 2  # the window with the first token, and all others


def test_progress_counts_every_scored_token() -> None:
    counts: list[int] = []
    model = Table(random_table())
    windows = [w for at, ids in enumerate(SEQUENCES) for w in cut(at, len(ids), 16)]
    score_windows(model, SEQUENCES, windows, Plan.of(model, ROOMY, 2), counts.append)
    assert sum(counts) == sum(len(ids) - 1 for ids in SEQUENCES)
    assert len(counts) > 1


def test_attention_that_stores_its_weights_takes_memory() -> None:
    model = Table(random_table(), num_attention_heads=8, hidden_size=4)
    window = cut(0, 64, 64)[0]
    eager = Table(
        random_table(), num_attention_heads=8, hidden_size=4, _attn_implementation="eager"
    )
    assert Plan.of(model, 400_000).holds(1, window)
    assert not Plan.of(eager, 400_000).holds(2, window)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("work", [1, 500, 1 << 25])
def test_costs_are_those_of_a_log_softmax_in_float32(dtype: torch.dtype, work: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 11, generator=generator).mul(9).to(dtype)
    targets = torch.randint(0, 11, (3, 5), generator=generator)
    expected = -logits.float().log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)
    torch.testing.assert_close(negative_log_likelihood(logits, targets, work), expected)


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 1024, "n_ctx": 3}, 1024),
        ({"max_seq_len": 77}, 77),
        ({"max_position_embeddings": None}, None),
        ({}, None),
    ],
)
def test_the_length_is_found_under_every_name(config: dict, length: int | None) -> None:
    assert longest_window(SimpleNamespace(**config)) == length
