"""The divergence of two models' next bytes, whatever their tokens: what ALM approximates.

At a place of a text, p is the teacher's law of what comes next and q the student's: 256 bytes and
the end of the text, each exact sums over token sequences. With m = (p + q) / 2:

    kl           Σ p log(p/q)
    reverse-kl   Σ q log(q/p)
    jsd          ½ Σ p log(p/m) + ½ Σ q log(q/m), at most log 2

Some outcomes are impossible by the vocabularies alone: no token stands for a byte, or no text may
end within a character. No training changes which. What the right side of a divergence, q for kl and
p for reverse-kl, cannot say is left out of the left side, which is renormalised; a place at which
nothing is left, or one of the two cannot have written the text so far, is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.context import Context
from tokxfer.bytelevel.gradients import laws_with_gradients
from tokxfer.bytelevel.law import IMPOSSIBLE, STOP
from tokxfer.bytelevel.spelled import Spelled, spell_places
from tokxfer.distillation.part import Part
from tokxfer.errors import UsageError
from tokxfer.shapes import Float, Int

BYTE_DIVERGENCES = ("kl", "reverse-kl", "jsd")


def byte_divergence(
    teacher: Float[Tensor, "places outcomes"],
    student: Float[Tensor, "places outcomes"],
    kind: str = "kl",
    *,
    stops: bool = True,
) -> Part:
    """The sum over places of the divergence of two laws of the next byte.

    Args:
        teacher: Log-probabilities of 257 outcomes, the end of the text last; −1e30 for what cannot
            come. Without gradient.
        student: The same of the student.
        kind: "kl", "reverse-kl" or "jsd".
        stops: Whether the end of the text is an outcome; else both are renormalised over bytes.

    Returns:
        Nats, and the places counted.

    Raises:
        UsageError: The divergence has another name.
    """
    if kind not in BYTE_DIVERGENCES:
        raise UsageError(
            f"{kind!r} is no divergence of bytes.", f"Use {', '.join(BYTE_DIVERGENCES)}."
        )
    outcomes = STOP + 1 if stops else STOP
    p, p_can = told(teacher.detach()[:, :outcomes].to(student.device))
    q, q_can = told(student[:, :outcomes])
    left, right = {"kl": (p_can & q_can, q_can), "reverse-kl": (p_can, p_can & q_can)}.get(
        kind, (p_can, q_can)
    )
    counted = left.any(dim=1) & right.any(dim=1)
    p, q, left, right = p[counted], q[counted], left[counted], right[counted]
    p, q = renormalised(p, left), renormalised(q, right)
    if kind == "kl":
        total = relative(p, q, left)
    elif kind == "reverse-kl":
        total = relative(q, p, right)
    else:
        middle = torch.logaddexp(
            p.masked_fill(~left, IMPOSSIBLE), q.masked_fill(~right, IMPOSSIBLE)
        )
        middle = middle - np.log(2)
        total = (relative(p, middle, left) + relative(q, middle, right)) / 2
    return Part(total, counted.sum())


def told(law: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities in at least single precision, 0 where impossible; and what is possible."""
    law = law.to(torch.promote_types(law.dtype, torch.float32))
    possible = law > IMPOSSIBLE / 2
    return law.masked_fill(~possible, 0.0), possible


def renormalised(law: Tensor, among: Tensor) -> Tensor:
    """Log-probabilities that sum to one among some outcomes; of the others they mean nothing."""
    return law - law.masked_fill(~among, -torch.inf).logsumexp(dim=1, keepdim=True)


def relative(log_p: Tensor, log_q: Tensor, among: Tensor) -> Tensor:
    """Σ p log(p/q) among some outcomes, over all places."""
    return (log_p.masked_fill(~among, IMPOSSIBLE).exp() * (log_p - log_q)).sum()


