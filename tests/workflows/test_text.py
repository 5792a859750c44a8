"""Documents from files, sound and not."""

from __future__ import annotations

import bz2
import gzip
import importlib
import json
import lzma
from pathlib import Path

import pytest

from tokxfer.errors import TokxferError
from tokxfer.workflows.text import read_documents

TEXTS = ["one\r\ntwo\n", "drei: ß, 漢", "  "]
LINES = "".join(json.dumps({"text": text, "lang": "x"}) + "\n" for text in TEXTS)


def test_a_plain_file_is_one_document_byte_for_byte(tmp_path: Path) -> None:
    text = "\ufeffone\r\n\r\ntwo\rß\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert list(read_documents(tmp_path / "a.txt")) == [text]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".JSONL"])
def test_json_lines_are_a_document_each(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(LINES, encoding="utf-8")
    assert list(read_documents(str(path))) == TEXTS


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".xz", lzma.compress),
        (".XZ", lzma.compress),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
    ],
)
def test_compressed_files_are_read(tmp_path: Path, suffix: str, compress) -> None:
    lines, plain = tmp_path / f"a.jsonl{suffix}", tmp_path / f"a.txt{suffix}"
    lines.write_bytes(compress(LINES.encode()))
    plain.write_bytes(compress(b"plain"))
    assert list(read_documents(lines)) == TEXTS
    assert list(read_documents(plain)) == ["plain"]


def test_a_zstandard_file_is_read_by_whatever_module_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(gzip.compress(b"plain"))
    found = importlib.import_module

    def only_the_second(name: str) -> object:
        if name in ("compression.zstd", "pyzstd"):
            raise ImportError(name)
        return gzip if name == "zstandard" else found(name)

    monkeypatch.setattr(importlib, "import_module", only_the_second)
    assert list(read_documents(path)) == ["plain"]


def test_without_a_zstandard_reader_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt.zst").write_bytes(b"x")

    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(TokxferError) as caught:
        list(read_documents(tmp_path / "a.txt.zst"))
    assert "zstandard" in str(caught.value.hint)


def test_blank_lines_and_empty_documents_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\n{"text": ""}\n  \n{"text": "x"}\n', encoding="utf-8")
    assert list(read_documents(tmp_path / "a.jsonl")) == ["x"]


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4])
def test_a_limit_stops_early(tmp_path: Path, limit: int) -> None:
    (tmp_path / "a.jsonl").write_text(LINES, encoding="utf-8")
    assert list(read_documents(tmp_path / "a.jsonl", limit)) == TEXTS[:limit]


def test_lines_behind_the_limit_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\nrubbish', encoding="utf-8")
    assert list(read_documents(tmp_path / "a.jsonl", 1)) == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"", "is empty: there is no text in it."),
        ("a.jsonl", b"\n\n", "is empty: there is no text in it."),
        ("a.txt", b" \n\t\n", "holds nothing but white space."),
        ("a.jsonl", b'{"text": ""}\n{"text": "  "}\n', "holds nothing but white space."),
        ("a.txt", b"one\ntwo\n\xff", "line 3, is not UTF-8."),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xe4"}', "line 2, is not UTF-8."),
        ("a.jsonl", b'{"text": "x"}\n{"text"', "line 2, is not JSON: "),
        ("a.jsonl", b'{"body": "x", "n": 1}', '"text" that is a string (found: body, n).'),
        ("a.jsonl", b'{"text": 5}', 'line 1, has no "text" that is a string (it is a number).'),
        ("a.jsonl", b'{"text": 0.5}', "(it is a number)."),
        ("a.jsonl", b'{"text": null, "n": 1}', "(it is null)."),
        ("a.jsonl", b'{"text": ["x"]}', "(it is a list)."),
        ("a.jsonl", b'{"text": {}}', "(it is an object)."),
        ("a.jsonl", b'{"text": true}', "(it is true or false)."),
        ("a.jsonl", b"{}", "(found: no fields)."),
        ("a.jsonl", b"[1]", "(found: a list)."),
        ("a.jsonl", b'"x"', "(found: a string)."),
        ("a.jsonl", b'{"text": "\\ud800"}', "line 1, holds half of a surrogate pair."),
        ("a.txt.xz", b"rubbish", "is damaged: it cannot be decompressed"),
        ("a.txt.gz", b"rubbish", "is damaged: it cannot be decompressed"),
        ("a.txt.bz2", b"rubbish", "is damaged: it cannot be decompressed"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokxferError) as caught:
        list(read_documents(tmp_path / name))
    assert caught.value.message.startswith(str(tmp_path / name))
    assert sentence in caught.value.message


@pytest.mark.parametrize(("suffix", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_a_compressed_file_cut_short_is_damaged(tmp_path: Path, suffix: str, module) -> None:
    path = tmp_path / f"a.txt.{suffix}"
    path.write_bytes(module.compress(b"some text")[:-9])
    with pytest.raises(TokxferError, match="is damaged: it cannot be decompressed"):
        list(read_documents(path))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TokxferError, match="does not exist"):
        list(read_documents(tmp_path / "nowhere.txt"))
    with pytest.raises(TokxferError, match="is a folder"):
        list(read_documents(tmp_path))
