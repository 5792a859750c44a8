"""Devices, number formats and sizes, from the words of the command line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokxfer.checkpoints import format_size, parse_size, pick_device, pick_dtype
from tokxfer.checkpoints import sizes as sizes_module
from tokxfer.checkpoints.sizes import available_memory
from tokxfer.errors import UsageError


def cuda(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("word", "count", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_word_becomes_a_device(
    monkeypatch: pytest.MonkeyPatch, word: str, count: int, expected: str
) -> None:
    cuda(monkeypatch, count)
    assert pick_device(word) == torch.device(expected)


@pytest.mark.parametrize(
    ("word", "count", "sentence"),
    [
        ("cuda", 0, "no CUDA device on this machine"),
        ("cuda:0", 0, "no CUDA device on this machine"),
        ("cuda:3", 1, r"only 1 CUDA device\(s\)"),
        ("cuda:3", 2, r"only 2 CUDA device\(s\)"),
        ("gpu", 1, "'gpu' is not a device"),
        ("cuda:x", 1, "is not a device"),
        ("", 1, "is not a device"),
    ],
)
def test_a_device_that_is_not_there_is_explained(
    monkeypatch: pytest.MonkeyPatch, word: str, count: int, sentence: str
) -> None:
    cuda(monkeypatch, count)
    with pytest.raises(UsageError, match=sentence) as failure:
        pick_device(word)
    assert failure.value.hint


def test_mps_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no MPS device"):
        pick_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("mps").type == "mps"


def test_auto_keeps_the_models_own_dtype() -> None:
    assert pick_dtype("auto") is None


def test_a_word_becomes_a_dtype() -> None:
    assert pick_dtype("bfloat16") == torch.bfloat16
    assert pick_dtype("float32") == torch.float32


def test_an_unknown_dtype_is_explained() -> None:
    with pytest.raises(UsageError, match="'int8' is not a dtype"):
        pick_dtype("int8")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * 10**9),
        ("500MB", 500 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("20kb", 20_000),
        ("2g", 2 * 10**9),
        ("1024", 1024),
        (7, 7),
        ("1TB", 10**12),
    ],
)
def test_a_size_is_a_number_of_bytes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "5 gigs", "-1GB", "0", "0.1B", "1e9", "5GBs"])
def test_what_is_no_size_is_explained(text: str) -> None:
    with pytest.raises(UsageError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 KB"),
        (14 * 10**9, "14 GB"),
        (10**15, "1,000 TB"),
        (999_500_000, "1 GB"),
    ],
)
def test_a_size_is_shown_in_the_fitting_unit(size: int, text: str) -> None:
    assert format_size(size) == text


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 10**12))
def test_a_size_shown_is_read_back_to_three_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.01)


def test_free_memory_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_memory() > 10**6
    monkeypatch.setattr(sizes_module.Path, "read_text", lambda *_, **__: "MemAvailable:  2 kB\n")
    assert available_memory() == 2048


def test_free_memory_is_guessed_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(sizes_module.Path, "read_text", fail)
    assert available_memory() == 4 * 10**9
    monkeypatch.setattr(sizes_module.Path, "read_text", lambda *_, **__: "nothing\n")
    assert available_memory() == 4 * 10**9
