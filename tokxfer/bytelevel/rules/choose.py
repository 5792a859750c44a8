"""The rule for a vocabulary, by its family."""

from __future__ import annotations

from tokxfer.bytelevel.rules.bpe import bpe_rule
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.bytelevel.rules.unigram import unigram_rule
from tokxfer.bytelevel.rules.wordpiece import wordpiece_rule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary


def rule_of(vocabulary: ByteVocabulary, *, normalized: bool = True) -> Rule:
    """The rule of canonical sequences for a vocabulary's family.

    Args:
        vocabulary: The tokenizer's.
        normalized: Whether texts that the normalizer would change have none. If not, they have
            what the tokenizer would write if it left them alone (BPE and Unigram).

    Raises:
        UnsupportedError: None is known.
    """
    if vocabulary.spelling.model == "BPE":
        return bpe_rule(vocabulary, normalized=normalized)
    if vocabulary.spelling.model == "Unigram":
        return unigram_rule(vocabulary, normalized=normalized)
    if vocabulary.spelling.model == "WordPiece":
        return wordpiece_rule(vocabulary)
    raise UnsupportedError(
        f"No rule is known for {vocabulary.source.name}, a {vocabulary.family} tokenizer.",
        "Byte-level and SentencePiece BPE, Unigram and WordPiece are.",
    )
