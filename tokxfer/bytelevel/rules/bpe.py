"""The rule of a BPE vocabulary, put together from its tokenizer's content."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tokxfer.bytelevel.rules.added import with_added
from tokxfer.bytelevel.rules.bytepair import BytePairRule
from tokxfer.bytelevel.rules.fallback import FallbackRule
from tokxfer.bytelevel.rules.merges import Derivations, MergeTable
from tokxfer.bytelevel.rules.normalizing import text_normalizer
from tokxfer.bytelevel.rules.pairs import PairRule
from tokxfer.bytelevel.rules.prefixed import with_prefix
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.bytelevel.rules.splits import Splits, wide
from tokxfer.bytelevel.rules.wholes import Wholes
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.reading import content_of
from tokxfer.vocabulary.spelling import LOSSY_PRETOKENIZERS, components


def bpe_rule(vocabulary: ByteVocabulary, *, normalized: bool = True) -> Rule:
    """The rule of a BPE vocabulary, byte-level or of SentencePiece: see `rule_of`.

    Raises:
        UnsupportedError: An added token swallows the spaces beside it, or must be a whole word; the
            normalizer looks far; the pre-tokenizer drops some of the text, or cuts characters;
            merges are left out at random.
    """
    content = content_of(vocabulary.source)
    check_supported(vocabulary, content)
    plain = with_prefix(plain_rule(vocabulary, content), vocabulary)
    normalizer = text_normalizer(vocabulary) if normalized else None
    return with_added(plain, vocabulary, content, normalizer)


def check_supported(vocabulary: ByteVocabulary, content: Mapping[str, Any]) -> None:
    """Refuse what depends on chance, and tokenizers that drop text."""
    name = vocabulary.source.name
    dropout = content["model"].get("dropout")
    if dropout:
        raise UnsupportedError(
            f"The BPE model of {name} leaves merges out at random (dropout {dropout}), so that a "
            "text has no one encoding.",
            'Set "dropout" to null in its tokenizer.json.',
        )
    for step in components(content.get("pre_tokenizer")):
        if step["type"] in LOSSY_PRETOKENIZERS or step.get("behavior") == "Removed":
            raise UnsupportedError(
                f"The pre-tokenizer of {name} drops some of the text ({step['type']}), so that "
                "many texts are the same tokens.",
                "Take a BPE tokenizer that keeps all of it.",
            )


def plain_rule(vocabulary: ByteVocabulary, content: Mapping[str, Any]) -> BytePairRule:
    """The rule for text without added tokens."""
    model = content["model"]
    ids: dict[str, int] = model["vocab"]
    pairs = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    table = MergeTable.of(pairs, ids)
    spelling, kinds = vocabulary.spelling, vocabulary.kinds
    fallback = (kinds == Kind.BYTE) & (not spelling.byte_level)
    letters = {name for name in ids if len(name) == 1}
    atoms = {
        token: [token] if fallback[token] else [ids[letter] for letter in name]
        for name, token in ids.items()
        if fallback[token] or letters.issuperset(name)
    }
    of_text = np.isin(kinds, (Kind.NORMAL, Kind.BYTE)).tolist()
    texts = tuple(t if kept else b"" for t, kept in zip(vocabulary.tokens, of_text, strict=True))
    name = vocabulary.source.name
    splits = Splits(cutter(content, spelling.mark, name), name)
    made = Derivations.of(table, atoms)
    rule = PairRule(table, made)
    ignoring = bool(model.get("ignore_merges"))
    wholes = Wholes(len(texts), replaced(model, texts, made) if ignoring else {})
    if spelling.byte_level:
        return BytePairRule(splits, rule, texts, wholes)
    marked = (name.replace(spelling.mark, " ") if spelling.mark else name for name in ids)
    known = (name for name in marked if len(name) == 1)
    return FallbackRule(splits, rule, texts, wholes, fallback, known)


def replaced(
    model: Mapping[str, Any], texts: Sequence[bytes], made: Derivations
) -> dict[int, list[int]]:
    """What merges alone would make of the entries that they do not lead to, by id."""
    from tokenizers import Tokenizer

    missed = [
        (name, token)
        for name, token in model["vocab"].items()
        if texts[token] and not made.reachable[token]
    ]
    if not missed:
        return {}
    bare = Tokenizer.from_str(json.dumps({"model": dict(model) | {"ignore_merges": False}}))
    rows = {token: [piece.id for piece in bare.model.tokenize(name)] for name, token in missed}
    return {
        token: row
        for token, row in rows.items()
        if row and b"".join(texts[part] for part in row) == texts[token]
    }


def cutter(
    content: Mapping[str, Any], mark: str | None, name: str
) -> Callable[[str], Iterable[int]]:
    """Where the pre-tokens of a text begin, as a tokenizer's own pre-tokenizer says.

    A space that it would put before a text is left out. Spaces come to it as its normalizer leaves
    them: as the mark, if there is one and the pre-tokenizer does not write it itself.

    Raises:
        UnsupportedError: Some pre-tokens begin within a character, as where a step that looks for
            digits comes behind one that writes bytes as letters, some of which are digits.
    """
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.BPE()).to_str())
    plain = re.sub(
        '"add_prefix_space": true',
        '"add_prefix_space": false',
        json.dumps(content["pre_tokenizer"]),
    )
    plain = re.sub('"prepend_scheme": "[a-z]*"', '"prepend_scheme": "never"', plain)
    seen = " " if mark is None or "Metaspace" in plain else mark
    splitter = Tokenizer.from_str(json.dumps(bare | {"pre_tokenizer": json.loads(plain)}))
    if splitter.pre_tokenizer is None:
        return lambda _: (0,)

    def cut(text: str) -> Iterable[int]:
        pieces = splitter.pre_tokenizer.pre_tokenize_str(text.replace(" ", seen))
        return [place[0] for _, place in pieces]

    text = "\n".join(wide())
    places = [place for _, place in splitter.pre_tokenizer.pre_tokenize_str(text)]
    for (_, end), (start, _) in itertools.pairwise(places):
        if start < end:
            raise UnsupportedError(
                f"The pre-tokenizer of {name} cuts within characters such as {text[start]!r}.",
                "Take a tokenizer that cuts text before it writes bytes as letters.",
            )
    return cut
