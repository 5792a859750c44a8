"""Distillation compared: every objective on the same text in the same steps, by held-out text.

    python scripts/bench/distill.py --page docs/benchmarks.md --json build/bench/distill.json
    python scripts/bench/distill.py --pairs english-unigram:english-spbpe --objectives alm sft
    python scripts/bench/distill.py --kept --page docs/benchmarks.md    # of what is measured so far
    python scripts/bench/distill.py --smoke                             # half a minute

A pair is TEACHER:STUDENT, or TEACHER:BASE+DONOR for a base with the donor's tokenizer by `blend`,
or with bytes as its tokens for the donor `bytes`; behind another colon stands the text, English if
none does. Training text is the corpus of the reference models ($TOKXFER_SHARED/corpus), judged is
text that nothing was trained on. Each objective takes the learning rate, of three, that is best on
development text with the first seed; the other seeds take the same one. What has been measured is
kept in build/bench/distill, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import distill_page as pages
from distill_pairs import Pair, read_texts
from distill_runs import Run, Study, sources
from tables import replace_block

from reference.data import default_corpus
from reference.train import keep_memory_mapped
from tokxfer.errors import TokxferError
from tokxfer.workflows.environment import environment

ROOT = Path(__file__).resolve().parents[2]
PAIRS = (
    "english-spbpe:english-spbpe+english-bytebpe",
    "code-bytebpe:english-bytebpe:code",
    "english-spbpe:english-spbpe+bytes",
)
EIGHTH = "byte-kl:share=0.125"
OBJECTIVES = ("alm", "sft", "alm+sft", EIGHTH, "mined", "gold", "uld", "byte-kl")
RATES = (1.0, 0.3, 3.0)
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    method = "subword-uniform" if options.smoke else "blend"
    pairs = [Pair.of(name, method) for name in options.pairs]
    texts = read_texts(
        (pair.text for pair in pairs), options.corpus, options.text, options.cache,
        small=options.smoke,
    )  # fmt: skip
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/distill.py", *(arguments or sys.argv[1:])]),
        "seeds": options.seeds,
        "threads": options.threads,
        "steps": options.steps,
        "batch": options.batch,
        "length": options.length,
        "rates": options.rates,
        "sources": {name: sources(name) for name in options.objectives},
        "environment": environment().to_dict(),
        "texts": [
            {"name": name, "documents": len(text.judged), "bytes": text.bytes}
            for name, text in texts.items()
        ],
        "pairs": [
            study(Study(pair, texts[pair.text], options.cache, options.batch, options.length,
                        options.kept), options)
            for pair in pairs
        ],
    }  # fmt: skip
    publish(document, options)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="TEACHER:STUDENT[:code]")
    parser.add_argument(
        "--objectives", nargs="+", default=OBJECTIVES,
        help="by name, perhaps with options of its own: alm:tau=1,boundaries=none",
    )  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the data")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="times the default")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT))
    parser.add_argument("--text", type=Path, default=ROOT / "models" / "held_out.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="measure nothing; show what is kept")
    parser.add_argument("--smoke", action="store_true", help="one pair, no corpus, two steps")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "distill")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:distill' gets it all")
    parser.add_argument("--readme", type=Path, help="the same, with one small table")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.pairs, options.objectives = options.pairs[:1], options.objectives[:2]
        options.seeds, options.rates = options.seeds[:2], options.rates[:2]
        options.steps, options.batch, options.length = 2, 2, 64
    return options


def study(one: Study, options: argparse.Namespace) -> Figures:
    """Every objective on one pair."""
    sizes = [len(text.encode()) for text in one.text.judged]
    about: Figures = {"pair": one.pair.name, "text": one.pair.text, "sizes": sizes}
    about["objectives"] = {}
    try:
        about |= {"before": one.before(), "schedule": rows_of_a_step(one)}
    except TokxferError as failure:
        return about | {"left_out": str(failure)}
    for objective in options.objectives:
        about["objectives"][objective] = objective_of(one, objective, options)
    return about


def objective_of(one: Study, objective: str, options: argparse.Namespace) -> Figures:
    """The rate that is best on development text with the first seed; all seeds with that one."""
    tried: Figures = {}
    for rate in options.rates:
        found = attempt(one, Run(objective, options.seeds[0], rate, options.steps))
        if found is not None:
            tried[f"{rate:g}"] = found
    told = {rate: run.get("develop") for rate, run in tried.items()}
    bits = {rate: value for rate, value in told.items() if value is not None}
    if not bits:
        return {"rates": told, "rate": None, "runs": {}}
    best = min(bits, key=lambda rate: bits[rate])
    runs = {str(options.seeds[0]): tried[best]}
    for seed in options.seeds[1:]:
        found = attempt(one, Run(objective, seed, float(best), options.steps))
        if found is not None:
            runs[str(seed)] = found
    return {"rates": told, "rate": float(best), "runs": runs}


def attempt(one: Study, run: Run) -> Figures | None:
    """A training, or why it failed; None where it is not known."""
    try:
        found = one.run(run)
    except TokxferError as failure:
        return {"failed": str(failure)}
    if found is not None and not one.only_kept:
        told = f"{one.pair.name}, {run}: {found['bits_per_byte']:.4f}"
        print(told, file=sys.stderr, flush=True)
    return found


def rows_of_a_step(one: Study) -> Figures:
    """Rows and tokens of a student's step."""
    found = one.schedule(Run("sft", 0, 1.0, 1))
    return {"batch": found.batch_size, "length": found.max_length, "rate": found.rate}


def publish(document: Figures, options: argparse.Namespace) -> None:
    """Print the page; write JSON and pages that were asked for."""
    print(pages.full(document))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    for place, written in ((options.readme, pages.short), (options.page, pages.full)):
        if place:
            replace_block(place, "distill", written(document))


if __name__ == "__main__":
    keep_memory_mapped()
    main()
