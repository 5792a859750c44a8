"""The best segmentation of an open stretch of text, as far back as a piece may still reach.

The best segmentation of a text, up to any boundary within it, is the best of the text up to there.
So a sequence is canonical if it is the best of its own text, and a piece may follow if no
segmentation that passes over its beginning is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN_PENALTY = 10.0  # below the least score, as the tokenizers library has it


@dataclass(frozen=True)
class OpenEnd:
    """The end of an open stretch of text.

    Attributes:
        text: Its last characters: all that a piece may begin within and reach beyond the end.
        scores: [characters + 1] of the best segmentation of the stretch up to each place of
            `text`; the last is up to its end.
    """

    text: str = ""
    scores: tuple[float, ...] = (0.0,)


FRESH = OpenEnd()


class Lattice:
    """Extends best segmentations, with sums and ties exactly as the tokenizers library has them.

    Args:
        scores: The score of every piece that text may have.
        least: The least score of all pieces; by default of these.
    """

    def __init__(self, scores: Mapping[str, float], *, least: float | None = None) -> None:
        self.scores = scores
        self.unknown = (min(scores.values()) if least is None else least) - UNKNOWN_PENALTY
        self.longest = max(map(len, scores))
        self.letters = set().union(*scores)
        self.beginnings = {name[:size] for name in scores for size in range(1, len(name))}

    def extended(self, open_end: OpenEnd, added: str) -> OpenEnd | None:
        """The end behind some characters; None if they are not the last piece there.

        A character without a piece of its own is an unknown one.
        """
        if len(added) == 1 and added not in self.letters:
            return OpenEnd("", (open_end.scores[-1] + self.unknown,))
        text, scores = open_end.text + added, list(open_end.scores)
        before = len(open_end.text)
        for end in range(before + 1, len(text) + 1):
            best, start = self._best(text, scores, end)
            scores.append(best)
        if start != before:
            return None
        kept = min(len(text), self.longest - 1)
        while kept and text[len(text) - kept :] not in self.beginnings:
            kept -= 1
        return OpenEnd(text[len(text) - kept :], tuple(scores[len(text) - kept :]))

    def _best(self, text: str, scores: list[float], end: int) -> tuple[float, int]:
        """The best score up to a place, and where its last piece starts: of equals, the first."""
        found, best = -1, 0.0
        for start in range(max(0, end - self.longest), end):
            score = self.scores.get(text[start:end])
            if score is None:
                if start < end - 1:
                    continue
                score = self.unknown
            score += scores[start]
            if found < 0 or score > best:
                found, best = start, score
        return best, found
