"""Commands on a study: run, plan, status, report."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.complete import complete_trained
from bakeoff.cli.options import (
    AsJson,
    DataDir,
    Device,
    Overrides,
    Quick,
    Require,
    StudyArgument,
    Workers,
    Workspace,
    make_console,
    print_aside,
    print_document,
    print_error,
    print_findings,
    print_line,
    print_rows,
)
from bakeoff.errors import OptionError

if TYPE_CHECKING:
    from bakeoff.api import Result
    from bakeoff.stats.requirements import Finding

app = typer.Typer()

_TRACKERS = "tensorboard:DIR|mlflow:URI|trackio:PROJECT|wandb:PROJECT"


class ExecutorName(StrEnum):
    """Where trials can run."""

    local = "local"
    ray = "ray"


class Format(StrEnum):
    """Formats of `bakeoff report`."""

    terminal = "terminal"
    html = "html"
    md = "md"
    json = "json"
    latex = "latex"
    csv = "csv"
    line = "line"
    pr = "pr"


@app.command()
def run(
    study: StudyArgument,
    overrides: Overrides = None,
    quick: Quick = False,
    workspace: Workspace = Path("runs"),
    workers: Workers = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    executor: Annotated[
        ExecutorName, typer.Option("--executor", help="Where trials run: processes on this machine, or a Ray cluster.")
    ] = ExecutorName.local,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDRESS", help="Address of the Ray cluster; by default one is started."),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option("--gpus-per-worker", min=0.0, help="Fraction of a GPU for each Ray worker.")
    ] = 0.0,
    final_test: Annotated[
        bool,
        typer.Option("--final-test/--no-final-test", help="Open the test split at the end, once."),
    ] = True,
    exam: Annotated[bool | None, typer.Option("--exam/--no-exam", hidden=True)] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Open the test split even if trials of an arm failed.")
    ] = False,
    pilot: Annotated[
        int | None,
        typer.Option(
            "--pilot",
            metavar="N",
            help="Train only the first N replicates of all arms, 2 or more, on validation scores; then say what the "
            "study can show.",
        ),
    ] = None,
    require: Require = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait while another run uses the workspace, or exit at once.")
    ] = True,
    observers: Annotated[
        list[str] | None,
        typer.Option(
            "--observer", metavar="NAME", help="A registered observer of the run (bakeoff list observers); repeatable."
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar=_TRACKERS, help="An experiment tracker to log to; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Train what is unfinished, run the final test, print the verdict."""
    from bakeoff import api
    from bakeoff.report.progress import RunProgress

    def train() -> Result:
        with RunProgress() as progress:
            return api.run(
                study,
                overrides=overrides or (),
                quick=quick,
                workspace=workspace,
                data_dir=data_dir,
                workers=workers,
                device=device,
                executor=executor.value,
                address=address,
                gpus_per_worker=gpus_per_worker,
                final_test=final_test if exam is None else exam,
                allow_missing=allow_missing,
                pilot=pilot,
                require=require or (),
                wait=wait,
                observer=[progress, *(observers or ())],
                log=log or (),
            )

    form = Format.json if as_json else Format.terminal
    return _print_outcome(train, form, require or ()) if pilot is None else _print_pilot(train, form)


