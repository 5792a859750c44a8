"""Small models that can add, for `arithmetic.py`: their texts, tokenizers and training.

A text is a sum such as `47+38=85.` or, one time in ten, some characters of English, so that there
are words to share too. What has been trained is kept in a folder named after everything that went
into it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference import train as training
from reference.recipes import Recipe

END = "<|endoftext|>"
SENTENCES = 0.1  # share of texts that are no sums
LINE = 40  # characters of English in a text
DIGITS = {"single digits": r"\p{N}", "groups of three": r"\p{N}{1,3}"}
WORDS = {"single digits": 512, "groups of three": 640}  # sizes of vocabularies without numbers
Sum = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Task:
    """What there is to learn.

    Attributes:
        top: Both terms are below this.
        held_out: How many pairs of terms are never trained on.
        tokens: Tokens of training.
        english: Text that words are learned from.
    """

    top: int
    held_out: int
    tokens: int
    english: str

    def pairs(self) -> tuple[list[Sum], list[Sum]]:
        """The pairs to be trained on, and those held out, the same for every seed."""
        pairs = list(itertools.product(range(self.top), repeat=2))
        random.Random(0).shuffle(pairs)
        return pairs[self.held_out :], pairs[: self.held_out]


def tokenizer(digits: str, english: str) -> Tokenizer:
    """A byte-level BPE of English words that cuts numbers in one of the ways of `DIGITS`."""
    made = Tokenizer(models.BPE())
    pattern = rf" ?\p{{L}}+|{DIGITS[digits]}| ?[^\s\p{{L}}\p{{N}}]|\s+"
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS[digits],
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = "".join(character for character in english if not character.isdigit())
    middle = len(words) // 2  # each learns its words from a half of its own
    first = digits == "single digits"
    made.train_from_iterator([words[:middle] if first else words[middle:]], trainer)
    return made if first else with_every_group(made)


def with_every_group(made: Tokenizer) -> Tokenizer:
    """The same tokenizer with a token for every group of two or three digits."""
    content = json.loads(made.to_str())
    model = content["model"]
    for length in (2, 3):
        for group in map("".join, itertools.product("0123456789", repeat=length)):
            model["vocab"][group] = len(model["vocab"])
            model["merges"] += [[group[:at], group[at:]] for at in range(1, length)]
    return Tokenizer.from_str(json.dumps(content))


def texts(task: Task, seed: int) -> Iterator[str]:
    """Texts without end, drawn by a seed."""
    order = random.Random(seed)
    seen, _ = task.pairs()
    while True:
        if order.random() < SENTENCES:
            start = order.randrange(max(1, len(task.english) - LINE))
            yield task.english[start : start + LINE]
        else:
            left, right = order.choice(seen)
            yield f"{left}+{right}={left + right}."


def token_ids(task: Task, made: Tokenizer, seed: int) -> np.ndarray:
    """The training text as ids [tokens + 1], each text begun by the end token."""
    end, ids = made.token_to_id(END), []
    stream = texts(task, seed)
    while len(ids) <= task.tokens:
        for encoding in made.encode_batch(list(itertools.islice(stream, 1000))):
            ids += [end, *encoding.ids]
    return np.array(ids[: task.tokens + 1], dtype=np.uint16)


def trained(digits: str, seed: int, task: Task, cache: Path, threads: int) -> Path:
    """The folder of a trained model, made where it is not there yet."""
    recipe = Recipe(
        name=f"{digits}, seed {seed}", about="", corpus=(), held_out=(), family="bytelevel",
        vocab_size=0, specials=(END,), roles={"bos": END, "eos": END},
        width=96, layers=2, heads=4, kv_heads=4, hidden=288, tied=False,
        tokens=task.tokens, context=64, batch=16, seed=seed,
    )  # fmt: skip
    made = tokenizer(digits, task.english)
    some = list(itertools.islice(texts(task, seed), 1000))
    source = Path(training.__file__).read_text("utf-8")
    key = repr((made.to_str(), some, recipe, source, torch.__version__))
    mark = hashlib.sha256(key.encode()).hexdigest()[:12]
    folder = cache / f"{digits.replace(' ', '-')}-{seed}-{mark}"
    if folder.exists():
        return folder
    work = folder.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    weights = training.train(recipe, token_ids(task, made, seed), made, work, threads)
    model = training.build(recipe, made)
    model.load_state_dict(torch.load(weights, weights_only=True))
    partial = folder.with_suffix(".partial")
    model.save_pretrained(partial)
    PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=END, eos_token=END, model_max_length=recipe.context
    ).save_pretrained(partial)
    partial.rename(folder)
    shutil.rmtree(work)
    return folder
