"""The tables of `covers.py`, from the document that it writes as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from tables import markdown_table

from tokxfer.workflows.figures import Ratio

PLACES = ("inside a token", "at a token's end", "behind surprises", "elsewhere")
RECENT, MOST = 8, 0.9  # surprises: bytes whose nats are over this quantile of all such sums
Figures = dict[str, Any]
PICTURE = (
    "Share of the mass of a beginning in covers that are not canonical, "
    "by horizon, by place, and along one text"
)


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, the tables, the picture."""
    parts = [surroundings(document), by_horizon(document)]
    parts += [f"By place, at a horizon of {widest(document)} bytes:", by_place(document)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    return "\n\n".join(parts)


def surroundings(document: Figures) -> str:
    """What was run, with what, where, on what."""
    around, runs = document["environment"], document["runs"]
    kinds = {run["text"]: run["documents"] for run in runs}
    texts = ", ".join(
        f"{len(rows)} documents of {max(len(row['inside']) for row in rows)} bytes at most ({kind})"
        for kind, rows in kinds.items()
    )
    missing = max(row["missing"] for run in runs for row in run["documents"])
    return (
        f"`{document['command']}`; tokxfer {around['tokxfer']}, torch "
        f"{around['packages']['torch']}, Python {around['python']}; {around['platform']}, "
        f"{around['cpus']} cores; in double precision. Held-out texts: {texts}, all their "
        f"beginnings. ± is the standard error over documents. What an epsilon left out is "
        f"{missing:.0e} of a mass at most."
    )


def by_horizon(document: Figures) -> str:
    """Shares of all beginnings, and nats a byte, per model and horizon."""
    rows = []
    for run in document["runs"]:
        for at, horizon in enumerate(document["horizons"]):
            every = np.concatenate(shares(run, horizon))
            rows.append([
                "" if at else run["model"], "" if at else run["text"], horizon,
                percent(float(np.median(every))), percent(float(np.quantile(every, 0.9))),
                told(mean_share(run, horizon)),
                nats(per_byte(run, "left", horizon)), nats(per_byte(run, "gained", horizon)),
            ])  # fmt: skip
    columns = ["model", "text", "horizon", "median", "90th percentile", "mean"]
    columns += ["nats/byte left", "nats/byte gained"]
    return markdown_table(columns, rows, "llrrrrrr")


def by_place(document: Figures) -> str:
    """Mean shares by where a beginning ends, per model."""
    rows = [
        [run["model"], run["text"], *(told(share_at(run, document, place)) for place in PLACES)]
        for run in document["runs"]
    ]
    return markdown_table(["model", "text", *PLACES], rows, "llrrrr")


def widest(document: Figures) -> int:
    """The widest horizon."""
    return int(max(document["horizons"]))


def shares(run: Figures, horizon: int) -> list[np.ndarray]:
    """The share of each beginning [bytes] that strays within a horizon, by document."""
    return [np.array(row["shares"][str(horizon)]) for row in run["documents"]]


def mean_share(run: Figures, horizon: int) -> Ratio:
    """The mean over all beginnings."""
    return over_places(shares(run, horizon), [np.ones_like(one) for one in shares(run, horizon)])


def share_at(run: Figures, document: Figures, place: str) -> Ratio:
    """The mean over beginnings that end at some places, at the widest horizon."""
    return over_places(shares(run, widest(document)), chosen(run, place))


def chosen(run: Figures, place: str) -> list[np.ndarray]:
    """Which beginnings [bytes] are meant, by document."""
    if place in PLACES[:2]:
        found = [np.array(row["inside"]) for row in run["documents"]]
        return found if place == PLACES[0] else [~one for one in found]
    costs = [surprise(np.array(row["nats"])) for row in run["documents"]]
    least = np.quantile(np.concatenate(costs), MOST)
    return [(one > least) == (place == PLACES[2]) for one in costs]


def surprise(conditionals: np.ndarray) -> np.ndarray:
    """Nats of the last `RECENT` bytes at each byte [bytes]."""
    sums = np.concatenate([np.zeros(RECENT), -np.cumsum(conditionals)])
    return sums[RECENT:] - sums[:-RECENT]


def over_places(values: list[np.ndarray], places: list[np.ndarray]) -> Ratio:
    """A mean with its standard error over documents."""
    above = [float((value * place).sum()) for value, place in zip(values, places, strict=True)]
    return Ratio.of(np.array(above), np.array([float(place.sum()) for place in places]))


def per_byte(run: Figures, name: str, horizon: int) -> Ratio:
    """Nats of whole texts by their bytes."""
    rows = run["documents"]
    above = np.array([row[name][str(horizon)] for row in rows])
    return Ratio.of(above, np.array([len(row["inside"]) for row in rows]))


def percent(share: float) -> str:
    """A share with two digits."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def told(ratio: Ratio) -> str:
    """A mean share with its error."""
    digits = 1 if ratio.value >= 0.01 else 2
    error = "" if ratio.stderr is None else f" ± {100 * ratio.stderr:.{digits}f}"
    return f"{100 * ratio.value:.{digits}f}{error}%"


def nats(ratio: Ratio) -> str:
    """Nats a byte with their error."""
    error = "" if ratio.stderr is None else f" ± {ratio.stderr:.4f}"
    return f"{ratio.value:.4f}{error}"
