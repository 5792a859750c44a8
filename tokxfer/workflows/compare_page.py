"""A comparison as a folder: `report.json`, and one page that needs nothing beside it."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokxfer.checkpoints import atomic_folder, check_target
from tokxfer.errors import UsageError
from tokxfer.workflows.comparison import ComparisonReport

TEMPLATE = Path(__file__).with_name("compare.html.jinja")
COLOR, LIGHT = "#0b6e99", "0.6"


def check_report(folder: str | Path, *, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Say before any work that a report cannot be written.

    Args:
        folder: The folder to make.
        force: Whether an existing one may be replaced.
        inputs: Models and texts: the folder may not be one, inside one, or around one.

    Raises:
        UsageError: matplotlib is not installed.
        FolderError: The folder exists, or cannot be one.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "The report has plots, which need matplotlib.", "pip install 'tokxfer[plot]'"
        )
    check_target(folder, force=force, forbidden=paths(inputs))


def paths(inputs: Iterable[str | Path]) -> list[Path]:
    """Those of the inputs that are on this machine."""
    return [path for path in map(Path, inputs) if path.exists()]


def write_report(
    report: ComparisonReport,
    folder: str | Path,
    *,
    force: bool = False,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write `report.json` and `report.html` into a new folder.

    Args:
        report: What was found.
        folder: The folder to make.
        force: Replace an existing one.
        inputs: Models and texts, which are never replaced.

    Raises:
        FolderError: The folder exists, overlaps an input, or cannot be written.
    """
    document = {"schema_version": 1, **report.to_dict()}
    with atomic_folder(folder, force=force, forbidden=paths(inputs)) as partial:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
        (partial / "report.json").write_text(text + "\n", encoding="utf-8")
        (partial / "report.html").write_text(page(report), encoding="utf-8")


def page(report: ComparisonReport) -> str:
    """The page: tables, plots drawn into it, the worst tokens."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    matrices = list(dict.fromkeys(m for r in report.results for m in r.made.rows))
    return template.render(
        report=report,
        matrices=matrices,
        plots=[figure(ratios, report), figure(agreement, report)] if report.results else [],
    )


def figure(draw: Any, report: ComparisonReport) -> str:
    """An SVG picture as text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "tokxfer", "font.size": 9}):
        drawn, axis = pyplot.subplots(
            figsize=(6.4, 0.9 + 0.28 * len(report.results)), layout="constrained"
        )
        draw(axis, report)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        stream = io.StringIO()
        drawn.savefig(stream, format="svg", metadata={"Date": None})
        pyplot.close(drawn)
    text = stream.getvalue()
    return text[text.index("<svg") :]


def ratios(axis: Any, report: ComparisonReport) -> None:
    """Bits per byte over the base's, the best method on top."""
    results = report.results
    axis.errorbar(
        [r.ratio.value for r in results],
        range(len(results)),
        xerr=[r.ratio.stderr or 0.0 for r in results],
        fmt="o",
        color=COLOR,
    )
    axis.axvline(1.0, color=LIGHT, linewidth=0.8)
    axis.set_yticks(range(len(results)), [r.method for r in results])
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.grid(axis="x", color="0.92")
    axis.set_xlabel("bits per byte after : before, with standard error over documents")


def agreement(axis: Any, report: ComparisonReport) -> None:
    """Whether held-out tokens tell what the text tells: cosine against ratio."""
    for result in report.results:
        scores = [score.cosine for score in result.made.held_out.values()]
        if scores:
            mean = sum(scores) / len(scores)
            axis.plot(mean, result.ratio.value, "o", color=COLOR)
            axis.annotate(
                result.method, (mean, result.ratio.value), xytext=(4, 2),
                textcoords="offset points", fontsize=7,
            )  # fmt: skip
    axis.grid(color="0.92")
    axis.set_xlabel("cosine with the true rows of held-out tokens, mean over matrices")
    axis.set_ylabel("bits per byte after : before")
