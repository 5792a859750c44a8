"""The law of tokens that a tokenizer makes of a Markov source, as a table; and a model of it.

The tokens of a text are its encoding. Behind a canonical sequence s, which ends in the source's
context c, the text goes on with some bytes; V(s, c) is the probability that they leave s the
beginning of the text's encoding. Either the text ends there, or one token t comes next:

    V(s, c) = P(end | c), if s may end,  +  Σ_t P(bytes of t | c) · V(s t, c t),

which is linear, and finite where sequences with the same future are one state. Then

    P(t | s, c) = P(bytes of t | c) · V(s t, c t) / V(s, c).

V of the empty sequence is 1 if every text has exactly one encoding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from markov_source import STOP, Source
from scipy.sparse import coo_matrix, identity
from scipy.sparse.linalg import spsolve

from tokxfer.bytelevel.rules import Rule
from tokxfer.bytelevel.rules.lattice import OpenEnd
from tokxfer.bytelevel.treemodel import ROOT

NOTHING = -1  # the state behind a token that never comes
FLOOR = -1e4  # the logarithm of nothing


@dataclass(frozen=True, eq=False)
class TokenLaw:
    """A law of tokens: a finite automaton that says what comes next.

    Attributes:
        nats: [states, ids] log-probabilities of the next token; state 0 is the beginning.
        behind: [states, ids] the state behind each token; `NOTHING` for what never comes.
        going_on: [states] V: see above.
    """

    nats: np.ndarray
    behind: np.ndarray
    going_on: np.ndarray

    def state(self, ids: Iterable[int]) -> int:
        """The state behind some tokens; `NOTHING` if they never come."""
        state = 0
        for token in ids:
            state = int(self.behind[state, token]) if state != NOTHING else state
        return state

    def row(self, state: int) -> np.ndarray:
        """Log-probabilities of the next token [ids]; behind what never comes all are alike."""
        size = self.nats.shape[1]
        return self.nats[state] if state != NOTHING else np.full(size, -np.log(size))

    def tree(self) -> LawTree:
        """A new tree that is answered from the law."""
        return LawTree(self)


class LawTree:
    """A law of tokens as a model that is asked at the nodes of a tree: see `TreeModel`.

    The first token of a sequence is the one that begins texts.
    """

    def __init__(self, law: TokenLaw) -> None:
        self.law, self.size = law, 0
        self._states: dict[int, int] = {}

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree; the logits of those that are asked [asked, ids]."""
        first, self.size = self.size, self.size + len(tokens)
        for at, (parent, token) in enumerate(zip(parents, tokens, strict=True), start=first):
            before = None if parent == ROOT else self._states[parent]
            if before is None or before == NOTHING:
                self._states[at] = 0 if before is None else NOTHING
            else:
                self._states[at] = int(self.law.behind[before, token])
        wanted = range(len(tokens)) if asked is None else asked
        rows = [self.law.row(self._states[first + at]) for at in wanted]
        return torch.from_numpy(np.stack(rows))

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget all but some nodes."""
        self._states = {node: self._states[node] for node in nodes}


def token_law(source: Source, rule: Rule, stop: int) -> TokenLaw:
    """The law of the tokens of a source's texts, and of the token that ends them.

    Args:
        source: What texts are.
        rule: Which sequences are canonical.
        stop: The token that ends texts.
    """
    first = (settled(rule.start), b"")
    numbers: dict[tuple[Hashable, bytes], int] = {first: 0}
    waiting, edges, ends = [first], list[tuple[int, int, int, float]](), list[float]()
    written: dict[bytes, list[tuple[int, float, bytes]]] = {}
    for state, context in waiting:
        number = numbers[state, context]
        ends.append(float(source.laws[context][STOP]) if rule.ends(state) else 0.0)
        if context not in written:
            written[context] = written_tokens(source, rule.tokens, context)
        for token, share, left in written[context]:
            after = rule.follow(state, token)
            if after is None:
                continue
            key = (settled(after), left)
            if key not in numbers:
                numbers[key] = len(waiting)
                waiting.append(key)
            edges.append((number, numbers[key], token, share))
    return solved(edges, np.array(ends), len(rule.tokens), stop)


def written_tokens(
    source: Source, tokens: Sequence[bytes], context: bytes
) -> list[tuple[int, float, bytes]]:
    """The tokens that a source may write behind a context, how likely, and the context then."""
    return [
        (token, share, source.context(context + spelled))
        for token, spelled in enumerate(tokens)
        if spelled and (share := source.of(context, spelled))
    ]


def solved(
    edges: list[tuple[int, int, int, float]], ends: np.ndarray, ids: int, stop: int
) -> TokenLaw:
    """The law, from tokens as (state before, state behind, id, probability of its bytes)."""
    before, behind, tokens = (np.array([edge[at] for edge in edges]) for at in range(3))
    shares, size = np.array([edge[3] for edge in edges]), len(ends)
    steps = coo_matrix((shares, (before, behind)), shape=(size, size))
    going_on = np.atleast_1d(spsolve((identity(size) - steps).tocsc(), ends))
    law = np.zeros((size, ids))
    law[before, tokens] = shares * going_on[behind]
    law[:, stop] = ends
    alive = going_on > 0
    law[alive] /= going_on[alive, None]
    follow = np.full((size, ids), NOTHING, dtype=np.int32)
    follow[before, tokens] = np.where(alive[behind], behind, NOTHING)
    nats = np.full((size, ids), FLOOR)
    np.log(law, where=law > 0, out=nats)
    nats[~alive] = -np.log(ids)
    return TokenLaw(nats, follow, going_on)


def settled(state: Any) -> Hashable:
    """A rule's state with scores that count from its end: sequences with one future are alike."""
    if not isinstance(state, frozenset):
        return state
    return frozenset(replace(way, open_end=from_last(way.open_end)) for way in state)


def from_last(end: OpenEnd) -> OpenEnd:
    """The end of an open pre-token for Unigram, its last score 0."""
    return replace(end, scores=tuple(score - end.scores[-1] for score in end.scores))
