"""Small tokenizers of every family, trained on the fly: each call returns a fresh one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXT = """The quick brown fox jumps over the lazy dog, and then the other dogs sat down.
There was once a little girl who lived in the village near the forest; the forest was dark.
"Where are you going?" said the wolf. "To the house of my grandmother," she answered.
In 1492, 1776, 1945 and 2024 there were 365 or 366 days; 100 + 200 = 300, 12345 - 678 = 11667.
def transplant(base, donor):
    return [row for row in donor if row in base]

    if x == 10:
        print("the value is", x)
Ein Mädchen lebte in dem kleinen Dorf; die Straße war naß und der Weg weit. Größe, Übung, schön.
Il était une fois une petite fille, la plus jolie qu'on eût su voir: ça, c'est très bien.
Жили-были старик со старухою у самого синего моря. Это хорошо.
吾輩は猫である。名前はまだ無い。你好，世界。 안녕하세요.
naïve café façade… “quoted” — dashes – 😀 👍🏽 ∑ ≠ ½ ﬁ
"""
DIGIT_RUNS = " ".join(str(number) for number in range(1000, 3000, 7))
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REPLACEMENT = "\ufffd"  # what bytes of no character are decoded to
BYTE_TOKENS = tuple(f"<0x{value:02X}>" for value in range(256))


def byte_level(vocab_size: int = 480, specials: Iterable[str] = ("<|endoftext|>",)) -> Tokenizer:
    """GPT-2: byte-level BPE, learned digits, one special token, no normalizer."""
    return Tokenizer.from_str(_byte_level(vocab_size, tuple(specials), False))


def byte_level_groups(
    vocab_size: int = 520,
    specials: Iterable[str] = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ),
) -> Tokenizer:
    """Llama-3, cl100k: byte-level BPE, digits in threes, whole pre-tokens before merges."""
    return Tokenizer.from_str(_byte_level(vocab_size, tuple(specials), True))


def sentencepiece_bpe(
    vocab_size: int = 560, specials: Iterable[str] = ("<unk>", "<s>", "</s>")
) -> Tokenizer:
    """Llama-2, Mistral: SentencePiece BPE, byte fallback, single digits, a dummy prefix.

    As there, the character that stands for bytes of no character has a token.
    """
    tokenizer = Tokenizer.from_str(_sentencepiece_bpe(vocab_size, tuple(specials)))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    _begin_with(tokenizer, "<s>")
    return tokenizer


def gemma(
    vocab_size: int = 580, specials: Iterable[str] = ("<pad>", "<eos>", "<bos>", "<unk>")
) -> Tokenizer:
    """Gemma: as `sentencepiece_bpe` without dummy prefix, with ordinary added tokens."""
    tokenizer = Tokenizer.from_str(_sentencepiece_bpe(vocab_size, tuple(specials)))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("<table>")])
    tokenizer.add_special_tokens(["<start_of_turn>", "<end_of_turn>"])
    _begin_with(tokenizer, "<bos>")
    return tokenizer


def unigram(
    vocab_size: int = 400, specials: Iterable[str] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
) -> Tokenizer:
    """XLM-R, T5: Unigram without byte fallback, NFKC, an unknown token."""
    tokenizer = Tokenizer.from_str(_unigram(vocab_size, tuple(specials)))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    return tokenizer


def unigram_bytes(
    vocab_size: int = 620, specials: Iterable[str] = ("<pad>", "</s>", "<unk>", "<s>")
) -> Tokenizer:
    """Unigram with byte fallback and no normalizer."""
    content = _edited(
        Tokenizer.from_str(_unigram(vocab_size - 1, (*specials, *BYTE_TOKENS))), tuple(specials)
    )
    content["model"]["vocab"].append([REPLACEMENT, -8.0])
    content["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    _begin_with(tokenizer, "<s>")
    return tokenizer


def word_piece(
    vocab_size: int = 420, specials: Iterable[str] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
) -> Tokenizer:
    """BERT: WordPiece, lower-casing, punctuation apart."""
    return Tokenizer.from_str(_word_piece(vocab_size, tuple(specials)))


FAMILIES: dict[str, Callable[..., Tokenizer]] = {
    "byte_level": byte_level,
    "byte_level_groups": byte_level_groups,
    "sentencepiece_bpe": sentencepiece_bpe,
    "gemma": gemma,
    "unigram": unigram,
    "unigram_bytes": unigram_bytes,
    "word_piece": word_piece,
}


@cache
def _byte_level(vocab_size: int, specials: tuple[str, ...], groups: bool) -> str:
    tokenizer = Tokenizer(models.BPE(ignore_merges=groups))
    by_byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not groups)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CL100K), "isolated"), by_byte])
        if groups
        else by_byte
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT, DIGIT_RUNS], trainer)
    if groups and specials:
        _begin_with(tokenizer, specials[0])
    return tokenizer.to_str()


@cache
def _sentencepiece_bpe(vocab_size: int, specials: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*specials, *BYTE_TOKENS],
        initial_alphabet=[REPLACEMENT],
        limit_alphabet=91,
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT, DIGIT_RUNS], trainer)
    content = _edited(tokenizer, specials)
    content["pre_tokenizer"] = None
    content["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    return json.dumps(content)


@cache
def _unigram(vocab_size: int, specials: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([line for line in TEXT.splitlines() if line.isascii()], trainer)
    return tokenizer.to_str()


@cache
def _word_piece(vocab_size: int, specials: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        limit_alphabet=120,
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT, DIGIT_RUNS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer.to_str()


def _edited(tokenizer: Tokenizer, specials: tuple[str, ...]) -> dict[str, Any]:
    """The content of a trained tokenizer whose byte tokens are ordinary tokens of its model."""
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["content"] in specials
    ]
    return content


def _begin_with(tokenizer: Tokenizer, token: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token} $B",
        special_tokens=[(token, tokenizer.token_to_id(token))],
    )
