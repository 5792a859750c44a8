"""Real tokenizers on real text: every common boundary is found, and sides tell the same text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate, combinations
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from tokxfer.alignment import places
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.report import alignment_figures, walk
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary

REAL = ("cl100k", "gpt2", "llama2", "mistral", "xlmr-unigram-de-50k")
NAMES = (*REAL, "word_piece")
CHANGING = ("xlmr-unigram-de-50k", "word_piece", "cl100k-nfc", "llama2-nfkc")
SIZE = 700  # characters of a text
LANGUAGES = {"en", "de", "fr", "es", "ru", "zh", "ja", "ko", "python"}


@pytest.fixture(scope="module")
def documents(shared: Path) -> dict[str, list[str]]:
    """The beginnings of two documents of every language of the corpus."""
    found: dict[str, list[str]] = {}
    for name in ("english", "code", "multilingual"):
        with (shared / "corpus" / f"{name}_sample.jsonl").open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                kept = found.setdefault(record["lang"], [])
                if len(kept) < 2:
                    kept.append(unicodedata.normalize("NFC", record["text"])[:SIZE])
    assert set(found) == LANGUAGES
    return found


@pytest.fixture(scope="module")
def texts(documents: dict[str, list[str]]) -> list[str]:
    return [text for kept in documents.values() for text in kept]


@pytest.fixture(scope="module")
def vocabulary_of(shared: Path, texts: list[str]) -> Callable[[str], ByteVocabulary]:
    """Vocabularies by name, each read once: real ones, variants of them, and a WordPiece."""

    @cache
    def found(name: str) -> ByteVocabulary:
        if name in REAL:
            return read_vocabulary(shared / "tokenizers" / name)
        if name == "word_piece":
            return ByteVocabulary.from_tokenizer(word_piece(texts))
        base, form = name.split("-")
        tokenizer = Tokenizer.from_file(str(shared / "tokenizers" / base / "tokenizer.json"))
        steps = [getattr(normalizers, form.upper())(), *filter(None, [tokenizer.normalizer])]
        tokenizer.normalizer = normalizers.Sequence(steps)
        return ByteVocabulary.from_tokenizer(tokenizer)

    return found


@pytest.fixture(scope="module")
def aligner_of(vocabulary_of: Callable[[str], ByteVocabulary]) -> Callable[[str, str], Aligner]:
    """Aligners by names, of placers that are each made once."""
    placer_of = cache(lambda name: places.Placer(vocabulary_of(name)))

    def found(left: str, right: str) -> Aligner:
        both = Aligner(vocabulary_of(left), vocabulary_of(right))
        both.teacher, both.student = placer_of(left), placer_of(right)
        return both

    return found


def word_piece(texts: list[str]) -> Tokenizer:
    """A WordPiece tokenizer that knows all characters of some texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=6000,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        limit_alphabet=5000,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.mark.parametrize(("left", "right"), list(combinations(NAMES, 2)))
def test_all_common_boundaries_are_found_and_all_chunks_are_equal(
    left: str, right: str, texts: list[str], aligner_of: Callable[[str, str], Aligner]
) -> None:
    found = alignment_figures(aligner_of(left, right), texts)
    assert found.recall == 1.0
    assert (found.unequal, found.examples) == (0, ())
    assert found.chunks > 3000
    assert found.unknown <= 0.03 * found.chunks


@pytest.mark.parametrize("left", ["gpt2", "llama2"])
@pytest.mark.parametrize("right", CHANGING)
def test_decomposed_text_is_aligned_where_a_tokenizer_composes_it(
    left: str, right: str, texts: list[str], aligner_of: Callable[[str, str], Aligner]
) -> None:
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert decomposed != texts
    found = alignment_figures(aligner_of(left, right), decomposed)
    assert found.recall == 1.0
    assert found.unequal < 0.001 * found.chunks
    assert len(found.examples) == found.unequal


def test_chunks_are_unequal_where_composed_characters_are_no_tokens(
    texts: list[str],
    aligner_of: Callable[[str, str], Aligner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "behind_gap", lambda text, stop, following: stop)
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    found = alignment_figures(aligner_of("gpt2", "cl100k-nfc"), decomposed)
    assert found.unequal > 0.005 * found.chunks


def told(vocabulary: ByteVocabulary, text: str) -> Iterator[set[int]]:
    """The bytes at which each token may end, by the text's beginnings as it is written.

    Without what is no text's: white space of a tokenizer that changes it.
    """
    normalizer = vocabulary.tokenizer.normalizer

    def folded(part: str) -> str:
        if not vocabulary.normalizes:
            return part
        return "".join(part.replace("▁", " ").split())

    places: dict[str, set[int]] = {}
    for at in range(len(text) + 1):
        written = text[:at]
        if vocabulary.normalizes and normalizer is not None and written:
            written = normalizer.normalize_str(written)
        places.setdefault(folded(written), set()).add(len(text[:at].encode()))
    spelled = b""
    for token in vocabulary.encode(text):
        spelled += vocabulary.tokens[token]
        try:
            yield places.get(folded(spelled.decode()), set())
        except UnicodeDecodeError:  # within a character
            yield set()


@pytest.mark.parametrize("name", ["xlmr-unigram-de-50k", "word_piece", "cl100k-nfc", "llama2-nfkc"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_ends_in_changed_text_are_where_its_beginnings_are_written_alike(
    name: str,
    form: str,
    documents: dict[str, list[str]],
    vocabulary_of: Callable[[str], ByteVocabulary],
) -> None:
    vocabulary = vocabulary_of(name)
    placer = places.Placer(vocabulary)
    checked = 0
    for language in ("en", "de", "fr", "python"):
        text = unicodedata.normalize(form, documents[language][0])
        found = placer.place([text])
        if vocabulary.roles.get("unk", -1) in found.ids:
            continue
        for end, allowed in zip(found.ends.tolist(), told(vocabulary, text), strict=True):
            if end > 0 and allowed:
                assert end in allowed
                checked += 1
    assert checked > 300


@pytest.mark.parametrize("name", ["gpt2", "llama2"])
def test_the_slow_walk_is_that_of_the_tokens_bytes(
    name: str, texts: list[str], vocabulary_of: Callable[[str], ByteVocabulary]
) -> None:
    vocabulary = vocabulary_of(name)
    placer = places.Placer(vocabulary)
    for text in texts:
        sizes = [len(vocabulary.tokens[token]) for token in vocabulary.encode(text)]
        behind = sum(sizes) - len(text.encode())
        assert behind == (name == "llama2")
        expected = {end - behind for end in accumulate(sizes)} - {0}
        assert walk(placer, text) == expected
