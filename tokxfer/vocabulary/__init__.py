"""Tokens as bytes: vocabularies of every family, their roles, and how two of them line up."""

from tokxfer.vocabulary.keepdigits import KeptDigits, rewrite_digits
from tokxfer.vocabulary.map import Origin, VocabularyMap
from tokxfer.vocabulary.match import Match, MatchKind, RoleMatch, match, twins_of
from tokxfer.vocabulary.reading import read_vocabulary
from tokxfer.vocabulary.vocabulary import ByteVocabulary, Kind

__all__ = [
    "ByteVocabulary",
    "KeptDigits",
    "Kind",
    "Match",
    "MatchKind",
    "Origin",
    "RoleMatch",
    "VocabularyMap",
    "match",
    "read_vocabulary",
    "rewrite_digits",
    "twins_of",
]
