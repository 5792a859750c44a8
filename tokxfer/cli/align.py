"""`tokxfer align`: what two vocabularies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import options
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.vocabulary import RoleMatch
    from tokxfer.workflows.align import AlignmentReport, TextReport

KINDS = {
    "same_spelling": "same bytes, spelled alike",
    "other_spelling": "same bytes, spelled otherwise",
    "byte_token": "same byte, as a byte token",
    "role": "special, by role or text",
    "unmatched": "without a counterpart",
    "unmatched_special": "special, without a counterpart",
}
MARKERS_SHOWN = 12


@click.command(
    "align",
    epilog="""\b
Examples:
  tokxfer align models/english-spbpe models/english-bytebpe
  tokxfer align models/english-spbpe models/code-bytebpe --text models/held_out.txt
  tokxfer align models/english-spbpe models/english-unigram/tokenizer.json --json
""",
)
@click.argument("base")
@click.argument("donor")
@click.option(
    "--text",
    multiple=True,
    metavar="FILE",
    help='Weigh what is shared by this text: plain, or JSON lines with a "text" field; .xz, .gz, '
    ".bz2 and .zst are read. May be given several times.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read N documents of each file."
)
@click.option("--donor-revision", help="Git revision of a donor's hub name.")
@options.shared(options.revision, options.offline, options.as_json, options.quiet)
def command(as_json: bool, quiet: bool, **arguments: Any) -> None:
    """What two vocabularies share.

    BASE and DONOR are model folders, folders with a tokenizer.json, that file itself, or names on
    the model hub. Tokens are compared by their bytes, special tokens by their role.
    """
    from tokxfer.workflows.align import align

    report = align(**arguments, progress=not quiet)
    if as_json:
        print_json(report.to_dict())
    else:
        print_shared(report)
        print_roles(report.roles)
        if report.text is not None:
            print_text(report.text)
    for warning in report.warnings:
        note(f"Warning: {warning}", quiet=quiet)


def print_shared(report: AlignmentReport) -> None:
    """Print both vocabularies, then the donor's ids by how they are matched."""
    print_table(
        "Vocabularies",
        ["", "base", "donor"],
        [
            ("tokenizer", report.base, report.donor),
            ("family", report.base_family, report.donor_family),
            ("ids", report.base_size, report.donor_size),
            ("digits", report.digits["base"], report.digits["donor"]),
            ("shared byte strings", report.shared, f"{report.coverage:.1%} of the donor's"),
        ],
    )
    click.echo()
    print_table(
        "The donor's tokens",
        ["match", "ids", "%"],
        [
            (KINDS[kind], count, round(100 * count / max(report.donor_size, 1), 1))
            for kind, count in report.kinds.items()
            if count
        ],
    )


def print_roles(roles: tuple[RoleMatch, ...]) -> None:
    """Print the table of roles; of many markers only the first, then the names of the others."""
    if not roles:
        return
    markers = [role for role in roles if role.role.startswith("marker:")]
    hidden = markers[MARKERS_SHOWN:]
    click.echo()
    print_table(
        "Roles",
        ["role", "donor", "id", "base", "id", ""],
        [
            (role.role.split(":")[0], role.donor_token, role.donor_id, role.base_token or "none",
             role.base_id, "" if role.base_id is not None else "gets the mean row")
            for role in roles if role not in hidden
        ],
    )  # fmt: skip
    if hidden:
        mean = [str(role.donor_token) for role in hidden if role.base_id is None]
        click.echo(f"and {len(hidden):,} more markers (--json has all)")
        if mean:
            click.echo(f"{len(mean):,} of these get the mean row: {' '.join(mean)}")


def print_text(text: TextReport) -> None:
    """Print coverage by text and both fertilities."""
    click.echo()
    print_table(
        "On the text",
        ["", "base", "donor"],
        [
            ("documents", text.documents, text.documents),
            ("UTF-8 bytes", text.bytes, text.bytes),
            ("tokens", text.base.tokens, text.donor.tokens),
            ("bytes per token", text.base.bytes_per_token, text.donor.bytes_per_token),
            ("tokens per word", text.base.tokens_per_word, text.donor.tokens_per_word),
            ("unknown tokens", text.base.unknown, text.donor.unknown),
            ("% of tokens shared", None, round(100 * text.token_coverage, 1)),
            ("% of bytes in shared tokens", None, round(100 * text.byte_coverage, 1)),
        ],
    )
