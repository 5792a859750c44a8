"""The WECHSEL recipe equals its formula, written out word by word, across tokenizer families."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.embeddings.corpora import Drawn, drawn, with_corpus
from tests.embeddings.test_methods import PAIRS, rebuilt
from tests.embeddings.test_tokenadapt import softmax
from tokxfer.embeddings import Gaussian, Problem, Subword, Wechsel
from tokxfer.embeddings.heldout import hide
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary, Kind, Origin


def token_vectors(problem: Problem, vocabulary: ByteVocabulary) -> dict[int, np.ndarray]:
    """The mean of the vectors of all words that have a token, each as often as it occurs."""
    corpus = problem.corpus
    assert isinstance(corpus, Drawn)
    sums: dict[int, np.ndarray] = {}
    for word in corpus.words:
        for token in set(vocabulary.pieces(word)):
            part = (1 + len(word) ** 2 % 7) * drawn(word).astype(float)
            sums[token] = sums.get(token, 0) + part
    return {token: total / np.sqrt(total @ total) for token, total in sums.items()}


def candidates(problem: Problem) -> list[int]:
    """One id of the base for every byte string of text; byte tokens where there is no other."""
    ids: dict[bytes, int] = {}
    for wanted in (False, True):
        for base_id, (kind, spelled) in enumerate(
            zip(problem.base.kinds, problem.base.tokens, strict=True)
        ):
            if kind not in (Kind.SPECIAL, Kind.UNUSED) and (kind == Kind.BYTE) == wanted:
                ids.setdefault(spelled, base_id)
    return list(ids.values())


@pytest.mark.parametrize(("base", "donor"), PAIRS)
@pytest.mark.parametrize(
    ("matrix", "k", "temperature"), [("input", 10, 0.1), ("output", 5, 0.2), ("tied", 3, 0.4)]
)
def test_rows_are_softmax_means_of_the_nearest_of_all_base_tokens(
    base: str, donor: str, matrix: str, k: int, temperature: float
) -> None:
    problem = with_corpus(base, donor, matrix=matrix)
    rows = rebuilt(problem, Wechsel(k=k, temperature=temperature))
    drawn_rows = rebuilt(problem, Gaussian())
    new, old = (token_vectors(problem, v) for v in (problem.donor, problem.base))
    ids = [base_id for base_id in candidates(problem) if base_id in old]
    tokens = problem.missing.tolist()
    unseen = [token for token in tokens if token not in new]
    assert torch.equal(rows[unseen], drawn_rows[unseen])
    known = [token for token in tokens if token in new]
    assert known
    compared = 0
    for token in known[::7]:
        scores = {base_id: float(new[token] @ old[base_id]) for base_id in ids}
        ranked = sorted(ids, key=lambda base_id: -scores[base_id])
        if scores[ranked[k - 1]] - scores[ranked[k]] < 1e-6:
            continue  # tokens of the same words: which of them is among the nearest is open
        near, compared = ranked[:k], compared + 1
        weights = softmax([scores[base_id] / temperature for base_id in near])
        expected = torch.tensor(weights) @ problem.base_rows[near]
        torch.testing.assert_close(rows[token], expected, rtol=1e-3, atol=1e-4)
    assert compared


def test_unseen_tokens_get_the_mean_of_their_pieces_where_asked() -> None:
    problem = with_corpus("sentencepiece_bpe", "byte_level")
    rows, means = rebuilt(problem, Wechsel(unseen="pieces")), rebuilt(problem, Subword())
    known = token_vectors(problem, problem.donor)
    unseen = [token for token in problem.missing.tolist() if token not in known]
    assert unseen
    assert torch.equal(rows[unseen], means[unseen])
    assert Wechsel().solve(problem).details == {
        "seen": len(problem.missing) - len(unseen),
        "unseen": len(unseen),
    }


def test_a_hidden_token_has_k_neighbours_of_other_bytes() -> None:
    hidden = hide(with_corpus("sentencepiece_bpe", "byte_level"))
    solved = Wechsel(k=4).solve(hidden).map
    learned = np.flatnonzero(solved.origins == Origin.NEIGHBOURS)
    assert len(learned) > 10
    for place in learned.tolist():
        spelled = hidden.donor.tokens[hidden.missing[place]]
        near, _ = solved.row(place)
        assert len(near) == 4
        assert not {hidden.base.tokens[base_id] for base_id in near} & {spelled}


def test_k_above_what_there_is_takes_all_there_is() -> None:
    problem = with_corpus("unigram", "byte_level")
    every = [i for i in candidates(problem) if i in token_vectors(problem, problem.base)]
    solved = Wechsel(k=10**6).solve(problem).map
    learned = np.flatnonzero(solved.origins == Origin.NEIGHBOURS)
    assert all(len(solved.row(place)[0]) == len(every) for place in learned.tolist())


def test_a_text_without_the_words_of_the_base_is_said() -> None:
    problem = with_corpus("word_piece", "byte_level")
    nothing = dataclasses.replace(problem, corpus=Drawn([b"\xff"]))
    with pytest.raises(VocabularyError, match="No token of the base has a vector"):
        Wechsel().solve(nothing)


@pytest.mark.parametrize(
    ("options", "said"), [({"k": 0}, "k is 0"), ({"temperature": 0.0}, "temperature is 0.0")]
)
def test_options_out_of_range_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Wechsel(**options)  # type: ignore[arg-type]
