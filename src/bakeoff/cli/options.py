"""Arguments, options and printing shared by the commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.complete import complete_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from bakeoff.errors import BakeoffError
    from bakeoff.stats.requirements import Finding

StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A study file, or the name of a shipped study.", autocompletion=complete_study
    ),
]
_SOURCE = typer.Argument(
    metavar="NAME|FOLDER|MANIFEST", help="A dataset, a folder or archive of images, a CSV or Parquet file."
)
SourceArgument = Annotated[str, _SOURCE]
OptionalSource = Annotated[str | None, _SOURCE]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a field of the study; repeatable.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Run the study's quick version: takes minutes, not conclusive.")]


def parse_workspace(text: str | Path) -> Path:
    """Return the workspace with this path; reject an invalid one before anything is done."""
    from bakeoff.workspace import check_workspace

    return check_workspace(text)


Workspace = Annotated[
    Path,
    typer.Option("--workspace", metavar="DIR", parser=parse_workspace, help="Folder for the ledger and results."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", envvar="BAKEOFF_DATA", help="Folder to search for images first."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Worker processes; by default one per core.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda[:N]|mps", help="Where to compute; auto: all NVIDIA GPUs, or the CPU."
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="'ARM RELATION ARM'",
        help="Exit with status 3 unless the verdict is this, as in 'new better-or-equivalent baseline'; add 'in BLOCK' "
        "for one block; repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output and nothing else.")]


NOT_MET = 3
"""Exit status if a requirement is not met."""


def print_line(text: str) -> None:
    """Print a line that contains user-supplied names; terminal control characters are escaped."""
    from bakeoff.report.text import show_text

    print(show_text(text))


def print_aside(text: str) -> None:
    """Print progress to standard error; standard output is for results only."""
    from bakeoff.report.text import show_text

    print(show_text(text), file=sys.stderr, flush=True)


def print_error(error: BakeoffError) -> None:
    """Print an error with its code to standard error, each line as a separate error."""
    from bakeoff.report.text import show_text

    for line in error.format().split("\n"):
        print(f"error: {show_text(line)}", file=sys.stderr)


def make_console() -> Console:
    """Return rich's console on standard output."""
    from bakeoff import streams

    return streams.make_console(sys.stdout)


def print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    """Print names and descriptions in two columns."""
    from rich.table import Table
    from rich.text import Text

    from bakeoff.report.text import show_text

    table = Table.grid(padding=(0, 2))
    for name, text in rows:
        table.add_row(Text(name, style="bold", no_wrap=True), Text(show_text(text)))
    console.print(table)


def print_document(document: Mapping[str, object], findings: Sequence[Finding] = ()) -> None:
    """Print a result as one JSON document, with what was required of it."""
    import json

    checked = {"requirements": [finding.dump() for finding in findings]} if findings else {}
    print(json.dumps({**document, **checked}, indent=2, allow_nan=False))


def print_findings(findings: Sequence[Finding]) -> int:
    """Print whether requirements are met, to standard error; return the exit status, 3 if one is not."""
    for finding in findings:
        print_aside(f"{finding.state}: {finding.reason}")
    return 0 if all(finding.is_met for finding in findings) else NOT_MET
