"""Vectors fitted on text: whose they are, that they repeat, and what is said without them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families import FAMILIES, TEXT
from tests.tiny import Tiny
from tests.workflows.transplants import json_of
from tokxfer import Focus, TextCorpus, Wechsel, transplant, transplant_model
from tokxfer.cli.main import main
from tokxfer.embeddings import Corpus, Training
from tokxfer.errors import TokxferError, UsageError, VocabularyError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows import corpus as corpora
from tokxfer.workflows import fitting
from tokxfer.workflows.corpus import WORD, open_corpus, text_hash

needs_gensim = pytest.mark.skipif(
    importlib.util.find_spec("gensim") is None, reason="needs the extra 'vectors'"
)
QUICK = Training(dim=8, epochs=2, negatives=2, min_count=2)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own, and few rows for n-grams."""
    monkeypatch.setenv("TOKXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fitting, "BUCKETS", 500)
    monkeypatch.setattr(corpora, "BUCKETS", 500)
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    lines = [json.dumps({"text": line}) + "\n" for line in TEXT.splitlines() * 6 if line]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def vocabulary(family: str) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(FAMILIES[family]())


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gensim" else find(name)
    )


# ---- whose vectors


@needs_gensim
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tokens_of_text_that_occur_often_enough_have_a_vector(family: str) -> None:
    donor, documents = vocabulary(family), TEXT.splitlines() * 2
    counts = Counter(token for line in documents for token in donor.encode(line))
    expected = [i for i in donor.text_ids.tolist() if counts[i] >= 5]
    corpus = TextCorpus(documents)
    assert isinstance(corpus, Corpus)
    ids, vectors = corpus.token_vectors(donor, Training(dim=8, epochs=1, min_count=5))
    assert ids.tolist() == expected
    assert vectors.shape == (len(expected), 8)
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


@needs_gensim
def test_words_keep_their_leading_space_and_are_counted() -> None:
    documents = ["the cat", "a the the", "the\n    the", "x"]
    words, counts, vectors = TextCorpus(documents).word_vectors(QUICK)
    assert dict(zip(words, counts.tolist(), strict=True)) == {b"the": 2, b" the": 3}
    assert vectors.shape == (2, 8)
    assert not np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("text", [TEXT, "", " a", "a  b \n\t c\n", "\u3000x \u00a0 y ", "\n\n"])
def test_words_make_up_the_whole_text(text: str) -> None:
    assert "".join(WORD.findall(text)) == text
    assert all(word.isspace() or len(word.split()) == 1 for word in WORD.findall(text))


