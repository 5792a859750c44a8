"""What comes next behind prompts cut in mid-word: by token prompts, token healing and bytes.

    python scripts/bench/next_bytes.py                            # a minute on one core
    python scripts/bench/next_bytes.py --readme README.md --page docs/benchmarks.md \\
        --plot docs/plots/next_bytes.svg
    python scripts/bench/next_bytes.py --prompts 8 --seed 1
    python scripts/bench/next_bytes.py --smoke                    # seconds

Nothing is picked by hand: of each kind of text, documents are drawn by the seed, and in each of
them one cut, of all those in its first bytes that lie between two letters.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import next_bytes_page as pages
from covers import documents
from cut_methods import METHODS, Cuts
from markov_page import relative
from tables import replace_block

from reference.data import default_corpus
from tokxfer.bytelevel import ByteLM
from tokxfer.workflows.environment import environment

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"prose": "english-bytebpe", "code": "code-bytebpe"}  # by the kind of text that each knows
FIRST = 20  # bytes before the first place where a prompt may be cut
BEHIND = 24  # bytes that are encoded with a prompt, to see whether a token lies across the cut
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    texts = documents(options)
    named = {options.text.name: options.model} if options.text else MODELS
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/next_bytes.py", *(arguments or sys.argv[1:])]
        ),
        "seed": options.seed,
        "places": [FIRST, options.bytes],
        "prompts": [
            prompt for kind in texts for prompt in study(named[kind], kind, texts[kind], options)
        ],
        "environment": environment().to_dict(),
    }
    print(pages.full(document, None))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        import next_bytes_plot

        next_bytes_plot.draw(document, options.plot)
    for place, written in ((options.readme, pages.short), (options.page, pages.full)):
        if place:
            picture = relative(options.plot, place) if options.plot else None
            replace_block(place, "next-bytes", written(document, picture))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, help="documents; held-out prose and code if not")
    parser.add_argument("--model", default=MODELS["prose"], help="of --text: see models/")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT), help="of the code")
    parser.add_argument("--prompts", type=int, default=4, help="of each kind of text")
    parser.add_argument("--bytes", type=int, default=200, help="of a document, to be cut in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="two short prompts")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "covers")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the figures to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:next-bytes' is filled")
    parser.add_argument("--readme", type=Path, help="the same, with the plot and a sentence")
    options = parser.parse_args(arguments)
    options.documents = None
    if options.smoke:
        options.text = options.text or ROOT / "models" / "held_out.jsonl"
        options.prompts, options.bytes = 2, 40
    return options


def study(name: str, kind: str, texts: list[str], options: argparse.Namespace) -> list[Figures]:
    """The laws of the next byte behind a handful of prompts of one kind."""
    source = random.Random(f"{options.seed} {kind}")
    canonical = ByteLM.from_pretrained(ROOT / "models" / name)
    free = ByteLM(
        canonical.model, canonical.vocabulary, stops=canonical.stops, law="all", horizon=1 << 30
    )
    found: list[Figures] = []
    for number in source.sample(range(len(texts)), len(texts)):
        data = canonical.spell(texts[number][: options.bytes + BEHIND])
        places = mid_words(data, FIRST, options.bytes)
        if not places or len(found) == options.prompts:
            continue
        cut = source.choice(places)
        cuts = Cuts(free, canonical, data[: cut + BEHIND], len(data[cut : cut + BEHIND]))
        found.append(
            {
                "model": name,
                "text": kind,
                "document": number,
                "cut": cut,
                "prompt": data[:cut].hex(),
                "next": data[cut],
                "inside": bool(cuts.inside()[cut - 1]),
                "laws": {method: np.exp(cuts.laws(cut)[method]).tolist() for method in METHODS},
            }
        )
    return found


def mid_words(data: bytes, first: int, last: int) -> list[int]:
    """The cuts of a text between two letters, in bytes from its beginning."""
    return [at for at in range(first, min(last, len(data))) if data[at - 1 : at + 1].isalpha()]


if __name__ == "__main__":
    main()
