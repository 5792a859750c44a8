"""Reading what a student is trained on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tokxfer.errors import TokxferError
from tokxfer.workflows.training.examples import Chat, read_examples, set_apart

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


def test_texts_and_chats_come_in_order(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    lines = [{"text": "one"}, {"messages": CHAT}, {"text": ""}, {"text": "two"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_examples(file) == ["one", Chat(tuple(CHAT)), "two"]
    assert read_examples(file, limit=1) == ["one"]


def test_a_folder_gives_every_file_that_holds_text_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    with gzip.open(tmp_path / "deep" / "a.jsonl.gz", "wt") as stream:
        stream.write(json.dumps({"text": "a"}))
    assert read_examples(tmp_path) == ["b", "a"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"messages": "Hi"}', '"messages" is no list'),
        (b'{"messages": [{"role": "user"}]}', 'no "content"'),
        (b'{"messages": [{"content": "x"}]}', 'no "role"'),
        (b'{"txt": "Hi"}', 'no "text"'),
        (b"[1]", 'no "text"'),
        (b"{", "is not JSON"),
        (b'{"text": "\xff"}', "is not UTF-8"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
    ],
)
def test_what_is_neither_text_nor_chat_is_refused_with_its_line(
    tmp_path: Path, line: bytes, told: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "one"}\n' + line + b"\n")
    with pytest.raises(TokxferError, match="line 2") as caught:
        read_examples(file)
    assert told in caught.value.message


@pytest.mark.parametrize("content", ["", '{"messages": []}\n', '{"text": " \\n"}\n'])
def test_a_file_without_words_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(content)
    with pytest.raises(TokxferError, match=r"empty|white space"):
        read_examples(file)


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokxferError, match="holds no text"):
        read_examples(tmp_path)


def test_the_last_texts_are_set_apart_and_never_trained_on() -> None:
    examples = [*(f"text {at}" for at in range(39)), Chat(tuple(CHAT))]
    kept, judged = set_apart(examples)
    assert judged == ["text 37", "text 38"]
    assert kept == [*examples[:37], examples[39]]


def test_one_text_is_too_little_to_set_any_apart() -> None:
    with pytest.raises(TokxferError, match="hold 1 text") as caught:
        set_apart(["only", Chat(tuple(CHAT))])
    assert "--eval-text" in str(caught.value.hint)