def byte_kl(
    teacher: ByteLM,
    student: ByteLM,
    texts: Sequence[str | bytes],
    *,
    kind: str = "kl",
    stops: bool = True,
    places: int | None = None,
    seed: int | np.random.Generator = 0,
    begins: Sequence[bool] | None = None,
    teacher_context: Context = None,
    student_context: Context = None,
) -> Part:
    """The exact divergence of two models' next bytes along texts, with the student's gradient.

    Both are asked at the same places of each text: before each byte that both spell, and behind the
    last. A space that one of them puts before a text is not of the text.

    Args:
        teacher: Asked without gradients, as it is: put it into evaluation mode.
        student: Asked in as few passes as `ByteLM.score(differentiable=True)` makes.
        texts: UTF-8. Each must fit into both models.
        kind: "kl" (of the student from the teacher), "reverse-kl" or "jsd".
        stops: Whether the end of the text is an outcome, if both models have one.
        places: How many places of all texts together to draw; None takes all. Neither model is
            asked for more than these rest on: few cost little more than the texts' tokens.
        seed: Draws them, without replacement.
        begins: Whether each text begins behind its context, as by default; the others go on there.
        teacher_context: What stands before each text: see `ByteLM.next_byte`.
        student_context: The same for the student.

    Returns:
        Nats, and the places counted.

    Raises:
        UsageError: A text is longer than one of the models, or there is no context and no token
            that begins texts; the divergence has another name, or fewer than one place is drawn.
    """
    if places is not None and places < 1:
        raise UsageError(f"At least 1 place must be drawn, not {places}.")
    flags = [True] * len(texts) if begins is None else list(begins)
    both = (teacher, teacher_context), (student, student_context)
    sides = [[spell_places(lm, t, behind(lm, c, b)) for t, b in zip(texts, flags, strict=True)]
             for lm, c in both]  # fmt: skip
    chosen = drawn(list(map(common, *sides)), places, seed)
    stops = stops and bool(teacher.stops) and bool(student.stops)
    parts = []
    for flag in sorted(set(flags)):
        some = [at for at, one in enumerate(flags) if one == flag and len(chosen[at])]
        if not some:
            continue
        laws = []
        for (lm, context), side, graded in zip(both, sides, (False, True), strict=True):
            with torch.set_grad_enabled(graded and torch.is_grad_enabled()):
                spelled = [side[at] for at in some]
                where = [one.places[chosen[at]] for one, at in zip(spelled, some, strict=True)]
                data = [one.data for one in spelled]
                laws.append(
                    torch.cat(laws_with_gradients(lm, data, behind(lm, context, flag), where))
                )
        parts.append(byte_divergence(laws[0], laws[1], kind, stops=stops))
    if not parts:
        byte_divergence(torch.zeros(0, STOP + 1), torch.zeros(0, STOP + 1), kind)
        return Part.nothing(next(student.model.parameters()))
    return sum(parts[1:], parts[0])


def behind(lm: ByteLM, context: Context, begins: bool) -> list[int]:
    """The ids of a context, behind which a text begins or goes on."""
    ids = lm.context(context)
    return ids if begins else list(ids)


def common(teacher: Spelled, student: Spelled) -> Int[np.ndarray, " places"]:
    """The places of a text that both sides have."""
    return np.flatnonzero((teacher.places >= 0) & (student.places >= 0))


def drawn(
    places: list[Int[np.ndarray, " _"]], count: int | None, seed: int | np.random.Generator
) -> list[Int[np.ndarray, " _"]]:
    """Some places of all texts together, each as likely as any other; ascending in each text."""
    sizes = np.array([len(some) for some in places], dtype=np.int64)
    if count is None or count >= sizes.sum():
        return places
    source = np.random.default_rng(seed)
    picked = np.sort(source.choice(int(sizes.sum()), count, replace=False))
    ends = np.cumsum(sizes)
    parts = np.split(picked, np.searchsorted(picked, ends[:-1]))
    return [
        some[part - (end - size)]
        for some, part, end, size in zip(places, parts, ends, sizes, strict=True)
    ]
