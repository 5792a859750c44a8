"""A donor's tokenizer that cuts numbers as the base's does, and does nothing else otherwise."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.vocabulary.vocabularies import NAMES, added, content_of, small_bpe, vocabulary, write
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import (
    ByteVocabulary,
    KeptDigits,
    Kind,
    keepdigits,
    read_vocabulary,
    rewrite_digits,
)
from tokxfer.vocabulary.digits import DIGITS, RUNS
from tokxfer.vocabulary.spelling import BYTE_TOKEN

LEFT, RIGHT = r"\p{N}{1,3}", r"\p{N}{1,3}(?=(\p{N}{3})*\b)"
GROUPS = [f"{n:0{size}}" for size in (1, 2, 3) for n in range(10**size)]
NUMBERS = [*RUNS, *map(str, range(0, 100_000, 37)), "000000", "0120"]
BPE = {"byte_level", "byte_level_groups", "sentencepiece_bpe", "gemma"}
BASES = ("single", "groups", "groups from the right", "some groups", "learned")
REFUSED = {  # what no rewriting can do
    *((base, donor) for base in ("some groups", "learned") for donor in set(NAMES) - BPE),
    ("groups", "word_piece"),
    ("groups from the right", "word_piece"),
}
COMBINATIONS = [(base, donor) for base in BASES for donor in NAMES]
DONE = [pair for pair in COMBINATIONS if pair not in REFUSED]


def with_groups(pattern: str) -> ByteVocabulary:
    """A byte-level BPE that has a token for every group of up to three digits."""
    content = content_of("byte_level_groups")
    model = content["model"]
    missing = [group for group in GROUPS if group not in model["vocab"]]
    model["vocab"] |= {name: 520 + place for place, name in enumerate(missing)}
    model["merges"] += [[name[:-1], name[-1]] for name in missing if len(name) > 1]
    step = content["pre_tokenizer"]["pretokenizers"][0]
    step["pattern"]["Regex"] = step["pattern"]["Regex"].replace(LEFT, pattern)
    return ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))


@cache
def base(name: str) -> ByteVocabulary:
    if name.startswith("groups"):
        return with_groups(RIGHT if name.endswith("right") else LEFT)
    families = {"single": "gemma", "some groups": "byte_level_groups", "learned": "byte_level"}
    return vocabulary(families[name])


@cache
def kept(base_name: str, donor: str) -> KeptDigits:
    return rewrite_digits(base(base_name), vocabulary(donor))


def cuts(known: ByteVocabulary, texts: list[str]) -> list[list[int]]:
    """Digits in each token of each text, tokens without digits left out; by the whole tokenizer."""
    loaded = Tokenizer.from_str(known.tokenizer.to_str())
    counts = [
        [len(re.findall("[0-9]", BYTE_TOKEN.sub("", loaded.id_to_token(i)))) for i in row.ids]
        for row in loaded.encode_batch(texts, add_special_tokens=False)
    ]
    return [[count for count in row if count] for row in counts]


def by_rule(name: str, number: str) -> list[int]:
    """The lengths into which a rule cuts a run of digits, from its definition."""
    if name == "single":
        return [1] * len(number)
    rest = [len(number) % 3] if len(number) % 3 else []
    threes = [3] * (len(number) // 3)
    return rest + threes if name.endswith("right") else threes + rest


@pytest.mark.parametrize(("base_name", "donor"), DONE)
def test_numbers_are_cut_as_by_the_base(base_name: str, donor: str) -> None:
    new = kept(base_name, donor).vocabulary
    assert new.digit_cuts == base(base_name).digit_cuts
    assert cuts(new, NUMBERS) == cuts(base(base_name), NUMBERS)


@pytest.mark.parametrize(
    ("base_name", "donor"), [pair for pair in DONE if pair[0] not in ("learned", "some groups")]
)
@pytest.mark.parametrize("frame", ["{}", "a {} b", "x{}y", "(-{}+1x)", "  {}\n", "\t{}.\n\n"])
def test_a_number_is_cut_by_the_rule_wherever_it_stands(
    base_name: str, donor: str, frame: str
) -> None:
    new = kept(base_name, donor).vocabulary
    numbers = [RUNS[-5], "7", "42", "1000000", "12345678901"]
    after = re.findall("[0-9]+", frame.format(""))
    expected = [
        [size for part in (n, *after) for size in by_rule(base_name, part)] for n in numbers
    ]
    assert cuts(new, [frame.format(n) for n in numbers]) == expected


@pytest.mark.parametrize(("base_name", "donor"), DONE)
def test_no_id_moves_and_names_are_kept(base_name: str, donor: str) -> None:
    before, result = vocabulary(donor), kept(base_name, donor)
    after = result.vocabulary
    assert after.size == before.size + result.added
    renamed = [i for i in range(before.size) if before.names[i] != after.names[i]]
    assert all(DIGITS & set(before.tokens[i]) for i in renamed)
    assert renamed == [] or donor in ("word_piece", "byte_level_groups")
    loaded = after.tokenizer.get_vocab(with_added_tokens=True)
    assert loaded == {name: token for token, name in enumerate(after.names) if name}
    assert after.roles == before.roles


@pytest.mark.parametrize(("base_name", "donor"), DONE)
def test_what_is_added_are_tokens_of_digits_that_the_base_has(base_name: str, donor: str) -> None:
    result = kept(base_name, donor)
    new = result.vocabulary.tokens[vocabulary(donor).size :]
    assert len(set(new)) == len(new) == result.added
    assert all(token.strip().isdigit() and token in base(base_name).by_bytes for token in new)


@pytest.mark.parametrize("donor", NAMES)
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_characters="0123456789", exclude_categories=["Cs"])))
def test_text_without_digits_becomes_the_same_ids(donor: str, text: str) -> None:
    old = vocabulary(donor)
    normalizer = old.tokenizer.normalizer
    if normalizer is not None and re.search("[0-9]", normalizer.normalize_str(text)):
        return  # NFKC made digits of it
    for base_name in BASES:
        if (base_name, donor) in DONE:
            assert kept(base_name, donor).vocabulary.encode(text) == old.encode(text)


@pytest.mark.parametrize(("base_name", "donor"), DONE)
def test_numbers_are_read_back_as_they_were(base_name: str, donor: str) -> None:
    old, new = vocabulary(donor), kept(base_name, donor).vocabulary
    for text in ("In 1867, 12345678 people paid 3.14 each.", "a1b22 c333 (4444)", "0 00 000 0000"):
        assert new.decode(new.encode(text)) == old.decode(old.encode(text))


@pytest.mark.parametrize(("base_name", "donor"), sorted(REFUSED))
def test_what_cannot_be_done_exactly_is_refused(base_name: str, donor: str) -> None:
    with pytest.raises(UnsupportedError) as refusal:
        rewrite_digits(base(base_name), vocabulary(donor))
    assert refusal.value.message.endswith(".")
    assert refusal.value.hint == keepdigits.HINT


@pytest.mark.parametrize(("base_name", "donor"), DONE)
def test_the_written_tokenizer_reads_as_what_was_planned(
    tmp_path: Path, base_name: str, donor: str
) -> None:
    result = kept(base_name, donor)
    if result.content is None:
        assert result.vocabulary is vocabulary(donor)
        return
    found = read_vocabulary(write(tmp_path, dict(result.content)))
    assert found.names == result.vocabulary.names
    assert found.digit_cuts == base(base_name).digit_cuts
    idle = result.vocabulary.kinds != found.kinds  # tokens that text no longer becomes
    assert (result.vocabulary.kinds[idle] == Kind.UNUSED).all()
    assert idle.sum() <= result.unused
    assert [found.tokens[i] for i in range(found.size) if not idle[i]] == [
        result.vocabulary.tokens[i] for i in range(found.size) if not idle[i]
    ]


def test_nothing_is_done_where_numbers_are_cut_alike() -> None:
    result = rewrite_digits(vocabulary("gemma"), vocabulary("sentencepiece_bpe"))
    assert not result.changed
    assert result.vocabulary is vocabulary("sentencepiece_bpe")
    assert "nothing had to be changed" in result.sentence()


def test_tokens_no_longer_used_and_unknown_to_the_base_are_no_tokens_of_text() -> None:
    result = kept("single", "byte_level")
    before, after = vocabulary("byte_level"), result.vocabulary
    several = [
        i
        for i in before.text_ids.tolist()
        if len(before.tokens[i].strip()) > 1 and before.tokens[i].strip().isdigit()
    ]
    assert result.unused >= len(several) > 50
    assert all(after.kinds[i] == Kind.UNUSED and after.tokens[i] == b"" for i in several)


def test_a_token_of_digits_that_the_donor_never_used_is_no_token_of_text_either() -> None:
    content = content_of("byte_level")
    content["model"]["vocab"]["58713"] = 480
    donor = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    assert 480 not in donor.encode("58713")
    assert rewrite_digits(base("single"), donor).vocabulary.kinds[480] == Kind.UNUSED


def test_a_learned_rule_joins_the_space_before_a_number_as_the_base_does() -> None:
    new, old = kept("learned", "byte_level_groups").vocabulary, base("learned")
    texts = [f"of {number} x" for number in NUMBERS]
    assert any(
        token.startswith(b" 1") for token in map(old.tokens.__getitem__, old.encode(texts[1]))
    )
    spelled = [[v.tokens[i] for i in v.encode(text) if DIGITS & set(v.tokens[i])]
               for v in (old, new) for text in texts]  # fmt: skip
    assert spelled[: len(texts)] == spelled[len(texts) :]


def test_numerals_that_are_no_digits_stay_as_they_were() -> None:
    """A step that cut every numeral apart must still do so with ², ½ and ٣."""
    content = content_of("byte_level")
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, content["pre_tokenizer"]],
    }
    donor = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    result = rewrite_digits(base("groups"), donor)
    assert result.changed
    for text in ("x²½y", "٣٣ Ⅳ", "五² a"):
        assert result.vocabulary.encode(text) == donor.encode(text)
    assert result.vocabulary.digit_cuts == base("groups").digit_cuts


def test_a_donor_that_spells_digits_by_byte_tokens_gets_the_base_s() -> None:
    content = content_of("sentencepiece_bpe")
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = {
        (f"x{name}y" if re.fullmatch("▁?[0-9]+", name) else name): token
        for name, token in vocab.items()
    }
    content["model"]["merges"] = [
        pair for pair in content["model"]["merges"] if not re.search("[0-9]", "".join(pair))
    ]
    donor = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    assert donor.by_bytes[b"7"] == (donor.names.index("<0x37>"),)
    result = rewrite_digits(base("groups"), donor)
    assert result.added == 1110
    assert result.vocabulary.digits == "groups of three"


# ---- refusals


def test_a_base_that_cannot_spell_digits_has_nothing_to_keep() -> None:
    model = {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": None}
    content = {"version": "1.0", "model": model, "added_tokens": []}
    other = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    with pytest.raises(UnsupportedError, match="cannot spell the digits"):
        rewrite_digits(other, vocabulary("gemma"))


def test_a_base_that_cuts_by_value_is_refused() -> None:
    """Small digits apart from large ones: no rule of lengths."""
    vocab = {character: place for place, character in enumerate("0123456789")}
    vocab |= {f"{a}{b}": 10 * a + b + 10 for a in range(10) for b in range(10)}
    content = small_bpe(
        vocab, model={"merges": [[str(a), str(b)] for a in range(10) for b in range(10)]}
    )
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[0-4]+|[5-9]+"}, "behavior": "Isolated",
             "invert": False},
            content["pre_tokenizer"],
        ],
    }  # fmt: skip
    odd = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    with pytest.raises(UnsupportedError, match="neither whole runs nor groups"):
        rewrite_digits(odd, vocabulary("byte_level"))


def test_a_donor_with_a_number_among_its_added_tokens_is_refused() -> None:
    content = content_of("byte_level")
    content["added_tokens"].append(added("2024", 480, special=False))
    donor = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    with pytest.raises(UnsupportedError, match="cannot be made to cut numbers exactly"):
        rewrite_digits(base("single"), donor)


def test_a_rewriting_that_would_change_other_text_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = keepdigits.with_chunks

    def careless(*arguments: Any) -> dict[str, Any]:
        made = honest(*arguments)
        made["pretokenizers"][-1]["pattern"]["Regex"] += "|th"
        return made

    monkeypatch.setattr(keepdigits, "with_chunks", careless)
    with pytest.raises(UnsupportedError, match="would change other text too"):
        rewrite_digits(base("single"), vocabulary("byte_level"))


def test_a_rewriting_that_would_lose_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of WordPiece apart are read back with spaces between them."""
    monkeypatch.setattr(keepdigits, "WHOLE_WORDS", ())
    with pytest.raises(UnsupportedError, match="read back"):
        rewrite_digits(base("single"), vocabulary("word_piece"))


