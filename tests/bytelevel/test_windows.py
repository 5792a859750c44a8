"""Trees deeper than a model: each token is read behind the last ones before it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tests.bytelevel.functions import FunctionTree
from tests.tiny import build_model
from tokxfer.bytelevel import windows
from tokxfer.bytelevel.treemodel import ROOT, AttentionTree, RowTree
from tokxfer.bytelevel.windows import WindowedTree

IDS = 7


def told(row: list[int]) -> torch.Tensor:
    """What a sequence is answered: the sequence itself."""
    number = 0.0
    for token in row:
        number = number * 8 + token + 1
    return torch.tensor([number, len(row)], dtype=torch.float64)


def window(row: list[int], length: int) -> list[int]:
    """What is read of a sequence: windows begin half a length apart, the first at its beginning."""
    start, step = 0, max(1, length // 2)
    while len(row) - start > max(1, length - 1):
        start += step
    return row[start:]


def grown(tree: Any, length: int, seed: int, rounds: int) -> list[list[int]]:
    """Let a tree grow at random, far and shallow branches alive at once; all its sequences."""
    draw = random.Random(seed)
    rows, live = {ROOT: list[int]()}, [ROOT]
    for _ in range(rounds):
        size = draw.choice([1, 1, 2, 9])
        first = tree.size
        parents, tokens = [], []
        for at in range(size):
            parents.append(first + at - 1 if at and draw.random() < 0.7 else draw.choice(live))
            tokens.append(draw.randrange(IDS))
            rows[first + at] = [*rows[parents[-1]], tokens[-1]]
        asked = sorted(draw.sample(range(size), draw.randint(1, size)))
        found = tree.extend(parents, tokens, asked=asked)
        expected = torch.stack([told(window(rows[first + at], length)) for at in asked])
        assert torch.equal(found, expected)
        alive = [node for node in live if node != ROOT]
        live = sorted({*draw.sample(alive, min(2, len(alive))), first, first + size - 1})
        tree.keep(live)
    return list(rows.values())


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_node_is_read_in_the_window_of_its_depth(
    length: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PART", 3 + seed)
    inner = FunctionTree(told)
    tree = WindowedTree(lambda: inner, length)
    rows = grown(tree, length, seed, rounds=60)
    assert max(map(len, rows)) > 30
    assert max(map(len, inner.seen)) <= length
    assert len(inner.rows) < 20


def test_what_lies_within_the_length_is_read_whole() -> None:
    inner = FunctionTree(told)
    tree = WindowedTree(lambda: inner, 41)
    tokens = [token % IDS for token in range(40)]
    for start in range(0, 40, 10):
        tree.extend(range(start - 1, start + 9), tokens[start : start + 10])
    assert inner.seen == [tokens[: size + 1] for size in range(40)]


def test_small_calls_read_what_one_large_call_does() -> None:
    tokens = [token * token % IDS for token in range(50)]
    found = []
    for size in (1, 3, 50):
        tree = WindowedTree(lambda: FunctionTree(told), 8)
        parts = []
        for start in range(0, 50, size):
            stop = min(start + size, 50)
            parts.append(tree.extend(range(start - 1, stop - 1), tokens[start:stop]))
            tree.keep([stop - 1])
        found.append(torch.cat(parts))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_branches_share_what_a_new_window_reads() -> None:
    inner = FunctionTree(told)
    tree = WindowedTree(lambda: inner, 21)
    tree.extend(range(-1, 19), [1] * 20)
    tree.extend([18] * 5, [2, 3, 4, 5, 6])  # six branches, each at the end of the first window
    tree.keep([19, 20, 21, 22, 23, 24])
    before = inner.size
    tree.extend([19, 20], [1] * 2)
    assert inner.size - before == 9 + 6 + 2
    before = inner.size
    tree.keep([21, 22, 23, 24, 25])
    tree.extend([21, 22, 23, 24, 25], [1] * 5)
    assert inner.size - before == 5


def test_tokens_that_no_window_reads_again_are_let_go() -> None:
    tree = WindowedTree(lambda: FunctionTree(told), 11)
    for at in range(302):
        tree.extend([at - 1], [at % IDS])
        tree.keep([at])
    (place,) = tree._places.values()
    size = 0
    while place is not None:
        size, place = size + 1, place.parent  # type: ignore[assignment]
    assert size <= 2 * 10
    assert len(tree._read) == 1
    tree.extend(range(301, 304), [1, 2, 3])
    tree.keep([304])
    assert not tree._read, "what comes next is read in a new window"


@pytest.mark.parametrize("make", [AttentionTree, RowTree])
@torch.no_grad()
def test_a_model_reads_windows_alone(make: Any) -> None:
    model = build_model("gpt2", rows=IDS, length=8)
    tree = WindowedTree(lambda: make(model, IDS), 8)
    tokens = [token * token % IDS for token in range(30)]
    found = torch.cat(
        [tree.extend(range(-1, 12), tokens[:13]), tree.extend(range(12, 29), tokens[13:])]
    )
    for at in range(30):
        row = torch.tensor([window(tokens[: at + 1], 8)])
        torch.testing.assert_close(found[at], model(row).logits[0, -1], rtol=1e-4, atol=1e-5)
