"""Time sparse coding against mergekit's, and against the float32 products it could be made of.

    python scripts/bench/omp.py                                   # the published sizes
    python scripts/bench/omp.py --device cuda --json omp.json
    python scripts/bench/omp.py --atoms 300 --dims 32 --targets 40 --no-peer   # a smoke test

Every figure comes from a process of its own on the same arrays with as many threads. "products"
are the k products [batch, dim] × [dim, atoms] alone that choosing k atoms one by one by residuals
takes. Random dictionaries have a decaying spectrum and rows of unequal length, as embeddings do;
of a real matrix a random fifth of the rows is coded in the others, with k at most a third of its
width. mergekit runs from its own virtual environment in build/peers, made on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import peers
from tables import markdown_table, replace_block

from tokxfer.checkpoints import ModelFolder, parse_size, pick_device
from tokxfer.workflows.environment import environment

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
MATRICES = (SHARED / "models" / "stories260K", ROOT / "models" / "english-bytebpe")
COLUMNS = (
    "rows", "atoms", "dim", "k", "targets", "tool", "ms/target", "CPU ms/target", "× products",
    "speed-up", "extra MB", "relative error", "largest coefficient",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Rows to code, and the atoms to code them in."""

    name: str
    targets: torch.Tensor
    atoms: torch.Tensor
    k: int


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    python = None if options.no_peer else peers.mergekit_python()
    results = []
    for case in cases(options):
        results += measure(case, options, python)
        print(f"{case.name} ({case.atoms.shape[1]} wide) is done", file=sys.stderr, flush=True)
    about = {
        "command": shlex.join(["python", "scripts/bench/omp.py", *(arguments or sys.argv[1:])]),
        "seed": options.seed,
        "threads": options.threads,
        "environment": environment().to_dict(),
    }
    page = f"{summary(about, results)}\n\n{table(results)}"
    print(page)
    if options.json:
        document = {"schema_version": 1, **about, "results": results}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.page:
        replace_block(options.page, "omp", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=20_000, help="rows of a random dictionary")
    parser.add_argument("--dims", type=int, nargs="*", default=[512, 2048], help="their widths")
    parser.add_argument(
        "--targets", type=int, nargs="+", default=[5_000],
        help="rows to code at random: a number for each width, the last for those that follow",
    )  # fmt: skip
    parser.add_argument("--k", type=int, default=64, help="atoms a target")
    parser.add_argument("--matrix", type=Path, nargs="*", help="model folders, all by default")
    parser.add_argument("--selection", choices=("normalized", "raw"), default="normalized")
    parser.add_argument("--memory-budget", type=parse_size, help="working memory of tokxfer: 500MB")
    parser.add_argument("--batch", type=int, default=512, help="targets at a time for mergekit")
    parser.add_argument("--repeat", type=int, default=1, help="runs each; the fastest counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=pick_device, default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true", help="leave mergekit out")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="Markdown file with a place 'table:omp' to fill")
    options = parser.parse_args(arguments)
    if options.matrix is None:
        options.matrix = [folder for folder in MATRICES if folder.is_dir()]
    return options


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Random dictionaries of every width asked for, then the input rows of models."""
    random = torch.Generator().manual_seed(options.seed)
    wanted = options.targets + options.targets[-1:] * len(options.dims)
    for dim, targets in zip(options.dims, wanted, strict=False):
        spectrum = torch.linspace(1, 0.05, dim).unsqueeze(1)
        mixing = torch.randn(dim, dim, generator=random) * spectrum / dim**0.5
        rows = torch.randn(options.atoms + targets, dim, generator=random) @ mixing
        rows *= torch.exp(0.25 * torch.randn(len(rows), 1, generator=random))
        yield Case("random", rows[options.atoms :], rows[: options.atoms], options.k)
    for path in options.matrix:
        folder = ModelFolder.open(path)
        rows = folder.read(folder.embeddings.input).float()
        rows = rows[torch.randperm(len(rows), generator=random)]
        count = min(options.targets[0], len(rows) // 5)
        k = min(options.k, rows.shape[1] // 3)
        yield Case(path.resolve().name, rows[:count], rows[count:], k)


def measure(case: Case, options: argparse.Namespace, python: Path | None) -> list[dict[str, Any]]:
    """Run every tool on a case; one dictionary of figures each."""
    tools = {"floor": sys.executable, "tokxfer": sys.executable}
    if python is not None:
        tools["mergekit"] = str(python)
    count, figures = len(case.targets), {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "targets.npy", case.targets.numpy())
        np.save(Path(folder) / "atoms.npy", case.atoms.numpy())
        task = {
            "folder": folder,
            "k": case.k,
            "count": count,
            "batch": min(options.batch, count),
            "threads": options.threads,
            "device": str(options.device),
            "selection": options.selection,
            "memory_budget": options.memory_budget,
        }
        for who, program in tools.items():
            runs = [work(program, task | {"who": who}) for _ in range(options.repeat)]
            figures[who] = min(runs, key=lambda run: run["wall_seconds"])
            if who != "floor":
                figures[who] |= quality(case, Path(folder) / f"{who}.npz")
    size = {"rows": case.name, "atoms": len(case.atoms), "dim": case.atoms.shape[1]}
    results = []
    for who, one in figures.items():
        one |= {
            "ms_per_target": 1e3 * one["wall_seconds"] / count,
            "cpu_ms_per_target": 1e3 * one["cpu_seconds"] / count,
            "times_products": one["wall_seconds"] / figures["floor"]["wall_seconds"],
        }
        if "mergekit" in figures and who != "floor":
            one["speed_up"] = figures["mergekit"]["wall_seconds"] / one["wall_seconds"]
        results.append(size | {"k": case.k, "targets": count, "tool": who} | one)
    return results


def work(python: str, task: dict[str, Any]) -> dict[str, Any]:
    """Measure one tool in a process of its own."""
    worker = Path(__file__).with_name("omp_worker.py")
    surroundings = os.environ | {"OMP_NUM_THREADS": str(task["threads"])}
    done = subprocess.run(
        [python, str(worker), json.dumps(task)], stdout=subprocess.PIPE, text=True, env=surroundings
    )
    if done.returncode:
        sys.exit(f"{task['who']} failed; its messages stand above")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def quality(case: Case, path: Path) -> dict[str, float]:
    """Mean relative error of the codes, and their largest coefficient."""
    codes = np.load(path)
    errors, largest = [], 0.0
    for start in range(0, len(case.targets), 256):
        part = slice(start, start + 256)
        support = torch.from_numpy(codes["support"][part])
        weights = torch.from_numpy(codes["coefficients"][part])
        rows = case.atoms[support.clamp(min=0)]
        target = case.targets[part]
        left = target - torch.bmm(weights.unsqueeze(1), rows).squeeze(1)
        errors.append(left.norm(dim=1) / target.norm(dim=1))
        largest = max(largest, float(weights.abs().max()))
    return {"relative_error": float(torch.cat(errors).mean()), "largest_coefficient": largest}


def summary(about: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """What was run, where."""
    surroundings = about["environment"]
    versions = {one["tool"]: one["version"] for one in results}
    named = [f"{tool} {versions[tool]}" for tool in ("tokxfer", "mergekit") if tool in versions]
    return (
        f"`{about['command']}`, seed {about['seed']}, {about['threads']} threads; "
        f"{', '.join([*named, 'torch ' + versions['floor'], surroundings['python']])}; "
        f"{surroundings['platform']}, {surroundings['cpus']} cores."
    )


def table(results: list[dict[str, Any]]) -> str:
    rows = []
    for one in results:
        error, largest = one.get("relative_error"), one.get("largest_coefficient")
        tool = {"floor": "products alone", "tokxfer": f"tokxfer ({one.get('way')})"}
        rows.append([
            *(one["rows"], f"{one['atoms']:,}", f"{one['dim']:,}", one["k"], f"{one['targets']:,}"),
            tool.get(one["tool"], one["tool"]),
            f"{one['ms_per_target']:.2f}",
            f"{one['cpu_ms_per_target']:.2f}",
            f"{one['times_products']:.2f}",
            f"{one['speed_up']:.2f}" if "speed_up" in one else "",
            f"{one['extra_bytes'] / 1e6:,.0f}",
            "" if error is None else f"{error:.4f}",
            "" if largest is None else f"{largest:.3g}",
        ])  # fmt: skip
    return markdown_table(COLUMNS, rows, "lrrrrlrrrrrrr")


if __name__ == "__main__":
    main()
