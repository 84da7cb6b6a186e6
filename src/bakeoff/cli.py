"""The command line: parses, calls `bakeoff.api`, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.errors import BakeoffError
from bakeoff.execution.interrupts import INTERRUPTED, LAST_WORDS, heed_interrupts

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.api import Result
    from bakeoff.study.settings import Race

app = typer.Typer(
    help="Which of these training choices is really better? A study file in, a verdict out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Get, check and describe data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
SourceArgument = Annotated[
    str, typer.Argument(metavar="NAME|FOLDER|MANIFEST", help="A data set, a folder of images, a CSV or Parquet file.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a field of the study; repeatable.")
]
Workspace = Annotated[Path, typer.Option("--workspace", metavar="DIR", help="Where the ledger and results are kept.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", envvar="BAKEOFF_DATA", help="Where to look for images first."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Worker processes; by default one per core.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda[:N]|mps", help="What computes: all NVIDIA cards, or the processor."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]


class Listing(StrEnum):
    """What `bakeoff list` can list."""

    studies = "studies"
    networks = "networks"
    initializers = "initializers"
    optimizers = "optimizers"
    schedules = "schedules"
    augmentations = "augmentations"
    mixes = "mixes"
    averagings = "averagings"
    datasets = "datasets"
    strategies = "strategies"
    metrics = "metrics"


class ExecutorName(StrEnum):
    """Where trials can run."""

    local = "local"
    ray = "ray"


class Format(StrEnum):
    """What `bakeoff report` can make."""

    terminal = "terminal"
    html = "html"
    md = "md"
    json = "json"
    latex = "latex"
    csv = "csv"


class Table(StrEnum):
    """What `bakeoff report --format csv` can print."""

    trials = "trials"
    arms = "arms"
    verdicts = "verdicts"
    epochs = "epochs"


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


@app.command()
def run(
    study: StudyArgument,
    overrides: Overrides = None,
    workspace: Workspace = Path("runs"),
    workers: Workers = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    executor: Annotated[
        ExecutorName, typer.Option("--executor", help="Where trials run: processes of this machine, or a Ray cluster.")
    ] = ExecutorName.local,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDRESS", help="Of the Ray cluster; by default one is started."),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option("--gpus-per-worker", min=0.0, help="Share of a GPU for each of Ray's workers.")
    ] = 0.0,
    exam: Annotated[bool, typer.Option("--exam/--no-exam", help="Open the test split at the end, once.")] = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait while another run has the workspace, or give up at once.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Train whatever is unfinished, hold the exam, print the verdict."""
    from bakeoff import api
    from bakeoff.report.progress import RunProgress

    with RunProgress() as progress:
        result = api.run(
            study,
            overrides=overrides or (),
            workspace=workspace,
            data_dir=data_dir,
            workers=workers,
            device=device,
            executor=executor.value,
            address=address,
            gpus_per_worker=gpus_per_worker,
            exam=exam,
            wait=wait,
            observer=progress,
        )
    _print_result(result, Format.json if as_json else Format.terminal)
    return 0 if result.state == "done" else 1