@app.command()
def plan(
    study: StudyArgument,
    overrides: Overrides = None,
    quick: Quick = False,
    workspace: Workspace = Path("runs"),
    workers: Workers = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    probe: Annotated[
        bool,
        typer.Option("--probe/--no-probe", help="Build networks, locate weights, time a few steps; otherwise guess."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show arms, blocks, trials, cohorts and an estimate; train nothing."""
    from bakeoff import api
    from bakeoff.cli.planned import Planned

    estimate = api.plan(
        study,
        overrides=overrides or (),
        quick=quick,
        workspace=workspace,
        data_dir=data_dir,
        workers=workers,
        device=device,
        probe=probe,
        say=print_aside,
    )
    planned = Planned.of(estimate, data_dir, is_changed=bool(overrides))
    if as_json:
        print(json.dumps(planned.document(), indent=2))
    else:
        print_rows(make_console(), list(planned.rows()))


@app.command()
def status(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]", help="A study's name, id or file; by default all.", autocompletion=complete_trained
        ),
    ] = None,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show what is done, started and failed in a workspace."""
    from bakeoff.report.status import list_status
    from bakeoff.report.text import times

    found = list_status(workspace, study)
    if as_json:
        print(json.dumps([vars(each) for each in found], indent=2))
        return
    for each in found:
        failed = f", {each.num_failed} failed" if each.num_failed else ""
        more = f", {each.num_started} started" if each.num_started else ""
        final_tests = (
            f"test split opened {times(each.num_final_tests)}" if each.num_final_tests else "test split closed"
        )
        if each.num_candidates:
            more += f", {each.num_candidates} candidates {'so far' if each.is_searching else 'searched'}"
        print_line(
            f"{each.id}  {each.name}: {each.num_done} of {each.num_planned} trials done{failed}{more}; {final_tests}"
        )


@app.command()
def report(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study's name or id, as printed by status, or its file.",
            autocompletion=complete_trained,
        ),
    ],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="What to print; html writes report.html and prints its path, pr is short Markdown for a pull "
            "request, line is one line.",
        ),
    ] = Format.terminal,
    table: Annotated[
        str | None,
        typer.Option(
            help="With --format csv: trials (default), epochs, arms, verdicts, effects, classes or confusion."
        ),
    ] = None,
    require: Require = None,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> int:
    """Print the verdict from the ledger, finished or not; train nothing."""
    from bakeoff import api

    if table is not None and (form is not Format.csv or as_json):
        raise OptionError("--table goes with --format csv.")
    if form is Format.csv and not as_json:
        if require:
            raise OptionError("--require does not go with --format csv, which prints data alone.")
        for line in api.iterate_csv(study, table or "trials", workspace):
            sys.stdout.write(line)
        return 0
    result = api.load(study, workspace)
    findings = result.check(*(require or ()))
    if form is Format.html and not as_json:
        print(api.write_report(result, workspace).report.html_path)
    else:
        _print_result(result, Format.json if as_json else form, findings)
    return print_findings(findings)


@app.command("log")
def log_study(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study's name or id, as printed by status, or its file.")
    ],
    to: Annotated[
        list[str], typer.Option("--to", metavar=_TRACKERS, help="The experiment tracker to log to; repeatable.")
    ],
    workspace: Workspace = Path("runs"),
) -> None:
    """Log a study from the ledger to experiment trackers, finished or not; train nothing."""
    from bakeoff import api

    num_trials = api.log_study(study, to, workspace)
    print_line(f"{num_trials:,} trials logged to {', '.join(each.partition(':')[0] for each in to)}")


def _print_outcome(train: Callable[[], Result], form: Format, require: Sequence[str]) -> int:
    """Run a study and print its result, also if its reports could not be written; return the exit status."""
    from bakeoff import api

    try:
        result = train()
    except api.ReportError as error:
        findings = error.result.check(*require)
        _print_result(error.result, form, findings)
        print_error(error)
        return print_findings(findings) or 1
    findings = result.check(*require)
    _print_result(result, form, findings)
    return print_findings(findings) or (0 if result.state == "done" else 1)


def _print_pilot(train: Callable[[], Result], form: Format) -> int:
    """Run a pilot and print what the study can show; return the exit status, 1 if trials failed."""
    from bakeoff.cli.planned import list_power_rows

    result = train()
    _print_result(result, form)
    if form is not Format.json:
        print()
        print_rows(make_console(), [*list_power_rows(result.prospects), ("next", _CONTINUE)])
    return 0 if result.report.num_failed == 0 else 1


_CONTINUE = (
    "the same command without --pilot continues and reuses all trials of the pilot, also with another number of "
    "replicates (--set replicates=N). The test split is still closed, and no look is spent."
)


def _print_result(result: Result, form: Format, findings: Sequence[Finding] = ()) -> None:
    if form is Format.json:
        print_document(result.document, findings)
    elif form is Format.md:
        from bakeoff.report.render.markdown import write_markdown

        print(write_markdown(result.report))
    elif form is Format.latex:
        print(result.to_latex(), end="")
    elif form is Format.line:
        from bakeoff.report.render.brief import write_line

        print(write_line(result.report))
    elif form is Format.pr:
        from bakeoff.report.render.brief import write_summary

        print(write_summary(result.report, findings), end="")
    else:
        from bakeoff.report.render.terminal import print_verdict

        print_verdict(make_console(), result.report)
