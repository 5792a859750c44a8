"""What a head costs that is asked for labels and boundary masses: in tiles, and all logits at once.

    python scripts/bench/linear_head.py                       # some minutes on one core
    python scripts/bench/linear_head.py --page docs/benchmarks.md --json build/bench/head.json
    python scripts/bench/linear_head.py --smoke               # seconds, on small shapes

Random hidden states and weights, single precision; forward and backward to both. Every figure is of
a process of its own, the least of a few runs behind one that warms up: CPU time, and peak memory
beyond what was there before and beyond the gradients. The second table is of a step of approximate
likelihood matching on the same head, its teacher's figures cached, against a step on the text.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from tables import markdown_table, replace_block

from tokxfer.distillation.alm import alm
from tokxfer.distillation.chunksums import at_ends, chunk_sums
from tokxfer.distillation.linearhead import head_log_probs
from tokxfer.distillation.merging import merged, outcomes
from tokxfer.workflows.environment import environment
from tokxfer.workflows.memory import MemoryPeak
from tokxfer.workflows.progress import progress_bar

Figures = dict[str, Any]
WAYS = {
    "log-softmax": "all logits, log-softmax",
    "softmax": "all logits, softmax",
    "tiles": "in tiles",
}
SETS = {0: "none", 1: "one for all"}  # others: one of so many a position
EVERY = 3  # positions of a chunk
SPREAD = 0.05  # of the weights, so that logits are as spread as a model's


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.worker:
        print(json.dumps(worker(json.loads(options.worker))))
        return
    shared = {name: getattr(options, name) for name in ("vocab", "dim", "threads", "seed", "times")}
    tasks = [
        {"way": way, "positions": positions, "sets": sets} | shared
        for positions in options.positions
        for sets in (options.sets if positions == options.positions[0] else options.sets[1:2])
        for way in WAYS
    ]
    tasks += [
        {"way": way, "positions": options.positions[0], "sets": sets} | shared
        for sets in options.sets[1:]
        for way in ("sft", "alm")
    ]
    runs: list[Figures] = []
    with progress_bar(len(tasks), "measuring", "run", True) as bar:
        for task in tasks:
            runs.append(task | apart(task))
            bar.update(1)
    publish(options, arguments, runs)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", nargs="+", type=int, default=[1024, 512, 2048])
    parser.add_argument("--sets", nargs="+", type=int, default=[0, 1, 100],
                        help="boundary sets in use, one for each last character")  # fmt: skip
    parser.add_argument("--vocab", type=int, default=128_000)
    parser.add_argument("--dim", type=int, default=576)
    parser.add_argument("--times", type=int, default=2, help="runs, of which the least counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two small shapes, once")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:linear_head' is filled")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.positions, options.vocab, options.dim, options.times = [64, 32], 2_000, 16, 1
    return options


def apart(task: Figures) -> Figures:
    """Measure in a process of its own, so that memory can be told apart."""
    command = [sys.executable, __file__, "--worker", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: Figures = json.loads(done.stdout)
    return found


class Case(NamedTuple):
    """What a head is asked."""

    hidden: Tensor
    weight: Tensor
    labels: Tensor
    sets: Sets
    set_of: Tensor | None


class Sets:
    """Boundary sets [sets, vocab], drawn at random: three of ten tokens."""

    def __init__(self, count: int, vocab: int) -> None:
        self.all = torch.rand(count, vocab) < 0.3

    def members(self, which: Tensor, start: int, stop: int) -> Tensor:
        return self.all[which, start:stop]


def worker(task: Figures) -> Figures:
    """Seconds, memory, loss and gradient norms of one way."""
    torch.set_num_threads(task["threads"])
    torch.manual_seed(task["seed"])
    count = max(1, task["sets"])
    case = Case(
        torch.randn(task["positions"], task["dim"]).requires_grad_(),
        torch.randn(task["vocab"], task["dim"]).mul_(SPREAD).requires_grad_(),
        torch.randint(task["vocab"], (task["positions"],)),
        Sets(count, task["vocab"]),
        torch.randint(count, (task["positions"],)) if task["sets"] else None,
    )
    leaves = case.hidden, case.weight
    few = None if case.set_of is None else case.set_of[:EVERY]
    warm_up = case._replace(hidden=case.hidden[:EVERY], labels=case.labels[:EVERY], set_of=few)
    STEPS[task["way"]](warm_up).backward()
    seconds, extra = [], []
    for _ in range(task["times"]):
        for leaf in leaves:
            leaf.grad = None
        with MemoryPeak(torch.device("cpu")) as peak:
            started = time.process_time()
            loss = STEPS[task["way"]](case)
            loss.backward()
            seconds.append(time.process_time() - started)
        gradients = sum(leaf.nbytes for leaf in leaves)
        extra.append(max(0, (peak.extra_bytes or 0) - gradients))
    return {
        "seconds": min(seconds),
        "extra_bytes": min(extra),
        "loss": loss.item(),
        "norms": [float(leaf.grad.norm()) for leaf in leaves if leaf.grad is not None],
    }


def tiles(case: Case) -> Tensor:
    """The mean of all label log-probabilities and boundary log-masses, in tiles."""
    sets = None if case.set_of is None else case.sets
    found, masses = head_log_probs(
        case.hidden, case.weight, None, case.labels, sets=sets, set_of=case.set_of
    )
    return -(found.mean() + (0.0 if masses is None else masses.mean()))


def softmax(case: Case) -> Tensor:
    """The same from probabilities, which is fast and loses what is unlikely."""
    shares = torch.nn.functional.linear(case.hidden, case.weight).softmax(dim=1)
    found = shares.gather(1, case.labels.unsqueeze(1)).log().mean()
    members = inside(case)
    return -found if members is None else -(found + (shares * members).sum(1).log().mean())


def log_softmax(case: Case) -> Tensor:
    """The same from log-probabilities."""
    logs = torch.nn.functional.linear(case.hidden, case.weight).log_softmax(dim=1)
    found, members = logs.gather(1, case.labels.unsqueeze(1)).mean(), inside(case)
    if members is None:
        return -found
    return -(found + logs.masked_fill(~members, -torch.inf).logsumexp(dim=1).mean())


def inside(case: Case) -> Tensor | None:
    """[positions or 1, vocab] which tokens are in each position's set."""
    if case.set_of is None:
        return None
    return case.sets.all if len(case.sets.all) == 1 else case.sets.all[case.set_of]


