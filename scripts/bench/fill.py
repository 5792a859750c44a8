"""Fill-in-the-middle at random bytes: exact matches and bits per byte, by tokens and by bytes.

    python scripts/bench/fill.py                                  # some minutes on one core
    python scripts/bench/fill.py --page docs/benchmarks.md --json build/bench/fill.json
    python scripts/bench/fill.py --model mine --train-text code.jsonl --holes 500
    python scripts/bench/fill.py --smoke                          # seconds

A hole begins and ends at random bytes of a held-out document (of its characters, where they have
several). A greedy answer matches if it begins with the middle, to the byte; that it ends there by
itself is counted apart. Bits per byte are those of the true middle with its end, by the middle's
bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import gap_text
from fill_methods import HEAL_TOKENS, METHODS, Answer, Hole, TokenPrompts, by_bytes
from tables import markdown_table, replace_block

from reference.data import default_corpus
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.filling import FillTemplate
from tokxfer.checkpoints import load_tokenizer
from tokxfer.workflows.environment import environment
from tokxfer.workflows.evaluation import Ratio
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.text import read_documents

ROOT = Path(__file__).resolve().parents[2]
Figures = dict[str, Any]
Measure = Callable[[Figures], float]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    lm = ByteLM.from_pretrained(options.model)
    template = FillTemplate.of(lm.vocabulary)
    texts = documents(options)
    holes = [drawn for text in texts for drawn in cut(text, options)]
    tokenizer = load_tokenizer(Path(options.model))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    prompts, rows = TokenPrompts(lm, template), list[Figures]()
    with progress_bar(len(holes), "holes", "hole", True) as bar:
        for number, hole in holes:
            answers = (
                prompts.answer(hole, healed=False),
                prompts.answer_healed(hole, tokenizer),
                prompts.answer(hole, healed=True),
                by_bytes(lm, replace(template, seam=None), hole),
                by_bytes(lm, replace(template, seam=0), hole),
            )
            rows.append({"text": number, "size": len(hole.middle)} | marks(hole, answers))
            bar.update(1)
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/fill.py", *(arguments or sys.argv[1:])]),
        "model": Path(options.model).name,
        "seed": options.seed,
        "holes": rows,
        "environment": environment().to_dict(),
    }
    page = written(document)
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for path in options.page:
        replace_block(path, "fill", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(ROOT / "models" / "code-bytebpe"))
    parser.add_argument("--text", type=Path, help="documents; code that the model never saw if not")
    parser.add_argument("--corpus", type=Path, default=default_corpus(ROOT))
    parser.add_argument("--holes", type=int, default=10, help="of each document")
    parser.add_argument("--context", type=int, default=600, help="characters of a document")
    parser.add_argument("--longest", type=int, default=12, help="characters of a middle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="two short documents")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "gap")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument(
        "--page", type=Path, nargs="+", default=[], help="pages whose place 'table:fill' is filled"
    )
    options = parser.parse_args(arguments)
    if options.smoke:
        options.text = ROOT / "models" / "held_out.jsonl"
        options.context, options.holes = 120, 1
    return options


def documents(options: argparse.Namespace) -> list[tuple[int, str]]:
    """The documents by number."""
    if options.text:
        texts = list(read_documents(options.text, 2 if options.smoke else None))
    elif options.corpus.is_dir():
        texts = list(gap_text.code(options.corpus, options.cache / "text").judged)
    else:
        sys.exit(f"There is no code in {options.corpus}: name documents with --text.")
    return list(enumerate(texts))


def cut(numbered: tuple[int, str], options: argparse.Namespace) -> list[tuple[int, Hole]]:
    """Holes in one document, drawn at random."""
    number, text = numbered
    source, found = random.Random(f"{options.seed} {number}"), []
    for _ in range(options.holes):
        start = source.randrange(max(1, len(text) - options.context))
        part = text[start : start + options.context]
        low = source.randrange(len(part) // 4, 3 * len(part) // 4)
        high = low + source.randint(1, options.longest)
        middle = part[low:high]
        found.append((number, Hole(part[:low].encode(), middle.encode(), part[high:].encode())))
    return found


def marks(hole: Hole, answers: tuple[Answer, ...]) -> Figures:
    """Matches and nats by method; nats of an impossible middle are counted apart."""
    return {
        name: {
            "begins": answer.written.startswith(hole.middle),
            "match": answer.ended and answer.written == hole.middle,
        }
        | {"nats": answer.nats if answer.nats is not None and np.isfinite(answer.nats) else None}
        for name, answer in zip(METHODS, answers, strict=True)
    }


def written(document: Figures) -> str:
    """The table, and what it was made with."""
    holes, around, rows = document["holes"], document["environment"], []
    scoring = [name for name in METHODS if name != HEAL_TOKENS]
    fair = [hole for hole in holes if all(hole[name]["nats"] is not None for name in scoring)]
    for name in METHODS:
        begins = over_texts(holes, partial(share, "begins", name), one)
        lead = partial(difference, partial(share, "begins"), METHODS[-1], name)
        matches = over_texts(holes, partial(share, "match", name), one)
        last, cells = name == METHODS[-1], ["", "", ""]
        if name in scoring:
            cost = over_texts(fair, partial(bits, name), size)
            more = over_texts(fair, partial(difference, bits, name, METHODS[-1]), size)
            impossible = sum(hole[name]["nats"] is None for hole in holes)
            cells = [told(cost, 1, 3), "" if last else told(more, 1, 3), str(impossible)]
        rows.append(
            [
                name,
                told(begins, 100, 1, "%"),
                "" if last else told(over_texts(holes, lead, one), 100, 1, "%"),
                told(matches, 100, 1, "%"),
                *cells,
            ]
        )
    columns = ["method", "exact match of its length", "bytes' lead", "ends there, too"]
    columns += ["bits per byte of the middle"]
    columns += ["more than by bytes", "middles called impossible"]
    made = (
        f"`{document['command']}`: {document['model']}, {len(holes)} holes, seed "
        f"{document['seed']}; errors over documents, paired where methods are compared; bits per "
        f"byte on the {len(fair)} holes whose middle no method calls impossible. tokxfer "
        f"{around['tokxfer']}, torch {around['packages']['torch']}, {around['platform']}."
    )
    return "\n\n".join([made, markdown_table(columns, rows, "lrrrrrr")])


def bits(method: str, hole: Figures) -> float:
    """What the middle costs by a method."""
    return -float(hole[method]["nats"]) / math.log(2)


def share(of: str, method: str, hole: Figures) -> float:
    """Whether a method's answer begins with the middle, or matches it."""
    return float(hole[method][of])


def difference(of: Callable[[str, Figures], float], one: str, other: str, hole: Figures) -> float:
    """How much more one method has than another."""
    return of(one, hole) - of(other, hole)


def one(_: Figures) -> float:
    """For shares of holes."""
    return 1.0


def size(hole: Figures) -> float:
    """The middle's bytes."""
    return float(hole["size"])


def over_texts(holes: list[Figures], above: Measure, below: Measure) -> Ratio:
    """A ratio of sums over holes, with its standard error over documents."""
    texts = sorted({hole["text"] for hole in holes})
    sums = [
        [sum(of(hole) for hole in holes if hole["text"] == text) for text in texts]
        for of in (above, below)
    ]
    return Ratio.of(np.array(sums[0], dtype=float), np.array(sums[1], dtype=float))


def told(ratio: Ratio, scale: float, digits: int, unit: str = "") -> str:
    """A ratio with its error."""
    error = "" if ratio.stderr is None else f" ± {scale * ratio.stderr:.{digits}f}"
    return f"{scale * ratio.value:.{digits}f}{error}{unit}"


if __name__ == "__main__":
    main()
