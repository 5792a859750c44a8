"""What a transplant keeps: held-out bits per byte before and after, beside mergekit's tokensurgeon.

    python scripts/bench/transplant.py                                # all pairs; about an hour
    python scripts/bench/transplant.py --readme README.md --page docs/benchmarks.md \\
        --plot docs/plots/transplant.svg --json build/bench/transplant.json
    python scripts/bench/transplant.py --pairs stories260K:english-bytebpe --limit 4
    python scripts/bench/transplant.py --smoke --no-peer              # a minute

Every transplant is one run of the tool's own command, in a process of its own that is timed from
start to end; the same code evaluates every result. Both tools get the same k, up to a third of the
narrower model's width. mergekit runs from its own virtual environment in build/peers, made on first
use, at the settings that suit it best: as the folders are and with the tokenizers' classes named,
and at its best k also with its byte matching and its filter of badly trained tokens. What has been
measured is kept in build/bench/transplant, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import mergekit_naming
import peers
import transplant_page as pages
from tables import replace_block
from transplant_runs import Bench, Figures, Pair, Run, fingerprint

from tokxfer.checkpoints import ModelFolder
from tokxfer.workflows.environment import environment
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.text import read_documents

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
SHARED = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared")) / "models"
PAIRS = (
    "english-spbpe:english-bytebpe",
    "english-bytebpe:english-spbpe",
    "english-unigram:english-bytebpe",
    "english-bytebpe:code-bytebpe",
    "code-bytebpe:english-spbpe",
    "stories260K:english-bytebpe",
)
METHODS = ("omp", "subword", "mean", "gaussian", "zero")
PEER_METHODS = ("omp", "subword", "mean")
PEER_FLAGS = (("--byte-match", "yes"), ("--magikarp",))
SIZES = (2, 4, 8, 16, 24, 32, 48, 64)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    documents = list(read_documents(options.text, options.limit))
    pairs = list(present(options.pairs))[: 1 if options.smoke else None]
    if not pairs:
        sys.exit("None of the pairs is there.")
    peer = None if options.no_peer else (peers.mergekit_python(), peers.MERGEKIT)
    bench = Bench(documents, options.cache, options.threads, options.seed, peer)
    sizes = {pair: [k for k in options.ks if k <= width(pair) // 3] for pair in pairs}
    total = sum(count(sizes[pair], options.methods, peer is not None) for pair in pairs)
    with progress_bar(total, "transplants", "run", True) as bar:
        studies = [study(bench, pair, sizes[pair], options.methods, bar.update) for pair in pairs]
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/transplant.py", *(arguments or sys.argv[1:])]
        ),
        "seed": options.seed,
        "threads": options.threads,
        "mergekit": None if peer is None else peers.MERGEKIT,
        "environment": environment().to_dict(),
        "text": {
            "name": options.text.name,
            "documents": len(documents),
            "bytes": sum(len(text.encode()) for text in documents),
            "sha256": bench.text_hash,
        },
        "pairs": studies,
    }
    publish(document, options)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", nargs="+", default=PAIRS, metavar="BASE:DONOR",
        help="names in models/ or in the shared models, or folders; all by default",
    )  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--ks", nargs="*", type=int, default=SIZES, help="k fixed, for both tools")
    parser.add_argument("--text", type=Path, default=MODELS / "held_out.jsonl")
    parser.add_argument("--limit", type=int, help="evaluate on so many documents only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true", help="leave mergekit out")
    parser.add_argument("--smoke", action="store_true", help="one pair, two documents, k = 4")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "transplant")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the ratios to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:transplant' gets it all")
    parser.add_argument("--readme", type=Path, help="page whose place gets the short table")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.limit, options.ks = 2, (4,)
    return options


def present(names: list[str]) -> Iterator[Pair]:
    """The pairs whose models are there; a remark for each of the others."""
    for name in names:
        base, _, donor = name.partition(":")
        found = [find(part) for part in (base, donor)]
        missing = [part for part, folder in zip((base, donor), found, strict=True) if not folder]
        if missing:
            print(f"Left out {name}: no model {' or '.join(missing)}.", file=sys.stderr)
        elif found[0] and found[1]:
            yield Pair(found[0], found[1])


def find(name: str) -> Path | None:
    """A model's folder by its name or path; one without its config is still being made."""
    for folder in (MODELS / name, SHARED / name, Path(name)):
        if name and (folder / "config.json").is_file():
            return folder.resolve()
    return None


