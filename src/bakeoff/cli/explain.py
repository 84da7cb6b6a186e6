"""The command that explains an error's code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from bakeoff.cli.complete import complete_code
from bakeoff.cli.options import AsJson, make_console, print_rows
from bakeoff.errors import OptionError, UnknownNameError, nearest

app = typer.Typer()


@app.command()
def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE",
            help="As at the end of a message, such as BK201; without one, all codes are listed.",
            show_default=False,
            autocompletion=complete_code,
        ),
    ] = "",
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print all as a page, docs/errors.md.")] = False,
) -> None:
    """Explain what an error's code means and what to do."""
    from bakeoff.explanations import EXPLANATIONS
    from bakeoff.explanations.page import write_entry, write_page

    wanted = code.strip(" []").upper()
    if as_markdown and (code or as_json):
        raise OptionError("explain --markdown prints all codes: leave the others away.")
    if wanted and wanted not in EXPLANATIONS:
        raise UnknownNameError(
            f"explain: no code '{code}'. `bakeoff explain` lists all.{nearest(wanted, EXPLANATIONS)}"
        )
    chosen = [EXPLANATIONS[wanted]] if wanted else list(EXPLANATIONS.values())
    if as_markdown:
        print(write_page(), end="")
    elif as_json:
        print(json.dumps([{**asdict(each), "anchor": each.anchor} for each in chosen], indent=2))
    elif wanted:
        print(write_entry(chosen[0]))
    else:
        print_rows(make_console(), [(each.code, each.title) for each in chosen])
