"""What a transplant leaves of addition, with and without `--keep-digits`.

    python scripts/bench/arithmetic.py                       # some minutes on one core
    python scripts/bench/arithmetic.py --page docs/benchmarks.md --json build/bench/arithmetic.json
    python scripts/bench/arithmetic.py --smoke               # seconds; the models learn nothing

Two small models a seed are trained from scratch on the same sums, one that sees single digits and
one that sees groups of three. Each is the base once and the donor once. Held-out sums are answered
greedily: an answer counts when it is right to the full stop. Bits per byte are those of the right
answers, full stop included. Trained models are kept in build/bench/arithmetic.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))
from arithmetic_models import DIGITS, Sum, Task, trained
from tables import markdown_table, replace_block

import tokxfer as tx
from tokxfer.workflows.environment import environment
from tokxfer.workflows.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("omp", "subword", "asymmetric", "mean")
LONGEST = 6  # tokens of an answer, at most
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    english = (ROOT / "models" / "held_out.txt").read_text(encoding="utf-8")
    task = Task(options.top, options.held_out, options.tokens, english)
    asked = task.pairs()[1][: options.questions]
    runs: list[Figures] = []
    with progress_bar(count(options), "models and transplants", "run", True) as bar:
        for seed in options.seeds:
            folders = {}
            for digits in DIGITS:
                folders[digits] = trained(digits, seed, task, options.cache, options.threads)
                bar.update(1)
            for base, donor in (tuple(DIGITS), tuple(DIGITS)[::-1]):
                told = {"base": base, "donor": donor, "seed": seed}
                model, tokenizer = load(folders[base])
                runs.append(told | {"method": None, "kept": None} | marks(model, tokenizer, asked))
                for method in options.methods:
                    for kept in (False, True):
                        made = transplanted(folders[base], folders[donor], method, kept, seed)
                        figures = marks(*made, asked)
                        runs.append(told | {"method": method, "kept": kept} | figures)
                        bar.update(1)
    publish(options, arguments, runs)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=800_000, help="of training, per model")
    parser.add_argument("--top", type=int, default=100, help="both terms are below this")
    parser.add_argument("--held-out", type=int, default=1000, help="pairs never trained on")
    parser.add_argument("--questions", type=int, default=1000, help="held-out sums to be answered")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="one seed, two methods, no learning")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "arithmetic")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:arithmetic' is filled")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seeds, options.tokens, options.questions = options.seeds[:1], 4_000, 20
        options.methods = options.methods[:2]
    return options


def count(options: argparse.Namespace) -> int:
    """Models and transplants."""
    return len(options.seeds) * (2 + 4 * len(options.methods))


def load(folder: Path) -> tuple[Any, Any]:
    """A trained model and its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def transplanted(base: Path, donor: Path, method: str, kept: bool, seed: int) -> tuple[Any, Any]:
    """The base with the donor's tokenizer."""
    model, tokenizer, _ = tx.transplant_model(
        *load(base), *load(donor), method=method, keep_digits=kept, seed=seed
    )
    return model, tokenizer


@torch.no_grad()
def marks(model: Any, tokenizer: Any, asked: list[Sum]) -> Figures:
    """The share of sums answered rightly, and bits per byte of their right answers."""
    groups = defaultdict(list)  # of equally many tokens, so that nothing is padded
    for left, right in asked:
        question, answer = f"{left}+{right}=", f"{left + right}."
        ids = [[tokenizer.bos_token_id, *tokenizer.encode(text)] for text in (question, answer)]
        groups[len(ids[0]), len(ids[1])].append((answer, ids[0], ids[1][1:]))
    model.eval()
    correct, nats, size = 0, 0.0, 0
    for items in groups.values():
        answers = [answer for answer, _, _ in items]
        questions = torch.tensor([ids for _, ids, _ in items])
        said = greedy(model, questions)
        correct += sum(
            tokenizer.decode(ids).startswith(answer)
            for ids, answer in zip(said.tolist(), answers, strict=True)
        )
        right = torch.tensor([ids for _, _, ids in items])
        logits = model(torch.cat([questions, right], dim=1)).logits[:, questions.shape[1] - 1 : -1]
        nats += float(functional.cross_entropy(logits.mT.double(), right, reduction="sum"))
        size += sum(map(len, answers))
    return {"accuracy": correct / len(asked), "bits_per_byte": nats / math.log(2) / size}


def greedy(model: Any, questions: torch.Tensor) -> torch.Tensor:
    """The likeliest next tokens after some questions [questions, time], one after the other."""
    ids = questions
    for _ in range(LONGEST):
        ids = torch.cat([ids, model(ids).logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    return ids[:, questions.shape[1] :]


def publish(options: argparse.Namespace, arguments: list[str] | None, runs: list[Figures]) -> None:
    """Print the page; write JSON and the page's place where asked for."""
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/arithmetic.py", *(arguments or sys.argv[1:])]
        ),
        "seeds": list(options.seeds),
        "threads": options.threads,
        "tokens": options.tokens,
        "questions": options.questions,
        "top": options.top,
        "environment": environment().to_dict(),
        "runs": runs,
    }
    page = f"{surroundings(document)}\n\n{table(document)}"
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "arithmetic", page)


def surroundings(document: Figures) -> str:
    """What was run, with what, where."""
    place = document["environment"]
    packages = ", ".join(f"{name} {place['packages'][name]}" for name in ("torch", "transformers"))
    return (
        f"`{document['command']}`, seeds {', '.join(map(str, document['seeds']))}, "
        f"{document['threads']} threads; tokxfer {place['tokxfer']}, {packages}, Python "
        f"{place['python']}; {place['platform']}, {place['cpus']} cores. Sums of two terms below "
        f"{document['top']}; {document['tokens']:,} tokens of training a model; "
        f"{document['questions']:,} held-out sums; ± is the standard error over "
        f"{len(document['seeds'])} seeds."
    )


def table(document: Figures) -> str:
    """One row per direction and method, without and with the base's digits."""
    columns = ["base ← donor", "method", "right answers", "right, digits kept", "bits/byte",
               "bits/byte, digits kept"]  # fmt: skip
    found = defaultdict(list)
    for run in document["runs"]:
        found[run["base"], run["donor"], run["method"], run["kept"]].append(run)
    rows: list[list[object]] = []
    for base, donor in dict.fromkeys((run["base"], run["donor"]) for run in document["runs"]):
        before = found[base, donor, None, None]
        cells = [spread(before, "accuracy"), "", spread(before, "bits_per_byte"), ""]
        rows.append([f"{base} ← {donor}", "*base*", *cells])
        methods = dict.fromkeys(run["method"] for run in document["runs"] if run["method"])
        for method in methods:
            pair = [found[base, donor, method, kept] for kept in (False, True)]
            figures = [spread(runs, what) for what in ("accuracy", "bits_per_byte")
                       for runs in pair]  # fmt: skip
            rows.append(["", method, *figures])
    return markdown_table(columns, rows, "llrrrr")


def spread(runs: list[Figures], what: str) -> str:
    """Mean and standard error over seeds; shares in percent."""
    values = [run[what] * (100 if what == "accuracy" else 1) for run in runs]
    unit, digits = (" %", 1) if what == "accuracy" else ("", 3)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}{unit}"
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.{digits}f} ± {error:.{digits}f}{unit}"


if __name__ == "__main__":
    main()