@needs_gensim
def test_tokens_in_like_places_have_like_vectors() -> None:
    """`m` and `n` stand in the same places, `x` in others."""
    random = np.random.default_rng(0)
    documents = [
        f" red {random.choice(['m', 'n'])} blue" if random.random() < 0.5 else " one x two"
        for _ in range(4000)
    ]
    donor = vocabulary("byte_level")
    ids, rows = TextCorpus(documents).token_vectors(donor, Training(dim=16, epochs=3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    m, n, x = (rows[ids.tolist().index(donor.encode(f" red {c}")[-1])] for c in "mnx")
    assert m @ n > m @ x + 0.2


def test_names_are_distinct_and_n_grams_are_of_bytes() -> None:
    spelled = {7: b"e", 9: b"<e>", 3: b"e", 4: b"\xc3", 5: "é".encode(), 6: b"e", 8: b" e"}
    names = fitting.distinct_names(spelled)
    assert len(set(names.values())) == len(spelled)
    assert len(names[5]) == 2
    assert names[5].startswith(names[4])
    assert names[9][1] == names[7]
    assert not set("".join(names.values())) & set("<>")


@needs_gensim
def test_twins_of_the_same_bytes_are_fitted_apart() -> None:
    sequences = [np.array([1, 5, 2, 6] * 40, dtype=np.int32)]
    names = fitting.distinct_names({1: b"e", 2: b"e", 5: b"ab", 6: b"cd"})
    rows = fitting.fit(sequences, names, QUICK, description="", progress=False)
    assert rows.shape == (4, 8)
    assert not np.array_equal(rows[0], rows[1])


@needs_gensim
def test_what_gensim_would_cut_off_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document longer than gensim's longest is the same as its parts."""
    random = np.random.default_rng(0)
    whole = random.integers(0, 30, 1000).astype(np.int32)
    names = fitting.distinct_names({i: b"%d" % i for i in range(30)})
    monkeypatch.setattr(fitting, "LONGEST", 250)
    parts = list(np.split(whole, 4))
    rows = [fitting.fit(s, names, QUICK, description="", progress=False) for s in ([whole], parts)]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    from gensim.models import word2vec

    monkeypatch.undo()
    assert fitting.LONGEST <= word2vec.MAX_WORDS_IN_BATCH


# ---- the same again


@needs_gensim
def test_a_fit_does_not_depend_on_the_seed_of_hashes(
    tiny: Tiny, tmp_path: Path, text: Path
) -> None:
    donor = tiny.tokenizer("unigram")
    code = """
import hashlib, sys
from tokxfer import TextCorpus
from tokxfer.embeddings import Training
from tokxfer.vocabulary import read_vocabulary
corpus, training = TextCorpus.open(sys.argv[1]), Training(dim=8, min_count=2)
_, tokens = corpus.token_vectors(read_vocabulary(sys.argv[2]), training)
words, _, vectors = corpus.word_vectors(training)
print(hashlib.sha256(tokens.tobytes() + b"".join(words) + vectors.tobytes()).hexdigest())
"""
    printed = []
    for seed in "12":
        told = {"PYTHONHASHSEED": seed, "TOKXFER_CACHE": str(tmp_path / seed)}
        done = subprocess.run(
            [sys.executable, "-c", code, text, donor], env=os.environ | told, check=True,
            capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        printed.append(done.stdout)
    assert printed[0] == printed[1]


@needs_gensim
def test_a_fit_repeats_whatever_the_number_of_threads() -> None:
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 50, 2000).astype(np.int32) for _ in range(40)]
    names = {symbol: chr(0x100 + symbol) for symbol in range(50)}
    first, second = (
        fitting.fit(sequences, names, QUICK, description="", progress=False) for _ in range(2)
    )
    assert np.array_equal(first, second)


@needs_gensim
def test_what_was_fitted_once_is_not_fitted_again(
    text: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = vocabulary("byte_level")
    first = TextCorpus.open(text)
    ids, rows = first.token_vectors(donor, QUICK)
    words, counts, vectors = first.word_vectors(QUICK)
    assert len(list((kept / "vectors").glob("*.safetensors"))) == 2

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(corpora, "fit", refuse)
    second = TextCorpus.open(text)
    for corpus in (first, second):
        again = corpus.token_vectors(donor, QUICK)
        assert np.array_equal(again[0], ids)
        assert np.array_equal(again[1], rows)
        more = corpus.word_vectors(QUICK)
        assert more[0] == words
        assert np.array_equal(more[1], counts)
        assert np.array_equal(more[2], vectors)
    for changed in (Training(dim=8, epochs=2, negatives=2, min_count=2, seed=1), Training(dim=9)):
        with pytest.raises(AssertionError, match="fitted again"):
            second.token_vectors(donor, changed)
    with pytest.raises(AssertionError, match="fitted again"):
        second.token_vectors(vocabulary("unigram"), QUICK)
    with pytest.raises(AssertionError, match="fitted again"):
        TextCorpus(["the the the"]).word_vectors(QUICK)
    monkeypatch.setattr(corpora, "gensim_version", lambda: "9.9")
    with pytest.raises(AssertionError, match="fitted again"):
        TextCorpus.open(text).word_vectors(QUICK)


@needs_gensim
def test_a_damaged_or_read_only_cache_only_costs_time(text: Path, kept: Path) -> None:
    vectors = TextCorpus.open(text).word_vectors(QUICK)[2]
    (file,) = (kept / "vectors").iterdir()
    file.write_bytes(b"no")
    assert np.array_equal(TextCorpus.open(text).word_vectors(QUICK)[2], vectors)
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where the folder should be")
    assert np.array_equal(TextCorpus.open(text).word_vectors(QUICK)[2], vectors)


def test_a_hash_of_documents_knows_where_each_ends() -> None:
    assert text_hash(["ab", "c"]) != text_hash(["a", "bc"])
    assert text_hash(["ab", "c"]) == text_hash(["ab", "c"])


# ---- what is refused


def test_a_missing_library_is_one_sentence(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)
    with pytest.raises(UsageError, match="need the library gensim") as failure:
        TextCorpus.open(text)
    assert "pip install 'tokxfer[vectors]'" in failure.value.hint


@pytest.mark.parametrize("method", [Focus(), Wechsel()])
@pytest.mark.parametrize("nothing", [None, (), []])
def test_a_method_without_its_text_is_refused(method: object, nothing: object) -> None:
    with pytest.raises(UsageError, match="is fitted on text, and none is given") as failure:
        open_corpus(method, nothing)  # type: ignore[arg-type]
    assert "--train-text FILE" in failure.value.hint


@needs_gensim
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"", "is empty"), (b"a\n\xff", "line 2, is not UTF-8")],
)
def test_text_that_cannot_be_read_is_said_before_any_work(
    tiny: Tiny, tmp_path: Path, content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokxfer.workflows.transplant.carry_out", None)
    file = tmp_path / "bad.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TokxferError, match=f"bad.txt.*{said}"):
        transplant(
            tiny.model("llama"), tiny.tokenizer("unigram"), tmp_path / "out",
            method="focus", train_text=file,
        )  # fmt: skip


@needs_gensim
@pytest.mark.parametrize(("method", "what"), [("focus", "token"), ("wechsel", "word")])
def test_text_in_which_nothing_is_frequent_is_said(
    tiny: Tiny, tmp_path: Path, method: str, what: str
) -> None:
    (tmp_path / "short.txt").write_text("one two three")
    with pytest.raises(VocabularyError, match=f"No {what} occurs 10 times"):
        transplant(
            tiny.model("llama"), tiny.tokenizer("unigram"), tmp_path / "out",
            method=method, train_text=tmp_path / "short.txt",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


# ---- transplants with a text


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


@needs_gensim
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("method", ["focus", "wechsel"])
def test_a_bare_tokenizer_and_a_text_are_enough(
    tiny: Tiny, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str,
    tied: bool,
) -> None:  # fmt: skip
    base = tiny.model("llama", tied=tied)
    donor, out = tiny.tokenizer("spbpe") / "tokenizer.json", tmp_path / "out"
    status, printed, shown = run(
        capsys, "transplant", base, donor, out, "-m", method, "--train-text", text, "--train-text",
        text, "--min-count", 3, "--epochs", 1, "--unseen", "pieces", "--json",
    )  # fmt: skip
    assert status == 0
    assert "fitting vectors of" in shown
    report = json.loads(printed)
    told = {"min_count": 3, "epochs": 1, "unseen": "pieces", "train_text": ["text.jsonl"] * 2}
    assert told.items() <= report["options"].items()
    for matrix in report["rows"]:
        assert report["rows"][matrix]["neighbours"] == report["chosen"][matrix]["seen"] > 3
    corpus = json_of(out, "tokxfer.json")["inputs"]["train_text"]
    assert corpus == TextCorpus.open([text, text]).to_dict()
    assert str(tmp_path) not in json.dumps(corpus)


@needs_gensim
@pytest.mark.parametrize("method", [Focus(min_count=3), Wechsel(min_count=3)])
def test_both_entries_give_the_same_rows(
    tiny: Tiny, text: Path, tmp_path: Path, method: object
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, donor = tiny.model("llama", tied=True), tiny.tokenizer("spbpe")
    transplant(base, donor, tmp_path / "out", method=method, train_text=text)  # type: ignore[arg-type]
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    model, _, report = transplant_model(
        AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base), None,
        AutoTokenizer.from_pretrained(donor), method=method, train_text=TextCorpus.open(text),  # type: ignore[arg-type]
    )  # fmt: skip
    left, right = (m.get_input_embeddings().weight for m in (written, model))
    assert torch.equal(left, right)
    assert report.rows["tied"]["neighbours"] > 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "focus"], "'focus' is fitted on text, and none is given"),
        (["-m", "mean", "--train-text", "x.txt"], "'mean' is not fitted on text"),
        (["-m", "focus", "--unseen", "zero", "--train-text", "x.txt"], "no way 'zero'"),
        (["-m", "subword", "--min-count", "3"], "has no option 'min_count'"),
    ],
)
def test_wrong_use_is_one_sentence(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    status, out, err = run(capsys, "transplant", base, donor, tmp_path / "out", *words)
    assert status == 2
    assert said in err
    assert not out


@needs_gensim
def test_a_transplant_from_little_text_says_so(tiny: Tiny, tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("one one one one two two two two " * 3, encoding="utf-8")
    base, donor = tiny.model("llama"), tiny.tokenizer("spbpe")
    done = transplant(base, donor, tmp_path / "out", method=Focus(min_count=2), train_text=few)
    (said,) = (warning for warning in done.warnings if "fitted vector" in warning)
    assert f"only {done.chosen['tied']['seen']:,} of" in said


@needs_gensim
def test_the_donors_weights_say_what_is_not_mixed_where_there_are_any(
    tiny: Tiny, text: Path, tmp_path: Path
) -> None:
    base, donor = tiny.model("llama"), tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)
    method = Focus(min_count=2)
    full = transplant(base, donor, tmp_path / "full", method=method, train_text=text)
    bare = donor / "tokenizer.json"
    alone = transplant(base, bare, tmp_path / "alone", method=method, train_text=text)
    assert full.undertrained["tied"].keys() == {"base", "donor"}
    assert alone.undertrained["tied"].keys() == {"base"}


@needs_gensim
def test_a_donor_whose_weights_cannot_be_read_is_a_tokenizer_where_that_will_do(
    tiny: Tiny, text: Path, tmp_path: Path
) -> None:
    base, donor = tiny.model("llama"), tiny.copy(tiny.model("gpt2", tokenizer="spbpe", tokens=440))
    (donor / "model.safetensors").write_bytes(b"no weights")
    method = Focus(min_count=2)
    done = transplant(base, donor, tmp_path / "out", method=method, train_text=text)
    assert done.undertrained["tied"].keys() == {"base"}
    with pytest.raises(TokxferError, match="safetensors"):
        transplant(base, donor, tmp_path / "none", method="omp")
