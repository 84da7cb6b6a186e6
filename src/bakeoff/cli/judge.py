"""The command that judges runs that others trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.options import AsJson, Require, make_console, print_aside, print_document, print_findings
from bakeoff.errors import OptionError

app = typer.Typer()


@app.command()
def judge(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A table of scores, a folder or table of predictions, or runs of another tool."
        ),
    ],
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="The score; by default the likeliest column.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="ARM", help="The baseline that all others are compared with.")
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option("--margin", metavar="NUMBER", help="Largest difference that does not matter, or '0.5 points'."),
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of intervals and verdicts.")] = 0.95,
    method: Annotated[
        Literal["moderated", "paired", "bayes"],
        typer.Option("--method", help="Borrow variances across arms, or judge each pair by its own."),
    ] = "moderated",
    scope: Annotated[
        Literal["images", "seeds"] | None,
        typer.Option("--scope", help="New seeds and images (needs predictions), or new seeds on these images."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="ROLE=COLUMN,...", help="Columns of arm, replicate, block, fold, epoch."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="COLUMN=VALUE", help="Only such rows; repeatable.")
    ] = None,
    tool: Annotated[
        str | None, typer.Option("--from", metavar="TOOL", help="What wrote it; by default it is recognised.")
    ] = None,
    epoch: Annotated[
        str, typer.Option("--epoch", metavar="last|max:METRIC|min:METRIC", help="Of curves, the epoch that counts.")
    ] = "last",
    lower_is_better: Annotated[
        bool | None,
        typer.Option("--lower-is-better/--higher-is-better", help="By default, by the metric's name."),
    ] = None,
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--unpaired", help="Whether equal seeds or numbers pair runs; by default, if they match."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the report as .md, .html or .json.")
    ] = None,
    require: Require = None,
    as_json: AsJson = False,
) -> int:
    """Judge runs that others trained: which arm is really better; trains nothing."""
    from bakeoff import judging

    if out is not None:
        judging.check_out(out)
    result = judging.judge(
        source,
        metric=metric,
        against=against,
        margin=margin,
        confidence=confidence,
        method=method,
        scope=scope,
        columns=dict(_split(part, "--map") for text in columns or () for part in text.split(",")),
        where=_gather_values(_split(text, "--where") for text in where or ()),
        lower_is_better=lower_is_better,
        paired=paired,
        tool=tool,
        epoch=epoch,
        command=shlex.join(["bakeoff", *sys.argv[1:]]) if sys.argv[1:2] == ["judge"] else "",
    )
    findings = result.check(*(require or ()))
    if as_json:
        print_document(result.document, findings)
    else:
        from bakeoff.report.render.terminal import print_verdict

        print_verdict(make_console(), result.report)
    if out is not None:
        print_aside(f"Report: {result.write(out)}")
    return print_findings(findings)


def _split(text: str, option: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        example = "arm=model,replicate=seed" if option == "--map" else "dataset=cifar10"
        raise OptionError(f"{option} {text}: write NAME=VALUE, such as {option} {example}.")
    return name, value


def _gather_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
