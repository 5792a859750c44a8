"""How much of a text's mass lies in covers that the tokenizer would not write.

    python scripts/bench/covers.py                              # a quarter of an hour on one core
    python scripts/bench/covers.py --page docs/benchmarks.md --plot docs/plots/covers.svg
    python scripts/bench/covers.py --models mine --text held_out.jsonl --bytes 300
    python scripts/bench/covers.py --smoke                      # seconds

Every beginning of held-out texts is covered by token sequences that the tokenizer itself would
write and by others, which may stray from them in the last bytes, up to a horizon. Their share of
the beginning's mass is measured at every byte.
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
import cover_page as pages
from cover_masses import measured
from kinds import documents, shown
from markov_page import relative
from tables import replace_block

from reference.data import default_corpus
from tokxfer.bytelevel import ByteLM
from tokxfer.workflows.environment import environment
from tokxfer.workflows.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NAMES = ("english-bytebpe", "english-spbpe", "english-unigram", "code-bytebpe")
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    texts = documents(options)
    todo = shown(options.models, texts)
    with progress_bar(sum(len(texts[kind]) for _, kind in todo), "texts", "text", True) as bar:
        runs = [study(model, kind, texts[kind], options, bar.update) for model, kind in todo]
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/covers.py", *(arguments or sys.argv[1:])]),
        "horizons": options.horizons,
        "drawn": options.drawn,
        "runs": runs,
        "environment": environment().to_dict(),
    }
    page = pages.full(document, None)
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        import cover_plot

        cover_plot.draw(document, options.plot)
    for place in options.page:
        picture = relative(options.plot, place) if options.plot else None
        replace_block(place, "covers", pages.full(document, picture))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=[str(MODELS / name) for name in NAMES])
    parser.add_argument("--text", type=Path, help="documents; held-out prose and code if not")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT), help="of the code")
    parser.add_argument("--documents", type=int, help="of each kind at most")
    parser.add_argument("--bytes", type=int, default=150, help="of each document")
    parser.add_argument("--horizons", type=int, nargs="+", default=[0, 1, 2, 4, 6], help="in bytes")
    parser.add_argument("--drawn", type=int, default=10, help="number of the text that is drawn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="two short texts")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "covers")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the figures to this file")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="+",
        default=(),
        help="pages whose places 'table:covers' are filled",
    )
    options = parser.parse_args(arguments)
    options.horizons = sorted(set(options.horizons))
    if options.smoke:
        options.text = options.text or MODELS / "held_out.jsonl"
        options.documents, options.bytes, options.horizons = 2, 40, [0, 3]
        options.models = options.models[:1]
    return options


def study(
    name: str, kind: str, texts: list[str], options: argparse.Namespace, advance: Any
) -> Figures:
    """One model on all texts of a kind."""
    lm = ByteLM.from_pretrained(name)
    lm.model.double()
    rows = []
    for text in texts:
        rows.append(measured(lm, text, options.bytes, options.horizons))
        advance(1)
    return {"model": Path(name).name, "text": kind, "documents": rows}


if __name__ == "__main__":
    main()