# ---- real tokenizers

REAL = [
    ("gpt2", "llama2"),
    ("gpt2", "cl100k"),
    ("llama2", "gpt2"),
    ("llama2", "cl100k"),
    ("llama2", "xlmr-unigram-de-50k"),
    ("cl100k", "gpt2"),
    ("cl100k", "mistral"),
    ("cl100k", "xlmr-unigram-de-50k"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("base_name", "donor_name"), REAL)
def test_real_tokenizers_keep_digits_and_all_other_text(
    shared: Path, base_name: str, donor_name: str
) -> None:
    old = read_vocabulary(shared / "tokenizers" / base_name)
    donor = read_vocabulary(shared / "tokenizers" / donor_name)
    result = rewrite_digits(old, donor)
    new = result.vocabulary
    assert cuts(new, NUMBERS) == cuts(old, NUMBERS)
    assert all(token in old.by_bytes for token in new.tokens[donor.size :])
    lines = [
        re.sub("[0-9²³¹¼½¾]", "", json.loads(line)["text"])[:4000]
        for name in ("english", "code", "multilingual")
        for line in (shared / "corpus" / f"{name}_sample.jsonl")
        .read_text("utf-8")
        .splitlines()[:20]
    ]
    texts = [t for t in lines if DIGITS.isdisjoint(keepdigits.normalized(donor, t))]
    assert len(texts) > 40
    assert [new.encode(text) for text in texts] == [donor.encode(text) for text in texts]


def test_chunks_never_grow_past_three_digits() -> None:
    """Every group is one token, whatever the pieces before it."""
    new = kept("groups", "sentencepiece_bpe").vocabulary
    for left, right in pairwise(GROUPS[110:]):
        assert cuts(new, [f"{left}{right}"]) == [[3, 3]]
