"""Recovery after a transplant: how much of what it lost its base gives back, by steps.

    python scripts/bench/recovery.py --page docs/benchmarks.md --plot docs/plots/recovery.svg
    python scripts/bench/recovery.py --pairs english-bytebpe:english-spbpe --steps 0 50
    python scripts/bench/recovery.py --kept --page docs/benchmarks.md   # of what is measured so far
    python scripts/bench/recovery.py --smoke                            # half a minute

A transplant is trained by its own base (`alm`) or on the text alone (`sft`), from rows of a good
initializer and of a poor one. Each number of steps is a training of its own, whose learning rate
falls to nothing at its end. What has been measured is kept in build/bench/distill, with what
`distill.py` measures.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import recovery_page as pages
from distill import attempt
from distill_pairs import Pair, read_texts
from distill_runs import Run, Study, sources
from tables import replace_block

from reference.data import default_corpus
from reference.train import keep_memory_mapped
from tokxfer.workflows.environment import environment

ROOT = Path(__file__).resolve().parents[2]
PAIRS = ("english-spbpe:english-bytebpe", "english-bytebpe:english-spbpe")
STEPS = (0, 50, 300, 3000)
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    pairs = [
        Pair.of(f"{base}:{base}+{donor}{text}", start)
        for base, donor, text in map(parted, options.pairs)
        for start in options.starts
    ]
    texts = read_texts(
        (pair.text for pair in pairs), options.corpus, options.text, options.cache,
        small=options.smoke,
    )  # fmt: skip
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/recovery.py", *(arguments or sys.argv[1:])]
        ),
        "seeds": options.seeds,
        "threads": options.threads,
        "steps": options.steps,
        "batch": options.batch,
        "length": options.length,
        "rate": options.rate,
        "sources": {name: sources(name) for name in options.objectives},
        "environment": environment().to_dict(),
        "texts": [
            {"name": name, "documents": len(text.judged), "bytes": text.bytes}
            for name, text in texts.items()
        ],
        "curves": [curve for pair in pairs for curve in curves(pair, texts[pair.text], options)],
    }
    publish(document, options)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="BASE:DONOR[:code]")
    parser.add_argument("--starts", nargs="+", default=["blend", "mean"], help="initializers")
    parser.add_argument("--objectives", nargs="+", default=["alm", "sft"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the data")
    parser.add_argument("--steps", nargs="+", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=1.0, help="times the default learning rate")
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT))
    parser.add_argument("--text", type=Path, default=ROOT / "models" / "held_out.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="measure nothing; show what is kept")
    parser.add_argument("--smoke", action="store_true", help="one pair, no corpus, two steps")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "distill")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:recovery' gets it all")
    parser.add_argument("--readme", type=Path, help="the same, with the plot and a sentence")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.pairs, options.starts = options.pairs[:1], ["subword-uniform"]
        options.seeds, options.steps = options.seeds[:2], [0, 2]
        options.batch, options.length = 2, 64
    return options


def parted(name: str) -> tuple[str, str, str]:
    """Base, donor, and the text behind another colon, if there is any."""
    base, donor, text = [*name.split(":"), ""][:3]
    return base, donor, text and f":{text}"


def curves(pair: Pair, text: Any, options: argparse.Namespace) -> list[Figures]:
    """Each objective's figures by steps and seeds, from one start."""
    one = Study(pair, text, options.cache, options.batch, options.length, options.kept)
    before = one.before()
    found = []
    for objective in options.objectives:
        points: dict[str, Figures] = {}
        for steps in sorted(step for step in options.steps if step):
            runs = {}
            for seed in options.seeds:
                run = attempt(one, Run(objective, seed, options.rate, steps))
                if run is not None and "failed" not in run:
                    runs[str(seed)] = run
            points[str(steps)] = runs
        found.append({
            "pair": pair.name, "text": pair.text, "start": pair.method, "objective": objective,
            "before": before, "points": points,
        })  # fmt: skip
    return found


def publish(document: Figures, options: argparse.Namespace) -> None:
    """Print the page; write JSON, plot and pages that were asked for."""
    print(pages.full(document, None))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.plot:
        import recovery_plot

        recovery_plot.draw(document["curves"], options.plot)
    for place, written in ((options.readme, pages.short), (options.page, pages.full)):
        if place:
            around = place.resolve().parent
            picture = options.plot and os.path.relpath(options.plot.resolve(), around)
            replace_block(place, "recovery", written(document, picture))


if __name__ == "__main__":
    keep_memory_mapped()
    main()
