"""Train the small reference models under `models/` from a text corpus, one command, resumable.

    python scripts/train_reference_models.py                     # all four of models/
    python scripts/train_reference_models.py english-bytebpe     # one of them
    python scripts/train_reference_models.py english-bytebpe \\
        --text mine.jsonl.xz --held-out other.jsonl --out mine

Each model goes through four stages, each written to `--work` and skipped when already there, so an
interrupted run goes on where it stopped: tokenizer, token ids, weights (a checkpoint every 100
steps), export. What was begun with another recipe or on other texts is not gone on with. What a
model is, is one entry in `scripts/reference/recipes.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from reference import data, export, recipes, train

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help=f"any of {', '.join(recipes.RECIPES)} (default: those of models/)"
    )
    parser.add_argument(
        "--text", type=Path, nargs="+", help="training text (JSONL or plain, .xz/.gz read)"
    )
    parser.add_argument(
        "--held-out", type=Path, nargs="+", help="text never trained on, for the card"
    )
    parser.add_argument("--corpus", type=Path, default=data.default_corpus(ROOT))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "reference")
    parser.add_argument(
        "--out", type=Path, help="where models go (default: models/, or build/models/ if large)"
    )
    parser.add_argument("--tokens", type=int, help="training tokens (default: the recipe's)")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: all)")
    parser.add_argument(
        "--products", choices=("highest", "medium"), default="highest",
        help="how float32 products are computed; medium takes bfloat16 units where there are any",
    )  # fmt: skip
    parser.add_argument("--no-export", action="store_true", help="stop after the weights")
    options = parser.parse_args()

    torch.set_float32_matmul_precision(options.products)
    if options.text and not options.out:
        parser.error("--text makes models of your own: say with --out where they go")
    unknown = [name for name in options.names if name not in recipes.RECIPES]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; known: {', '.join(recipes.RECIPES)}")
    for name in options.names or [n for n, recipe in recipes.RECIPES.items() if recipe.shipped]:
        recipe = recipes.RECIPES[name]
        if options.tokens:
            recipe = recipe.replace(tokens=options.tokens)
        work = options.work / name
        texts = options.text or [options.corpus / file for file in recipe.corpus]
        held_out = options.held_out or [options.corpus / file for file in recipe.held_out]
        for path in (*texts, *held_out):
            if not path.is_file():
                parser.error(f"{path} does not exist; name other texts by --text and --held-out")
        if train.steps(recipe) < 1:
            parser.error(f"--tokens {recipe.tokens} is less than two steps of training take")
        data.begin(recipe, texts, work)
        if not options.held_out:
            held_out = [*held_out, *data.undrawn_documents(recipe, texts, work)]
        tokenizer = data.train_tokenizer(recipe, texts, work)
        ids = data.encode_corpus(recipe, texts, tokenizer, work)
        weights = train.train(recipe, ids, tokenizer, work, threads=options.threads)
        if not options.no_export:
            usual = ROOT / "models" if recipe.shipped else ROOT / "build" / "models"
            out = (options.out or usual) / name
            own = bool(options.text)
            export.export(recipe, weights, tokenizer, work, out, texts, held_out, own=own)


if __name__ == "__main__":
    main()
