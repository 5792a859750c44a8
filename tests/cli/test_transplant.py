from __future__ import annotations

import errno
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import Tiny
from tests.workflows.transplants import json_of, matrix_of, same_bits, tensors_of
from tokxfer.cli.main import main
from tokxfer.workflows import transplant, writing

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command; gives exit code, stdout and stderr."""
    monkeypatch.delenv("TOKXFER_DEBUG", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what building the inputs printed
        with pytest.raises(SystemExit) as stop:
            main(["transplant", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture
def base(tiny: Tiny) -> Path:
    return tiny.model("llama", tied=False, rows=424)


@pytest.fixture
def donor(tiny: Tiny) -> Path:
    return tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "place" / "out"


def numbers(line: str) -> list[str]:
    return line.split()[-2:]


# ---- what it prints


def test_the_summary_shows_before_and_after_and_how_rows_came_about(
    run: Run, base: Path, donor: Path, out: Path
) -> None:
    code, text, _ = run(base, donor, out, "-k", 3, "--ridge", "auto")
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == f"{base.name} with the tokenizer of {donor.name}"
    assert numbers(next(line for line in lines if line.startswith("tokens"))) == ["420", "440"]
    assert numbers(next(line for line in lines if line.startswith("rows"))) == ["424", "440"]
    document = json_of(out, "tokxfer.json")
    header = next(line for line in lines if line.startswith("matrix"))
    for matrix in ("input", "output"):
        row = next(line for line in lines if line.startswith(matrix))
        told = dict(zip(header.split()[1:], map(int, row.split()[1:]), strict=True))
        assert told == document["provenance"][matrix]["counts"]
    assert "What omp chose" in lines
    assert f"13 checks hold. {out} written in" in lines[-1]


def test_json_is_one_document_on_stdout_and_progress_on_stderr(
    run: Run, base: Path, donor: Path, out: Path
) -> None:
    code, text, err = run(base, donor, out, "-k", 3, "--json")
    assert code == 0
    document = json.loads(text)
    assert document["schema_version"] == 1
    assert document["out"] == str(out)
    assert document["rows_after"] == 440
    assert document["seconds"] > 0
    assert document["peak_bytes"] > 1e6
    assert all(check["ok"] for check in document["checks"])
    assert "rows by omp" in err
    assert "weights" in err


def test_quiet_means_nothing_on_stderr(run: Run, base: Path, donor: Path, out: Path) -> None:
    code, text, err = run(base, donor, out, "-m", "mean", "--json", "-q")
    assert code == 0
    assert json.loads(text)["warnings"]
    assert err == ""


def test_warnings_go_to_stderr(run: Run, tiny: Tiny, out: Path) -> None:
    code, text, err = run(tiny.model("llama"), tiny.tokenizer("qwen"), out, "-m", "mean")
    assert code == 0
    assert "Warning: Digits are segmented differently" in err
    assert "Warning" not in text


def test_verbose_adds_roles_and_checks_on_stderr(
    run: Run, base: Path, donor: Path, out: Path
) -> None:
    _, text, err = run(base, donor, out, "-m", "mean", "-v", "-q", "--json")
    json.loads(text)
    assert "keys, shapes and ties" in err
    assert "folder: round-trip" in err
    assert "</s>" in err


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    run: Run, base: Path, donor: Path, out: Path
) -> None:
    code, text, err = run(base, donor, out, "--dry-run")
    assert (code, err) == (0, "")
    assert "nothing written" in text
    for told in ("weights on disk", "memory for the matrices", "ids that get a new row"):
        assert told in text
    assert not out.parent.exists()


def test_a_dry_run_gives_json_too(run: Run, base: Path, donor: Path, out: Path) -> None:
    code, text, err = run(base, donor, out, "--dry-run", "--json", "--pad-to-multiple-of", 64)
    assert (code, err) == (0, "")
    document = json.loads(text)
    assert document["schema_version"] == 1
    assert (document["rows_before"], document["rows_after"]) == (424, 448)
    assert document["disk_bytes"] > 0
    assert document["memory_bytes"] > 0
    assert not out.parent.exists()


@pytest.mark.parametrize("tie", [[], ["--keep-tied"]])
def test_the_word_bytes_plans_a_model_of_bytes(
    run: Run, tiny: Tiny, out: Path, tie: list[str]
) -> None:
    base = tiny.model("llama", tokenizer="bytebpe", tied=True)
    code, text, err = run(base, "bytes", out, "--dry-run", *tie)
    assert (code, err) == (0, "")
    assert "with the tokenizer of bytes" in text
    assert "byte-start" in text
    assert ("untied" in text) is not bool(tie)
    code, text, err = run(base, "bytes", out, "--json", "-q", *tie)
    assert (code, err) == (0, "")
    assert json.loads(text)["tied"] is bool(tie)


# ---- every option reaches its place


def test_options_reach_the_method_and_the_writer(
    run: Run, base: Path, donor: Path, out: Path
) -> None:
    code, text, _ = run(
        base, donor, out, "-k", 2, "--selection", "raw", "--ridge", "0.25", "--no-tune",
        "--pad-to-multiple-of", 64, "--max-shard-size", "30KB", "--dtype", "bfloat16",
        "--seed", 3, "--device", "cpu", "--memory-budget", "1MB", "--json", "-q", "--offline",
    )  # fmt: skip
    assert code == 0
    document = json.loads(text)
    wanted = {
        "method": "omp", "k": 2, "selection": "raw", "ridge": 0.25, "tune": False, "rows": 448,
        "device": "cpu", "dtype": "bfloat16", "seed": 3, "max_shard_size": 30_000,
    }  # fmt: skip
    assert wanted.items() <= document["options"].items()
    for chosen in document["chosen"].values():
        assert (chosen["k"], chosen["selection"], chosen["ridge"]) == (2, "raw", 0.25)
    assert len(list(out.glob("*.safetensors"))) > 1
    assert {str(tensor.dtype) for tensor in tensors_of(out).values()} == {"torch.bfloat16"}


def test_a_decay_reaches_its_method(run: Run, base: Path, donor: Path, tmp_path: Path) -> None:
    for decay in (1, 0.5):
        options = ("-m", "subword-first", "--decay", decay)
        assert run(base, donor, tmp_path / f"{decay}", *options)[0] == 0
    assert run(base, donor, tmp_path / "all", "-m", "subword-uniform")[0] == 0
    assert same_bits(matrix_of(tmp_path / "1"), matrix_of(tmp_path / "all"))
    assert not same_bits(matrix_of(tmp_path / "0.5"), matrix_of(tmp_path / "all"))


def test_the_further_options_of_pursuit_reach_it(
    run: Run, tiny: Tiny, donor: Path, tmp_path: Path
) -> None:
    base = tiny.model("llama", tied=False)
    made = {}
    for name in ("usual", "center", "match-norms", "shared-coefficients"):
        options = ("--no-tune", "-k", 3, *(() if name == "usual" else (f"--{name}",)))
        code, text, _ = run(base, donor, tmp_path / name, *options, "--json")
        assert code == 0
        made[name] = matrix_of(tmp_path / name)
        told = json.loads(text)["options"]
        given = {key: told[key] for key in ("center", "match_norms", "shared")}
        own = {"usual": None, "shared-coefficients": "shared"}.get(name, name.replace("-", "_"))
        assert given == {key: key == own for key in given}
    for name in ("center", "match-norms", "shared-coefficients"):
        assert not same_bits(made["usual"], made[name])


def test_twins_are_warned_of_and_take_the_mean_row_when_asked(
    run: Run, base: Path, donor: Path, tmp_path: Path
) -> None:
    code, text, _ = run(base, donor, tmp_path / "copied", "-m", "subword", "--json")
    assert code == 0
    copied = json.loads(text)
    assert any("have the bytes of another id" in warning for warning in copied["warnings"])
    code, text, _ = run(
        base, donor, tmp_path / "mean", "-m", "subword", "--twins", "mean", "--json"
    )
    assert code == 0
    left = json.loads(text)
    assert not any("bytes of another id" in warning for warning in left["warnings"])
    assert left["options"]["twins"] == "mean"
    taken = copied["rows"]["input"]["copied"] - left["rows"]["input"]["copied"]
    assert taken > 40
    assert left["rows"]["input"]["mean"] - copied["rows"]["input"].get("mean", 0) == taken
    rows = matrix_of(tmp_path / "mean")
    changed = (rows != matrix_of(tmp_path / "copied")).any(dim=1)
    assert int(changed.sum()) == taken
    assert (rows[changed] == rows[changed][0]).all()


def test_undertrained_rows_are_told_and_may_be_trusted(
    run: Run, base: Path, donor: Path, tmp_path: Path
) -> None:
    code, text, _ = run(base, donor, tmp_path / "usual", "--json", "--no-tune", "-k", 3)
    assert code == 0
    usual = json.loads(text)
    assert usual["undertrained"]["input"].keys() == {"base", "donor"}
    assert usual["options"]["trust_undertrained"] is False
    options = ("--trust-undertrained", "--json", "--no-tune", "-k", 3)
    code, text, _ = run(base, donor, tmp_path / "bold", *options)
    assert code == 0
    bold = json.loads(text)
    assert bold["options"]["trust_undertrained"] is True
    assert bold["undertrained"] == usual["undertrained"]
    assert bold["chosen"]["input"]["distrusted"] == 0


def test_what_auto_tried_is_a_line_each(run: Run, base: Path, donor: Path, tmp_path: Path) -> None:
    code, text, _ = run(base, donor, tmp_path / "auto", "-m", "auto")
    assert code == 0
    lines = text[text.index("Cosine with held-out rows") :].splitlines()[2:]
    tried = list(itertools.takewhile(bool, map(str.strip, lines)))
    found = json.loads((tmp_path / "auto" / "tokxfer.json").read_text())["chosen"]
    scores = found["input"]["cosines"]
    assert len(tried) == len(scores)
    sums = [sum(map(float, line.split()[-len(found) :])) for line in tried]
    assert sums == sorted(sums, reverse=True)


def test_weights_and_k_reach_the_neighbours(
    run: Run, base: Path, donor: Path, tmp_path: Path
) -> None:
    made = {}
    for name, options in {
        "usual": (), "distance": ("--weights", "distance"), "few": ("-k", 2),
    }.items():  # fmt: skip
        assert run(base, donor, tmp_path / name, "-m", "knn", *options)[0] == 0
        made[name] = matrix_of(tmp_path / name)
    assert not same_bits(made["usual"], made["distance"])
    assert not same_bits(made["usual"], made["few"])


def test_a_seed_changes_what_is_drawn(run: Run, base: Path, donor: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        assert run(base, donor, tmp_path / f"{seed}", "-m", "gaussian", "--seed", seed)[0] == 0
    assert not same_bits(matrix_of(tmp_path / "1"), matrix_of(tmp_path / "2"))


@pytest.mark.parametrize("which", ["--revision", "--donor-revision"])
def test_a_revision_reaches_its_model(
    run: Run, base: Path, donor: Path, out: Path, which: str
) -> None:
    named = base if which == "--revision" else donor
    code, _, err = run(base, donor, out, which, "v1")
    assert code == 2
    assert f"Error: A revision (v1) was given, but {named} is a path" in err


def test_a_models_own_code_runs_only_when_it_may(
    run: Run, tiny: Tiny, donor: Path, out: Path
) -> None:
    base = tiny.copy(tiny.model("llama"))
    own = {
        "model_type": "mine",
        "architectures": ["MyModel"],
        "auto_map": {"AutoConfig": "here.MyConfig", "AutoModelForCausalLM": "here.MyModel"},
    }
    (base / "config.json").write_text(json.dumps(json_of(base, "config.json") | own))
    (base / "here.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MyModel(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    code, text, err = run(base, donor, out, "-m", "mean")
    assert_refused(code, text, err, out, 1, "needs Python code that comes with it")
    assert "--trust-remote-code" in err
    code, _, _ = run(base, donor, out, "-m", "mean", "--trust-remote-code")
    assert code == 0
    assert (out / "here.py").read_text() == (base / "here.py").read_text()


# ---- an output that exists


def test_force_replaces_the_output(run: Run, base: Path, donor: Path, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "old.txt").write_text("old")
    assert run(base, donor, out, "-m", "mean")[0] == 1
    assert (out / "old.txt").exists()
    assert run(base, donor, out, "-m", "mean", "--force")[0] == 0
    assert not (out / "old.txt").exists()
    assert (out / "model.safetensors").exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_failure_with_force_leaves_the_old_output(
    run: Run, base: Path, donor: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir(parents=True)
    (out / "old.txt").write_text("old")
    stop_writing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    code, _, err = run(base, donor, out, "-m", "mean", "--force")
    assert code == 1
    assert "is full" in err
    assert [path.name for path in out.parent.rglob("*")] == ["out", "old.txt"]


# ---- wrong inputs: one sentence, an exit code, nothing written


def assert_refused(code: int, text: str, err: str, out: Path, expected: int, sentence: str) -> None:
    """One line that begins with Error, perhaps one with a hint, and nothing else anywhere."""
    assert code == expected
    assert text == ""
    first, *rest = err.splitlines()
    assert first.startswith("Error: ")
    assert sentence in first
    assert first.endswith(".")
    assert len(rest) <= 1
    assert all(line.startswith("Hint: ") for line in rest)
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def missing(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    del tiny, base
    return ["no/such/folder/here", donor]


def missing_donor(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    del tiny, donor
    return [base, "no/such/folder/here"]


def lacking(name: str) -> Callable[[Tiny, Path, Path], list[object]]:
    """A base without one of its files."""

    def make(tiny: Tiny, base: Path, donor: Path) -> list[object]:
        broken = tiny.copy(base)
        (broken / name).unlink()
        return [broken, donor]

    return make


def pickled(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(base)
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    return [broken, donor]


def truncated(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(base)
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return [broken, donor]


def corrupt(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(base)
    file = broken / "model.safetensors"
    file.write_bytes(b"\xff" * 200 + file.read_bytes()[200:])
    return [broken, donor]


def corrupt_donor(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(donor)
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    return [base, broken]


def shard_missing(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    del base
    broken = tiny.copy(tiny.model("llama", shard="20KB"))
    sorted(broken.glob("*.safetensors"))[-1].unlink()
    return [broken, donor]


def too_few_rows(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    del base
    return [tiny.model("llama", rows=400, eos=[3]), donor]


def nothing_shared(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    """A tokenizer of two Unigram pieces that the base lacks."""
    del donor
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tiny.fresh()
    folder.mkdir()
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("ⵣⵣⵣ", -1.0), ("ⴰⴰⴰ", -2.0)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return [base, folder, "-m", "mean"]


def bare_donor(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    del donor
    return [base, tiny.tokenizer("spbpe", bare=True)]


def slow_donor(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(donor)
    (broken / "tokenizer.json").rename(broken / "tokenizer.model")
    return [base, broken, "-m", "mean"]


def broken_tokenizer(tiny: Tiny, base: Path, donor: Path) -> list[object]:
    broken = tiny.copy(donor)
    (broken / "tokenizer.json").write_text("{")
    return [base, broken, "-m", "mean"]


def changed_weights(
    which: str, **values: torch.Tensor | None
) -> Callable[[Tiny, Path, Path], list[object]]:
    """A base or donor of one file, with tensors exchanged or (None) taken away."""

    def make(tiny: Tiny, base: Path, donor: Path) -> list[object]:
        broken = tiny.copy(tiny.model("llama", tied=False, seed=4))
        stored = load_file(broken / "model.safetensors")
        stored |= {name.replace("__", "."): tensor for name, tensor in values.items()}
        kept = {name: tensor for name, tensor in stored.items() if tensor is not None}
        save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
        return [broken, donor] if which == "base" else [base, broken]

    return make


def only(*files: str) -> Callable[[Tiny, Path, Path], list[object]]:
    """A donor with a tokenizer and what else a folder of another kind holds."""

    def make(tiny: Tiny, base: Path, donor: Path) -> list[object]:
        del donor
        folder = tiny.copy(tiny.tokenizer("spbpe", bare=True))
        for name in files:
            (folder / name).write_text("{}")
        return [base, folder]

    return make


def with_options(*options: object) -> Callable[[Tiny, Path, Path], list[object]]:
    def make(tiny: Tiny, base: Path, donor: Path) -> list[object]:
        del tiny
        return [base, donor, *options]

    return make


@pytest.mark.parametrize(
    ("make", "expected", "sentence"),
    [
        (missing, 1, "no/such/folder/here does not exist"),
        (missing_donor, 1, "no/such/folder/here does not exist"),
        (lacking("config.json"), 1, "has no config.json"),
        (lacking("tokenizer.json"), 1, "has no tokenizer"),
        (lacking("model.safetensors"), 1, "has no weights"),
        (pickled, 1, "pytorch_model.bin, a format that can run code"),
        (truncated, 1, "model.safetensors"),
        (corrupt, 1, "model.safetensors"),
        (corrupt_donor, 1, "model.safetensors"),
        (shard_missing, 1, ".safetensors"),
        (too_few_rows, 1, "ids up to 419, its embedding matrix only 400 rows"),
        (nothing_shared, 1, "share no token"),
        (bare_donor, 1, "needs the donor's weights"),
        (slow_donor, 1, "slow tokenizer"),
        (broken_tokenizer, 1, "tokenizer.json"),
        (changed_weights("base", lm_head__weight=torch.ones(400, 16)), 1, "the shape [400, 16]"),
        (changed_weights("donor", lm_head__weight=torch.ones(400, 16)), 1, "the shape [400, 16]"),
        (changed_weights("base", model__norm__weight=None), 1, "such as model.norm.weight"),
        (changed_weights("donor", model__norm__weight=torch.ones(3)), 1, "has the shape [3]"),
        (only("adapter_config.json", "adapter_model.safetensors"), 1, "holds an adapter"),
        (only("pytorch_model.bin"), 1, "has no config.json"),
        (only("model.gguf"), 1, "is in GGUF format"),
        (with_options("-k", 0), 2, "k is 0"),
        (with_options("-m", "magic"), 2, "There is no method 'magic'"),
        (with_options("-m", "mean", "-k", 3), 2, "has no option 'k'"),
        (with_options("--selection", "best"), 2, "There is no selection 'best'"),
        (with_options("--ridge", "much"), 2, "'much' is no number"),
        (with_options("--ridge", "-1"), 2, "cannot be negative"),
        (with_options("-m", "knn", "--weights", "best"), 2, "no weights 'best'"),
        (with_options("-m", "knn", "-k", 0), 2, "k is 0"),
        (with_options("-m", "subword-last", "--decay", 2), 2, "between 0 and 1"),
        (with_options("--ridge", "nan"), 2, "must be finite"),
        (with_options("--ridge", "inf"), 2, "must be finite"),
        (with_options("--pad-to-multiple-of", 10**12), 2, "more than the 440 rows"),
        (with_options("--pad-to-multiple-of", 0), 2, "--pad-to-multiple-of is 0"),
        (with_options("--max-shard-size", "big"), 2, "'big' is not a size"),
        (with_options("--memory-budget", "none"), 2, "'none' is not a size"),
        (with_options("--device", "abacus"), 2, "abacus"),
    ],
)
@pytest.mark.parametrize("dry", [False, True], ids=["", "dry"])
def test_wrong_inputs_get_one_sentence_and_write_nothing(
    run: Run,
    tiny: Tiny,
    base: Path,
    donor: Path,
    out: Path,
    make: Callable[[Tiny, Path, Path], list[object]],
    expected: int,
    sentence: str,
    dry: bool,
) -> None:
    """A dry run says the same: it checks everything that can be checked."""
    first, second, *options = make(tiny, base, donor)
    done = run(first, second, out, *options, *(["--dry-run"] if dry else []))
    assert_refused(*done, out, expected, sentence)


@pytest.mark.parametrize("which", ["base", "donor"])
def test_rows_that_are_not_finite_are_refused(
    run: Run, tiny: Tiny, base: Path, donor: Path, out: Path, which: str
) -> None:
    folder = tiny.copy({"base": base, "donor": donor}[which])
    stored = load_file(folder / "model.safetensors")
    name = next(name for name in stored if name.endswith(("embed_tokens.weight", "wte.weight")))
    stored[name][7, 3] = float("nan")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    done = run(*((folder, donor) if which == "base" else (base, folder)), out, "-q")
    assert_refused(*done, out, 1, f"Row 7 of {name} in {folder} has numbers that are not finite.")


def test_offline_reaches_both_models(
    run: Run, base: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints import ModelFolder
    from tokxfer.workflows import planning

    seen = []

    def opened(name: str, **options: Any) -> ModelFolder:
        seen.append((name, options["offline"]))
        return real(base)

    def resolved(name: str, **options: Any) -> tuple[Path, None]:
        seen.append((name, options["offline"]))
        return base, None

    real = ModelFolder.open
    monkeypatch.setattr(ModelFolder, "open", opened)
    monkeypatch.setattr(planning, "resolve", resolved)
    for options in ((), ("--offline",)):
        assert run("org/a", "org/b", out, "--dry-run", *options)[0] == 0
    assert seen == [
        (name, offline) for offline in (False, True) for name in ("org/a", "org/b", "org/b")
    ]


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=str)
def test_an_existing_output_is_refused_before_any_work(
    run: Run,
    base: Path,
    donor: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    monkeypatch.setattr(transplant, "compute", lambda *_: pytest.fail("worked"))
    code, text, err = run(base, donor, tmp_path, *options)
    assert (code, text) == (1, "")
    assert err.splitlines()[0] == f"Error: {tmp_path} exists already."
    assert "--force" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["base", "donor"])
def test_an_output_inside_an_input_is_refused(
    run: Run, base: Path, donor: Path, place: str
) -> None:
    within = {"base": base, "donor": donor}[place]
    before = sorted(within.iterdir())
    code, text, err = run(base, donor, within / "out", "--force")
    assert (code, text) == (1, "")
    assert err.startswith(f"Error: The output {within / 'out'} lies inside the input {within}.")
    assert sorted(within.iterdir()) == before


@pytest.mark.parametrize("place", ["base", "donor"])
def test_an_input_is_never_replaced(run: Run, tiny: Tiny, base: Path, place: str) -> None:
    donor = tiny.tokenizer("spbpe", bare=True)
    target = {"base": base, "donor": donor}[place]
    before = sorted(target.iterdir())
    code, _, err = run(base, donor, target, "-m", "mean", "--force")
    assert code == 1
    assert "is the input" in err
    assert sorted(target.iterdir()) == before


def test_a_parent_that_is_a_file_is_explained(
    run: Run, base: Path, donor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transplant, "compute", lambda *_: pytest.fail("worked"))
    (tmp_path / "file").write_text("x")
    code, text, err = run(base, donor, tmp_path / "file" / "out", "-m", "mean")
    assert (code, text) == (1, "")
    assert err.startswith("Error: ")
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def stop_writing(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Fail in the middle of the weights."""

    def stop(source: Any, target: Path, **options: Any) -> None:
        del source, options
        (target / "model.safetensors").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(writing, "write_model", stop)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (MemoryError(), "Out of memory"),
    ],
    ids=["disk", "quota", "memory"],
)
def test_a_machine_that_gives_out_is_explained_and_nothing_stays(
    run: Run,
    base: Path,
    donor: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    sentence: str,
) -> None:
    stop_writing(monkeypatch, failure)
    code, text, err = run(base, donor, out, "-m", "mean", "-q")
    assert_refused(code, text, err, out, 1, sentence)


