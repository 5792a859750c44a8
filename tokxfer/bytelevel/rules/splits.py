"""Where pre-tokens may begin, learnt from the pre-tokenizer itself.

A pre-tokenizer cuts a text before its model sees it, and later characters may decide about earlier
cuts: two spaces are one piece at the end of a text and two before a letter. So the beginning of a
text goes with every way of cutting it that some continuation brings about. `Splits` follows such
ways character by character, as a small automaton. Characters that the pre-tokenizer never tells
apart are one class, and ways with the same future are one state: the pre-tokenizer is asked how it
cuts every short continuation. Where random texts show that these are too short, as for groups of
four digits, the ends of such a text become continuations, too, until no text shows it: automata are
learnt so from queries and counterexamples (D. Angluin, 1987; O. Maler and A. Pnueli, 1995).
The classes are: characters of all scripts are drawn, and what tells one from its class is added.
"""

from __future__ import annotations

import itertools
import operator
import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from tokxfer.errors import UnsupportedError

DEAD = -1
START = 0
LOOKAHEAD = 2  # characters of the continuations at first
TRIALS, LONGEST = 2000, 8  # texts that test whether classes are fine enough, and their characters
PROOFS, FARTHEST = 300, 14  # the same of texts that test the automaton
ROUNDS, CLASSES, STATES = 20, 48, 200  # beyond these it is given up
WIDENED = 8  # the same of rounds in which characters of other scripts bring new classes
BEFORE = (
    "",
    "'",
    "'r",
    "'l",
    "a",
    "A",
    "1",
    "11",
    "111",
    "1111",
    " ",
    "  ",
    "\n",
    ".",
    "a'",
    " '",
    "\t",
    ".\n",
)
BEHIND = (
    "", "a", "A", "1", " ", "\n", ".", "e", "l", "s", "'s", "re", "sa", "ea", "la", " a",
    "\n\n", "11",
)  # fmt: skip

Cut = Callable[[str], Iterable[int]]
Flags = tuple[bool, ...]
Futures = tuple[Flags | None, ...]


