"""The gap recovered: how far every initializer gets from the mean row to the best rows found.

    python scripts/bench/gap.py --page docs/benchmarks.md --plot docs/plots/gap.svg \\
        --json build/bench/gap.json
    python scripts/bench/gap.py --pairs english-unigram:english-bytebpe --seeds 0 --tokens 800000
    python scripts/bench/gap.py --train-text mine.jsonl --text others.jsonl --pairs BASE:DONOR
    python scripts/bench/gap.py --smoke                               # half a minute

The best rows (the oracle) are trained: only those of the tokens that the base lacks, by next-token
prediction on text like that which is judged, everything else frozen. A method's share is
(mean - method) / (mean - oracle), in bits per byte of text that nothing was trained on. Training
text is the corpus of the reference models ($TOKXFER_SHARED/corpus), code only from files that the
code model never saw. What has been measured is kept in build/bench/gap, so that an interrupted run
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import gap_page as pages
import gap_text
from gap_oracle import Training
from gap_runs import Study
from gap_share import summarize
from tables import replace_block
from transplant import present
from transplant_inside import TrainText
from transplant_runs import Figures, Pair

from reference.data import default_corpus
from reference.train import keep_memory_mapped
from tokxfer.checkpoints import ModelFolder
from tokxfer.embeddings import REGISTRY
from tokxfer.errors import TokxferError
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.environment import environment
from tokxfer.workflows.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
PAIRS = (
    "english-unigram:english-bytebpe",
    "english-spbpe:english-bytebpe",
    "english-bytebpe:code-bytebpe",
    "code-bytebpe:english-spbpe",
    "code-bytebpe:english-spbpe:code",
)
TOKENS = 900_000  # three times as many as leave the gap 5 to 20 % smaller
METHODS = tuple(name for name in REGISTRY if name != "auto")  # which only chooses


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    wanted = [(pair, text_name(name)) for name in options.pairs for pair in paired(name)]
    if not wanted:
        sys.exit("None of the pairs is there.")
    texts = read_texts({name for _, name in wanted}, options)
    training = Training(tokens=options.tokens, rate=options.rate, batch=options.batch)
    total = len(wanted) * len(options.seeds) * training.tokens
    with progress_bar(total, "oracles", "tok", True) as bar:
        studies = [study(pair, texts[name], options, training, bar.update) for pair, name in wanted]
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/gap.py", *(arguments or sys.argv[1:])]),
        "seeds": options.seeds,
        "threads": options.threads,
        "start": options.start,
        "training": asdict(training),
        "fit_text": options.fit_text
        and {"name": options.fit_text.name, "limit": options.fit_limit},
        "environment": environment().to_dict(),
        "texts": [
            {"name": text.name, "documents": len(text.judged), "bytes": text.bytes}
            | {"sha256": text.hash}
            for text in texts.values()
        ],
        "pairs": studies,
    }
    publish(document, options)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", nargs="+", default=PAIRS, metavar="BASE:DONOR[:code]",
        help="models by name or folder, and whether to train and judge on code, not English",
    )  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--start", default="blend", help="method whose rows the oracle starts from")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="to train each oracle on")
    parser.add_argument("--rate", type=float, default=Training.rate)
    parser.add_argument("--batch", type=int, default=Training.batch, help="windows a step")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT))
    parser.add_argument("--train-text", type=Path, nargs="+", help="files instead of the corpus")
    parser.add_argument(
        "--fit-text", type=Path, help="for methods that are fitted on text: its first documents"
    )
    parser.add_argument("--fit-limit", type=int, default=2000, help="how many of them")
    parser.add_argument("--text", type=Path, default=ROOT / "models" / "held_out.jsonl")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--smoke", action="store_true", help="one pair, no corpus, a few steps")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "gap")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the shares to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:gap' gets it all")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.pairs, options.seeds = options.pairs[:1], options.seeds[:2]
        options.methods, options.start = ("subword-uniform", "mean", "zero"), "subword-uniform"
        options.tokens = min(options.tokens, 4000)
    options.methods = list(dict.fromkeys(["mean", *options.methods]))
    return options


def paired(name: str) -> list[Pair]:
    """The pair of a specification, if its models are there."""
    return list(present([":".join(name.split(":")[:2])]))


def text_name(name: str) -> str:
    """The text that a specification asks for."""
    return [*name.split(":"), ""][2] or "English"


def read_texts(names: set[str], options: argparse.Namespace) -> dict[str, gap_text.Text]:
    """The texts asked for by name; the user's own instead of each where there are some."""
    if options.smoke:
        return dict.fromkeys(names, gap_text.small(options.text, 2))
    if options.train_text:
        return dict.fromkeys(names, gap_text.given(options.train_text, options.text))
    if not options.corpus.is_dir():
        sys.exit(
            f"There is no training text in {options.corpus}: name files with --train-text, or the "
            "folder that holds corpus/ with TOKXFER_SHARED."
        )
    found = {}
    for name in sorted(names):
        if name == "code":
            found[name] = gap_text.code(options.corpus, options.cache / "text")
        else:
            found[name] = gap_text.english(options.corpus, options.text)
    return found


def study(
    pair: Pair,
    text: gap_text.Text,
    options: argparse.Namespace,
    training: Training,
    advance: Callable[[int], Any],
) -> Figures:
    """Everything about one pair on one text."""
    skipped: dict[str, str] = {}
    try:
        encoder = TextEncoder.open(None, offline=True)
    except TokxferError:
        encoder = None  # the methods that need one say so
    fit = options.fit_text and TrainText(options.fit_text, options.fit_limit)
    corpus = fit and fit.open(list(text.judged))
    runs = []
    for seed in options.seeds:
        one = Study(pair, text, seed, options.cache, encoder, corpus)
        methods = {}
        for name in options.methods:
            try:
                methods[name] = one.method(name)
            except TokxferError as failure:
                skipped[name] = str(failure)
        runs.append({"seed": seed, "methods": methods})
        runs[-1]["oracle"] = one.oracle(options.start, training, advance)
        print(f"{pair.name}, {text.name}, seed {seed} is done", file=sys.stderr, flush=True)
    return {
        "pair": pair.name,
        "base": pair.base.name,
        "donor": pair.donor.name,
        "text": text.name,
        "tied": ModelFolder.open(pair.base).embeddings.output is None,
        "domains": domains(pair),
        "new": {matrix: len(ids) for matrix, ids in one.missing.items()},
        "base_bits_per_byte": one.base()["bits_per_byte"],
        "skipped": skipped,
        "summary": summarize(runs),
        "seeds": runs,
    }


def domains(pair: Pair) -> str:
    """Whether both were trained on the same text, by what their folders say."""
    trained = []
    for folder in (pair.base, pair.donor):
        file = folder / "reference.json"
        told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        trained.append(told.get("corpus_sha256"))
    if None in trained:
        return "unknown"
    return "same" if trained[0] == trained[1] else "different"


def publish(document: Figures, options: argparse.Namespace) -> None:
    """Print the page; write JSON, plot and page that were asked for."""
    print(pages.full(document, None))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.plot:
        import gap_plot

        gap_plot.draw(document["pairs"], options.plot)
    if options.page:
        place = options.page.resolve().parent
        picture = options.plot and os.path.relpath(options.plot.resolve(), place)
        replace_block(options.page, "gap", pages.full(document, picture))


if __name__ == "__main__":
    keep_memory_mapped()
    main()
