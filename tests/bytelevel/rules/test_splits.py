"""The automaton of pre-token starts agrees with the pre-tokenizers themselves."""

from __future__ import annotations

import itertools
import random
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from tests.bytelevel.tokenizers import FROM_THE_RIGHT
from tests.families import CL100K, FAMILIES
from tokxfer.bytelevel.rules.splits import DEAD, START, Flags, Splits
from tokxfer.errors import UnsupportedError

LLAMA3 = CL100K
QWEN = CL100K.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTTERS: dict[str, Any] = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "cl100k": pre_tokenizers.Split(Regex(CL100K), "isolated"),
    "qwen": pre_tokenizers.Split(Regex(QWEN), "isolated"),
    "o200k": pre_tokenizers.Split(Regex(O200K), "isolated"),
    "threes from the right": pre_tokenizers.Split(Regex(FROM_THE_RIGHT), "isolated"),
    "threes before a word's end": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,3}(?=(?:\d{3})*\b)"), "isolated"),
            pre_tokenizers.ByteLevel(False),
        ]
    ),
    "fours from the right": pre_tokenizers.Split(
        Regex(r"[0-9]{1,4}(?=(?:[0-9]{4})*(?![0-9]))"), "isolated"
    ),
    "fives": pre_tokenizers.Split(Regex("[0-9]{1,5}"), "isolated"),
    "digits apart": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    ),
    "punctuation": pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False)]
    ),
    "ideographs": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
            pre_tokenizers.Split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
            pre_tokenizers.ByteLevel(False),
        ]
    ),
    "one script": pre_tokenizers.Split(Regex("[\u0e00-\u0e7f]+"), "isolated"),
    "rare numerals": pre_tokenizers.Split(
        Regex(r"[\u0b72-\u0b77\U00010107-\U00010133]"), "isolated"
    ),
}
ANYWHERE = [
    chr(code)
    for code in range(128, 0x20000)
    if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
]
LETTERS = "aB1 2\n\r'.,stredlvm\t é中ア🙂²́_-  \n\n''   00000xyz/"


def cuts(cutter: Any, text: str) -> Iterable[int]:
    return [place[0] for _, place in cutter.pre_tokenize_str(text)] if text else []


@pytest.fixture(scope="module", params=CUTTERS)
def splits(request: pytest.FixtureRequest) -> Splits:
    return Splits(lambda text: cuts(CUTTERS[request.param], text))


def drawn(seed: int, longest: int) -> str:
    source = random.Random(seed)
    letters = LETTERS if seed % 3 else "12345_a. "
    return "".join(source.choice(letters) for _ in range(source.randint(1, longest)))


def test_the_way_that_a_text_is_cut_lives_and_may_end(splits: Splits) -> None:
    for seed in range(600):
        text, state = drawn(seed, 16), START
        for character, begins in zip(text, splits.flags(text), strict=True):
            state = splits.step(state, character, begins)
        assert state != DEAD, text
        assert splits.ends(state), text


def test_characters_of_all_scripts_are_cut_as_they_are(splits: Splits) -> None:
    """Numerals are drawn oftener than other characters: they are few, and often cut apart."""
    source = random.Random(4)
    numerals = [character for character in ANYWHERE if unicodedata.category(character)[0] == "N"]
    for trial in range(1500):
        odd = source.choice(numerals if trial % 2 else ANYWHERE)
        text = "".join(source.choices([*LETTERS[:20], odd], k=source.randint(0, 3))) + odd
        text += source.choice(["", odd, source.choice(ANYWHERE)]) + source.choice(LETTERS[:20])
        state = START
        for character, begins in zip(text, splits.flags(text), strict=True):
            state = splits.step(state, character, begins)
        assert state != DEAD, text
        assert splits.ends(state), text


def test_no_other_way_may_end(splits: Splits) -> None:
    for seed in range(60):
        text = drawn(seed, 6)
        ended = [way for way, state in ways(splits, text).items() if splits.ends(state)]
        assert ended == [splits.flags(text)]


def test_the_ways_that_live_are_those_of_some_continuation(splits: Splits) -> None:
    continuations = [
        "".join(letters)
        for size in range(4)
        for letters in itertools.product("a1 \n'.re", repeat=size)
    ]
    for seed in range(25):
        text = drawn(seed, 5)
        expected = {splits.flags(text + more)[: len(text)] for more in continuations}
        assert set(ways(splits, text)) == expected, text


def test_states_are_few(splits: Splits) -> None:
    for seed in range(300):
        ways(splits, drawn(seed, 8))
    assert splits.states < 60
    assert 2 <= len(splits.classes) < 24


def test_a_text_begins_a_pre_token() -> None:
    splits = Splits(lambda text: cuts(CUTTERS["gpt2"], text))
    assert splits.step(START, "a", False) == DEAD
    assert splits.step(DEAD, "a", True) == DEAD
    assert not splits.ends(DEAD)
    assert splits.ends(START)


def test_what_no_small_automaton_cuts_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="Where the pre-tokenizer of chance cuts"):
        Splits(lambda text: [0, zlib.crc32(bytes(c == "a" for c in text)) % len(text)], "chance")


def test_a_pre_tokenizer_that_tells_every_block_apart_is_refused() -> None:
    def cut(text: str) -> list[int]:
        blocks = [ord(character) >> 7 for character in text]
        return [at for at in range(len(text)) if at == 0 or blocks[at] != blocks[at - 1]]

    with pytest.raises(UnsupportedError, match="of blocks tells too many kinds of characters"):
        Splits(cut, "blocks")


def test_no_pre_tokenizer_is_one_pre_token() -> None:
    splits = Splits(lambda text: [0])
    state = splits.step(START, "a", True)
    assert splits.step(state, " ", True) == DEAD
    assert splits.ends(splits.step(state, " ", False))


@pytest.mark.parametrize("name", ["gpt2", "cl100k"])
def test_real_tokenizers(shared: Path, name: str) -> None:
    cutter = Tokenizer.from_file(str(shared / "tokenizers" / name / "tokenizer.json")).pre_tokenizer
    splits = Splits(lambda text: cuts(cutter, text))
    text = (shared / "corpus" / "code_sample.jsonl").read_text(encoding="utf-8")[:20_000]
    state = START
    for character, begins in zip(text, splits.flags(text), strict=True):
        state = splits.step(state, character, begins)
    assert splits.ends(state)


def test_families_of_byte_level_bpe() -> None:
    for name in ("byte_level", "byte_level_groups"):
        cutter = FAMILIES[name]().pre_tokenizer
        splits = Splits(lambda text, cutter=cutter: cuts(cutter, text))  # type: ignore[misc]
        text = "It's 12345 o'clock,  isn't it?\n\n  def f(x):\n\treturn x  \n"
        (way,) = [w for w, state in ways(splits, text).items() if splits.ends(state)]
        assert way == splits.flags(text)


def ways(splits: Splits, text: str) -> dict[Flags, int]:
    """The state of every way of cutting a text that lives."""
    found: dict[Flags, int] = {(): START}
    for character in text:
        found = {
            (*way, begins): after
            for way, state in found.items()
            for begins in (True, False)
            if (after := splits.step(state, character, begins)) != DEAD
        }
    return found
