"""The command that puts a study's trials to corrupted test images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.complete import complete_block, complete_trained
from bakeoff.cli.options import AsJson, DataDir, Workers, Workspace, make_console, print_aside

app = typer.Typer()


@app.command()
def stress(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="The name, id or file of a study that was run.", autocompletion=complete_trained
        ),
    ],
    corruptions: Annotated[
        str, typer.Option("--corruptions", metavar="NAMES", help="Such as fog,contrast; by default all fourteen.")
    ] = "",
    severities: Annotated[
        str, typer.Option("--severities", metavar="NUMBERS", help="Of 1 (mild) to 5 (severe).")
    ] = "1,3,5",
    block: Annotated[
        str | None,
        typer.Option("--block", metavar="NAME", help="One block; by default all.", autocompletion=complete_block),
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
    workspace: Workspace = Path("runs"),
    data_dir: DataDir = None,
) -> None:
    """Test finished trials on corrupted images: noise, fog, JPEG, ..."""
    from bakeoff.deploy.stress import parse_severities, stress_study
    from bakeoff.report.render.terminal import print_verdict
    from bakeoff.report.sections.robustness import SECTION

    report = stress_study(
        study,
        workspace,
        corruptions=[name.strip() for name in corruptions.split(",") if name.strip()],
        severities=parse_severities(severities),
        block=block,
        data_dir=data_dir,
        workers=workers,
        say=print_aside,
    )
    if as_json:
        document = {"study": report.name, "question": report.question, **SECTION.dump(report)}
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print_verdict(make_console(), report, [SECTION])
