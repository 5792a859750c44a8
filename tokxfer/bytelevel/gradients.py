"""Scores of given bytes that gradients go back through, several texts in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from tokxfer.bytelevel import asking
from tokxfer.bytelevel.context import Beginning
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.law import STOP
from tokxfer.bytelevel.mass import ByteMasses, byte_masses
from tokxfer.bytelevel.scores import Score
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.errors import UsageError
from tokxfer.shapes import Float, Int

# Nodes of one pass. Every node's attention goes over all of its pass, which a CPU feels.
NODES = {"cpu": 512}


def score_with_gradients(
    lm: ByteModel,
    data: Sequence[bytes],
    context: list[int],
    *,
    laws: bool = False,
    window: int | None = None,
) -> list[Score]:
    """Scores of texts behind one context, their trees side by side in few forward passes.

    Raises:
        UsageError: A text is longer than the window, or nothing stands before it.
    """
    covers = covers_of(lm, data, context, window)
    found = []
    for cover, (mass, nats) in zip(covers, answered(lm, covers, context), strict=True):
        text = torch.tensor(list(cover.text), dtype=torch.long)
        score = Score(
            data=cover.text,
            nats=nats[torch.arange(len(text)), text],
            stop=float(nats[-1, STOP].detach()),
            law=lm.law,
            mass=float(mass.detach()),
            laws=nats if laws else None,
            asked=len(cover),
        )
        found.append(score)
    return found


def laws_with_gradients(
    lm: ByteModel,
    data: Sequence[bytes],
    context: list[int],
    places: Sequence[Int[np.ndarray, " some"]] | None = None,
    *,
    window: int | None = None,
) -> list[Float[torch.Tensor, "places outcomes"]]:
    """The laws [places, 257] at some places of each text, or at all of them.

    Only nodes that these rest on are asked: where places are few, little more than the texts'
    tokens.

    Args:
        lm: The model.
        data: Texts by their bytes.
        context: What stands before each.
        places: How many bytes stand before each law, ascending; behind the last one is a law, too.
        window: Tokens at most of context and text; None takes the model's length.

    Raises:
        UsageError: A text is longer than the window, or nothing stands before it.
    """
    covers = covers_of(lm, data, context, window)
    if places is None:
        return [laws for _, laws in answered(lm, covers, context)]
    asked = [at for at, some in enumerate(places) if len(some)]
    answers = answered(lm, [covers[at].at(places[at]) for at in asked], context)
    found = {at: laws for at, (_, laws) in zip(asked, answers, strict=True)}
    none = answers[0][1][:0] if answers else torch.zeros(0, STOP + 1)
    return [found.get(at, none) for at in range(len(covers))]


def covers_of(
    lm: ByteModel, data: Sequence[bytes], context: list[int], window: int | None
) -> list[CoverTree]:
    """The trees of texts, if each is read at once.

    Raises:
        UsageError: A text is longer than the window, or nothing stands before it.
    """
    if not context:
        raise UsageError(
            "Gradients need a context, and the model has no token that begins texts.",
            "Give a context.",
        )
    begins = isinstance(context, Beginning)
    covers = [CoverTree.of(text, lm.frontier(begins=begins)) for text in data]
    for cover in covers:
        refuse_unless_whole(cover, len(context), lm.window(window), window is None)
    return covers


def answered(
    lm: ByteModel, covers: Sequence[CoverTree], context: Sequence[int]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Log-mass at the last place of each tree, and its laws [places, 257].

    A pass takes up to 2,048 nodes, 512 on a CPU, about one a byte, or one text of more. Where there
    are more than 2,048 together, each pass is done once more when gradients are asked for: then its
    answers [nodes, ids] and whatever the model keeps are there for that pass alone, so that memory
    does not grow with the number of texts but by their laws.
    """
    sizes = [len(cover) for cover in covers]
    room = NODES.get(torch.device(getattr(lm.model, "device", "cpu")).type, asking.ROOM)
    groups = list(passes(sizes, min(room, asking.ROOM)))
    again = len(groups) > 1 and sum(sizes) > asking.ROOM and torch.is_grad_enabled()
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for group in groups:
        told = lm, [covers[at] for at in group], context
        parts = checkpoint(grown, *told, use_reentrant=False) if again else grown(*told)
        found |= dict(zip(group, parts, strict=True))
    return [found[at] for at in range(len(covers))]


def passes(sizes: Sequence[int], room: int) -> Iterator[list[int]]:
    """Texts, by number, that are read in one pass: trees of so many nodes together, or one."""
    group: list[int] = []
    taken = 0
    for at, size in enumerate(sizes):
        if group and taken + size > room:
            yield group
            group, taken = [], 0
        group.append(at)
        taken += size
    if group:
        yield group


def grown(
    lm: ByteModel, covers: Sequence[CoverTree], context: Sequence[int]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each text's log-mass, and its laws [places, 257], from one forward pass for all.

    The context is read once, but for its last token, where all trees begin: each has its own.
    """
    tree, first = lm.tree(windowed=False), len(context) - 1
    parents, tokens = list(range(-1, first - 1)), list(context[:-1])
    for cover in covers:
        parents += [len(context) - 2, *(cover.parents[1:] + len(parents)).tolist()]
        tokens += [context[-1], *cover.tokens[1:].tolist()]
    logits = tree.extend(parents, tokens, asked=range(first, len(tokens)))
    answers = logits.split_with_sizes([len(cover) for cover in covers])
    masses = (
        byte_masses(cover, lm.tokens, told) for cover, told in zip(covers, answers, strict=True)
    )
    return [last_and_laws(found) for found in masses]


def last_and_laws(masses: ByteMasses) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-mass of a whole text, and its laws [places, 257]."""
    return masses.beginnings[-1], masses.conditionals()


def refuse_unless_whole(cover: CoverTree, before: int, length: int | None, whole: bool) -> None:
    """Refuse a text that is not read at once.

    Args:
        cover: Its tree.
        before: Tokens of the context.
        length: Tokens that are read at once; None if there is no end.
        whole: Whether these are all that the model takes.
    """
    deepest = max(node.depth for node in cover.nodes)
    if length is not None and before + deepest > length:
        raise UsageError(
            f"A text of {len(cover.text):,} bytes is longer than the {length:,} tokens of "
            f"{'the model' if whole else 'a window'}.",
            "Score it in parts, or without gradients.",
        )
