"""Model folders as mergekit understands them best.

mergekit guesses how a tokenizer marks the start of a word from its Python class, so the same files
under a generic class give it fewer tokens in common. A named copy of a folder says the class of
its family; weights are links. It counts only if the class keeps every id, which mergekit's own
Python is asked:

    …/mergekit/bin/python mergekit_naming.py FOLDER      # prints the class, or nothing
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CLASSES: dict[str, dict[str, Any]] = {
    "byte-level BPE": {"tokenizer_class": "GPT2TokenizerFast"},
    "SentencePiece BPE": {"tokenizer_class": "LlamaTokenizerFast"},
    "Unigram": {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0},
}


def named_copy(folder: Path, copy: Path, python: Path) -> str | None:
    """Make a named copy of a folder, unless it is there; its class, None where none keeps the ids.

    Args:
        folder: A model folder.
        copy: Where to put the copy.
        python: mergekit's Python.
    """
    from tokxfer.vocabulary import read_vocabulary

    stamp = copy / "class.txt"
    if not stamp.exists():
        said = CLASSES.get(read_vocabulary(folder).family)
        copy.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            link = copy / file.name
            if file.name != "tokenizer_config.json" and not link.is_symlink():
                link.symlink_to(file.resolve())
        settings = folder / "tokenizer_config.json"
        config = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
        config.pop("backend", None)
        (copy / settings.name).write_text(json.dumps(config | (said or {})), encoding="utf-8")
        command = [str(python), __file__, str(copy)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True) if said else None
        stamp.write_text(done.stdout.strip() if done and not done.returncode else "")
    return stamp.read_text() or None


def main() -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.get_vocab() == Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab():
        print(type(tokenizer).__name__)


if __name__ == "__main__":
    main()
