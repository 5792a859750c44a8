"""Pieces among real tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokxfer.vocabulary import ByteVocabulary, read_vocabulary

NAMES = ("gpt2", "llama2", "mistral", "xlmr-unigram-de-50k")


@pytest.fixture(scope="module")
def real(shared: Path) -> dict[str, ByteVocabulary]:
    return {name: read_vocabulary(shared / "tokenizers" / name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_pieces_spell_real_tokens(real: dict[str, ByteVocabulary], name: str) -> None:
    known = real[name]
    for other in NAMES:
        tokens = [real[other].tokens[i] for i in real[other].text_ids[::29].tolist()]
        for spelled, pieces in zip(tokens, known.pieces_batch(tokens), strict=True):
            assert b"".join(known.tokens[i] for i in pieces) == (spelled if pieces else b"")
            assert pieces or name == "xlmr-unigram-de-50k"


@pytest.mark.parametrize("name", NAMES)
def test_real_words_have_the_pieces_that_they_have_in_text(
    real: dict[str, ByteVocabulary], name: str
) -> None:
    known = real[name]
    before = known.encode("of")
    tokens = real["gpt2"].tokens[256:20_000:37]
    for word in (token for token in tokens if token[:1] == b" " and token[1:].isalpha()):
        pieces = known.pieces(word)
        text = known.encode(f"of{word.decode()} of")
        assert text[len(before) : len(before) + len(pieces)] == pieces
