"""How fast and how well two tokenizations of one text are aligned.

    python scripts/bench/alignment.py --page docs/benchmarks.md  # two minutes on one core
    python scripts/bench/alignment.py --smoke  # seconds, on the tokenizers in models/

Seconds are the processor's on one core, not the clock's: other work on the machine does not count.
Texts are pieces of the corpora, a third each of English, code and seven other languages, in NFC.
Aligning is all that comes behind tokenizing: from the tokenizers' encodings to ids, chunks and what
each chunk ends with, on both sides. Batching is from there to padded arrays, windows and packing
included. Recall and unequal chunks are those of `tokxfer.alignment.report`; `+nfc` and
`+nfkc` put a normalizer before a tokenizer, `wordpiece` is trained on the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

sys.path.insert(0, str(Path(__file__).parent))
from tables import markdown_table, replace_block

from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.report import alignment_figures
from tokxfer.alignment.windows import collate, cut, pack
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary
from tokxfer.workflows.environment import environment
from tokxfer.workflows.text import read_documents

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
PAIRS = (
    "cl100k:gpt2", "cl100k:llama2", "cl100k:mistral", "gpt2:llama2", "gpt2:mistral",
    "llama2:mistral", "cl100k:xlmr-unigram-de-50k", "llama2:xlmr-unigram-de-50k",
    "cl100k:wordpiece", "cl100k+nfc:gpt2", "cl100k+nfc:llama2+nfkc",
)  # fmt: skip
CORPORA = ("english", "code", "multilingual")
SMOKE = ("english-bytebpe:english-spbpe", "english-spbpe:english-unigram+nfkc")
LENGTH = 512  # tokens of a window and of a row
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    texts = read(options)
    names = dict.fromkeys(chain.from_iterable(pair.split(":") for pair in options.pairs))
    vocabularies = {name: vocabulary(options.tokenizers, name, texts) for name in names}
    runs = []
    for pair in options.pairs:
        both = Aligner(*(vocabularies[name] for name in pair.split(":")))
        runs.append({"pair": pair, **measured(both, texts, options)})
        print(f"{pair}: {runs[-1]['aligned']:,.0f} texts/s", file=sys.stderr, flush=True)
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/alignment.py", *(arguments or sys.argv[1:])]
        ),
        "texts": len(texts),
        "characters": options.characters,
        "judged": min(options.judged, len(texts)),
        "repeats": options.repeats,
        "environment": environment().to_dict(),
        "runs": runs,
    }
    page = "\n\n".join([surroundings(document), table(runs)])
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "alignment", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", metavar="TEACHER:STUDENT", default=list(PAIRS))
    parser.add_argument("--tokenizers", type=Path, default=SHARED / "tokenizers")
    parser.add_argument(
        "--text", type=Path, nargs="+", help="corpora, of which equal parts are taken",
        default=[SHARED / "corpus" / f"{name}_sample.jsonl" for name in CORPORA],
    )  # fmt: skip
    parser.add_argument("--texts", type=int, default=999)
    parser.add_argument("--characters", type=int, default=1800, help="of each text")
    parser.add_argument("--judged", type=int, default=200, help="texts whose chunks are looked at")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="a few texts, models/ in the clone")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:alignment' is filled")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.pairs, options.tokenizers = list(SMOKE), ROOT / "models"
        options.text, options.texts, options.repeats = [ROOT / "models" / "held_out.jsonl"], 12, 1
    return options


def read(options: argparse.Namespace) -> list[str]:
    """Pieces of one length, of each corpus in turn."""
    parts = [pieces(path, options.characters) for path in options.text]
    texts = [text for group in zip_longest(*parts) for text in group if text is not None]
    if len(texts) < options.texts:
        sys.exit(f"The corpora hold {len(texts)} texts only; ask for no more with --texts.")
    return texts[: options.texts]


def pieces(path: Path, size: int) -> Iterator[str]:
    for document in read_documents(path):
        text = unicodedata.normalize("NFC", document)
        yield from (text[at : at + size] for at in range(0, len(text) - size + 1, size))


def vocabulary(folder: Path, name: str, texts: Sequence[str]) -> ByteVocabulary:
    """A tokenizer by name, perhaps behind a normalizer; or a WordPiece trained on the texts."""
    if name == "wordpiece":
        return ByteVocabulary.from_tokenizer(word_piece(texts))
    name, _, form = name.partition("+")
    if not form:
        return read_vocabulary(folder / name)
    tokenizer = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
    steps = [getattr(normalizers, form.upper())(), *filter(None, [tokenizer.normalizer])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return ByteVocabulary.from_tokenizer(tokenizer)


def word_piece(texts: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=30_000, limit_alphabet=8_000, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def measured(both: Aligner, texts: list[str], options: argparse.Namespace) -> Figures:
    """Texts per second of each part, tokens a text, and how well the texts line up."""

    def encode() -> tuple[Any, Any]:
        return both.teacher.encode(texts), both.student.encode(texts)

    encoded = encode()
    pairs = both.aligned(texts, *encoded, add_ends=True)
    judged = alignment_figures(both, texts[: options.judged])
    decomposed = [unicodedata.normalize("NFD", text) for text in texts[: options.judged]]
    apart = alignment_figures(both, decomposed)

    def batch() -> None:
        windows = [window for pair in pairs for window in cut(pair, LENGTH, LENGTH)]
        rows = pack(windows, LENGTH, LENGTH)
        for at in range(0, len(rows), 16):
            collate(rows[at : at + 16], 0, 0)

    seconds = {
        "tokenized": timed(encode, 1),
        "aligned": timed(lambda: both.aligned(texts, *encoded, add_ends=True), options.repeats),
        "batched": timed(batch, options.repeats),
    }
    return {name: len(texts) / statistics.median(times) for name, times in seconds.items()} | {
        "seconds": seconds,
        "tokens": [
            float(np.mean([len(getattr(pair, side).ids) for pair in pairs]))
            for side in ("teacher", "student")
        ],
        "nfc": judged.to_dict(),
        "nfd": apart.to_dict(),
    }


def timed(work: Callable[[], Any], repeats: int) -> list[float]:
    """Processor seconds of some work, each time it is done."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return found