class Splits:
    """The ways of cutting a text that some continuation brings about, as an automaton.

    States are numbers; `START` is the beginning of a text, `DEAD` a way that nothing brings about.

    Args:
        cut: Where the pre-tokens of a text begin, as offsets in characters.
        name: The tokenizer's, for messages.

    Raises:
        UnsupportedError: No small automaton over few classes of characters cuts random texts as the
            pre-tokenizer does.
    """

    def __init__(self, cut: Cut, name: str = "the tokenizer") -> None:
        self._cut = cut
        self._cuts: dict[str, Flags] = {}
        self._signatures: dict[Flags, str] = {}
        self._classes: dict[str, str] = {}
        if not self._learn_classes():
            raise UnsupportedError(
                f"The pre-tokenizer of {name} tells too many kinds of characters apart for where "
                "it cuts a text to be learnt from it.",
                "Take a tokenizer whose pieces of text depend on a few kinds of characters.",
            )
        self._continuations = [
            "".join(letters)
            for length in range(LOOKAHEAD + 1)
            for letters in itertools.product(self._signatures.values(), repeat=length)
        ]
        for _ in range(ROUNDS):
            self._forget()
            mistaken = self._mistaken()
            if not mistaken:
                return
            if self.states > STATES:
                break
            ends = (mistaken[at:] for at in range(len(mistaken)))
            self._continuations = list(dict.fromkeys((*self._continuations, *ends)))
        raise UnsupportedError(
            f"Where the pre-tokenizer of {name} cuts a text depends on characters further ahead "
            "than can be learnt from it.",
            "Take a tokenizer whose pieces of text depend on few characters behind them.",
        )

    @property
    def states(self) -> int:
        """How many states were met so far."""
        return len(self._ways)

    @property
    def classes(self) -> tuple[str, ...]:
        """One character of every class."""
        return tuple(self._signatures.values())

    def class_of(self, character: str) -> str:
        """The representative of a character's class."""
        known = self._classes.get(character)
        if known is None:
            signature = self._signature(character)
            known = (
                self._signatures.get(signature)
                or min(
                    self._signatures.items(),
                    key=lambda item: sum(map(operator.ne, item[0], signature)),
                )[1]
            )
            self._classes[character] = known
        return known

    def step(self, state: int, character: str, begins: bool) -> int:
        """The state after a character before which a pre-token begins, or does not."""
        if state == DEAD:
            return DEAD
        key = (state, self.class_of(character), begins)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = self._follow(*key)
        return found

    def ends(self, state: int) -> bool:
        """Whether the text may end here: it would be cut in just this way."""
        return state != DEAD and self._futures[state][0] is not None

    def flags(self, text: str) -> Flags:
        """Whether a pre-token begins at each character of a whole text; at the first, one does."""
        found = self._cuts.get(text)
        if found is None:
            places = set(self._cut(text)) if text else set()
            found = tuple(at == 0 or at in places for at in range(len(text)))
            self._cuts[text] = found
        return found

    def _learn_classes(self) -> bool:
        """Sort characters into classes until no random text tells one from its representative.

        Returns:
            Whether few classes do.
        """
        known, contexts = seeds(), list(itertools.product(BEFORE, BEHIND))
        for _ in range(WIDENED):
            self._classify(known, contexts)
            while len(self.classes) <= CLASSES and (missed := self._missed(known)):
                contexts.append(missed[1:])
                self._classify(known, contexts)
            if len(self.classes) > CLASSES:
                return False
            self._contexts = telling(contexts, self.classes, self._signature_in)
            self._signatures = {self._signature(c): c for c in self.classes}
            new = {self._signature(c): c for c in wide() if c not in self._classes}
            known += [c for signature, c in new.items() if signature not in self._signatures]
            if new.keys() <= self._signatures.keys():
                missed = self._missed(wide())
                if not missed:
                    return True
                known.append(missed[0])
                contexts.append(missed[1:])
        return False

    def _classify(self, characters: Iterable[str], contexts: list[tuple[str, str]]) -> None:
        """Sort characters into classes by how they are cut in the contexts."""
        self._contexts = contexts
        self._signatures.clear()
        self._classes.clear()
        for character in characters:
            signature = self._signature(character)
            self._classes[character] = self._signatures.setdefault(signature, character)

    def _missed(self, characters: Sequence[str]) -> tuple[str, str, str] | None:
        """A character and a context that tells it from its representative, looked for at random."""
        source = random.Random(0)
        for trial in range(TRIALS):
            text = "".join(source.choices(characters, k=source.randint(2, LONGEST)))
            if trial % 2:  # one character among runs of few
                runs = (drawn(source, self.classes, LONGEST // 2, 0.6) for _ in range(2))
                text = source.choice(characters).join(runs)
            mapped = ""
            for at, character in enumerate(text):
                before, behind = mapped, text[at + 1 :]
                mapped += self.class_of(character)
                if self.flags(mapped + behind) != self.flags(before + character + behind):
                    return character, before, behind
        return None

    def _mistaken(self) -> str:
        """A text that the automaton does not cut as the pre-tokenizer does, looked for at random.

        Empty if none is found.
        """
        source = random.Random(0)
        for trial in range(PROOFS):
            text = drawn(source, self.classes, FARTHEST, 0.4 * (trial % 3))
            found: dict[Flags, int] = {(): START}
            for character in text:
                found = {
                    (*way, begins): after
                    for way, state in found.items()
                    for begins in (True, False)
                    if (after := self.step(state, character, begins)) != DEAD
                }
            if [way for way, state in found.items() if self.ends(state)] != [self.flags(text)]:
                return text
        return ""

    def _forget(self) -> None:
        """Begin the automaton anew."""
        self._ways: list[tuple[str, Flags]] = [("", ())]
        self._futures: list[Futures] = [self._futures_of("", ())]
        self._numbers: dict[Futures, int] = {}
        self._steps: dict[tuple[int, str, bool], int] = {}

    def _signature(self, character: str) -> Flags:
        return tuple(itertools.chain.from_iterable(
            self._signature_in(character, context) for context in self._contexts
        ))  # fmt: skip

    def _signature_in(self, character: str, context: tuple[str, str]) -> Flags:
        before, behind = context
        return self.flags(before + character + behind)

    def _follow(self, state: int, character: str, begins: bool) -> int:
        text, cuts = self._ways[state]
        if not text and not begins:
            return DEAD
        text, cuts = text + character, (*cuts, begins)
        futures = self._futures_of(text, cuts)
        if all(future is None for future in futures):
            return DEAD
        if futures not in self._numbers:
            self._numbers[futures] = len(self._ways)
            self._ways.append((text, cuts))
            self._futures.append(futures)
        return self._numbers[futures]

    def _futures_of(self, text: str, cuts: Flags) -> Futures:
        """The cuts of every continuation behind a way; None for those that cut it otherwise."""
        size = len(text)
        futures: list[Flags | None] = []
        for continuation in self._continuations:
            flags = self.flags(text + continuation)
            futures.append(flags[size:] if flags[:size] == cuts else None)
        return tuple(futures)


def drawn(source: random.Random, characters: Sequence[str], longest: int, repeating: float) -> str:
    """A random text in which a character is the last one again with some probability."""
    text = source.choice(characters)
    for _ in range(source.randrange(longest)):
        text += text[-1] if source.random() < repeating else source.choice(characters)
    return text


def seeds() -> list[str]:
    """Characters of every kind: ASCII, and the first beyond it of every general category."""
    found = [chr(code) for code in range(128)]
    met: set[str] = set()
    for code in range(128, 0x20000):
        category = unicodedata.category(chr(code))
        if category not in met and category not in ("Cs", "Cn"):
            met.add(category)
            found.append(chr(code))
    return [*found, "中", "ア", "🙂", "\u00a0", "\u3000"]


@cache
def wide() -> tuple[str, ...]:
    """Characters of all scripts: those of two bytes, and beyond them one of every kind and block.

    Kinds are general categories; a block is 128 characters.
    """
    found: dict[object, str] = {}
    for code in range(128, 0x20000):
        category = unicodedata.category(chr(code))
        if category not in ("Cs", "Cn"):
            found.setdefault(code if code < 0x800 else (category, code >> 7), chr(code))
    return tuple(found.values())


def telling(
    contexts: list[tuple[str, str]],
    characters: Iterable[str],
    look: Callable[[str, tuple[str, str]], Flags],
) -> list[tuple[str, str]]:
    """A few contexts that tell all of some characters apart that all contexts do."""
    chosen: list[tuple[str, str]] = []
    groups = [list(characters)]
    while any(len(group) > 1 for group in groups):
        best: list[list[str]] = []
        for context in contexts:
            parted: list[list[str]] = []
            for group in groups:
                by_look: dict[Flags, list[str]] = {}
                for character in group:
                    by_look.setdefault(look(character, context), []).append(character)
                parted += by_look.values()
            if len(parted) > len(best):
                best, found = parted, context
        chosen.append(found)
        groups = best
    return chosen
