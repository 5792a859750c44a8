"""Next bytes against a truth: a Markov source of bytes, seen through a tokenizer of each family.

    python scripts/bench/markov.py                      # two minutes on one core
    python scripts/bench/markov.py --page docs/benchmarks.md --plot docs/plots/markov.svg

What a Markov source writes next is known. Its texts, tokenized, have a law of tokens, which is
computed exactly and answers as a model would. Every method gets this model and a prompt, for every
cut of every text, and says what byte comes next; what it is off by is the total variation distance
to the source's own law.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import markov_page as pages
import markov_plot
import peers
from markov_law import TokenLaw, token_law
from markov_prompts import Prompts, distance
from markov_source import Source, draw
from markov_tokenizers import FAMILIES, ROLES, Family
from tables import replace_block

from tokxfer.bytelevel import ByteLM
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.environment import environment

LEARNED = 400  # texts that a tokenizer is made from
EXACT = 1e-9  # what the laws of tokens may be off by
SIZES = range(12, 49)  # bytes of the texts that are cut
Figures = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A source, a tokenizer for it, and the law of tokens.

    Attributes:
        lm: The law's distribution over bytes.
        texts: Those that are cut at every byte.
    """

    family: Family
    source: Source
    vocabulary: ByteVocabulary
    law: TokenLaw
    lm: ByteLM
    texts: list[bytes]

    @classmethod
    def of(cls, name: str, *, order: int, seed: int, texts: int) -> Case:
        """Draw a source, learn a tokenizer of a family, and compute the law."""
        family = FAMILIES[name]
        source = draw(family.characters, order, seed, words=family.words)
        generator = np.random.default_rng(seed)
        learned = [source.sample(generator).decode() for _ in range(LEARNED)]
        vocabulary = ByteVocabulary.from_tokenizer(family.make(learned), ROLES)
        stop = vocabulary.roles["eos"]
        trees: list[TokenLaw] = []
        lm = ByteLM(None, vocabulary, stops=[stop], trees=lambda: trees[0].tree())
        trees.append(token_law(source, lm.canonical, stop))
        if abs(trees[0].going_on[0] - 1) > EXACT:
            raise ArithmeticError(f"Under the rule, not every text of {name} has one encoding")
        drawn: list[bytes] = []
        while len(drawn) < texts:
            text = source.sample(generator)
            drawn += [text] if len(text) in SIZES else []
        return cls(family, source, vocabulary, trees[0], lm, drawn)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    runs, skipped, cases = list[Figures](), dict[str, str](), list[Figures]()
    for name in options.families:
        try:
            case = Case.of(name, order=options.order, seed=options.seed, texts=options.texts)
        except UnsupportedError as error:
            skipped[name] = str(error)
            continue
        cases.append(described(name, case))
        runs += [{"family": name, **run} for run in measured(case, options)]
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/markov.py", *(arguments or sys.argv[1:])]),
        "seed": options.seed,
        "order": options.order,
        "genlm": None if options.without_genlm else peers.GENLM,
        "environment": environment().to_dict(),
        "skipped": skipped,
        "cases": cases,
        "runs": runs,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    picture = None
    if options.plot:
        markov_plot.draw(document, options.plot)
        picture = pages.relative(options.plot, options.page)
    page = pages.full(document, picture)
    print(page)
    if options.page:
        replace_block(options.page, "markov", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--order", type=int, default=2, help="bytes that the next one depends on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=int, default=20, help="texts of each family that are cut")
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 2, 5], help="of genlm-bytes")
    parser.add_argument("--without-genlm", action="store_true")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:markov' is filled")
    parser.add_argument("--plot", type=Path, help="write the picture to this file")
    return parser.parse_args(arguments)


def described(name: str, case: Case) -> Figures:
    """What a case is."""
    return {
        "family": name,
        "ids": case.vocabulary.size,
        "states": len(case.law.nats),
        "texts": [text.hex() for text in case.texts],
        "beginnings": float(case.law.going_on[0]),
    }


def measured(case: Case, options: argparse.Namespace) -> Iterator[Figures]:
    """What every method is off by at every cut; None where it has no answer."""
    answers = dict(local(case))
    if not options.without_genlm:
        answers |= genlm(case, options.widths)
    for method, found in answers.items():
        for at, text in enumerate(case.texts):
            for cut in range(1, len(text) + 1):
                law = found[at][cut - 1]
                truth = case.source.law(text[:cut])
                off = None if law is None else distance(law, truth)
                yield {"method": method, "text": at, "cut": cut, "off": off}


def local(case: Case) -> Iterator[tuple[str, list[list[np.ndarray | None]]]]:
    """The laws behind every beginning of every text, by the methods of this package's side."""
    prompts = Prompts(case.law, case.vocabulary, case.family)
    beginnings = [[text[:cut] for cut in range(1, len(text) + 1)] for text in case.texts]
    yield "token prompt", [[prompts.plain(prompt) for prompt in row] for row in beginnings]
    yield "token healing", [[prompts.healed(prompt) for prompt in row] for row in beginnings]
    yield "ByteLM", [list(exact(case.lm, text)) for text in case.texts]


def exact(lm: ByteLM, text: bytes) -> Iterator[np.ndarray]:
    """The laws of `ByteLM` behind every beginning of a text [outcomes]."""
    for found in lm.start().push(text):
        yield np.exp(np.append(found.nats.numpy(), found.stop))


def genlm(case: Case, widths: list[int]) -> dict[str, list[list[np.ndarray | None]]]:
    """The laws of genlm-bytes for every beam width; None where its beam is empty."""
    roles, tokens = case.vocabulary.roles, case.vocabulary.tokens
    with tempfile.TemporaryDirectory() as folder:
        job, answers = f"{folder}/job.npz", f"{folder}/answers.npz"
        np.savez(
            job, nats=case.law.nats, behind=case.law.behind, begin=roles["bos"], end=roles["eos"],
            tokens=[token.hex() for token in tokens], texts=[text.hex() for text in case.texts],
            widths=widths,
        )  # fmt: skip
        worker = str(Path(__file__).with_name("markov_genlm.py"))
        command = [str(peers.genlm_python()), "-W", "ignore", worker, job, answers]
        subprocess.run(command, check=True)
        found = np.load(answers)
        return {
            f"genlm-bytes, K {width}": [
                [row if row.any() else None for row in found[f"{width}/{at}"]]
                for at in range(len(case.texts))
            ]
            for width in widths
        }


if __name__ == "__main__":
    main()
