"""How runs of digits are cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Regex, pre_tokenizers

from tests.families import byte_level, byte_level_groups
from tests.vocabulary.vocabularies import NAMES, added, content_of, vocabulary, write
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary
from tokxfer.vocabulary.digits import DIGITS, RUNS, digit_policy


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("byte_level", "learned"),
        ("byte_level_groups", "groups of three"),
        ("sentencepiece_bpe", "single"),
        ("gemma", "single"),
        ("unigram", "learned"),
        ("word_piece", "learned"),
    ],
)
def test_the_policy_of_each_family(name: str, policy: str) -> None:
    assert vocabulary(name).digits == policy


def test_groups_from_the_right_are_told_apart() -> None:
    tokenizer = byte_level_groups()
    right = Regex(r"\d{1,3}(?=(\d{3})*\b)")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(right, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    known = ByteVocabulary.from_tokenizer(tokenizer)
    assert known.digits == "groups of three from the right"


@pytest.mark.parametrize("name", NAMES)
def test_the_small_probe_cuts_as_the_whole_tokenizer_does(name: str) -> None:
    known = vocabulary(name)
    for run, cut in zip(RUNS, known.digit_cuts, strict=True):
        counts = [sum(byte in DIGITS for byte in known.tokens[i]) for i in known.encode(run)]
        assert tuple(filter(None, counts)) == cut


@pytest.mark.parametrize("name", ["gpt2", "llama2", "mistral", "cl100k", "xlmr-unigram-de-50k"])
def test_the_probe_of_a_real_tokenizer_cuts_as_the_whole_one_does(shared: Path, name: str) -> None:
    known = read_vocabulary(shared / "tokenizers" / name)
    for run, cut in zip(RUNS, known.digit_cuts, strict=True):
        counts = [sum(byte in DIGITS for byte in known.tokens[i]) for i in known.encode(run)]
        assert tuple(filter(None, counts)) == cut


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("gpt2", "learned"),
        ("llama2", "single"),
        ("mistral", "single"),
        ("cl100k", "groups of three"),
        ("xlmr-unigram-de-50k", "learned"),
    ],
)
def test_the_policy_of_real_tokenizers(shared: Path, name: str, policy: str) -> None:
    assert read_vocabulary(shared / "tokenizers" / name).digits == policy


def test_an_added_digit_token_counts(tmp_path: Path) -> None:
    content = content_of("sentencepiece_bpe")
    content["added_tokens"].append(added("2024", 560, special=False))
    cuts = read_vocabulary(write(tmp_path, content)).digit_cuts
    assert cuts[RUNS.index("2024")] == (4,)


def test_digits_that_cannot_be_spelled_have_no_policy(tmp_path: Path) -> None:
    content = content_of("unigram")
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = [
        ["x" * (place + 30) if any(map(str.isdigit, name)) else name, score]
        for place, (name, score) in enumerate(vocab)
    ]
    assert read_vocabulary(write(tmp_path, content)).digits == "none"


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram"])
def test_a_tokenizer_that_cannot_encode_digits_at_all_has_no_policy(
    tmp_path: Path, kind: str
) -> None:
    """Neither has an unknown token, which the tokenizers library answers with an exception."""
    model = {
        "WordPiece": {
            "type": kind, "vocab": {"a": 0}, "unk_token": "[UNK]", "max_input_chars_per_word": 9,
            "continuing_subword_prefix": "##",
        },
        "Unigram": {"type": kind, "vocab": [["a", -1.0]], "unk_id": None},
    }[kind]  # fmt: skip
    path = write(tmp_path, {"version": "1.0", "model": model, "added_tokens": []})
    assert read_vocabulary(path).digits == "none"


def test_two_learned_policies_may_cut_differently() -> None:
    other = ByteVocabulary.from_tokenizer(byte_level(vocab_size=300))
    known = vocabulary("byte_level")
    assert other.digits == known.digits == "learned"
    assert other.digit_cuts != known.digit_cuts


def test_every_length_of_run_is_probed_up_to_fourteen() -> None:
    assert {len(run) for run in RUNS} >= set(range(1, 15))


def test_single_digits_are_never_taken_for_groups() -> None:
    assert digit_policy(tuple((1,) * len(run) for run in RUNS)) == "single"
