"""Text encoders against transformers run by hand, and what they keep on disk."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel, PreTrainedTokenizerFast

from tests.tiny import Tiny
from tests.workflows.letters import letter_encoder
from tests.workflows.transplants import json_of
from tokxfer import TokenAdaptHybrid, transplant, transplant_model
from tokxfer.cli.main import main
from tokxfer.errors import FolderError, UnsupportedError, UsageError
from tokxfer.workflows import encoder as encoders
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.vectorstore import cache_folder

pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
TEXTS = [" the", "cat", "sat", "<0xE2><0x80>", "on", "it", " dog", "x", "zebra"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights that reads letter by letter, as a plain transformers folder."""
    path = tmp_path_factory.mktemp("encoders") / "letters"
    return letter_encoder(path)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("TOKXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def by_hand(folder: Path, text: str) -> np.ndarray:
    """Mean of the last hidden states, at length 1."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
    return (hidden / hidden.norm()).numpy()


def test_vectors_are_mean_hidden_states_at_length_one(folder: Path) -> None:
    found = TextEncoder(folder, "letters").encode(TEXTS)
    expected = np.array([by_hand(folder, text) for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=2e-3)  # rounded to float16
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_what_was_encoded_once_is_not_encoded_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TextEncoder(folder, "letters")
    vectors, (places, cosines) = first.encode(TEXTS), first.nearest(TEXTS, TEXTS, 3)

    def refuse(*_: object) -> None:
        raise AssertionError("the encoder ran again")

    monkeypatch.setattr(TextEncoder, "_compute", refuse)
    monkeypatch.setattr("sklearn.neighbors.NearestNeighbors.kneighbors", refuse)
    second = TextEncoder(folder, "letters")
    assert np.array_equal(second.encode(TEXTS[::-1])[::-1], vectors)
    again = second.nearest(TEXTS, TEXTS, 3)
    assert np.array_equal(again[0], places)
    assert np.array_equal(again[1], cosines)
    with pytest.raises(AssertionError, match="ran again"):
        second.encode([*TEXTS, "new"])


def test_neighbours_are_those_of_a_full_search(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "CHUNK", 5 * 16 * 4)  # four queries at a time
    encoder = TextEncoder(folder, "letters")
    keys = [a + b for a in "abcdefg" for b in "nopqrst"]
    vectors, others = encoder.encode(TEXTS), encoder.encode(keys)
    places, cosines = encoder.nearest(TEXTS, keys, 5)
    for row, (near, values) in enumerate(zip(places, cosines, strict=True)):
        every = others @ vectors[row]
        np.testing.assert_allclose(values, np.sort(every)[::-1][:5], atol=1e-6)
        np.testing.assert_allclose(every[near], values, atol=1e-6)
    assert encoder.nearest([], keys, 5)[0].shape == (0, 5)
    for queries, among, k in ((TEXTS[1:], keys, 5), (TEXTS, keys[::-1], 5), (TEXTS, keys, 4)):
        every = encoder.encode(queries) @ encoder.encode(among).T  # what was kept is of others
        values = encoder.nearest(queries, among, k)[1]
        np.testing.assert_allclose(values, -np.sort(-every, axis=1)[:, :k], atol=1e-6)


def test_the_cache_takes_two_bytes_a_number(folder: Path, kept: Path) -> None:
    encoder = TextEncoder(folder, "letters")
    many = [f"x{i}" for i in range(2000)]
    encoder.encode(many)
    (file,) = (kept / "encoders").glob("*.safetensors")
    assert file.name == f"{encoder.fingerprint}-double.safetensors"
    assert file.stat().st_size < 2000 * (16 + 2 * 16) + 500


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all"])
def test_a_damaged_cache_is_made_anew(folder: Path, kept: Path, damage: bytes) -> None:
    vectors = TextEncoder(folder, "letters").encode(TEXTS)
    (file,) = (kept / "encoders").glob("*.safetensors")
    file.write_bytes(damage)
    assert np.array_equal(TextEncoder(folder, "letters").encode(TEXTS), vectors)
    assert len(file.read_bytes()) > 100


def test_a_cache_that_cannot_be_written_only_costs_time(folder: Path, kept: Path) -> None:
    kept.write_text("a file where the folder should be")
    assert TextEncoder(folder, "letters").encode(TEXTS).shape == (len(TEXTS), 16)
    assert [entry.name for entry in kept.parent.iterdir()] == [kept.name]


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["TOKXFER_CACHE"])
    monkeypatch.delenv("TOKXFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/tokxfer")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "tokxfer"


def test_another_encoder_has_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    assert TextEncoder(other, "o").fingerprint == TextEncoder(folder, "letters").fingerprint
    config = json_of(other, "config.json") | {"layer_norm_eps": 0.1}
    (other / "config.json").write_text(json.dumps(config))
    assert TextEncoder(other, "o").fingerprint != TextEncoder(folder, "letters").fingerprint


# ---- what is refused


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "enc").mkdir()
    (tmp_path / "enc" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(
        UnsupportedError, match=r"only in pytorch_model\.bin, a format that can run"
    ):
        TextEncoder(tmp_path / "enc", "enc")


def test_pickled_weights_of_a_module_are_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "enc")
    (other / "2_Dense").mkdir()
    (other / "2_Dense" / "pytorch_model.bin").write_bytes(b"x")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "x"}, {"idx": 1, "path": "2_Dense"}]
    (other / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedError, match="only in 2_Dense/pytorch_model"):
        TextEncoder(other, "enc")


def test_weights_for_other_runtimes_do_not_matter(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "enc")
    (other / "openvino").mkdir()
    (other / "openvino" / "openvino_model.bin").write_bytes(b"x")
    assert TextEncoder(other, "enc").encode(["a"]).shape == (1, 16)


@pytest.mark.parametrize("trusted", [False, True])
def test_code_in_an_encoders_folder_runs_only_when_trusted(
    folder: Path, tmp_path: Path, trusted: bool
) -> None:
    other = shutil.copytree(folder, tmp_path / "enc")
    ran = tmp_path / "ran"
    (other / "custom.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "custom.Own"}]
    (other / "modules.json").write_text(json.dumps(modules))
    with pytest.raises((FolderError, AttributeError, TypeError)):
        TextEncoder(other, "enc", trust_remote_code=trusted).encode(["a"])
    assert ran.exists() == trusted


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "has no weights"),
        (lambda path: path.write_text(""), "is no folder"),
    ],
)
def test_what_is_no_encoder_is_said_before_any_work(
    tmp_path: Path, make: object, said: str
) -> None:
    make(tmp_path / "enc")  # type: ignore[operator]
    with pytest.raises(FolderError, match=said):
        TextEncoder.open(tmp_path / "enc")


def test_an_encoder_that_cannot_be_loaded_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(FolderError, match="sentence-transformers cannot load"):
        TextEncoder(broken, "broken").encode(["a"])


@pytest.mark.parametrize(
    ("lacking", "said"),
    [("sentence_transformers", "need the library"), (encoders.PACKAGED, "none is installed")],
)
def test_what_is_not_installed_is_said(
    lacking: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == lacking else find(name)
    )
    with pytest.raises(UsageError, match=said) as refused:
        TextEncoder.open()
    assert "pip install 'tokxfer[encoder]'" in str(refused.value.hint)


def test_vectors_that_are_not_finite_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder(folder, "letters")

    class Broken:
        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.full((len(texts), 4), np.nan)

    monkeypatch.setattr(encoder, "_loaded", Broken)
    with pytest.raises(FolderError, match="not finite"):
        encoder.encode(["a"])


def test_an_encoder_that_cannot_encode_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder(folder, "letters")

    class Unpadded:
        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            raise ValueError("Asking to pad but the tokenizer does not have a padding token.")

    monkeypatch.setattr(encoder, "_loaded", Unpadded)
    with pytest.raises(FolderError, match="letters cannot encode text: Asking to pad"):
        encoder.encode(["a"])


# ---- transplants with an encoder


def test_a_bare_tokenizer_is_enough(
    tiny: Tiny, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny.model("llama", tied=False)
    donor = tiny.tokenizer("wordpiece") / "tokenizer.json"
    out = tmp_path / "out"
    words = ["transplant", base, donor, out, "-m", "tokenadapt-hybrid", "--encoder", folder,
             "--share", 0.5, "-k", 2, "--temperature", 0.1, "--threshold", -1,
             "--json"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 0
    printed, shown = capsys.readouterr()
    assert "texts by letters: 100%" in shown
    report = json.loads(printed)
    told = {"share": 0.5, "k": 2, "temperature": 0.1, "threshold": -1.0, "encoder": "letters"}
    assert told.items() <= report["options"].items()
    assert report["rows"]["input"] == report["rows"]["output"]
    assert report["rows"]["input"]["mixed"] > 10
    encoder = json_of(out, "tokxfer.json")["inputs"]["encoder"]
    assert encoder == {"name": "letters", "fingerprint": TextEncoder(folder, "x").fingerprint}


def test_both_entries_give_the_same_rows(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, donor = tiny.model("llama", tied=True), tiny.tokenizer("unigram")
    method = TokenAdaptHybrid(k=2)
    transplant(base, donor, tmp_path / "out", method=method, encoder=folder)
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    model, _, _ = transplant_model(
        AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base), None,
        AutoTokenizer.from_pretrained(donor), method=method,
        encoder=TextEncoder.open(folder, device="cpu"),
    )  # fmt: skip
    left, right = (m.get_input_embeddings().weight for m in (written, model))
    assert torch.equal(left, right)


def test_an_encoder_for_a_method_that_has_no_use_for_it_is_refused(
    tiny: Tiny, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="'subword-uniform' needs no text encoder"):
        transplant(
            tiny.model("llama"), tiny.tokenizer("unigram"), tmp_path / "o",
            method="subword", encoder=folder,
        )  # fmt: skip


@pytest.mark.skipif(
    importlib.util.find_spec(encoders.PACKAGED) is None, reason="needs the extra 'encoder'"
)
def test_the_packaged_encoder_knows_what_words_mean() -> None:
    encoder = TextEncoder.open(device="cpu")
    assert encoder.to_dict()["name"] == "all-MiniLM-L6-v2"
    places, _ = encoder.nearest([" kitten", " Paris"], [" engine", " cat", " city", " France"], 1)
    assert places[:, 0].tolist() == [1, 3]
