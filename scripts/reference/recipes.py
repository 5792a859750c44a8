"""What each reference model is: its corpus, its tokenizer's family, its shape, its training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """One reference model. Sizes in elements, `tokens` in training tokens seen."""

    name: str
    about: str
    corpus: tuple[str, ...]
    held_out: tuple[str, ...]
    family: str  # "bytelevel", "sentencepiece" or "unigram"
    vocab_size: int
    specials: tuple[str, ...]
    roles: dict[str, str]  # bos/eos/pad/unk -> token
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    tied: bool
    tokens: int = 6_500_000
    context: int = 512
    batch: int = 8
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    seed: int = 0
    fim_share: float = 0.0  # share of documents rewritten as prefix, suffix, middle
    rest_held_out: tuple[str, ...] = ()  # files of which what was not drawn is held out
    shares: tuple[float, ...] = field(default=())  # of the training bytes, per corpus file
    shipped: bool = True  # whether it is one of models/; others are trained when asked for

    def replace(self, **changes: object) -> Recipe:
        """The same recipe with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


ENGLISH = ("english.jsonl.xz",)
ENGLISH_HELD_OUT = ("english_heldout.jsonl.xz",)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="english-bytebpe",
            about="English prose; byte-level BPE as in GPT-2; input and output embeddings tied",
            corpus=ENGLISH,
            held_out=ENGLISH_HELD_OUT,
            family="bytelevel",
            vocab_size=6144,
            specials=("<|endoftext|>",),
            roles={"bos": "<|endoftext|>", "eos": "<|endoftext|>"},
            width=192,
            layers=5,
            heads=6,
            kv_heads=6,
            hidden=512,
            tied=True,
        ),
        Recipe(
            name="english-spbpe",
            about="English prose; SentencePiece BPE with byte fallback as in Llama-2; untied",
            corpus=ENGLISH,
            held_out=ENGLISH_HELD_OUT,
            family="sentencepiece",
            vocab_size=4096,
            specials=("<unk>", "<s>", "</s>"),
            roles={"unk": "<unk>", "bos": "<s>", "eos": "</s>"},
            width=160,
            layers=6,
            heads=5,
            kv_heads=5,
            hidden=448,
            tied=False,
            seed=1,
        ),
        Recipe(
            name="english-unigram",
            about="English prose; Unigram with byte fallback; tied, with grouped-query attention",
            corpus=ENGLISH,
            held_out=ENGLISH_HELD_OUT,
            family="unigram",
            vocab_size=5120,
            specials=("<pad>", "</s>", "<unk>", "<s>"),
            roles={"pad": "<pad>", "eos": "</s>", "unk": "<unk>", "bos": "<s>"},
            width=192,
            layers=4,
            heads=6,
            kv_heads=2,
            hidden=512,
            tied=True,
            tokens=4_000_000,
            seed=2,
        ),
        Recipe(
            name="code-bytebpe",
            about="Python code and seven languages beside English; byte-level BPE, single digits; "
            "fill-in-the-middle markers; untied",
            corpus=("code.jsonl.xz", "multilingual.jsonl.xz"),
            held_out=("multilingual_heldout.jsonl.xz",),
            rest_held_out=("code.jsonl.xz",),
            family="bytelevel-digits",
            vocab_size=6144,
            specials=(
                "<|begin|>",
                "<|end|>",
                "<|pad|>",
                "<|fim_prefix|>",
                "<|fim_suffix|>",
                "<|fim_middle|>",
            ),
            roles={"bos": "<|begin|>", "eos": "<|end|>", "pad": "<|pad|>"},
            width=160,
            layers=6,
            heads=5,
            kv_heads=5,
            hidden=448,
            tied=False,
            tokens=6_000_000,
            seed=3,
            fim_share=0.4,
            shares=(0.65, 0.35),
        ),
        Recipe(
            name="english-large-vocabulary",
            about="English prose; byte-level BPE with a vocabulary as large as those in use; tied",
            corpus=ENGLISH,
            held_out=ENGLISH_HELD_OUT,
            family="bytelevel",
            vocab_size=32768,
            specials=("<|endoftext|>",),
            roles={"bos": "<|endoftext|>", "eos": "<|endoftext|>"},
            width=192,
            layers=3,
            heads=6,
            kv_heads=6,
            hidden=512,
            tied=True,
            tokens=2_000_000,
            seed=4,
            shipped=False,
        ),
    )
}
