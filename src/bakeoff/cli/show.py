"""The command that describes a study and prints its file."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, StudyArgument, make_console, print_line, print_rows

app = typer.Typer()


@app.command()
def show(
    study: StudyArgument,
    file: Annotated[bool, typer.Option("--file/--no-file", help="Print the study file too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Describe a study and print its file; run nothing."""
    from bakeoff.study.load import read_shipped

    shown = read_shipped(study)
    if as_json:
        facts = {"name": shown.name, "question": shown.question, "about": shown.about.model_dump()}
        print(json.dumps({**facts, "quick": shown.quick and shown.quick.model_dump(), "text": shown.text}, indent=2))
        return
    rows = [("question", shown.question), *shown.about.rows()]
    if shown.quick is not None:
        changes = ", ".join(f"{path}={json.dumps(value)}" for path, value in shown.quick.changes.items())
        cost = f"; {shown.quick.cost}" if shown.quick.cost else ""
        rows.append(("--quick", f"{changes}{cost}"))
    print_rows(make_console(), rows)
    if file:
        print()
        for line in shown.text.rstrip("\n").split("\n"):
            print_line(line)
