"""GOLD's hybrid and ALM on one batch: TRL's trainer's loss against this package's objectives.

    python scripts/bench/gold.py                       # ten minutes on one core
    python scripts/bench/gold.py --page docs/benchmarks.md --json build/bench/gold.json
    python scripts/bench/gold.py --smoke --no-peer     # seconds, without TRL

All get the same hidden states of student and teacher, heads, ids and chunks, drawn by the seed, and
give the loss and the gradients of the student's hidden states and head. TRL's loss function is
called as its trainer calls it, behind the logits of both heads, with pairs of tokens that have the
same spelling; GOLD here has the same pairs. Every figure is of a process of its own, behind a batch
that warms it up: CPU time, the least of a few runs, and peak memory beyond what was there before
and beyond the gradients. TRL runs from a virtual environment in build/peers, made on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import peers
from gold_page import page
from tables import replace_block

from tokxfer.workflows.environment import environment
from tokxfer.workflows.progress import progress_bar

Figures = dict[str, Any]
EXACT, DEFAULT = "bayesian", "observed"  # how TRL merges tokens of a chunk
STRATEGIES = {"trl": EXACT, "trl-default": DEFAULT}
SHORT = 2  # sizes at which both strategies are run


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    python = None if options.no_peer else str(peers.trl_python())
    sizes = [
        {"vocab": vocab, "batch": batch, "tokens": tokens}
        for vocab in options.vocab
        for batch in options.batch
        for tokens in options.tokens
    ]
    runs: list[Figures] = []
    over: dict[tuple[int, int], int] = {}  # tokens at which TRL took too long
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar(len(sizes), "measuring", "size", True) as bar,
    ):
        for size in sizes:
            short = size["batch"] == 1 and size["tokens"] in options.tokens[:SHORT]
            kind = size["vocab"], size["batch"]
            found = at_size(size, options, python, Path(folder), short, over.get(kind))
            if any(run["way"] == "trl" and "over" in run for run in found):
                over.setdefault(kind, size["tokens"])
            runs += found
            bar.update(1)
    given = sys.argv[1:] if arguments is None else arguments
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/gold.py", *given]),
        "environment": environment().to_dict(),
        "runs": runs,
        **{
            name: getattr(options, name)
            for name in ("dim", "matched", "limit", "threads", "seed", "times")
        },
    }
    text = page(document)
    print(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "gold", text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", nargs="+", type=int, default=[64, 128, 256, 512],
                        help="of a text, on either side; a multiple of 8")  # fmt: skip
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4], help="texts")
    parser.add_argument("--vocab", nargs="+", type=int, default=[32_000, 128_000])
    parser.add_argument("--dim", type=int, default=576, help="of hidden states")
    parser.add_argument("--matched", type=float, default=0.8, help="share of ids that both have")
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds a run may take")
    parser.add_argument("--times", type=int, default=2, help="runs, of which the least counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true", help="leave TRL out")
    parser.add_argument("--smoke", action="store_true", help="two small sizes, once")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="Markdown file with a place 'table:gold' to fill")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tokens, options.batch, options.vocab = [8, 16], [2], [500]
        options.dim, options.times = 16, 1
    return options


def at_size(
    size: Figures,
    options: argparse.Namespace,
    python: str | None,
    folder: Path,
    short: bool,
    over: int | None,
) -> list[Figures]:
    """Every way at a size, one behind the other; GOLD's gradient is compared with TRL's."""
    ways = ["gold", "alm", *([] if python is None else ["trl", *(["trl-default"] * short)])]
    found: list[Figures] = []
    for way in ways:
        task = size | {"way": way, "gradient": str(folder / f"{way}.npy")}
        task |= {name: getattr(options, name) for name in
                 ("dim", "matched", "limit", "threads", "seed", "times")}  # fmt: skip
        if way in STRATEGIES:
            task |= {"module": "gold_trl", "strategy": STRATEGIES[way], "exactness": short}
        else:
            task |= {"module": "gold_ours"}
        if way == "trl" and over is not None:
            figures: Figures = {"over": options.limit, "at": over}
        else:
            figures = apart(task, python if way in STRATEGIES else None)
        found.append(size | {"way": way} | figures)
    done = {run["way"] for run in found if "over" not in run}
    if {"gold", "trl"} <= done:
        exact = np.load(folder / "trl.npy")
        for run in found:
            if run["way"] in ("gold", "trl-default"):
                run |= likeness(np.load(folder / f"{run['way']}.npy"), exact)
    return found


def likeness(found: Any, exact: Any) -> Figures:
    """How a gradient of the hidden states differs from the exact one, and their cosine."""
    norms = [float(np.linalg.norm(each)) for each in (found, exact)]
    return {
        "apart": float(np.linalg.norm(found - exact)) / norms[1],
        "cosine": float((found * exact).sum()) / (norms[0] * norms[1]),
    }


def apart(task: Figures, python: str | None) -> Figures:
    """Measure in a process of its own, of another tool's Python where one is given."""
    worker = Path(__file__).with_name("gold_worker.py")
    surroundings = os.environ | {"OMP_NUM_THREADS": str(task["threads"])}
    done = subprocess.run(
        [python or sys.executable, str(worker), json.dumps(task)],
        capture_output=True, text=True, env=surroundings,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{task['way']} failed:\n{done.stderr}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
