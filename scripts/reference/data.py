"""Text in, tokenizer and token ids out, for the reference models."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import lzma
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from tqdm import tqdm

from .recipes import Recipe

TOKENIZER_BYTES = 20_000_000
BYTES_PER_TOKEN = 5  # drawn for every token wanted: more than there are in one
DIGITS_ONE_BY_ONE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def default_corpus(root: Path) -> Path:
    """The corpus folder: `$TOKXFER_SHARED/corpus`, by default `../shared/corpus`."""
    return Path(os.environ.get("TOKXFER_SHARED", root.parent / "shared")) / "corpus"


def begin(recipe: Recipe, texts: list[Path], work: Path) -> None:
    """Make the folder of a model's stages; what other recipes or texts left in it is removed."""
    told = {"recipe": dataclasses.asdict(recipe), "texts": {p.name: file_hash(p) for p in texts}}
    wanted = json.dumps(told, indent=1) + "\n"
    stamp = work / "made_of.json"
    if work.exists() and (not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted):
        print(f"{work} was begun with another recipe or on other texts; it is started anew")
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted, encoding="utf-8")


def file_hash(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def documents(path: Path) -> Iterator[str]:
    """The documents of one file: JSONL with a `text` field, or one plain text; .xz and .gz read."""
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8") as stream:
        if ".jsonl" in path.name:
            for line in stream:
                yield json.loads(line)["text"]
        else:
            yield stream.read()


def mixed_documents(recipe: Recipe, texts: list[Path], total_bytes: int) -> Iterator[str]:
    """Documents of all files shuffled by the seed, `recipe.shares` of `total_bytes` from each."""
    chosen: list[str] = []
    order = random.Random(recipe.seed)
    for path, share in zip(texts, shares_of(recipe, texts), strict=True):
        chosen += draw(path, share * total_bytes, order)[0]
    order.shuffle(chosen)
    yield from chosen


def shares_of(recipe: Recipe, texts: list[Path]) -> list[float]:
    """The share of each file in the training bytes: the recipe's, or equal ones."""
    fits = len(recipe.shares) == len(texts)
    return list(recipe.shares) if fits else [1 / len(texts)] * len(texts)


def draw(path: Path, total_bytes: float, order: random.Random) -> tuple[list[str], list[str]]:
    """A file's documents in random order: those up to the size wanted, and the rest."""
    pool = list(documents(path))
    order.shuffle(pool)
    taken = 0
    for count, text in enumerate(pool):
        if taken > total_bytes:
            return pool[:count], pool[count:]
        taken += len(text.encode())
    return pool, []


def undrawn_documents(recipe: Recipe, texts: list[Path], work: Path) -> list[Path]:
    """For files of `recipe.rest_held_out`, what training never drew, as JSONL files in `work`."""
    order = random.Random(recipe.seed)
    found = []
    most = max(recipe.tokens * BYTES_PER_TOKEN, TOKENIZER_BYTES)
    for path, share in zip(texts, shares_of(recipe, texts), strict=True):
        rest = draw(path, share * most, order)[1]
        if path.name in recipe.rest_held_out and rest:
            found.append(work / f"never_drawn_{path.name.split('.')[0]}.jsonl")
            with found[-1].open("w", encoding="utf-8") as stream:
                stream.writelines(json.dumps({"text": text}) + "\n" for text in rest)
    return found


def train_tokenizer(recipe: Recipe, texts: list[Path], work: Path) -> Tokenizer:
    """The recipe's tokenizer, trained on a sample of the text, kept as `tokenizer.json`."""
    path = work / "tokenizer.json"
    if not path.exists():
        sample = mixed_documents(recipe, texts, TOKENIZER_BYTES)
        build = byte_level if recipe.family.startswith("bytelevel") else sentencepiece
        tokenizer = build(recipe, sample)
        begin = recipe.roles["bos"]
        if recipe.family != "bytelevel":  # like GPT-2, the first family adds no begin token
            tokenizer.post_processor = TemplateProcessing(
                single=f"{begin} $A",
                pair=f"{begin} $A {begin} $B",
                special_tokens=[(begin, tokenizer.token_to_id(begin))],
            )
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def byte_level(recipe: Recipe, sample: Iterator[str]) -> Tokenizer:
    """Byte-level BPE: GPT-2's pre-tokenizer, or one that keeps digits single."""
    tokenizer = Tokenizer(models.BPE())
    if recipe.family == "bytelevel":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(DIGITS_ONE_BY_ONE), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=list(recipe.specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer


def sentencepiece(recipe: Recipe, sample: Iterator[str]) -> Tokenizer:
    """SentencePiece-style BPE or Unigram with byte fallback, assembled as Llama-2's is."""
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    fixed = [*recipe.specials, *bytes_]
    trained: Tokenizer
    if recipe.family == "sentencepiece":
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]
        )
        bpe = trainers.BpeTrainer(
            vocab_size=recipe.vocab_size, special_tokens=fixed, limit_alphabet=160
        )
        trained.train_from_iterator(sample, bpe)
    else:
        trained = Tokenizer(models.Unigram())
        trained.pre_tokenizer = pre_tokenizers.Metaspace()
        unigram = trainers.UnigramTrainer(
            vocab_size=recipe.vocab_size, special_tokens=fixed, unk_token="<unk>"
        )
        trained.train_from_iterator(sample, unigram)
    content = json.loads(trained.to_str())
    content["model"]["byte_fallback"] = True
    content["model"]["unk_token" if recipe.family == "sentencepiece" else "unk_id"] = (
        "<unk>" if recipe.family == "sentencepiece" else recipe.specials.index("<unk>")
    )
    content["added_tokens"] = content["added_tokens"][: len(recipe.specials)]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    if recipe.family == "sentencepiece":
        tokenizer.pre_tokenizer = None  # merges learnt inside words never cross a ▁
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def fill_in_the_middle(text: str, recipe: Recipe, order: random.Random) -> list[str]:
    """Pieces of a document; a share of them as prefix, suffix, middle (2207.14255, PSM)."""
    if not recipe.fim_share:
        return [text]
    pieces = [text[at : at + 1200] for at in range(0, len(text), 1200)]
    for index, piece in enumerate(pieces):
        if len(piece) > 200 and order.random() < recipe.fim_share:
            low, high = sorted(order.sample(range(len(piece)), 2))
            high = min(high, low + 200)
            pieces[index] = (
                f"<|fim_prefix|>{piece[:low]}<|fim_suffix|>{piece[high:]}"
                f"<|fim_middle|>{piece[low:high]}"
            )
    return pieces


