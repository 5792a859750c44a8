"""A tokenizer to which text is text: its special tokens go by names that no text holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokxfer.vocabulary import ByteVocabulary, Kind

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Letters and digits that no normalizer changes.
NAME = "qxzjvkqxzjwq{}q"


def hidden_name(token: int) -> str:
    """What a special token is called: where text is to hold it, it must hold this."""
    return NAME.format(token)


def tokenizer_of_text(vocabulary: ByteVocabulary) -> Tokenizer:
    """A vocabulary's tokenizer with its special tokens renamed, without a post-processor.

    That a tokenizer be told to take special tokens for text is not enough: to a Unigram model they
    are pieces like others. A post-processor may move offsets.
    """
    from tokenizers import Tokenizer

    content = json.loads(vocabulary.tokenizer.to_str())
    content["post_processor"] = None
    model = content["model"]
    for entry in content["added_tokens"]:
        token, name = entry["id"], entry["content"]
        if vocabulary.kinds[token] == Kind.SPECIAL:
            entry["content"] = hidden_name(token)
            rename(model, token, name)
    return Tokenizer.from_str(json.dumps(content))


def rename(model: dict[str, Any], token: int, name: str) -> None:
    """Give a token of a model, if it is one, its hidden name."""
    pieces = model["vocab"]
    if isinstance(pieces, list):
        if token < len(pieces):
            pieces[token][0] = hidden_name(token)
    elif name in pieces:
        pieces[hidden_name(token)] = pieces.pop(name)
    if model.get("unk_token") == name:
        model["unk_token"] = hidden_name(token)


def special_names(vocabulary: ByteVocabulary) -> dict[str, int]:
    """The ids of the special tokens that the tokenizer finds in text, by their names."""
    return {
        vocabulary.names[token]: token
        for token in vocabulary.tokenizer.get_added_tokens_decoder()
        if vocabulary.kinds[token] == Kind.SPECIAL
    }
