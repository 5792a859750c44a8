"""Whether AutoTokenizer gives what tokenizer.json says."""

from __future__ import annotations

from pathlib import Path

from tokxfer.checkpoints.loading import load_tokenizer

SAMPLES = (
    'The quick brown fox, in 1984 and 2024, said: "it\'s 3.14!"\n\tif (x == y) { return 0; }\n',
    " leading space,  two spaces\n\n\nand   lines ",
    "Größe naïve Ελλάδα Привет мир 漢字かな नमस्ते مرحبا 🙂👍🏽 ½ ﬁ",
    "HTTPServerError_42 camelCase don't WE'LL\r\n",
)
"""Texts that tell tokenizers apart: digits, case, spaces, line ends, scripts, combining marks."""


def disagreement(folder: Path, *, special: bool = True, trust_remote_code: bool = False) -> str:
    """How AutoTokenizer's ids and text differ from those of tokenizer.json; empty if they agree.

    Args:
        folder: A folder with a tokenizer.
        special: Whether what is put before and after a text counts as well.
        trust_remote_code: Whether Python code that comes with it may run.
    """
    from tokenizers import Tokenizer

    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.no_truncation()
    file.no_padding()
    auto = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    size = file.get_vocab_size(with_added_tokens=True)
    kind = type(auto).__name__
    if len(auto) != size:
        return f"AutoTokenizer ({kind}) has {len(auto):,} tokens, tokenizer.json has {size:,}"
    for sample in SAMPLES:
        ids = file.encode(sample, add_special_tokens=special).ids
        shown = repr(sample[:24])
        if auto(sample, add_special_tokens=special)["input_ids"] != ids:
            return f"AutoTokenizer ({kind}) gives other ids for {shown}… than tokenizer.json"
        if auto.decode(ids) != file.decode(ids, skip_special_tokens=False):
            return f"AutoTokenizer ({kind}) gives other text for the ids of {shown}…"
    return ""
