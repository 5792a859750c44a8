"""Rows that training hardly touched are found by bytes that no text contains."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from tests.embeddings.problems import make_problem
from tests.embeddings.test_tokenadapt import Drawn
from tests.families import byte_level, gemma, unigram
from tokxfer.embeddings import TokenAdaptGlobal, pose, undertrained_rows
from tokxfer.embeddings.tokenadapt import spellings
from tokxfer.embeddings.undertrained import RESERVED, reference_rows
from tokxfer.vocabulary import ByteVocabulary, Kind, match


def vocabulary() -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(byte_level())


@pytest.mark.parametrize(
    ("base", "donor"), [("sentencepiece_bpe", "byte_level"), ("byte_level", "gemma")]
)
def test_byte_tokens_of_a_fallback_are_no_anchors_unless_there_are_no_others(
    base: str, donor: str
) -> None:
    problem = make_problem(base, donor)
    kinds = problem.donor.kinds, problem.base.kinds
    assert len(problem.anchors) > 20
    for anchor in problem.anchors.tolist():
        assert kinds[0][anchor] != Kind.BYTE
        assert kinds[1][problem.sources[anchor]] != Kind.BYTE
    only = ByteVocabulary.from_tokenizer(byte_only())
    matched = match(only, problem.donor)
    rows = torch.randn(only.size, 8)
    left = pose("input", rows, problem.donor_rows, only, problem.donor, matched)
    assert len(left.anchors) > 20


def byte_only() -> Tokenizer:
    """A byte-fallback tokenizer whose every token is a byte."""
    vocab = {"<unk>": 0} | {f"<0x{value:02X}>": value + 1 for value in range(256)}
    return Tokenizer(models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>"))


def test_the_references_are_bytes_outside_utf8_and_padding() -> None:
    known = reference_rows(vocabulary().size + 2, vocabulary())
    spelled = [vocabulary().tokens[i] for i in known if i < vocabulary().size]
    assert sorted(spelled) == sorted(bytes([b]) for b in (0xC0, 0xC1, *range(0xF5, 0x100)))
    assert known[-2:].tolist() == [vocabulary().size, vocabulary().size + 1]


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_rows_left_at_initialization_are_found_and_trained_ones_are_not(drift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    size = vocabulary().size
    rows = 0.02 * torch.randn(size, 64, generator=generator) + drift
    trained = np.ones(size, dtype=bool)
    trained[reference_rows(size, vocabulary())] = False
    trained[300:310] = False  # tokens that no training text contained
    rows[torch.from_numpy(trained)] += 0.2 * torch.randn(
        int(trained.sum()), 64, generator=generator
    )
    assert np.array_equal(undertrained_rows(rows, vocabulary()), ~trained)


def test_without_references_nothing_is_distrusted() -> None:
    plain = ByteVocabulary.from_tokenizer(unigram())
    assert len(reference_rows(plain.size, plain)) < 3
    assert not undertrained_rows(torch.zeros(plain.size, 8), plain).any()


def test_undertrained_rows_are_counted_and_are_anchors_only_when_trusted() -> None:
    base, donor = (ByteVocabulary.from_tokenizer(make()) for make in (byte_level, gemma))
    matched = match(base, donor)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(base.size, 16, generator=generator) + 2
    donor_rows = torch.randn(donor.size, 16, generator=generator) + 2
    plain = pose("input", rows, donor_rows, base, donor, matched)
    poor, poor_donor = plain.anchors[:3], np.append(plain.anchors[5:9], plain.missing[:2])
    rows[reference_rows(base.size, base)] = 0.0
    rows[plain.sources[poor]] = 0.0
    donor_rows[reference_rows(donor.size, donor)] = 0.0
    donor_rows[poor_donor] = 0.0
    wary = pose("input", rows, donor_rows, base, donor, matched)
    bold = pose("input", rows, donor_rows, base, donor, matched, trust_undertrained=True)
    assert wary.undertrained == bold.undertrained == {"base": 13 + 3, "donor": 13 + 6}
    assert not np.isin(poor, wary.anchors).any()
    assert not np.isin(poor_donor, wary.anchors).any()
    assert wary.distrusted[:2].all()
    assert np.isin(plain.anchors, bold.anchors).all()
    assert not bold.distrusted.any()
    bare = pose("input", rows, None, base, donor, matched)
    assert bare.undertrained == {"base": 13 + 3}


def test_tokens_called_unused_are_references() -> None:
    names = ["[PAD]", *(f"[unused{i}]" for i in range(9)), *(f"word{i}" for i in range(40))]
    rare = ByteVocabulary.from_tokenizer(
        Tokenizer(models.WordPiece({n: i for i, n in enumerate(names)}, unk_token="[PAD]"))
    )
    assert reference_rows(rare.size, rare).tolist() == list(range(1, 10))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(rare.size, 32, generator=generator)
    rows[1:12] = 0.01 * torch.randn(11, 32, generator=generator)  # two words nobody wrote
    assert np.flatnonzero(undertrained_rows(rows, rare)).tolist() == list(range(1, 12))


@pytest.mark.parametrize("name", ["<unused12>", "<|reserved_special_token_5|>", "[unused0]"])
def test_names_that_say_so_are_recognised(name: str) -> None:
    assert RESERVED.fullmatch(name)
    assert not RESERVED.fullmatch(name[1:-1])
    assert not RESERVED.fullmatch("unused")


def test_a_row_is_distrusted_within_the_reach_of_the_references_and_a_margin() -> None:
    size = vocabulary().size
    known = reference_rows(size, vocabulary())
    rows = torch.full((size, 64), 100.0)
    away = torch.eye(64)[: len(known)]
    rows[torch.from_numpy(known)] = away  # each as far from their centre as any other
    centre = away.mean(dim=0)
    count = len(known)
    reach = float((away - centre).norm(dim=1).max()) * count / (count - 1)
    straight = torch.eye(64)[40]
    rows[300], rows[301] = centre + 1.19 * reach * straight, centre + 1.21 * reach * straight
    found = np.flatnonzero(undertrained_rows(rows, vocabulary()))
    assert set(found) == {*known, 300}


def test_neighbours_are_rows_that_training_touched_unless_asked() -> None:
    base, donor = (ByteVocabulary.from_tokenizer(make()) for make in (byte_level, gemma))
    matched = match(base, donor)
    rows = torch.randn(base.size, 16, generator=torch.Generator().manual_seed(0)) + 2
    rows[reference_rows(base.size, base)] = 0.0
    rows[300:310] = 0.0
    wary = pose("input", rows, None, base, donor, matched)
    bold = pose("input", rows, None, base, donor, matched, trust_undertrained=True)
    poor = {*reference_rows(base.size, base).tolist(), *range(300, 310)}
    assert set(spellings(bold).tolist()) - set(spellings(wary).tolist()) == poor
    for problem, seen in ((wary, False), (bold, True)):
        problem = dataclasses.replace(problem, encoder=Drawn())
        used = TokenAdaptGlobal(k=5).solve(problem).map.indices
        assert bool(np.isin(used, list(poor)).any()) == seen
