"""The command line: parses, calls `bakeoff.api`, prints. Heavy modules are imported when a command needs them."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Annotated, TextIO, cast

import typer

from bakeoff.cli import compare, data, deploy, explain, init, judge, listing, show, stress, study, workspace
from bakeoff.cli.options import print_error
from bakeoff.driver.interrupts import INTERRUPTED, INTERRUPTED_MESSAGE, handle_interrupts, was_interrupted
from bakeoff.errors import BakeoffError, OptionError, StorageError
from bakeoff.streams import Stream
from bakeoff.system import fill_descriptors

__all__ = ["app", "main"]

app = typer.Typer(
    help="Which of these training choices is really better? A study file in, a verdict out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (init, study, compare, judge, deploy, stress, show, workspace, listing, explain):
    app.add_typer(commands.app)
app.add_typer(data.app, name="data")


def main() -> int:
    """Run the command line; return the exit status.

    0 done; 1 trials failed, unfinished, or not all could be printed; 2 wrong input; 3 a requirement is not met;
    130 interrupted.
    """
    fill_descriptors()
    handle_interrupts()
    try:
        return _run_and_print()
    except KeyboardInterrupt:  # while the last lines were printed
        return INTERRUPTED


def _run_and_print() -> int:
    output, errors = Stream(sys.stdout), Stream(sys.stderr)
    with redirect_stdout(cast("TextIO", output)), redirect_stderr(cast("TextIO", errors)):
        status = _run()
        output.flush()
        if output.failure is not None and not output.was_left:
            reason = output.failure.strerror
            print_error(StorageError(f"standard output cannot be written ({reason}): not everything was printed."))
            status = status or 1
        errors.flush()
    for stream in (output, errors):
        if stream.failure is not None:
            _discard(stream)
    return status


def _run() -> int:
    try:
        outcome = app(standalone_mode=False, prog_name="bakeoff")
    except (KeyboardInterrupt, typer.Abort):
        outcome = INTERRUPTED
    except Exception as error:
        outcome = INTERRUPTED if was_interrupted() else _print_mistake(error)
    if outcome == INTERRUPTED:  # typer also turns a command's KeyboardInterrupt into this status
        print(INTERRUPTED_MESSAGE, file=sys.stderr)
    return outcome if isinstance(outcome, int) else 0


def _print_mistake(error: Exception) -> int:
    """Print what is wrong with the user's input; return the exit status. Any other exception is raised again."""
    if isinstance(error, BakeoffError):
        print_error(error)
    else:
        # Usage errors. typer raises click's classes or, in newer releases, its own copy of them; both have `show`.
        show = getattr(error, "show", None)
        if show is None:
            raise error
        if field := _find_study_field(error):
            remedy = f"write --set {field}=VALUE"
            print_error(OptionError(f"--{field}: no option, but a field of the study: {remedy}."))
        else:
            show()
    return 2


def _find_study_field(error: Exception) -> str:
    """Return the field of a study that was given as an unknown option, such as --replicates; empty if none was."""
    option = str(getattr(error, "option_name", "")).removeprefix("--")
    command = getattr(getattr(error, "ctx", None), "command", None)
    if not any("--set" in parameter.opts for parameter in getattr(command, "params", ())):
        return ""
    from bakeoff.study.schema import Study

    return option if option in Study.model_fields else ""


def _discard(stream: Stream) -> None:
    """Discard a stream's buffered output: Python would write it at exit, and print an error."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
