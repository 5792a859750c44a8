"""The shape of the house: who may import whom, what loads when, what is never done."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tokxfer

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "tokxfer").rglob("*.py"))
HEAVY = ("torch", "transformers", "sklearn", "numpy", "rich")
UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def loaded_after(statement: str) -> set[str]:
    """Which of the heavy modules a fresh interpreter has loaded after a statement."""
    report = f"import sys\n{statement}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_imports_run_down_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import tokxfer") == set()


def test_vocabularies_are_read_without_torch_or_transformers() -> None:
    assert not loaded_after("import tokxfer.vocabulary") & {"torch", "transformers"}


def test_reading_folders_does_not_import_transformers() -> None:
    assert "transformers" not in loaded_after("import tokxfer.checkpoints")


@pytest.mark.parametrize("name", sorted(tokxfer.__all__))
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(tokxfer, name)
    assert name == "__version__" or (value.__doc__ or "").strip()


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transplnt'"):
        tokxfer.transplnt  # noqa: B018


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_fits_in_one_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert list(unpickling(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_search_for_unpickling_finds_it() -> None:
    code = "import pickle\nfrom joblib import load\ntorch.load(p)\nnp.load(p, allow_pickle=True)"
    assert len(list(unpickling(ast.parse(code)))) == 4


def unpickling(tree: ast.AST) -> list[str]:
    """Every import or call in a module that could run code from a file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            found.append(node.module or "")
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) == "torch.load":
                found.append("torch.load")
            found += [k.arg for k in node.keywords if k.arg == "allow_pickle"]
    return found


def test_the_all_extra_brings_every_extra_of_use() -> None:
    """`dev` and `docs` are for working on the package; `eval` is for another program's users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    everything = " ".join(extras["all"])
    assert all(name in everything for name in extras.keys() - {"all", "dev", "docs", "eval"})


def test_what_ci_installs_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert all(line.count("==") == 1 for line in pins)
