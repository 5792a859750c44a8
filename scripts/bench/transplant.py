"""What a transplant keeps: held-out bits per byte before and after, beside mergekit's tokensurgeon.

    python scripts/bench/transplant.py --jobs 2                       # all pairs; about an hour
    python scripts/bench/transplant.py --readme README.md --page docs/benchmarks.md \\
        --plot docs/plots/transplant.svg --json build/bench/transplant.json
    python scripts/bench/transplant.py --pairs stories260K:english-bytebpe --limit 4
    python scripts/bench/transplant.py --smoke --no-peer              # a minute

omp and subword at their defaults, and everything of mergekit, are runs of the tool's own command,
each in a process of its own that is timed from start to end; our other methods and settings share
one loaded base. The same code evaluates every result. Both omps get the same k, up to a third of
the narrower model's width. mergekit runs from its own virtual environment in build/peers, made on
first use, every method of it at every setting: omp, subword and mean as the folders are and with
the tokenizers' classes named, the others in whichever of the two suits it better (interpolation at
the best of its schemes at every k that omp gets), and omp at its best k also with its byte matching
and its filter of badly trained tokens. What has been measured is kept in build/bench/transplant, so
that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import peers
import transplant_page as pages
from tables import replace_block
from transplant_inside import Inside
from transplant_race import Given, Naming, Told, alone, prefetch
from transplant_runs import Bench, Figures, Pair, Run

from tokxfer.checkpoints import ModelFolder
from tokxfer.embeddings import REGISTRY
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
METHODS = tuple(REGISTRY)
FLAGGED, FLAGS = ("omp", "blend"), (("--twins", "mean"),)
NEAREST = ("tokenadapt-global", "tokenadapt-hybrid")
NEAR = (1, 3, 5, 10)
PEER_FIRST = ("subword", "mean")  # raced with omp as the folders are, and with classes named
PEER_PLAIN = ("zero", "randn", "john_hewitt", "landmark_pca")  # take no k, whatever is given
PEER_SIZED = ("stb", "mp_rope")
INTERPOLATION = "common_interpolation"
PEER_METHODS = ("omp", *PEER_FIRST, *PEER_PLAIN, *PEER_SIZED, INTERPOLATION)
SUBWORD_METHODS = ("sum", "weighted_mean", "first_last")  # beside the default, the mean
WEIGHT_SCHEMES = ("distance_proportional", "barycentric", "least_squares")
PEER_SIZES = (4, 16, 64)
PEER_FLAGS = (("--byte-match", "yes"), ("--magikarp",))
SIZES = (2, 4, 8, 16, 24, 32, 48, 64)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    documents = list(read_documents(options.text, options.limit))
    pairs = list(present(options.pairs))[: 1 if options.smoke else None]
    if not pairs:
        sys.exit("None of the pairs is there.")
    peer = None if options.no_peer else (peers.mergekit_python(), peers.MERGEKIT)
    bench = Bench(documents, options.cache, options.threads, options.seed, peer, options.jobs)
    given = Given.of(options)
    total = len(pairs) * count(given, peer is not None)
    with progress_bar(total, "transplants", "run", True) as bar:
        studies = [study(bench, pair, given, bar.update) for pair in pairs]
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/transplant.py", *(arguments or sys.argv[1:])]
        ),
        "seed": options.seed,
        "threads": options.threads,
        "jobs": options.jobs,
        "train_text": given.train and {"name": given.train.file.name, "limit": given.train.limit},
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
    parser.add_argument("--methods", nargs="+", default=METHODS, help="ours; all by default")
    parser.add_argument("--peer-methods", nargs="*", default=PEER_METHODS, choices=PEER_METHODS)
    parser.add_argument("--ks", nargs="*", type=int, default=SIZES, help="k fixed, for both omps")
    parser.add_argument(
        "--peer-ks", nargs="*", type=int, default=PEER_SIZES, help="of mergekit's other methods"
    )
    parser.add_argument("--train-text", type=Path, help="for the methods that are fitted on text")
    parser.add_argument(
        "--train-limit", type=int, default=2000, help="documents of it; the first ones"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="measurements at a time; seconds are then rough"
    )
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
        options.limit, options.ks, options.peer_ks = 2, (4,), (4,)
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


def study(bench: Bench, pair: Pair, given: Given, advance: Callable[[int], Any]) -> Figures:
    """Everything about one pair."""
    base = bench.base(pair.base)
    sizes = [k for k in given.sizes if k <= width(pair) // 3]
    ours = our_runs(given.methods, sizes)
    apart = [run for run in ours if alone(run)]
    inside = Inside(bench, pair, given.train)
    naming = Naming.of(bench, pair) if bench.mergekit else None
    first = naming.first(sizes, given.peer_methods) if naming else []
    told = Told(bench, pair, base, inside, naming, advance)
    prefetch(told, [*apart, *first], [run for run in ours if run not in apart])
    runs = [told.figures(run) for run in ours]
    if naming:
        runs += told.unless_same(first)
        best = pages.best_naming(runs)
        grid = peer_grid(given.peer_sizes, given.peer_methods, best)
        prefetch(told, grid, [])
        runs += [told.figures(run) for run in grid]
        works = [r for r in runs if r["method"] in PEER_SIZED and "failed" not in r]
        more = [Run("mergekit", r["method"], k, best) for r in works for k in given.peer_sizes[1:]]
        between = pages.best(runs, "mergekit", INTERPOLATION)
        others = [k for k in given.sizes if k not in given.peer_sizes] if between else []
        flags = tuple(between["flags"]) if between else ()
        more += [Run("mergekit", INTERPOLATION, k, best, flags) for k in others]
        prefetch(told, more, [])
        runs += [told.figures(run) for run in more]
        top = pages.best(runs, "mergekit", "omp")
        flagged = [
            Run("mergekit", "omp", top["k"], top["named"], flags)
            for flags in (PEER_FLAGS if top else ())
            if top
        ]
        runs += [told.figures(run) for run in flagged]
    return {
        "pair": pair.name,
        "base": pair.base.name,
        "donor": pair.donor.name,
        "base_figures": base,
        "mergekit_classes": naming.classes if naming else None,
        "ks": sizes,
        "runs": runs,
    }


def count(given: Given, peer: bool) -> int:
    """How many measurements a pair takes, at most."""
    ours = len(our_runs(given.methods, given.sizes))
    first = 2 * (len(given.sizes) + len(PEER_FIRST))
    grid = len(peer_grid(given.peer_sizes, given.peer_methods, False))
    return ours + (first + grid + len(PEER_FLAGS) if peer else 0)


def our_runs(methods: Sequence[str], sizes: Sequence[int]) -> list[Run]:
    """Every method at its defaults, and those with a k at each."""
    runs = [Run("tokxfer", method) for method in methods]
    for method, own in (("omp", sizes), ("knn", sizes), *((m, NEAR) for m in NEAREST)):
        runs += [Run("tokxfer", method, k) for k in own] if method in methods else []
    return runs + [
        Run("tokxfer", m, None, False, flags) for m in FLAGGED if m in methods for flags in FLAGS
    ]


def peer_grid(sizes: Sequence[int], methods: Sequence[str], named: bool) -> list[Run]:
    """mergekit's other methods at every setting that its options offer."""
    plain = [Run("mergekit", m, None, named) for m in PEER_PLAIN if m in methods]
    subword = [
        Run("mergekit", "subword", None, named, ("--subword-method", how))
        for how in SUBWORD_METHODS
        if "subword" in methods
    ]
    sized = [Run("mergekit", m, k, named) for m in PEER_SIZED if m in methods for k in sizes[:1]]
    between = [
        Run("mergekit", INTERPOLATION, k, named, ("--weight-scheme", how, *metric))
        for how in WEIGHT_SCHEMES
        for metric in ((), ("--cosine-similarity",))
        for k in sizes
        if INTERPOLATION in methods
    ]
    return [*plain, *subword, *sized, *between]


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
