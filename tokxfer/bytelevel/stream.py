"""Byte by byte through a text: the law of the next byte, with as few answers as it takes.

A node whose weight is a small part of the mass of the text so far need not be asked. Its weight is
known all the same, so that what it could add is bounded; and if later bytes leave little else, it
is asked after all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from tokxfer.bytelevel.block import Block, Entry
from tokxfer.bytelevel.frontier import Frontier, Live, Node
from tokxfer.bytelevel.law import OUTCOMES, STOP, ByteLaw, normalise
from tokxfer.bytelevel.tokens import Shares, TokenShares
from tokxfer.shapes import Float, Int


class Part(NamedTuple):
    """What a node that was asked gives at one place: its log-weight, and shares by next byte."""

    place: int
    weight: float
    live: Live
    sums: Float[np.ndarray, " branches"]


@dataclass(slots=True)
class Head:
    """A node that the model was asked at: its number there, and the shares of what may follow."""

    number: int
    shares: Shares
    stops: Float[np.ndarray, " stops"]


class Stream:
    """The state of one text behind one context.

    Args:
        tokens: The vocabulary.
        number: The node of the context's last token in the model's tree.
        logits: The model's answer there [ids].
        frontier: The live nodes at the beginning of the text.
        epsilon: Nodes with at most this part of the text's mass are not asked; 0 asks all.

    Attributes:
        law: The law of the next byte.
        asked: Nodes that were asked so far.
    """

    law: ByteLaw

    def __init__(
        self,
        tokens: TokenShares,
        number: int,
        logits: Float[torch.Tensor, " ids"],
        frontier: Frontier,
        epsilon: float = 0.0,
    ) -> None:
        self.tokens, self.epsilon, self.frontier = tokens, epsilon, frontier
        self.asked = 0
        root = self.frontier.here[0]
        self._weights: dict[Node, float] = {root: 0.0}
        self._heads: dict[Node, Head] = {}
        self._block = Block.of(self.frontier, b"")
        self.answer(root, number, logits)
        (self.law,) = self.finish()

    def open(self, data: bytes) -> None:
        """Go on by some known bytes, whose nodes have then to be asked."""
        self._block = Block.of(self.frontier, data, self._heads)
        for node, children in self._block.children.items():
            if (head := self._heads.get(node)) is not None:
                for child in children:
                    if child not in self._weights:
                        self._weigh(child, head)
        for entries in self._block.places:
            for entry in entries:
                if (head := self._heads.get(entry.live.node)) is not None:
                    self._sum(entry, head)

    def wanted(self) -> list[Node]:
        """Nodes to ask now, parents first; none once the rest matters too little."""
        block = self._block
        if self.epsilon <= 0:
            return [node for node in block.until if node not in self._heads]
        if len(block.places) > 1 and not any(node in self._heads for node in block.fresh):
            trunk = block.trunk(self._heads)
            if trunk:
                return trunk
        known = self._masses()
        return [
            node
            for node, last in block.until.items()
            if node not in self._heads
            and (weight := self._weights.get(node)) is not None
            and weight - known[last] > math.log(self.epsilon)
        ]

    def parent_of(self, node: Node) -> int | Node:
        """The number of the node before one, or that node if it was not asked yet."""
        assert node.parent is not None
        head = self._heads.get(node.parent)
        return node.parent if head is None else head.number

    def answer(self, node: Node, number: int, logits: Float[torch.Tensor, " ids"]) -> None:
        """Take the model's answer at a node that was wanted."""
        head = Head(number, *self.tokens.of(logits, node.state))
        self._heads[node] = head
        self.asked += 1
        for entry in self._block.by_node.get(node, ()):
            self._sum(entry, head)
        for child in self._block.children.get(node, ()):
            self._weigh(child, head)
        if node not in self._block.staying:
            head.shares = np.zeros(0)

    def finish(self) -> list[ByteLaw]:
        """The laws behind each byte of the block; what no longer matters is forgotten."""
        laws = self._laws()
        alive = self._block.alive_at_end(self._heads)
        self._heads = {node: self._heads[node] for node in alive if node in self._heads}
        self._weights = {node: self._weights[node] for node in alive if node in self._weights}
        self.frontier.fold(self._heads)
        if laws:
            self.law = laws[-1]
        return laws

    def weighed(self, node: Node) -> tuple[float, Shares]:
        """The log-weight of a live node, and the shares of the tokens behind it."""
        return self._weights[node], self._heads[node].shares

    def answers(self, node: Node) -> tuple[Shares, Float[np.ndarray, " stops"]]:
        """At a live node the shares of the tokens that may follow, and of each stop."""
        return self._heads[node].shares, self._heads[node].stops

    def number_of(self, node: Node) -> int:
        """A live node's number in the model's tree."""
        return self._heads[node].number

    def numbers(self) -> Iterable[int]:
        """The model's nodes that others may yet come behind."""
        return (head.number for head in self._heads.values())

    def _weigh(self, node: Node, head: Head) -> None:
        assert node.parent is not None
        share = head.shares[self.tokens.places[node.token]]
        before = self._weights[node.parent]
        self._weights[node] = before + (math.log(share) if share > 0 else -math.inf)

    def _sum(self, entry: Entry, head: Head) -> None:
        entry.sums = self.tokens.going_on(head.shares, entry.live.run)
        whole = float(entry.sums.sum())
        entry.nats = math.log(whole) if whole > 0 else -math.inf

    def _masses(self) -> list[float]:
        """Log-mass of the text at every place, as far as it is known."""
        weights, places, nats = self._weights, list[int](), list[float]()
        for place, ending in enumerate(self._block.ending):
            for node in ending:
                places.append(place)
                nats.append(weights.get(node, -math.inf))
        for place, entries in enumerate(self._block.places):
            for entry in entries:
                if entry.sums is not None and entry.live.run.depth:
                    places.append(place)
                    nats.append(weights[entry.live.node] + entry.nats)
        groups = np.array(places, dtype=np.int64)
        found: list[float] = log_sums(np.array(nats), groups, len(self._block.places)).tolist()
        return found

    def _laws(self) -> list[ByteLaw]:
        """The law behind every byte."""
        block = self._block
        deferred: list[list[Entry]] = [[] for _ in block.places]
        parts: list[Part] = []
        for place, entries in enumerate(block.places):
            for entry in entries:
                if entry.sums is None:
                    deferred[place].append(entry)
                else:
                    weight = self._weights[entry.live.node]
                    parts.append(Part(place, weight, entry.live, entry.sums))
        joint, stops = self._joint(parts), self._stops(parts)
        joint[:, STOP] = np.logaddexp.reduce(stops, axis=1)
        found = zip(joint, self._masses(), stops, deferred, block.ending, strict=True)
        laws = [
            self._with_guess(ByteLaw(nats, mass=mass, stops=ends), left, ending)
            for nats, mass, ends, left, ending in found
        ]
        normalise(laws)
        return laws

    def _joint(self, parts: list[Part]) -> Float[np.ndarray, "places outcomes"]:
        """Log-mass of the text with each next byte, as far as it is known."""
        count = len(self._block.places)
        groups = [part.place * OUTCOMES + part.live.run.values for part in parts]
        with np.errstate(divide="ignore"):
            nats = [part.weight + np.log(part.sums) for part in parts]
        told = np.concatenate([np.zeros(0), *nats])
        where = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
        return log_sums(told, where, count * OUTCOMES).reshape(count, OUTCOMES)

    def _stops(self, parts: list[Part]) -> Float[np.ndarray, "places stops"]:
        """Log-mass of the text with each token that ends it, as far as it is known."""
        found = np.full((len(self._block.places), len(self.tokens.stops)), -np.inf)
        with np.errstate(divide="ignore"):
            for place, weight, live, _ in parts:
                if not live.run.depth:
                    nats = weight + np.log(self._heads[live.node].stops)
                    found[place] = np.logaddexp(found[place], nats)
        return found

    def _with_guess(self, law: ByteLaw, deferred: list[Entry], ending: list[Node]) -> ByteLaw:
        """A law with what the nodes not asked could add, evenly over what may come behind each."""
        if not deferred:
            return law
        possible: dict[Node, np.ndarray] = {}
        for entry in deferred:
            node, run = entry.live.node, entry.live.run
            top = self._topmost(node)
            may = possible.setdefault(top, np.zeros(STOP + 1, dtype=bool))
            may[run.values] |= self.tokens.possible(node.state, run)
            may[STOP] |= (
                not run.depth and len(self.tokens.stops) > 0 and self.tokens.rule.ends(node.state)
            )
        guessed, missing = law.guessed, -math.inf
        for top, may in possible.items():
            weight = self._weights[top]
            if may.any():
                guessed[may] = np.logaddexp(guessed[may], weight - math.log(may.sum()))
            if top not in ending:
                missing = float(np.logaddexp(missing, weight))
        return replace(law, guessed=guessed, missing=missing)

    def _topmost(self, node: Node) -> Node:
        """The first node on the way to one that was not asked."""
        while node.parent is not None and node.parent not in self._heads:
            node = node.parent
        return node


def log_sums(
    nats: Float[np.ndarray, " parts"], groups: Int[np.ndarray, " parts"], count: int
) -> Float[np.ndarray, " groups"]:
    """The logarithm of the sum of exponentials of each group; −inf for one without parts."""
    top = np.full(count, -np.inf)
    np.maximum.at(top, groups, nats)
    some = np.isfinite(top)
    sums = np.bincount(groups, np.exp(nats - np.where(some, top, 0.0)[groups]), count)
    top[some] += np.log(sums[some])
    return top
