"""The curve of a training, drawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path


def draw_curve(
    curve: Sequence[Mapping[str, float]], marks: Mapping[str, float], path: Path
) -> bool:
    """Draw losses by step and bits per byte where they were measured, as SVG.

    Args:
        curve: Points with a step, and a loss or the bits per byte of an evaluation.
        marks: Bits per byte of other models, by name: lines across.
        path: The file to write.

    Returns:
        Whether it was drawn: not without matplotlib.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "tokxfer", "font.size": 9}):
        drawn, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3))
        for name in dict.fromkeys(name for point in curve for name in point):
            if name != "loss" and not name.startswith("loss_"):
                continue
            points = [(point["step"], point[name]) for point in curve if name in point]
            left.plot(*zip(*points, strict=True), label=name.removeprefix("loss_"))
        left.set(xlabel="step", ylabel="loss")
        left.legend()
        name = "eval_bits_per_byte"
        points = [(point["step"], point[name]) for point in curve if name in point]
        right.plot(*zip(*points, strict=True), marker="o", label="student")
        for number, (label, value) in enumerate(marks.items()):
            right.axhline(value, color=f"C{number + 1}", linestyle="--", label=label)
        right.set(xlabel="step", ylabel="bits per byte, held out")
        right.legend()
        drawn.tight_layout()
        drawn.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(drawn)
    return True