@app.command()
def plan(
    study: StudyArgument,
    overrides: Overrides = None,
    workers: Workers = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show arms, blocks, trials, cohorts and an estimate; train nothing."""
    from bakeoff import api
    from bakeoff.report.text import count, duration

    estimated = api.estimate(api.load_study(study, overrides or ()), workers, data_dir, device)
    planned = estimated.plan
    blocks = [block.label for block in planned.blocks]
    if as_json:
        document = {
            "study": planned.study.name,
            "question": planned.study.question,
            "blocks": blocks,
            "arms": list(planned.arms),
            "replicates": planned.study.model_dump(mode="json")["replicates"],
            "trials": planned.most_trials,
            "cohorts": estimated.num_cohorts or None,
            "workers": estimated.num_workers,
            "most_seconds": estimated.seconds or None,
            "notes": [*planned.notes, *estimated.notes],
        }
        print(json.dumps(document, indent=2))
        return
    console = _console()
    rows = [
        ("question", planned.study.question),
        ("blocks", f"{len(blocks)}: {', '.join(blocks)}"),
        ("arms", f"{len(planned.arms)}: {', '.join(planned.arms)}"),
        ("replicates", _spell_replicates(planned.study.replicates)),
        ("trials", f"{'at most ' if planned.study.search else ''}{planned.most_trials:,}"),
    ]
    if estimated.num_cohorts:
        rows[-1] = ("trials", f"{planned.most_trials:,} in {count(estimated.num_cohorts, 'cohort')}")
    if estimated.seconds:
        workers_spelled = count(estimated.num_workers, "worker")
        rows.append(("time", f"at most about {duration(estimated.seconds)} on {workers_spelled}, roughly"))
    _print_rows(console, [*rows, *(("note", note) for note in (*planned.notes, *estimated.notes))])


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="One study; by default all.")] = None,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show what is done, begun and failed in a workspace."""
    from bakeoff import api
    from bakeoff.errors import WorkspaceError, nearest

    found = api.list_status(workspace)
    if study is not None:
        names = sorted({each.name for each in found})
        found = tuple(each for each in found if each.name == study)
        if not found:
            listed = ", ".join(names) or "none"
            raise WorkspaceError(
                f"study '{study}' is not in this workspace. It holds: {listed}.{nearest(study, names)}"
            )
    if as_json:
        print(json.dumps([vars(each) for each in found], indent=2))
        return
    for each in found:
        failed = f", {each.num_failed} failed" if each.num_failed else ""
        begun = f", {each.num_begun} begun" if each.num_begun else ""
        exams = f"test split opened {each.num_exams}x" if each.num_exams else "test split closed"
        if each.num_candidates:
            begun += f", {each.num_candidates} candidates {'so far' if each.is_searching else 'searched'}"
        _print_line(f"{each.name}: {each.num_done} of {each.num_planned} trials done{failed}{begun}; {exams}")


@app.command()
def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name in the workspace.")],
    form: Annotated[
        Format, typer.Option("--format", help="What to print; html writes report.html and prints its path.")
    ] = Format.terminal,
    table: Annotated[
        Table | None, typer.Option("--table", help="Of --format csv: a row per trial (default), arm, pair or epoch.")
    ] = None,
    workspace: Workspace = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Print the verdict from the ledger, finished or not; train nothing."""
    from bakeoff import api

    if table is not None and (form is not Format.csv or as_json):
        raise BakeoffError("--table goes with --format csv.")
    if form is Format.csv and not as_json:
        for line in api.iterate_csv(study, (table or Table.trials).value, workspace):
            sys.stdout.write(line)
        return
    result = api.load(study, workspace)
    if form is Format.html and not as_json:
        print(api.write_report(result, workspace).report.html_path)
    else:
        _print_result(result, Format.json if as_json else form)


@app.command()
def serve(
    workspace: Workspace = Path("runs"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen. Anything but this machine itself lets others read.")
    ] = "127.0.0.1",
) -> None:
    """Show studies, the running one as it grows, and reports in the browser; read-only, until Ctrl-C."""
    from bakeoff.serve import server

    def say(text: str) -> None:
        print(text, file=sys.stderr if text.startswith("warning") else sys.stdout, flush=True)

    with suppress(KeyboardInterrupt):  # the way to end it, and nothing is lost
        server.serve(workspace, host, port, say)


def doctor(workspace: Workspace = Path("runs"), as_json: AsJson = False) -> int:
    """Check a workspace and explain what is wrong with it; exit status 1 when something is."""
    from bakeoff.execution.doctor import examine

    findings = []
    for finding in examine(workspace):
        findings.append(finding)
        if not as_json:
            _print_line(f"{finding.level:<8} {finding.text}")
    if as_json:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


@app.command()
def gc(
    workspace: Workspace = Path("runs"),
    cache_days: Annotated[
        float | None,
        typer.Option("--cache-days", min=0, help="Also free what of the cache was not used for so many days."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free what nothing refers to: half-written files, checkpoints of what has ended, trials of no study."""
    from bakeoff.execution import gc as collector

    found = list(collector.collect_workspace(workspace, delete=not dry_run))
    if cache_days is not None:
        found += collector.collect_cache(cache_days, delete=not dry_run)
    if as_json:
        print(json.dumps([{**vars(each), "path": str(each.path)} for each in found], indent=2))
        return
    for each in found:
        _print_line(f"{each.num_bytes / 2**20:>10.1f} MiB  {each.path}: {each.why}")
    size = sum(each.num_bytes for each in found) / 2**20
    print(f"{'to free' if dry_run else 'freed'}: {size:.1f} MiB in {len(found):,} places")


@app.command(name="list")
def list_names(what: Listing, as_json: AsJson = False) -> None:
    """List what a study file can name, a line each."""
    rows = list(_list_rows(what))
    if as_json:
        print(json.dumps([{"name": name, "summary": summary} for name, summary in rows], indent=2))
    else:
        _print_rows(_console(), rows)


@app.command()
def schema() -> None:
    """Print the study file's JSON Schema, for editors."""
    from bakeoff.study.editor import schema_json

    print(json.dumps(schema_json(), indent=2))


@data_app.command("get")
def data_get(name: SourceArgument, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Find a data set, a folder or a manifest; download what is missing of a data set."""
    from bakeoff.data import manage

    obtained = manage.get(name, data_dir)
    if as_json:
        files = [{"file": str(path), "downloaded": path in obtained.downloaded} for path in obtained.files]
        folder = None if obtained.folder is None else str(obtained.folder)
        print(json.dumps({"name": name, "folder": folder, "files": files}, indent=2))
        return
    if obtained.folder is None:
        print(f"{name}: comes with an installed package, nothing to download")
        return
    for path in obtained.files or (obtained.folder,):
        print(f"{'downloaded' if path in obtained.downloaded else 'found'} {path}")


@data_app.command("verify")
def data_verify(name: SourceArgument, data_dir: DataDir = None, as_json: AsJson = False) -> int:
    """Check every file of a data set, or every image of a folder or manifest; exit status 2 when one is wrong."""
    from bakeoff.data import manage
    from bakeoff.report.text import show_text

    checks = manage.verify(name, data_dir)
    if as_json:
        rows = [{"file": str(check.file), "ok": check.ok, "detail": check.detail} for check in checks]
        print(json.dumps({"name": name, "ok": all(check.ok for check in checks), "files": rows}, indent=2))
    for check in () if as_json else checks:
        if check.ok:
            _print_line(f"ok  {check.file}: {check.detail}")
        else:
            print(f"error: {show_text(f'{check.file}: {check.detail}')}", file=sys.stderr)
    return 0 if all(check.ok for check in checks) else 2


@data_app.command("show")
def data_show(name: SourceArgument, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Describe a data set, an image folder or a manifest; its test split stays closed."""
    from bakeoff.data import manage

    facts = manage.show(name, data_dir)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    _print_rows(_console(), [(key, _spell_fact(value)) for key, value in facts.items()])


def _spell_fact(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part:,}" for key, part in value.items())
    if isinstance(value, tuple | list):
        return " ".join(f"{part:.4f}" if isinstance(part, float) else str(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _spell_replicates(replicates: int | Race) -> str:
    if isinstance(replicates, int):
        return str(replicates)
    return f"{replicates.at_least} to {replicates.at_most}, until the question is settled"


_REGISTRIES: Mapping[Listing, tuple[tuple[str, str], ...]] = {
    Listing.networks: (("bakeoff.networks.named", "NETWORKS"), ("bakeoff.networks.outside", "OUTSIDE")),
    Listing.initializers: (("bakeoff.networks.initializers", "INITIALIZERS"),),
    Listing.optimizers: (("bakeoff.training.optimizers", "OPTIMIZERS"),),
    Listing.schedules: (("bakeoff.training.schedules", "SCHEDULES"),),
    Listing.augmentations: (("bakeoff.training.augmentation.records", "AUGMENTATIONS"),),
    Listing.mixes: (("bakeoff.training.mixing", "MIXES"),),
    Listing.averagings: (("bakeoff.training.averaging", "AVERAGINGS"),),
    Listing.datasets: (("bakeoff.data.registry", "DATASETS"),),
    Listing.strategies: (("bakeoff.search.registry", "STRATEGIES"),),
    Listing.metrics: (("bakeoff.analysis.metrics", "METRICS"),),
}
"""Module and name of what each listing shows; imported when it is asked for."""


def _list_rows(what: Listing) -> Iterator[tuple[str, str]]:
    if what is Listing.studies:
        from bakeoff.study.load import list_shipped

        yield from ((shipped.name, shipped.question) for shipped in list_shipped())
        return
    for module, registry in _REGISTRIES[what]:
        for record in getattr(import_module(module), registry):
            yield record.name, record.summary


def _print_result(result: Result, form: Format) -> None:
    if form is Format.json:
        print(json.dumps(result.document, indent=2, allow_nan=False))
    elif form is Format.md:
        from bakeoff.report.markdown import write_markdown

        print(write_markdown(result.report))
    elif form is Format.latex:
        print(result.to_latex(), end="")
    else:
        from bakeoff.report.terminal import print_verdict

        print_verdict(_console(), result.report)


def _print_line(text: str) -> None:
    """Print a line that holds names of the user's: what steers terminals is escaped."""
    from bakeoff.report.text import show_text

    print(show_text(text))


def _console() -> Console:
    from rich.console import Console

    return Console()


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from bakeoff.report.text import show_text

    table = Table.grid(padding=(0, 2))
    for name, text in rows:
        table.add_row(Text(name, style="bold", no_wrap=True), Text(show_text(text)))
    console.print(table)
