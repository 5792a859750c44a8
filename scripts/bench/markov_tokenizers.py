"""A small tokenizer of each family, for texts of a Markov source."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

MERGES = 40  # about as many tokens of more than one character are learned
LONGEST = 4  # characters of a Unigram piece
WORD = 200  # BERT has 100, and sources do write such words, if hardly ever
SPECIALS = ("<unk>", "<s>", "</s>")
MARK = "▁"
ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Family:
    """A tokenizer family.

    Attributes:
        make: A tokenizer learned from texts, each beginning with a space.
        characters: Those that sources write, the space first.
        words: Whether texts are words with a single space before each.
        prefixed: Whether encoding puts a space before a text.
    """

    make: Callable[[Sequence[str]], Tokenizer]
    characters: str
    words: bool = False
    prefixed: bool = True


def byte_level(texts: Sequence[str]) -> Tokenizer:
    """As GPT-2: byte-level BPE behind its pattern of words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIALS) + len(alphabet) + MERGES, special_tokens=list(SPECIALS),
        initial_alphabet=alphabet, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def sentencepiece_bpe(texts: Sequence[str]) -> Tokenizer:
    """As Llama 2: BPE over characters, bytes for those without a token, no pre-tokenizer."""
    plain = Tokenizer(models.BPE())
    known = [spelled(text) for text in texts]
    size = len(set("".join(known))) + MERGES
    plain.train_from_iterator(known, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    learned = json.loads(plain.to_str())["model"]
    names = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    tokenizer = Tokenizer(models.BPE(
        vocab={name: at for at, name in enumerate([*SPECIALS, *byte_tokens(), *names])},
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token="<unk>", fuse_unk=True, byte_fallback=True,
    ))  # fmt: skip
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
    )
    return finished(tokenizer)


def unigram(texts: Sequence[str]) -> Tokenizer:
    """Unigram with bytes for characters without a piece; every stretch that is common is a piece.

    Scores are logarithms of frequencies, in 16ths: sums of them are exact.
    """
    counts = Counter(
        word[first : first + size]
        for text in texts
        for word in spelled(text).replace(MARK, f" {MARK}").split()
        for size in range(1, LONGEST + 1)
        for first in range(len(word) - size + 1)
    )
    single = {piece for piece in counts if len(piece) == 1}
    common = [piece for piece, _ in counts.most_common() if len(piece) > 1][:MERGES]
    total = sum(counts[piece] for piece in (*single, *common))
    scores = {p: round(16 * math.log(counts[p] / total)) / 16 for p in (*sorted(single), *common)}
    pieces = dict.fromkeys((*SPECIALS, *byte_tokens()), 0.0) | scores
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return finished(tokenizer)


def word_piece(texts: Sequence[str]) -> Tokenizer:
    """As BERT, its case and accents kept; a word of more letters than `WORD` is unknown to it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = len(set("".join(texts)) - {" "})
    trainer = trainers.WordPieceTrainer(
        vocab_size=len(SPECIALS) + 2 * letters + MERGES, special_tokens=list(SPECIALS),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def byte_tokens() -> list[str]:
    return [f"<0x{byte:02X}>" for byte in range(256)]


def spelled(text: str) -> str:
    """A text with marks for spaces, without the character that no piece is made for."""
    return text.replace(" ", MARK).replace("è", "")


def finished(tokenizer: Tokenizer) -> Tokenizer:
    """With SentencePiece's decoder, and the special tokens known for such."""
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


FAMILIES = {
    "byte-level BPE": Family(byte_level, " abs'éè", prefixed=False),
    "SentencePiece BPE": Family(sentencepiece_bpe, " abs'éè"),
    "Unigram": Family(unigram, " abs'éè"),
    "WordPiece": Family(word_piece, " abséè", words=True, prefixed=False),
}