def encode_corpus(
    recipe: Recipe, texts: list[Path], tokenizer: Tokenizer, work: Path
) -> np.ndarray:
    """Token ids [recipe.tokens] uint16: documents as `bos text eos`, one after another."""
    path = work / "ids.npy"
    if path.exists() and len(np.load(path, mmap_mode="r")) >= recipe.tokens:
        return np.load(path, mmap_mode="r")
    begin = tokenizer.token_to_id(recipe.roles["bos"])
    end = tokenizer.token_to_id(recipe.roles["eos"])
    order = random.Random(recipe.seed)
    parts: list[np.ndarray] = []
    count = 0
    with tqdm(
        total=recipe.tokens, desc=f"{recipe.name}: encoding", unit="tok", unit_scale=True
    ) as bar:
        for text in mixed_documents(recipe, texts, recipe.tokens * BYTES_PER_TOKEN):
            for piece in fill_in_the_middle(text, recipe, order):
                ids = tokenizer.encode(piece, add_special_tokens=False).ids
                row = [begin, *ids] if begin == end else [begin, *ids, end]
                parts.append(np.array(row, dtype=np.uint16))
                count += len(row)
                bar.update(len(row))
            if count >= recipe.tokens:
                break
    if count < recipe.tokens:
        print(f"{recipe.name}: only {count:,} tokens in the text; it is read again from the start")
        parts *= -(-recipe.tokens // count)
    np.save(path, np.concatenate(parts)[: recipe.tokens])
    return np.load(path, mmap_mode="r")