def test_a_place_that_may_not_be_written_is_explained(
    run: Run, base: Path, donor: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, text, err = run(base, donor, out, "-m", "mean", "-q")
    assert_refused(code, text, err, out, 1, "cannot be written: Read-only file system")


def test_an_interruption_in_mid_write_leaves_nothing(
    run: Run, base: Path, donor: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_writing(monkeypatch, KeyboardInterrupt())
    code, text, err = run(base, donor, out, "-m", "mean", "-q")
    assert (code, text) == (130, "")
    assert err.strip() == "Interrupted. Nothing was left half-written."
    assert not out.parent.exists()


def test_a_failed_check_is_exit_code_one_and_leaves_nothing(
    run: Run, base: Path, donor: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing.write_model

    def damaged(source: Any, target: Path, **options: Any) -> Any:
        result = real(source, target, **options)
        file = target / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        return result

    monkeypatch.setattr(writing, "write_model", damaged)
    code, text, err = run(base, donor, out, "-m", "mean", "-q")
    assert_refused(code, text, err, out, 1, "failed its check")


HANG = """
import sys, time
from tokxfer.workflows import writing

def hang(source, target, **options):
    (target / "model.safetensors").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(120)

writing.write_model = hang
from tokxfer.cli.main import main
main(["transplant", *sys.argv[1:], "-m", "mean", "-q"])
"""


def test_a_termination_in_mid_write_leaves_nothing(base: Path, donor: Path, out: Path) -> None:
    command = [sys.executable, "-c", HANG, str(base), str(donor), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert [path.name for path in out.parent.iterdir()] == [f".out.partial-{process.pid}"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not out.parent.exists()


# ---- digits


def test_keep_digits_is_planned_done_and_told(run: Run, models: Path, out: Path) -> None:
    pair = (models / "english-spbpe", models / "english-bytebpe")
    asked = (*pair, out, "-m", "mean", "--keep-digits")
    code, text, _ = run(*asked, "--dry-run")
    assert code == 0
    assert "cut as by the base (single; the donor: learned), 0 tokens added" in text
    assert not out.exists()
    code, text, err = run(*asked)
    assert code == 0
    assert "\nDigits are cut as by the base (single; the donor: learned), 0 tokens added" in text
    assert "Digits are segmented differently" not in err
    manifest = json_of(out, "tokxfer.json")
    assert manifest["result"]["digits_kept"]["policy"] == "single"


def test_keep_digits_says_where_there_is_nothing_to_do(run: Run, models: Path, out: Path) -> None:
    pair = (models / "english-spbpe", models / "code-bytebpe")
    code, text, err = run(*pair, out, "-m", "mean", "--keep-digits")
    assert code == 0
    assert "Digits are cut alike by both (single)." in text
    assert "nothing had to be changed" in err


def test_keep_digits_refuses_in_one_sentence(run: Run, models: Path, out: Path) -> None:
    pair = (models / "english-bytebpe", models / "english-unigram")
    code, text, err = run(*pair, out, "--keep-digits")
    assert (code, text) == (1, "")
    assert "cannot do exactly the same." in err
    assert "Leave --keep-digits out" in err
    assert not out.exists()
