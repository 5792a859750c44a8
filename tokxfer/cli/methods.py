"""The initializers' own options, as one command line has them all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tokxfer.cli.options import shared

if TYPE_CHECKING:
    from tokxfer.embeddings import Method


def number_or_word(_: click.Context, __: click.Parameter, value: str | None) -> float | str | None:
    """The number that a value stands for; a word is left to the method to judge."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return value


def with_options(text: str) -> str | Method:
    """The method that `omp:k=8,tune=false` stands for; a name alone is left as it is.

    Raises:
        UsageError: It is not of this form, there is no such method or option, or a value is none.
    """
    from tokxfer.embeddings import build_method
    from tokxfer.errors import UsageError

    name, colon, rest = text.partition(":")
    if not colon:
        return text
    options = {}
    for part in rest.split(","):
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(
                f"The method {text!r} has an option without a value: {part!r}.",
                "Write it like omp:k=8,tune=false.",
            )
        if key.strip().replace("-", "_") in options:
            raise UsageError(
                f"The method {text!r} has the option {key.strip()!r} twice.", "Leave one out."
            )
        try:
            options[key.strip().replace("-", "_")] = json.loads(value)
        except json.JSONDecodeError:
            options[key.strip().replace("-", "_")] = value.strip()
    return build_method(name, **options)


method = click.option(
    "-m",
    "--method",
    default="omp",
    show_default=True,
    help="How rows of new tokens are found: auto, blend, omp, knn, linear, procrustes, "
    "subword-uniform (subword for short), subword-length, subword-first, subword-last, asymmetric, "
    "tokenadapt-local, tokenadapt-global, tokenadapt-hybrid, focus, wechsel, mean, gaussian, "
    "zero.",
)
k = click.option(
    "-k",
    "--k",
    type=int,
    help="omp: shared tokens per combination, at most [64]; neighbours: knn [16], tokenadapt [3], "
    "wechsel [10].",
)
selection = click.option("--selection", help="omp: raw, normalized or auto.  [auto]")
ridge = click.option(
    "--ridge",
    callback=number_or_word,
    metavar="auto|NUMBER",
    help="omp: penalty on coefficients; auto takes what held-out anchors say.  [auto]",
)
tune = click.option(
    "--tune/--no-tune",
    default=None,
    help="omp: fit k and length to held-out anchors.  [tune]",
)
center = click.option(
    "--center/--no-center",
    default=None,
    help="omp: measure rows from the mean row before coding them.  [no-center]",
)
match_norms = click.option(
    "--match-norms/--no-match-norms",
    default=None,
    help="omp: new rows are as long as their donor rows say.  [no-match-norms]",
)
shared_coefficients = click.option(
    "--shared-coefficients/--own-coefficients",
    "shared",
    default=None,
    help="omp: one code for input and output matrix.  [own-coefficients]",
)
decay = click.option(
    "--decay",
    type=float,
    help="subword-first, subword-last: what a piece counts in parts of its neighbour.  [0.5]",
)
weights = click.option(
    "--weights", help="knn: distance, barycentric or least-squares.  [barycentric]"
)
share = click.option("--share", type=float, help="tokenadapt-hybrid: what neighbours count.  [0.3]")
temperature = click.option(
    "--temperature",
    type=float,
    help="Lower gives the best more weight: tokenadapt [0.3], wechsel [0.1].",
)
threshold = click.option(
    "--threshold", type=float, help="tokenadapt: least cosine of a neighbour.  [0]"
)
unseen = click.option(
    "--unseen", help="focus, wechsel: gaussian or pieces, for tokens without a vector.  [gaussian]"
)
min_count = click.option(
    "--min-count", type=int, help="focus, wechsel: occurrences that a vector takes.  [10]"
)
epochs = click.option("--epochs", type=int, help="focus, wechsel: times the text is read.  [3]")
dim = click.option("--dim", type=int, help="focus, wechsel: numbers in a vector.  [100]")
negatives = click.option(
    "--negatives", type=int, help="focus, wechsel: random tokens told apart from each.  [10]"
)
scale = click.option("--scale", type=float, help="gaussian: factor on the spread of rows.  [1]")

every = shared(
    k,
    selection,
    ridge,
    tune,
    center,
    match_norms,
    shared_coefficients,
    decay,
    weights,
    share,
    temperature,
    threshold,
    unseen,
    min_count,
    epochs,
    dim,
    negatives,
    scale,
)
