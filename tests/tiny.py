"""Tiny random models and tokenizers, built on the fly.

The fixture `tiny` is a session-wide factory. Folders it gives out are shared between tests and must
not be written to; `tiny.copy(folder)` makes one that may be damaged::

    base = tiny.model("llama", tied=False, tokenizer="spbpe", rows=512)
    broken = tiny.copy(base)
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

TEXT = [
    "The quick brown fox jumps over the lazy dog. The dog sleeps, the fox runs on.",
    "Once upon a time there was a little girl who lived in a house near the forest.",
    "She said: \"I don't know what it's called, but I have seen 1234 of them in 2024!\"",
    "def add(a, b):\n    return a + b\n\nfor i in range(10):\n\tprint(add(i, 2 * i))\n",
    "Größe, naïve café, señor, Übung macht den Meister; der Hund schläft im Garten.",
    "Языки и слова: привет, мир. 漢字 and かな, and an emoji 🙂 at the end.",
    "and the other that there with have this from they would which their about when",
] * 4

SPECIALS = {
    "bytebpe": {"bos": "<|endoftext|>", "eos": "<|endoftext|>"},
    "chat": {"bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>"},
    "qwen": {"eos": "<|endoftext|>", "pad": "<|endoftext|>"},
    "spbpe": {"unk": "<unk>", "bos": "<s>", "eos": "</s>"},
    "unigram": {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
    "wordpiece": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
}
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer(family: str, size: int = 420) -> Any:
    """A `tokenizers.Tokenizer` of one family: bytebpe, chat, qwen, spbpe, unigram or wordpiece.

    `chat` is a byte-level BPE with `<|im_start|>` and `<|im_end|>`. `size` is the number of ids
    wanted, specials included; a small text may give fewer.
    """
    build = {
        "bytebpe": _bytebpe,
        "chat": _bytebpe,
        "qwen": _bytebpe,
        "spbpe": _spbpe,
        "unigram": _unigram,
        "wordpiece": _wordpiece,
    }[family]
    specials = list(dict.fromkeys(name for name in SPECIALS[family].values() if name))
    if family == "chat":
        specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = build(size, specials)
    if family == "qwen":  # what transformers builds for every model of type qwen2
        from tokenizers import Regex, normalizers, pre_tokenizers

        split = pre_tokenizers.Split(Regex(QWEN), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _bytebpe(size: int, specials: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(specials), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _spbpe(size: int, specials: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    words = [word for line in TEXT for word in normalizer.normalize_str(line).split("\n")]
    pieces = ["▁" + word for line in words for word in line.split("▁") if word]
    plain = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=max(size - len(specials) - 256, 1), limit_alphabet=60, show_progress=False
    )
    plain.train_from_iterator(pieces, trainer)
    learned = json.loads(plain.to_str())["model"]
    names = [*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [name for name, _ in sorted(learned["vocab"].items(), key=lambda item: item[1])]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={name: index for index, name in enumerate(dict.fromkeys(names))},
            merges=[tuple(merge) for merge in learned["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(specials)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)]
    )
    return tokenizer


def _unigram(size: int, specials: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _wordpiece(size: int, specials: list[str]) -> Any:
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def write_tokenizer_folder(
    folder: Path, family: str, size: int = 420, *, bare: bool = False
) -> Path:
    """Write tokenizer.json, and tokenizer_config.json unless `bare`, as transformers 5 does."""
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(family, size).save(str(folder / "tokenizer.json"))
    if bare:
        return folder
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128}
    config |= {f"{role}_token": name for role, name in SPECIALS[family].items() if name}
    if family == "chat":
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def build_config(kind: str, *, rows: int, hidden: int, layers: int, tied: bool, length: int) -> Any:
    """A tiny transformers config of one architecture."""
    import transformers

    llama_like = {
        "vocab_size": rows,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": length,
        "tie_word_embeddings": tied,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    wide_heads = {**llama_like, "head_dim": hidden // 2}
    if kind == "llama":
        return transformers.LlamaConfig(**llama_like)
    if kind == "mistral":
        return transformers.MistralConfig(**llama_like)
    if kind == "qwen2":
        return transformers.Qwen2Config(**llama_like)
    if kind == "gemma":
        return transformers.GemmaConfig(**wide_heads)
    if kind == "phi":  # untied, with lm_head.bias
        return transformers.PhiConfig(**{**llama_like, "num_key_value_heads": 2})
    if kind == "gpt_neox":  # embed_in and embed_out
        neox = {**llama_like}
        del neox["num_key_value_heads"]
        return transformers.GPTNeoXConfig(**neox)
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=rows,
            n_embd=hidden,
            n_layer=layers,
            n_head=2,
            n_positions=length,
            tie_word_embeddings=tied,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=None,
        )
    if kind == "bert":  # an encoder: no head
        return transformers.BertConfig(
            vocab_size=rows,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=2 * hidden,
            max_position_embeddings=length,
            initializer_range=0.3,
            pad_token_id=None,
        )
    if kind == "gemma3":  # nested text_config, a vision tower in the body
        text = {**wide_heads, "sliding_window": 16}
        vision = {
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        }
        return transformers.Gemma3Config(
            text_config=text,
            vision_config=vision,
            mm_tokens_per_image=4,
            tie_word_embeddings=tied,
            boi_token_index=5,
            eoi_token_index=6,
            image_token_index=7,
        )
    raise ValueError(kind)


def build_model(
    kind: str,
    *,
    rows: int,
    hidden: int = 16,
    layers: int = 2,
    tied: bool = True,
    length: int = 128,
    seed: int = 0,
) -> Any:
    """A random model of one architecture; no two rows of its matrices are equal."""
    import torch
    import transformers

    config = build_config(kind, rows=rows, hidden=hidden, layers=layers, tied=tied, length=length)
    auto = {
        "gemma3": transformers.AutoModelForImageTextToText,
        "bert": transformers.AutoModel,
    }.get(kind, transformers.AutoModelForCausalLM)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = auto.from_config(config)
        head = model.get_output_embeddings()
        if getattr(head, "bias", None) is not None:
            torch.nn.init.normal_(head.bias)
    return model.eval()


def write_model_folder(
    folder: Path,
    kind: str = "llama",
    *,
    tokenizer: str | Path | None = None,
    tokens: int = 420,
    tied: bool = True,
    rows: int | None = None,
    hidden: int = 16,
    layers: int = 2,
    length: int = 128,
    dtype: str = "float32",
    shard: str | None = None,
    eos: list[int] | None = None,
    seed: int = 0,
) -> Path:
    """Save a tiny model with its tokenizer the way `save_pretrained` does.

    Args:
        folder: Where; made if missing.
        kind: llama, mistral, qwen2, gemma, phi (head bias), gpt_neox, gpt2, gemma3 (nested) or bert
            (an encoder: no head).
        tokenizer: A family of `build_tokenizer`, or a folder whose tokenizer files are copied; by
            default "qwen" for qwen2 (AutoTokenizer rebuilds any other for it), "wordpiece" for
            bert, else "bytebpe".
        tokens: Ids of the tokenizer.
        tied: Whether input and output matrices are one.
        rows: Rows of the matrices; by default as many as the tokenizer has ids.
        hidden: Width.
        layers: Depth.
        length: Maximum positions.
        dtype: Number format on disk.
        shard: Maximum shard size such as "20KB"; None writes a single file.
        eos: Ids of the generation config's eos list; None takes the tokenizer's eos.
        seed: Seed of the weights.
    """
    import torch
    from tokenizers import Tokenizer

    if tokenizer is None:
        tokenizer = {"qwen2": "qwen", "bert": "wordpiece"}.get(kind, "bytebpe")
    if isinstance(tokenizer, str):
        write_tokenizer_folder(folder, tokenizer, tokens)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (tokenizer / name).exists():
                shutil.copyfile(tokenizer / name, folder / name)
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = fast.get_vocab_size()
    model = build_model(
        kind, rows=rows or size, hidden=hidden, layers=layers, tied=tied, length=length, seed=seed
    ).to(getattr(torch, dtype))
    path = folder / "tokenizer_config.json"
    roles = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    ids = {
        f"{role}_token_id": fast.token_to_id(roles[f"{role}_token"])
        for role in ("bos", "eos", "pad")
        if roles.get(f"{role}_token")
    }
    for name, value in ids.items():
        generation = getattr(model, "generation_config", None)
        for settings in (model.config, model.config.get_text_config(), generation):
            if settings is not None:
                setattr(settings, name, value)
    if eos is not None:
        model.generation_config.eos_token_id = eos
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return folder


class Tiny:
    """Builds each tiny folder once per session."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: dict[object, Path] = {}
        self._numbers = itertools.count()

    def fresh(self) -> Path:
        """A new path that does not exist yet."""
        return self.root / f"{next(self._numbers):03d}"

    def model(self, kind: str = "llama", **options: Any) -> Path:
        """A model folder, see `write_model_folder`; shared, so never write to it."""
        key = (kind, tuple(sorted((name, str(value)) for name, value in options.items())))
        if key not in self._made:
            self._made[key] = write_model_folder(self.fresh() / kind, kind, **options)
        return self._made[key]

    def tokenizer(self, family: str = "bytebpe", size: int = 420, *, bare: bool = False) -> Path:
        """A tokenizer folder, see `write_tokenizer_folder`; shared, so never write to it."""
        key = (family, size, bare)
        if key not in self._made:
            self._made[key] = write_tokenizer_folder(self.fresh() / family, family, size, bare=bare)
        return self._made[key]

    def copy(self, folder: Path) -> Path:
        """A copy that may be damaged."""
        return Path(shutil.copytree(folder, self.fresh() / folder.name))
