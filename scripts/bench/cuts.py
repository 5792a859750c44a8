"""Prompts that stop anywhere: what comes next, by token prompts, ideal token healing and bytes.

    python scripts/bench/cuts.py                                # some minutes on one core
    python scripts/bench/cuts.py --page README.md docs/benchmarks.md --plot docs/plots/cuts.svg
    python scripts/bench/cuts.py --models mine --text held_out.jsonl --bytes 600
    python scripts/bench/cuts.py --smoke                        # seconds

Held-out texts are cut at every byte; each method says how likely the next bytes are that really
follow. Errors are over documents, and those of differences are paired.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from cut_methods import METHODS, Cuts
from kinds import documents, shown
from plots import picture
from tables import markdown_table, replace_block

from reference.data import default_corpus
from tokxfer.bytelevel import ByteLM
from tokxfer.workflows.environment import environment
from tokxfer.workflows.evaluation import Ratio
from tokxfer.workflows.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NAMES = ("english-bytebpe", "english-spbpe", "code-bytebpe")
PLACES = ("anywhere", "inside a token", "at a token's end")
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    texts = {
        kind: [text[: options.bytes] for text in found]
        for kind, found in documents(options).items()
    }
    todo = shown(options.models, texts)
    with progress_bar(sum(len(texts[kind]) for _, kind in todo), "texts", "text", True) as bar:
        models = [
            {"text": kind} | measured(model, texts[kind], options.following, bar.update)
            for model, kind in todo
        ]
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/cuts.py", *(arguments or sys.argv[1:])]),
        "following": options.following,
        "documents": {kind: len(found) for kind, found in texts.items()},
        "environment": environment().to_dict(),
        "models": models,
    }
    page = written(document)
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        drawn(document, options.plot)
    for place in options.page:
        replace_block(place, "cuts", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=[str(MODELS / name) for name in NAMES])
    parser.add_argument("--text", type=Path, help="documents; held-out prose and code if not")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT), help="of the code")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "covers")
    parser.add_argument("--documents", type=int, help="of each kind at most")
    parser.add_argument("--bytes", type=int, default=300, help="of each document, in characters")
    parser.add_argument("--following", type=int, default=8, help="bytes behind a cut")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="two short texts")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the figures to this file")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="+",
        default=(),
        help="pages whose places 'table:cuts' are filled",
    )
    options = parser.parse_args(arguments)
    if options.smoke:
        options.text = options.text or MODELS / "held_out.jsonl"
        options.bytes, options.models, options.documents = 40, options.models[:1], 2
    return options


def measured(name: str, texts: list[str], following: int, advance: Any) -> Figures:
    """All cuts of all texts under one model: nats and number of cuts by text, place and method."""
    canonical = ByteLM.from_pretrained(name)
    free = ByteLM(
        canonical.model, canonical.vocabulary, stops=canonical.stops, law="all", horizon=1 << 30
    )
    rows = []
    for text in texts:
        cuts = Cuts(free, canonical, canonical.spell(text), following)
        nats, inside = cuts.nats(), cuts.inside()
        places = dict(zip(PLACES, (np.ones_like(inside), inside, ~inside), strict=True))
        rows.append(
            {
                place: {"cuts": int(chosen.sum())}
                | {method: float(nats[method][chosen].sum()) for method in METHODS}
                for place, chosen in places.items()
            }
        )
        advance(1)
    return {"model": Path(name).name, "texts": rows}


def ratio(model: Figures, place: str, method: str, following: int, less: str = "") -> Ratio:
    """Bits per byte of a method over all texts, or how much more than another's."""
    texts = [text[place] for text in model["texts"]]
    bits = np.array([-(one[method] - (one[less] if less else 0.0)) for one in texts]) / math.log(2)
    return Ratio.of(bits, np.array([one["cuts"] * following for one in texts]))


def written(document: Figures) -> str:
    """The table, and what it was made with."""
    around, following = document["environment"], document["following"]
    rows = []
    for model in document["models"]:
        for place in PLACES:
            cells = []
            for method in METHODS:
                found = ratio(model, place, method, following)
                cells.append(f"{found.value:.3f}")
                if method != "bytes":
                    more = ratio(model, place, method, following, "bytes")
                    cells[-1] += f" ({more.value:+.3f} ± {more.stderr or 0:.3f})"
            cuts = sum(text[place]["cuts"] for text in model["texts"])
            rows.append([model["model"], model["text"], place, f"{cuts:,}", *cells])
    headings = ["model", "text", "cut", "cuts", "token prompt", "ideal token healing", "bytes"]
    table = markdown_table(headings, rows, "lllrrrr")
    count = " and ".join(f"{size} of {kind}" for kind, size in document["documents"].items())
    made = (
        f"`{document['command']}`: bits per byte of the {following} bytes behind a cut, held-out "
        f"documents: {count}; in brackets how much more than by bytes, "
        f"with the paired standard error over documents. tokxfer {around['tokxfer']}, torch "
        f"{around['packages']['torch']}, {around['platform']}."
    )
    return "\n\n".join([made, table])


def drawn(document: Figures, path: Path) -> None:
    """One panel for each model: bars by place and method."""
    models, following = document["models"], document["following"]
    size = (3.2 * len(models), 3.4)
    with picture(path, 1, len(models), figsize=size, sharey=True) as (figure, axes):
        for axis, model in zip(axes[0], models, strict=True):
            for at, method in enumerate(METHODS):
                found = [ratio(model, place, method, following) for place in PLACES]
                axis.bar(
                    np.arange(len(PLACES)) + 0.27 * (at - 1), [one.value for one in found], 0.25,
                    yerr=[one.stderr or 0 for one in found], label=method,
                )  # fmt: skip
            axis.set_title(f"{model['model']}, {model['text']}")
            axis.set_xticks(range(len(PLACES)), [place.replace(" a ", "\na ") for place in PLACES])
        axes[0][0].set_ylabel(f"bits per byte of the next {following} bytes")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)


if __name__ == "__main__":
    main()
