"""Write models/held_out.txt and .jsonl: English that no reference model was trained on.

    python scripts/make_held_out.py        # reads ../shared/corpus/english_heldout.jsonl.xz

Only documents dedicated to the public domain (CC0) are taken, and of those none whose author died
less than 70 years ago: the openings of chapters of one novel and of technical proposals. Both files
hold the same documents, the text file joined by blank lines; models/README.md lists their sources.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from tables import markdown_table, replace_block

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 100_000  # bytes of either file
OPENING = 4_200  # bytes of one document, at most
STILL_IN_COPYRIGHT_ELSEWHERE = ("standardebooks/agatha-christie",)  # she died in 1976


def main() -> None:
    shared = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = shared / "corpus" / "english_heldout.jsonl.xz"
    parser.add_argument("--corpus", type=Path, default=source, help="held-out JSONL, xz")
    parser.add_argument("--out", type=Path, default=ROOT / "models")
    options = parser.parse_args()

    with lzma.open(options.corpus, "rt", encoding="utf-8") as stream:
        documents = [shortened(json.loads(line)) for line in stream]
    documents = sorted(filter(is_free, documents), key=reading_order)
    text = "\n\n".join(document["text"] for document in documents) + "\n"
    lines = "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    for name, content in (("held_out.txt", text), ("held_out.jsonl", lines)):
        body = content.encode()
        if len(body) > LIMIT:
            sys.exit(f"{name} would have {len(body):,} bytes, more than {LIMIT:,}")
        (options.out / name).write_bytes(body)
        print(f"{options.out / name}: {len(documents)} documents, {len(body):,} bytes")
    rows = [
        [document["source"], document["license"], f"{len(document['text'].encode()):,}"]
        for document in documents
    ]
    table = markdown_table(["document", "licence", "bytes"], rows, "llr")
    replace_block(options.out / "README.md", "held-out", table)


def shortened(document: dict[str, str]) -> dict[str, str]:
    """The document's opening paragraphs, with its source and licence."""
    opening = ""
    for paragraph in document["text"].strip().split("\n\n"):
        longer = f"{opening}\n\n{paragraph}" if opening else paragraph
        if len(longer.encode()) > OPENING:
            break
        opening = longer
    return {"text": opening, "source": document["source"], "license": document["license"]}


def is_free(document: dict[str, str]) -> bool:
    """Whether anyone anywhere may copy it, and it has an opening short enough to take."""
    free = document["license"].startswith("CC0")
    elsewhere = document["source"].startswith(STILL_IN_COPYRIGHT_ELSEWHERE)
    return free and not elsewhere and bool(document["text"])


def reading_order(document: dict[str, str]) -> list[tuple[int, str]]:
    """By source, numbers as numbers: chapter 2 before chapter 10."""
    parts = re.findall(r"\d+|\D+", document["source"])
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


if __name__ == "__main__":
    main()