def surroundings(document: Figures) -> str:
    """What was run, with what, where."""
    place = document["environment"]
    packages = ", ".join(f"{name} {place['packages'][name]}" for name in ("tokenizers", "numpy"))
    return (
        f"`{document['command']}`; tokxfer {place['tokxfer']}, {packages}, Python "
        f"{place['python']}; {place['platform']}, one core. {document['texts']} texts of "
        f"{document['characters']:,} characters; the median of {document['repeats']} runs in "
        "processor time, which other work on the machine does not add to, though it may slow it "
        f"down (in brackets the slowest run). Chunks of {document['judged']} texts were looked at, "
        "those with an unknown token aside."
    )


def table(runs: list[Figures]) -> str:
    """Speeds and outcomes by pair."""
    columns = [
        "teacher → student", "tokens a text", "both tokenized", "aligned", "batched", "recall",
        "unequal chunks", "bytes a chunk", "recall, NFD", "unequal, NFD",
    ]  # fmt: skip
    rows = []
    for run in runs:
        slowest = run["aligned"] * statistics.median(run["seconds"]["aligned"])
        slowest /= max(run["seconds"]["aligned"])
        nfc, nfd = run["nfc"], run["nfd"]
        rows.append(
            [
                run["pair"].replace(":", " → "),
                " + ".join(f"{count:.0f}" for count in run["tokens"]),
                f"{run['tokenized']:,.0f}",
                f"**{run['aligned']:,.0f}** ({slowest:,.0f})",
                f"{run['batched']:,.0f}",
                f"{nfc['recall']:.5f}",
                f"{nfc['unequal']:,} of {nfc['chunks']:,}",
                f"{nfc['bytes'] / nfc['chunks']:.1f}",
                f"{nfd['recall']:.5f}",
                f"{nfd['unequal']:,} of {nfd['chunks']:,}",
            ]
        )
    return markdown_table(columns, rows, "l" + "r" * len(columns[1:]))


if __name__ == "__main__":
    main()
