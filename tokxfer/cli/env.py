"""`tokxfer env`: versions and devices, for a bug report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tokxfer.cli import options
from tokxfer.cli.output import print_json, print_table

if TYPE_CHECKING:
    from tokxfer.workflows.environment import EnvironmentReport


@click.command(
    "env",
    epilog="""\b
Examples:
  tokxfer env
  tokxfer env --json
""",
)
@options.as_json
def command(as_json: bool) -> None:
    """Versions and devices, for a bug report."""
    from tokxfer.workflows.environment import environment

    report = environment()
    if as_json:
        print_json(report.to_dict())
    else:
        print_table("", ["", ""], rows(report))


def rows(report: EnvironmentReport) -> list[tuple[str, str]]:
    """One line for each fact."""
    lines = [
        ("tokxfer", report.tokxfer),
        ("python", report.python),
        ("platform", report.platform),
        ("processors", f"{report.cpus} ({report.threads or 'no'} torch threads)"),
        ("memory", f"{size(report.memory)}, {size(report.memory_free)} free"),
    ]
    lines += [
        (device.name, describe(device.description, device.memory)) for device in report.devices
    ]
    if not report.devices:
        lines.append(("accelerators", "none"))
    for name, version in report.packages.items():
        missing = "not installed (optional)" if name in report.optional else "NOT INSTALLED"
        lines.append((name, version or missing))
    if report.problem:
        lines.append(("problem", report.problem))
    return lines


def describe(description: str, memory: int | None) -> str:
    """A device in words."""
    return description if memory is None else f"{description}, {size(memory)}"


def size(count: int | None) -> str:
    """Bytes in words."""
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"
