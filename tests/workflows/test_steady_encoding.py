"""A text's vector does not depend on what it is encoded beside, nor on what was encoded before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import Tiny
from tests.workflows.letters import LETTERS, letter_encoder
from tests.workflows.transplants import matrix_of, same_bits
from tokxfer import transplant
from tokxfer.embeddings.tokentext import token_text
from tokxfer.vocabulary import read_vocabulary
from tokxfer.workflows import steady
from tokxfer.workflows.encoder import TextEncoder

pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
MANY = [a + b + c for a in LETTERS[:26] for b in "aeiou" for c in ("", "n", "st", "rning")]
OTHERS = [a + "x" * length for a in LETTERS[:26] for length in range(24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return letter_encoder(tmp_path_factory.mktemp("encoders") / "letters", width=128)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("TOKXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path


def encoder_of(folder: Path, cache: Path) -> TextEncoder:
    return TextEncoder(folder, "letters", cache=cache)


@pytest.mark.parametrize("large", [False, True])
def test_vectors_do_not_depend_on_what_the_cache_held_before(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(steady, "LARGE", 0)
    first = encoder_of(folder, cache / "empty").encode(MANY)
    filled = encoder_of(folder, cache / "filled")
    filled.encode([*OTHERS, *MANY[::3]])
    assert np.array_equal(encoder_of(folder, cache / "filled").encode(MANY), first)
    assert np.array_equal(encoder_of(folder, cache / "empty").encode(MANY), first)


def test_vectors_do_not_depend_on_the_number_of_threads(folder: Path, cache: Path) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(encoder_of(folder, cache / str(threads)).encode(MANY))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])


def test_rows_of_a_transplant_do_not_depend_on_what_the_cache_held_before(
    tiny: Tiny, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    tokens = [token_text(token) for token in read_vocabulary(donor).tokens if token]
    rows = []
    for name, before in enumerate([[], *([*OTHERS, *tokens[::step]] for step in (2, 3, 5, 7, 11))]):
        monkeypatch.setenv("TOKXFER_CACHE", str(cache / str(name)))
        TextEncoder(folder, "letters").encode(before)
        out = tiny.fresh()
        transplant(base, donor, out, method="tokenadapt-hybrid", encoder=folder)
        rows.append(matrix_of(out))
    assert all(same_bits(rows[0], other) for other in rows[1:])


def test_texts_are_encoded_many_at_a_time(folder: Path) -> None:
    encoder, calls = TextEncoder(folder, "letters"), []
    encoder._loaded().register_forward_hook(lambda *_: calls.append(1))
    encoder.encode(MANY)
    assert 0 < len(calls) <= math.ceil(len(MANY) / 32)


def test_neighbours_are_sought_in_one_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.neighbors import NearestNeighbors

    calls = []
    search = NearestNeighbors.kneighbors

    def spy(self: Any, sought: Any, *more: Any, **options: Any) -> Any:
        calls.append(len(sought))
        return search(self, sought, *more, **options)

    monkeypatch.setattr(NearestNeighbors, "kneighbors", spy)
    TextEncoder(folder, "letters").nearest(MANY, OTHERS, 3)
    assert calls == [len(MANY)]


class Narrow(torch.nn.Module):
    """An encoder that does not work in double precision."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def encode(self, texts: list[str], **_: object) -> np.ndarray[Any, Any]:
        if self.weight.dtype != torch.float32:
            raise RuntimeError("mat1 and mat2 must have the same dtype")
        return np.ones((len(texts), 2), dtype=np.float32)


def test_an_encoder_that_refuses_doubles_takes_one_text_at_a_time() -> None:
    narrow = Narrow()
    assert steady.steady(narrow) == 1
    assert narrow.weight.dtype == torch.float32
