"""From what the user typed to a folder: paths first, then the hub, here played by a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from tests.tiny import Tiny
from tokxfer.checkpoints import ModelFolder, resolve
from tokxfer.errors import FolderError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Plays the hub: remembers what was asked, gives a folder or raises."""

    def __init__(self, answer: Path | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, **options: Any) -> str:
        self.asked.append((name, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def hub(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> Hub:
    stand_in = Hub(answer)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in)
    return stand_in


def http_error(kind: type[Exception]) -> Exception:
    response = SimpleNamespace(headers={}, request=None)
    return kind("not for you", response=response)  # type: ignore[call-arg]


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert resolve(tmp_path) == (tmp_path, None)


def test_a_path_wins_over_a_hub_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    asked = hub(monkeypatch, tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/model")[0] == Path("org/model")
    assert asked.asked == []


def test_the_commit_of_a_hub_model_is_its_revision(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    snapshot = tmp_path / "snapshots" / COMMIT
    snapshot.parent.mkdir()
    tiny.copy(tiny.model()).rename(snapshot)
    asked = hub(monkeypatch, snapshot)
    folder = ModelFolder.open("org/model", revision="v1")
    assert (folder.name, folder.revision, folder.path) == ("org/model", COMMIT, snapshot)
    name, options = asked.asked[0]
    assert (name, options["revision"], options["local_files_only"]) == ("org/model", "v1", False)


def test_pickled_weights_are_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    asked = hub(monkeypatch, tmp_path)
    resolve("org/model")
    resolve("org/model", weights=False)
    with_weights, without = (options["allow_patterns"] for _, options in asked.asked)
    assert "*.safetensors" in with_weights
    assert "*.safetensors" not in without
    assert not any("bin" in pattern for pattern in with_weights)


def test_offline_asks_only_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    asked = hub(monkeypatch, tmp_path)
    resolve("org/model", offline=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    resolve("org/model")
    assert [options["local_files_only"] for _, options in asked.asked] == [True, True]


@pytest.mark.parametrize("name", ["./org/model", "/org/model", "a/b/c", "model", "org/model/"])
def test_what_cannot_be_a_hub_name_is_a_missing_path(
    name: str, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    asked = hub(monkeypatch, Path())
    with pytest.raises(FolderError, match="does not exist"):
        resolve(name)
    assert asked.asked == []


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (http_error(errors.GatedRepoError), "is gated"),
        (http_error(errors.RepositoryNotFoundError), "the hub has no model of that name"),
        (http_error(errors.RevisionNotFoundError), "has no revision v1"),
        (errors.LocalEntryNotFoundError("nothing"), "hub cannot be reached"),
        (OSError("connection lost\nmore"), "could not be fetched from the hub: connection lost"),
        (ValueError(), "could not be fetched"),
    ],
)
def test_whatever_the_hub_answers_becomes_one_sentence(
    failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    hub(monkeypatch, failure)
    with pytest.raises(FolderError, match=sentence) as raised:
        resolve("org/model", revision="v1")
    assert "\n" not in raised.value.message
    assert raised.value.hint


def test_a_model_that_the_cache_lacks_is_said_to_be_lacking_there() -> None:
    """No stand-in: tests run offline, with the real cache."""
    with pytest.raises(FolderError, match="not in the hub's cache on this machine"):
        resolve("tokxfer-tests/no-such-model")
