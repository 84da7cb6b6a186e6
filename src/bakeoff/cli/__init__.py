"""The command line: parses, calls `bakeoff.api`, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bakeoff.cli import data, listing, show, study, workspace
from bakeoff.errors import BakeoffError
from bakeoff.execution.interrupts import INTERRUPTED, LAST_WORDS, heed_interrupts

__all__ = ["app", "main"]

app = typer.Typer(
    help="Which of these training choices is really better? A study file in, a verdict out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (study.app, show.app, workspace.app, listing.app):
    app.add_typer(commands)
app.add_typer(data.app, name="data")


def main() -> int:
    """Run the command line; return the exit status: 0 done, 1 trials failed, 2 wrong input, 130 interrupted."""
    heed_interrupts()
    try:
        outcome = app(standalone_mode=False)
    except BakeoffError as error:
        from bakeoff.report.text import show_text

        for line in str(error).split("\n"):
            print(f"error: {show_text(line)}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        outcome = INTERRUPTED
    except SystemExit:
        return 0  # typer ends so when whoever read the output has gone: nothing is left to say
    except Exception as error:
        # Wrong usage. typer raises click's classes, in newer releases a copy of its own: both can show themselves.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        return 2
    if outcome == INTERRUPTED:  # typer, too, makes a KeyboardInterrupt of a command into this number
        print(LAST_WORDS, file=sys.stderr)
    return outcome if isinstance(outcome, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        from bakeoff import __version__

        print(f"bakeoff {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Which of these training choices is really better? A study file in, a verdict out."""
