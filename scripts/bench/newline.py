"""What one row decides: mergekit's results with the base's row of the newline, and ours without it.

    python scripts/bench/newline.py                        # five minutes on one core
    python scripts/bench/newline.py --page docs/benchmarks.md --json build/bench/newline.json

mergekit knows `<0x0A>` and the newline of byte-level BPE for the same token only with
`--byte-match`; else it makes a row for it like for any new token. A code model expects line ends
that prose does not have, so that losing the row helps on prose, and only there. Every result is
evaluated twice on each text: with the base's own row of the newline in both matrices, and with the
one that mergekit made.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))
import gap_text
import mergekit_naming
import peers
from tables import markdown_table, replace_block
from transplant_runs import fingerprint

import tokxfer as tx
from tokxfer.vocabulary import read_vocabulary
from tokxfer.workflows.environment import environment
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.evaluation import Ratio

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
CORPUS = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared")) / "corpus"
OURS = {
    f"tokxfer {method}{told}": (method, twins)
    for method in ("blend", "omp")
    for told, twins in (("", "copy"), (" --twins mean", "mean"))
}
THEIRS = {
    "common_interpolation": ("-k", "16", "--weight-scheme", "barycentric"),
    "omp": ("-k", "8", "--magikarp"),
}
RIVALS = {"blend": "mergekit common_interpolation", "omp": "mergekit omp"}
AGAINST = {name: RIVALS[method] for name, (method, _) in OURS.items()}
ROWS = ("the base's", "mergekit's")
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    texts = {"English": gap_text.given([], options.text)}
    if options.corpus.is_dir():
        texts["code"] = gap_text.code(options.corpus, options.cache / "text")
    models = {name: ours(options, *what) for name, what in OURS.items()}
    models |= {f"mergekit {name}": theirs(options, name) for name in THEIRS}
    runs = list(measured(models, newline_of(options.donor), options.donor, texts))
    document = {
        "schema_version": 1,
        "command": shlex.join(["python", "scripts/bench/newline.py", *(arguments or sys.argv[1:])]),
        "base": options.base.name,
        "donor": options.donor.name,
        "mergekit": peers.MERGEKIT,
        "threads": options.threads,
        "environment": environment().to_dict(),
        "texts": {
            name: {"documents": len(t.judged), "bytes": t.bytes} for name, t in texts.items()
        },
        "runs": runs,
    }
    page = "\n\n".join([surroundings(document), table(runs), duels(runs)])
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "newline", page)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=MODELS / "code-bytebpe")
    parser.add_argument("--donor", type=Path, default=MODELS / "english-spbpe")
    parser.add_argument("--text", type=Path, default=MODELS / "held_out.jsonl")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where the code is, if it is")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "newline")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:newline' is filled")
    return parser.parse_args(arguments)


def ours(options: argparse.Namespace, method: str, twins: str) -> Any:
    """The base with the donor's tokenizer, rows by one of our methods."""
    pairs = [
        (AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
        for folder in (options.base, options.donor)
    ]
    return tx.transplant_model(*pairs[0], *pairs[1], method=method, twins=twins)[0]


def theirs(options: argparse.Namespace, method: str) -> Any:
    """The same by mergekit, from folders that name the tokenizers' classes."""
    python = peers.mergekit_python()
    copies = []
    for folder in (options.base, options.donor):
        copies.append(options.cache / "named" / f"{folder.name}-{fingerprint(folder)[:12]}")
        mergekit_naming.named_copy(folder, copies[-1], python)
    with tempfile.TemporaryDirectory(dir=options.cache) as work:
        program = str(python.with_name("mergekit-tokensurgeon"))
        command = [program, *map(str, copies), f"{work}/out", "-a", method, *THEIRS[method]]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        return AutoModelForCausalLM.from_pretrained(f"{work}/out", dtype=torch.float32)


def newline_of(donor: Path) -> int:
    """The donor's id of the newline that text becomes."""
    return read_vocabulary(donor).ids_of(b"\n")[0]


def measured(
    models: dict[str, Any], newline: int, donor: Path, texts: dict[str, gap_text.Text]
) -> Iterator[Figures]:
    """Every model on every text, with each row of the newline.

    The base's row is the one that ours copied; mergekit's is that of the method compared with.
    """
    vocabulary = read_vocabulary(donor)
    rows = {name: newline_rows(model, newline) for name, model in models.items()}
    for name, model in models.items():
        made = AGAINST.get(name, name)
        for label, source in zip(ROWS, (next(iter(OURS)), made), strict=True):
            put(model, newline, rows[source])
            for text_name, text in texts.items():
                result = evaluate_model(model, vocabulary, list(text.judged))
                yield {
                    "result": name,
                    "newline": label,
                    "text": text_name,
                    "bits_per_byte": result.bits_per_byte,
                    "nats": result.nats.tolist(),
                }


def newline_rows(model: Any, newline: int) -> list[torch.Tensor]:
    """The newline's row in the input and in the output matrix."""
    return [matrix[newline].detach().clone() for matrix in matrices(model)]


@torch.no_grad()
def put(model: Any, newline: int, rows: list[torch.Tensor]) -> None:
    for matrix, row in zip(matrices(model), rows, strict=True):
        matrix[newline] = row


def matrices(model: Any) -> list[torch.Tensor]:
    return [model.get_input_embeddings().weight, model.get_output_embeddings().weight]


def surroundings(document: Figures) -> str:
    """What was run, with what, where."""
    place, texts = document["environment"], document["texts"]
    packages = ", ".join(f"{name} {place['packages'][name]}" for name in ("torch", "transformers"))
    sizes = "; ".join(
        f"{name}: {text['documents']} documents, {text['bytes']:,} bytes"
        for name, text in texts.items()
    )
    return (
        f"`{document['command']}`, {document['threads']} threads; tokxfer {place['tokxfer']}, "
        f"{document['mergekit'].replace('==', ' ')}, {packages}, Python {place['python']}; "
        f"{place['platform']}, {place['cpus']} cores. {document['base']} ← {document['donor']}; "
        f"{sizes}. mergekit has its best settings on the English text and the tokenizers' classes "
        "named."
    )


def table(runs: list[Figures]) -> str:
    """Bits per byte by result, text and row; what each tool itself does in bold."""
    texts = list(dict.fromkeys(run["text"] for run in runs))
    found = {(run["result"], run["text"], run["newline"]): run["bits_per_byte"] for run in runs}
    rows = []
    for result in dict.fromkeys(run["result"] for run in runs):
        own = ROWS["mergekit" in result]
        figures = [(found[result, text, row], row == own) for text in texts for row in ROWS]
        rows.append(
            [result, *(f"**{bits:.3f}**" if bold else f"{bits:.3f}" for bits, bold in figures)]
        )
    columns = ["bits/byte", *(f"{text}, {row} newline" for text in texts for row in ROWS)]
    return markdown_table(columns, rows, "l" + "r" * len(columns[1:]))


def duels(runs: list[Figures]) -> str:
    """Our bits over theirs with the same newline; ± is the standard error over documents."""
    nats = {(run["result"], run["text"], run["newline"]): np.array(run["nats"]) for run in runs}
    texts = list(dict.fromkeys(run["text"] for run in runs))
    rows = []
    for mine, other in AGAINST.items():
        cells = []
        for text in texts:
            for row in ROWS:
                ratio = Ratio.of(nats[mine, text, row], nats[other, text, row])
                cells.append(f"{ratio.value:.3f} ± {ratio.stderr:.3f}")
        rows.append([f"{mine} : {other.removeprefix('mergekit ')}", *cells])
    columns = ["tokxfer : mergekit", *(f"{text}, {row} newline" for text in texts for row in ROWS)]
    return markdown_table(columns, rows, "l" + "r" * len(columns[1:]))


if __name__ == "__main__":
    main()
