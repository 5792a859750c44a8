"""Set tokxfer up in a virtual environment and run one of its jobs. Needs nothing but Python 3.11.

    python3 scripts/bootstrap.py demo      # set up; transplant a model; a before/after table
    python3 scripts/bootstrap.py test-all  # set up; check the code; run every test

Every job first makes sure that the environment (`.venv`, or `$TOKXFER_VENV`) holds what it needs,
at the versions in constraints.txt; `--here` uses the running Python's environment as it is.
Only the standard library is imported here, so that a bare Python can run it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKERS = str(min(os.cpu_count() or 1, 8))
CHECKS = ("ruff check .", "ruff format --check .", "mypy", "lint-imports")
DEVELOPER = ("all", "dev", "eval")


@dataclass(frozen=True)
class Job:
    """Commands to run in the repository root, and the extras that they need."""

    about: str
    commands: tuple[str, ...] = ()
    extras: tuple[str, ...] = DEVELOPER


JOBS = {
    "demo": Job(
        "transplant a model in models/, and compare before and after",
        (
            "tokxfer transplant models/english-spbpe models/english-bytebpe build/demo --force",
            "tokxfer validate build/demo",
            "tokxfer evaluate models/english-spbpe build/demo"
            " --against models/english-spbpe --text models/held_out.txt",
        ),
        extras=(),
    ),
    "install": Job("everything a developer needs"),
    "check": Job("lint, format, types, and which room may import which", CHECKS),
    "format": Job("format the code", ("ruff check --fix .", "ruff format .")),
    "test": Job("the tests, but for the slow ones", (f"pytest -n {WORKERS} -m 'not slow'",)),
    "test-all": Job(
        "the checks, and every test with its branch coverage",
        (*CHECKS, f"pytest -n {WORKERS} --cov"),
    ),
    "bench": Job(
        "the benchmarks behind the tables",
        (
            "python scripts/bench/omp.py --page docs/benchmarks.md",
            "python scripts/bench/linear_head.py --page docs/benchmarks.md",
            "python scripts/bench/gold.py --page docs/benchmarks.md",
            "python scripts/bench/arithmetic.py --page docs/benchmarks.md",
            "python scripts/bench/minilm.py --page docs/benchmarks.md",
            "python scripts/bench/transplant.py --readme README.md --page docs/benchmarks.md"
            " --plot docs/plots/transplant.svg",
            "python scripts/bench/newline.py --page docs/benchmarks.md",
            "python scripts/bench/gap.py --page docs/benchmarks.md --plot docs/plots/gap.svg",
            "python scripts/bench/markov.py --page docs/benchmarks.md --plot docs/plots/markov.svg",
            "python scripts/bench/cuts.py --bytes 100 --page README.md docs/benchmarks.md"
            " --plot docs/plots/cuts.svg",
            "python scripts/bench/next_bytes.py --readme README.md --page docs/benchmarks.md"
            " --plot docs/plots/next_bytes.svg",
            "python scripts/bench/fill.py --page README.md docs/benchmarks.md",
            "python scripts/train_reference_models.py english-large-vocabulary",
            "python scripts/bench/byte_speed.py --readme README.md --page docs/benchmarks.md"
            " --trained models/english-bytebpe build/models/english-large-vocabulary",
            "python scripts/bench/alignment.py --page docs/benchmarks.md",
            "python scripts/bench/covers.py --page docs/benchmarks.md --plot docs/plots/covers.svg",
            "python scripts/bench/distill.py --page docs/benchmarks.md",
            "python scripts/bench/recovery.py --page docs/benchmarks.md"
            " --plot docs/plots/recovery.svg",
        ),
    ),
    "docs": Job(
        "the command reference and the documentation site, into site/",
        ("python scripts/docs_cli.py", "mkdocs build --strict"),
        extras=("docs",),
    ),
    "models": Job(
        "train the reference models in models/",
        ("python scripts/train_reference_models.py", "python scripts/make_held_out.py"),
        extras=(),
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Set up, run the job's commands one after another, stop at the first that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="jobs:\n" + "\n".join(f"  {name:9} {job.about}" for name, job in JOBS.items()),
    )
    parser.add_argument("job", choices=JOBS, metavar="JOB")
    parser.add_argument("--here", action="store_true", help="install nothing, use this Python")
    options = parser.parse_args(arguments)
    job = JOBS[options.job]
    if options.here:
        programs = Path(sys.executable).parent
    else:
        programs = set_up(Path(os.environ.get("TOKXFER_VENV", ROOT / ".venv")), job.extras)
    for command in job.commands:
        status = run(command, programs)
        if status:
            return status
    return 0


def set_up(folder: Path, extras: tuple[str, ...]) -> Path:
    """The environment's folder of programs, after installing tokxfer with the extras into it.

    A stamp per set of extras remembers what was installed, so that the second run starts at once.
    """
    if sys.version_info < (3, 11):  # noqa: UP036  (run by whatever `python3` happens to be)
        sys.exit(
            f"tokxfer needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}"
        )
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((ROOT / name).read_bytes())
    wanted.update(f"{ROOT} {sys.version}".encode())
    stamp = folder / f"tokxfer-{'-'.join(extras) or 'base'}.stamp"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return programs
    if not (programs / ("pip.exe" if os.name == "nt" else "pip")).exists():
        print(f"Making a virtual environment in {folder}", flush=True)
        try:
            venv.create(folder, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit(
                "This Python cannot make virtual environments (on Debian: install python3-venv)"
            )
    target = f".[{','.join(extras)}]" if extras else "."
    command = ["python", "-m", "pip", "install", "-c", "constraints.txt", "-e", target]
    status = run(shlex.join(command), programs)
    if status:
        sys.exit(status)
    stamp.write_text(wanted.hexdigest())
    return programs


def run(command: str, programs: Path) -> int:
    """Print a command, run it in the repository root with `programs` first on the path."""
    print(f"$ {command}", flush=True)
    surroundings = {
        "HF_HUB_OFFLINE": "1",
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    name, *rest = shlex.split(command)
    return subprocess.run([str(programs / name), *rest], cwd=ROOT, env=surroundings).returncode


if __name__ == "__main__":
    sys.exit(main())