def sft(case: Case) -> Tensor:
    """A step on the text alone, in tiles."""
    return -head_log_probs(case.hidden, case.weight, None, case.labels).labels.mean()


def matching(case: Case) -> Tensor:
    """A step of ALM in tiles: a chunk every three positions, the teacher's two numbers made up."""
    size = len(case.labels)
    assert case.set_of is not None
    ends = torch.arange(size) % EVERY == EVERY - 1  # only there masses are asked
    set_of = case.set_of.masked_fill(~ends, -1)
    found, masses = head_log_probs(
        case.hidden, case.weight, None, case.labels, sets=case.sets, set_of=set_of
    )
    assert masses is not None
    count = size // EVERY
    chunk = (torch.arange(size) // EVERY).unsqueeze(0)
    chunk = chunk.masked_fill(chunk >= count, -1)
    final = (torch.arange(count) * EVERY + EVERY - 1).unsqueeze(0)
    valid = torch.ones(1, count, dtype=torch.bool)
    chunks = chunk_sums(found.unsqueeze(0), chunk, count)
    behind = at_ends(masses.unsqueeze(0), final)
    groups = merged(behind.detach(), valid, ~valid)
    ours = outcomes(chunks, behind, groups)
    return alm(ours.detach() * 0.9, ours, groups.valid).mean


STEPS: dict[str, Callable[[Case], Tensor]] = {
    "log-softmax": log_softmax,
    "softmax": softmax,
    "tiles": tiles,
    "sft": sft,
    "alm": matching,
}


def publish(options: argparse.Namespace, arguments: list[str] | None, runs: list[Figures]) -> None:
    """Print the page; write JSON and the page's place where asked for."""
    given = sys.argv[1:] if arguments is None else arguments
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/linear_head.py", *given]),
        "environment": environment().to_dict(),
        "vocab": options.vocab,
        "dim": options.dim,
        "threads": options.threads,
        "seed": options.seed,
        "times": options.times,
        "runs": runs,
    }
    page = f"{surroundings(document)}\n\n{table(runs)}\n\n{steps(runs)}"
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "linear_head", page)


def surroundings(document: Figures) -> str:
    """What was run, with what, where."""
    place = document["environment"]
    return (
        f"`{document['command']}`, seed {document['seed']}, {document['threads']} threads; "
        f"tokxfer {place['tokxfer']}, torch {place['packages']['torch']}, Python "
        f"{place['python']}; {place['platform']}, {place['cpus']} cores. Vocabulary "
        f"{document['vocab']:,}, width {document['dim']}, single precision; the least of "
        f"{document['times']} runs."
    )


def table(runs: list[Figures]) -> str:
    """A row per way, shape and number of sets; times against the faster plain way."""
    columns = ["positions", "boundary sets", "way", "CPU s", "× plain", "extra MB", "loss",
               "gradient norms"]  # fmt: skip
    rows: list[list[object]] = []
    for run in runs:
        if run["way"] not in WAYS:
            continue
        alike = [
            other["seconds"]
            for other in runs
            if all(other[name] == run[name] for name in ("positions", "sets"))
            and other["way"] in ("log-softmax", "softmax")
        ]
        norms = " ".join(f"{norm:.6g}" for norm in run["norms"])
        rows.append([
            f"{run['positions']:,}", SETS.get(run["sets"], f"{run['sets']}"), WAYS[run["way"]],
            f"{run['seconds']:.2f}", f"{run['seconds'] / min(alike):.2f}",
            f"{run['extra_bytes'] / 1e6:,.0f}", f"{run['loss']:.6g}", norms,
        ])  # fmt: skip
    return markdown_table(columns, rows, "rllrrrrr")


def steps(runs: list[Figures]) -> str:
    """ALM with a cached teacher against the text alone, through the same head."""
    columns = ["positions", "boundary sets", "SFT CPU s", "ALM CPU s", "ALM × SFT"]
    rows: list[list[object]] = []
    pairs = [[run for run in runs if run["way"] == way] for way in ("sft", "alm")]
    for one, other in zip(*pairs, strict=True):
        times = one["seconds"], other["seconds"]
        rows.append([
            f"{one['positions']:,}", SETS.get(one["sets"], f"{one['sets']}"),
            *(f"{seconds:.2f}" for seconds in times), f"{times[1] / times[0]:.2f}",
        ])  # fmt: skip
    return markdown_table(columns, rows, "rlrrr")


if __name__ == "__main__":
    main()