def width(pair: Pair) -> int:
    """The width of the narrower model."""
    return min(ModelFolder.open(path).embeddings.dim for path in (pair.base, pair.donor))


def count(sizes: list[int], methods: list[str], peer: bool) -> int:
    """How many measurements a pair takes, at most."""
    ours = 1 + len(methods) + (len(sizes) if "omp" in methods else 0)
    theirs = 2 * len(peer_runs(sizes, methods)) + (len(PEER_FLAGS) if "omp" in methods else 0)
    return ours + (theirs if peer else 0)


def study(
    bench: Bench, pair: Pair, sizes: list[int], methods: list[str], advance: Callable[[int], Any]
) -> Figures:
    """Everything about one pair."""
    base = bench.base(pair.base)
    advance(1)
    ours = [Run("tokxfer", method) for method in methods]
    ours += [Run("tokxfer", "omp", k) for k in sizes] if "omp" in methods else []
    runs = [told(bench, pair, run, pair, base, advance) for run in ours]
    classes = None
    if bench.mergekit is not None:
        theirs, classes = race(bench, pair, sizes, methods, base, advance)
        runs += theirs
    return {
        "pair": pair.name,
        "base": pair.base.name,
        "donor": pair.donor.name,
        "base_figures": base,
        "mergekit_classes": classes,
        "ks": sizes,
        "runs": runs,
    }


def told(
    bench: Bench, pair: Pair, run: Run, folders: Pair, base: Figures, advance: Callable[[int], Any]
) -> Figures:
    """One run and what it was."""
    figures = bench.run(pair, run, folders)
    advance(1)
    about = {"tool": run.tool, "method": run.method, "k": run.k, "named": run.named}
    return about | {"flags": list(run.flags)} | figures | pages.against(figures, base)


def race(
    bench: Bench,
    pair: Pair,
    sizes: list[int],
    methods: list[str],
    base: Figures,
    advance: Callable[[int], Any],
) -> tuple[list[Figures], list[str | None]]:
    """mergekit at every setting that could suit it, and the tokenizer classes named.

    Naming classes is dropped after the first run where it changes nothing.
    """
    assert bench.mergekit is not None
    copies = [bench.cache / "named" / f"{f.name}-{fingerprint(f)[:12]}" for f in paths(pair)]
    classes = [
        mergekit_naming.named_copy(folder, copy, bench.mergekit[0])
        for folder, copy in zip(paths(pair), copies, strict=True)
    ]
    named = Pair(*(
        copy if kind else folder
        for kind, copy, folder in zip(classes, copies, paths(pair), strict=True)
    ))  # fmt: skip
    plan = peer_runs(sizes, methods)
    runs = [told(bench, pair, Run("mergekit", *one), pair, base, advance) for one in plan]
    for index, one in enumerate(plan if any(classes) else []):
        runs.append(told(bench, pair, Run("mergekit", *one, True), named, base, advance))
        if index == 0 and runs[-1].get("weights") == runs[0].get("weights"):
            advance(len(plan) - 1)
            break
    best = pages.best(runs, "mergekit", "omp")
    for flags in PEER_FLAGS if best else ():
        assert best is not None
        run = Run("mergekit", "omp", best["k"], best["named"], flags)
        runs.append(told(bench, pair, run, named if run.named else pair, base, advance))
    return runs, classes


def paths(pair: Pair) -> tuple[Path, Path]:
    return pair.base, pair.donor


def peer_runs(sizes: list[int], methods: list[str]) -> list[tuple[str, int | None]]:
    """Method and k of mergekit's runs at one setting."""
    plan: list[tuple[str, int | None]] = [("omp", k) for k in sizes] if "omp" in methods else []
    return plan + [(name, None) for name in PEER_METHODS if name in methods and name != "omp"]


def publish(document: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the full page; write JSON, plot and pages that were asked for."""
    print(pages.full(document, None))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.plot:
        import transplant_plot

        transplant_plot.draw(document["pairs"], options.plot)
    for page, render in ((options.page, pages.full), (options.readme, pages.short)):
        if page:
            place = page.resolve().parent
            picture = options.plot and os.path.relpath(options.plot.resolve(), place)
            replace_block(page, "transplant", render(document, picture))


if __name__ == "__main__":
    main()
