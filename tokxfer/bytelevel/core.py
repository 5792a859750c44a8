"""What every question to a model needs: its vocabulary by bytes, its law, its trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tokxfer.bytelevel.asking import read
from tokxfer.bytelevel.causal import refuse_unless_causal
from tokxfer.bytelevel.context import Beginning, Context, chat_tokenizer, context_ids
from tokxfer.bytelevel.frontier import Frontier, Node
from tokxfer.bytelevel.given import written
from tokxfer.bytelevel.horizon import HorizonFrontier
from tokxfer.bytelevel.rules import EverythingRule, rule_of
from tokxfer.bytelevel.rules.prefixed import puts_space
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.treemodel import AttentionTree, RowTree, TreeModel, takes_trees
from tokxfer.bytelevel.windows import WindowedTree, check_window
from tokxfer.checkpoints import begin_token, longest_window
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Kind

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
        rule = EverythingRule(self.canonical) if law == "all" else self.canonical
        changes = law == "all" and vocabulary.normalizes
        self._settled = rule_of(vocabulary, normalized=False) if changes else self.canonical
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
            UsageError: It is no text, or holds what the tokenizer has no tokens for.
        """
        text = written(text)
        if isinstance(text, bytes):
            return text
        spelling = self.vocabulary.spelling
        if self.vocabulary.normalizes or spelling.continuation or self._rewritten.search(text):
            return self._encoded(text)
        return (b" " if text and self._puts_space(text[0]) else b"") + text.encode()

    def begun(self, text: str | bytes, context: Sequence[int]) -> bytes:
        """The same behind a context.

        Raises:
            UsageError: A text begins there, with other bytes than encodings begin with.
        """
        data = self.spell(text)
        if isinstance(context, Beginning) and data[:1] in self._unspaced:
            raise UsageError(
                f"The tokenizer puts a space before every text, but the bytes begin with "
                f"{data[:1]!r}.",
                "Begin with a space, or give a context, such as [], for the bytes to go on from.",
            )
        return data

    def _encoded(self, text: str) -> bytes:
        """What the tokens of a text spell; what names a special token in it is text."""
        parts = []
        for spelled, (start, end), name in self.pieces(text):
            if not spelled and text[start:end] != name:
                raise UsageError(
                    f"The text holds what the tokenizer spells {name!r}: "
                    "bytes that no token stands for.",
                    "Take it out, or use a tokenizer that spells every byte.",
                )
            parts.append(spelled or name.encode())
        return b"".join(parts)

    def pieces(self, text: str) -> list[tuple[bytes, tuple[int, int], str]]:
        """The tokens of a text, all of which is text: bytes (none for unknown), place, name.

        Places are characters of the text as it was before the tokenizer changed it.
        """
        tokenizer = self.vocabulary.tokenizer
        before, tokenizer.encode_special_tokens = tokenizer.encode_special_tokens, True
        try:
            found = tokenizer.encode(text, add_special_tokens=False)
        finally:
            tokenizer.encode_special_tokens = before
        tokens, names = self.canonical.tokens, self.vocabulary.names
        return [
            (tokens[token], place, names[token])
            for token, place in zip(found.ids, found.offsets, strict=True)
        ]

    @cached_property
    def prefixed(self) -> bool:
        """Whether encoding puts a space before a text."""
        return puts_space(self.vocabulary, "a")

    def _puts_space(self, first: str) -> bool:
        """Whether encoding puts a space before a text that begins with a character."""
        return self.prefixed and (first != " " or self._doubles)

    @cached_property
    def _doubles(self) -> bool:
        """Whether encoding puts a space before a text that begins with one."""
        return puts_space(self.vocabulary, " a")

    @cached_property
    def _rewritten(self) -> re.Pattern[str]:
        """Parts of a text that do not decode to themselves, or that change what stands behind."""
        names, kinds = self.vocabulary.names, self.vocabulary.kinds
        added = np.flatnonzero(kinds == Kind.ADDED).tolist() if self.prefixed else []
        parts = [self.vocabulary.spelling.mark, *(names[token] for token in added)]
        return re.compile("|".join(re.escape(part) for part in parts if part) or r"(?!)")

    @cached_property
    def _unspaced(self) -> set[bytes]:
        """The first bytes of tokens that come behind a context, but never begin a text."""
        rule = self.tokens.rule
        if rule.start == rule.behind:
            return set()
        later, first = (
            {rule.tokens[token][:1] for token in np.flatnonzero(rule.allowed(state)).tolist()}
            for state in (rule.behind, rule.start)
        )
        return later - first

    def context(self, context: Context, window: int | None = None) -> list[int]:
        """The ids of a context: see `next_byte`; `window` takes the place of the model's length.

        Raises:
            UsageError: It is no context, or longer than the model or the window.
        """
        ids = context_ids(context, self.vocabulary, self.begin, self._tokenizer)
        longest = self.window(window)
        if longest is not None and len(ids) > longest:
            taker = "the model takes" if window is None else "a window holds"
            raise UsageError(
                f"The context has {len(ids):,} tokens, but {taker} {longest:,}.",
                "Shorten it, or give it as the beginning of the text, which is read in windows.",
            )
        return ids

    @cached_property
    def chat_tokenizer(self) -> Any:
        """The transformers tokenizer, which knows the model's chat template.

        Raises:
            UsageError: There is no chat template.
        """
        return chat_tokenizer(self._tokenizer)

    def window(self, window: int | None = None, name: str = "the model") -> int | None:
        """The tokens of a window, checked; None where there is no end, as the model's own length.

        Args:
            window: What was asked for; None takes the model's length.
            name: What the model is called where it is refused.

        Raises:
            UsageError: It is below 2, or longer than the model.
        """
        if window is None:
            return self.length
        check_window(window)
        if self.length is not None and window > self.length:
            raise UsageError(
                f"A window of {window:,} tokens is longer than the {self.length:,} that {name} was "
                "made for.",
                f"Give {self.length} or less, or leave it out.",
            )
        return window

    def tree(self, *, windowed: bool = True, window: int | None = None) -> TreeModel:
        """A new, empty tree of the model; a windowed one takes one text of any length.

        Args:
            windowed: Whether texts are read in windows where they are longer than the model.
            window: Tokens of a window; None takes the model's length.
        """
        make = self._trees or self._tree
        longest = self.window(window)
        if windowed and longest is not None:
            return WindowedTree(make, longest)
        return make()

    def _tree(self) -> TreeModel:
        """A new, empty tree of a model of transformers."""
        make = AttentionTree if self._takes_trees else RowTree
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
        begins = isinstance(context, Beginning)
        return [
            Stream(self.tokens, number, logits, self.frontier(begins=begins), epsilon)
            for _ in range(count)
        ]

    def frontier(self, *, begins: bool = False) -> Frontier:
        """The live nodes where a text begins, or goes on from a context."""
        rule, whole = self.tokens.rule, self.tokens.whole
        if self.law == "all":
            return HorizonFrontier(rule, whole, self._settled, self.horizon, begins=begins)
        return Frontier(rule, whole, Node(None, -1, 0, 0, rule.start if begins else rule.behind))

    @cached_property
    def _takes_trees(self) -> bool:
        return takes_trees(self.model)
