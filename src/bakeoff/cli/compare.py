"""Commands on all studies of a workspace: compare, tag."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Workspace, make_console, print_line
from bakeoff.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakeoff.report.overview import Overview
    from bakeoff.study.differences import Difference

app = typer.Typer()


class TableFormat(StrEnum):
    """Formats of `bakeoff compare`."""

    terminal = "terminal"
    csv = "csv"
    md = "md"
    json = "json"


@app.command()
def compare(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...", help="None or one: a table of studies. Two or more: the settings that differ."
        ),
    ] = None,
    arms: Annotated[
        tuple[str, str] | None,
        typer.Option("--arms", metavar="A B", help="With one study: how the recipes of these two arms differ."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="TEXT|FIELD=VALUE",
            help="Only studies with this text, or with this state, dataset, tag, name, arm or metric; repeatable.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="FIELD",
            help="date, name, state, dataset, metric, score, looks, cost or trials; -FIELD: descending.",
        ),
    ] = "-date",
    form: Annotated[TableFormat, typer.Option("--format", help="What to print.")] = TableFormat.terminal,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Compare the studies of a workspace: verdicts in a table, or the settings that differ."""
    from bakeoff import api

    form, names = TableFormat.json if as_json else form, studies or []
    if arms is not None and len(names) != 1:
        raise OptionError("compare --arms goes with exactly one study: bakeoff compare STUDY --arms A B.")
    if arms is not None:
        _print_differences(arms, api.diff_arms(names[0], arms, workspace), form)
    elif len(names) > 1:
        if filters:
            raise OptionError("compare --filter goes with the table of studies: leave the names away.")
        labels, differences = api.diff_studies(names, workspace)
        _print_differences(labels, differences, form)
    else:
        rows = api.list_studies(workspace, filters or (), sort, name=names[0] if names else None)
        _print_studies(rows, form, is_filtered=bool(filters))


@app.command(context_settings={"ignore_unknown_options": True})
def tag(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, id or file.")],
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[+TAG|-TAG]...", help="Tags to add and to remove.")
    ] = None,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Tag a study in its workspace, and print its tags; they change no result."""
    from bakeoff import api

    given = tags or []
    if any(each.startswith("--") for each in given):
        raise OptionError(f"tag: no such option: {next(each for each in given if each.startswith('--'))}")
    add = [each.removeprefix("+") for each in given if not each.startswith("-")]
    remove = [each[1:] for each in given if each.startswith("-")]
    found = api.tag_study(study, add=add, remove=remove, workspace=workspace)
    if as_json:
        print(json.dumps(list(found)))
    else:
        print_line(" ".join(found) or "no tags")


def _print_studies(rows: Sequence[Overview], form: TableFormat, *, is_filtered: bool) -> None:
    from bakeoff.report import overview_table
    from bakeoff.report.render import csv, markdown, terminal

    if form is TableFormat.json:
        print(json.dumps([row.document() for row in rows], indent=2))
    elif form is TableFormat.csv:
        for line in csv.write_csv(overview_table.make_frame(rows)):
            sys.stdout.write(line)
    elif form is TableFormat.md:
        print(markdown.write_table(overview_table.tabulate_all(rows).columns))
    elif rows:
        terminal.print_table(make_console(), overview_table.tabulate_studies(rows))
    else:
        print("no study matches" if is_filtered else "no study in this workspace")


def _print_differences(names: Sequence[str], differences: Sequence[Difference], form: TableFormat) -> None:
    from bakeoff.report import overview_table
    from bakeoff.report.export.frame import Frame, FrameColumn
    from bakeoff.report.render import csv, markdown, terminal

    if form is TableFormat.json:
        document = {
            "compared": list(names),
            "differences": [{"setting": each.setting, "values": list(each.values)} for each in differences],
        }
        print(json.dumps(document, indent=2))
        return
    table = overview_table.tabulate_differences(names, differences)
    if form is TableFormat.csv:
        columns = tuple(FrameColumn(name, "text") for name in ("setting", *names))
        for line in csv.write_csv(Frame(columns, ((each.setting, *each.values) for each in differences))):
            sys.stdout.write(line)
    elif form is TableFormat.md:
        print(markdown.write_table(table.columns))
    elif differences:
        terminal.print_table(make_console(), table)
    else:
        print("no setting differs")
