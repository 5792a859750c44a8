"""What every question to a model needs: its vocabulary by bytes, its law, its trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from tokxfer.bytelevel.asking import read
from tokxfer.bytelevel.causal import refuse_unless_causal
from tokxfer.bytelevel.context import Context, context_ids
from tokxfer.bytelevel.frontier import Frontier
from tokxfer.bytelevel.horizon import HorizonFrontier
from tokxfer.bytelevel.rules import EverythingRule, rule_of
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.treemodel import AttentionTree, RowTree, TreeModel, takes_trees
from tokxfer.bytelevel.windows import WindowedTree
from tokxfer.checkpoints import begin_token, longest_window
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary

LAWS = ("canonical", "all")
HORIZON = 4  # bytes; the number of sequences grows about 2.3 times with each


class ByteModel:
    """A causal language model with the law by which it is asked for bytes: see `ByteLM`.

    Attributes:
        tokens: Its vocabulary under the law.
        canonical: The rule of what its tokenizer itself would write.
        begin: The token that begins texts; None if it has none.
        length: Tokens that it takes; None if there is no end.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: ByteVocabulary,
        *,
        stops: Sequence[int] = (),
        law: str = "canonical",
        horizon: int = HORIZON,
        tokenizer: Callable[[], Any] | None = None,
        trees: Callable[[], TreeModel] | None = None,
    ) -> None:
        if law not in LAWS:
            raise UsageError(f"{law!r} is not a law.", f"Use {' or '.join(LAWS)}.")
        if horizon < 0:
            raise UsageError(f"The horizon must be 0 bytes or more, not {horizon}.")
        odd = [token for token in stops if not 0 <= token < vocabulary.size]
        if odd:
            raise UsageError(
                f"Id {odd[0]} is to end texts, but the tokenizer's end at {vocabulary.size - 1}.",
                "Take ids of the model's own tokenizer.",
            )
        self.model, self.vocabulary = model, vocabulary
        self.law, self.horizon, self._tokenizer = law, horizon, tokenizer
        self.canonical = rule_of(vocabulary)
        rule = EverythingRule(self.canonical.tokens) if law == "all" else self.canonical
        self.tokens = TokenShares(rule, stops)
        self.stops = self.tokens.stops
        self._trees, self.length, self.begin = trees, None, vocabulary.roles.get("bos")
        if trees is None:
            refuse_unless_causal(model, vocabulary.size)
            self.length, self.begin = longest_window(model.config), begin_token(model, vocabulary)

    def spell(self, text: str | bytes) -> bytes:
        """The bytes that a text's tokens decode to; bytes are taken as they are.

        A tokenizer that changes a text, or puts a space before it, does so here, too.

        Raises:
            UsageError: The text holds what the tokenizer has no tokens for.
        """
        if isinstance(text, bytes):
            return text
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(
                "The text holds half of a surrogate pair, which is no character.",
                "Give its bytes, or leave it out.",
            )
        if self.vocabulary.normalizes or self.vocabulary.spelling.continuation:
            return self._encoded(text)
        return (b" " if text and self.prefixed else b"") + text.encode()

    def _encoded(self, text: str) -> bytes:
        """What the tokens of a text spell."""
        ids = self.vocabulary.encode(text)
        for token in ids:
            if not self.canonical.tokens[token]:
                raise UsageError(
                    f"The text holds what the tokenizer spells {self.vocabulary.names[token]!r}: "
                    "bytes that no token stands for.",
                    "Take it out, or use a tokenizer that spells every byte.",
                )
        return b"".join(self.canonical.tokens[token] for token in ids)

    @cached_property
    def prefixed(self) -> bool:
        """Whether encoding puts a space before a text."""
        ids = self.vocabulary.encode("a")
        return bool(ids) and self.vocabulary.tokens[ids[0]].startswith(b" ")

    def context(self, context: Context) -> list[int]:
        """The ids of a context: see `next_byte`.

        Raises:
            UsageError: It is no context, or longer than the model.
        """
        ids = context_ids(context, self.vocabulary, self.begin, self._tokenizer)
        if self.length is not None and len(ids) > self.length:
            raise UsageError(
                f"The context has {len(ids):,} tokens, but the model takes {self.length:,}.",
                "Shorten it, or give it as the beginning of the text, which is read in windows.",
            )
        return ids

    def tree(self, *, windowed: bool = True) -> TreeModel:
        """A new, empty tree of the model; a windowed one takes one text of any length."""
        if self._trees is not None:
            return self._trees()
        make = AttentionTree if self._takes_trees else RowTree
        if windowed and self.length is not None:
            return WindowedTree(lambda: make(self.model, self.vocabulary.size), self.length)
        return make(self.model, self.vocabulary.size)

    def streams(
        self, tree: TreeModel, context: Sequence[int], epsilon: float, count: int = 1
    ) -> list[Stream]:
        """Streams behind one context, which is read once.

        Raises:
            UsageError: Epsilon is no part of a whole.
        """
        if not 0 <= epsilon < 1:
            raise UsageError(f"Epsilon must be at least 0 and below 1, not {epsilon}.")
        number, logits = read(tree, context, self.vocabulary.size)
        return [Stream(self.tokens, number, logits, self.frontier(), epsilon) for _ in range(count)]

    def frontier(self) -> Frontier:
        """The live nodes where a text begins."""
        if self.law == "all":
            return HorizonFrontier(
                self.tokens.rule, self.tokens.whole, self.canonical, self.horizon
            )
        return Frontier(self.tokens.rule, self.tokens.whole)

    @cached_property
    def _takes_trees(self) -> bool:
        return takes_trees(self.model)
