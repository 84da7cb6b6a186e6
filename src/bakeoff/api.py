"""The Python API: the command line calls these functions and prints; the `bakeoff` package exports them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from bakeoff.cgroups import count_cores
from bakeoff.driver.context import RunContext
from bakeoff.driver.devices import AUTO, CPU_DEVICE, Device, choose_device
from bakeoff.driver.estimate import Estimate, count_workers, estimate_plan
from bakeoff.driver.executors.base import Executor
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.driver.facts import describe_datasets
from bakeoff.driver.observer import Conclusion, RunObserver, make_observer, watch
from bakeoff.driver.pilot import check_pilot
from bakeoff.driver.run import run_plan
from bakeoff.driver.winners import read_winners
from bakeoff.errors import OptionError, UnwritableError, WorkspaceError
from bakeoff.ledger.given import find_given_study
from bakeoff.ledger.read import open_reading
from bakeoff.report.document import ReportInput
from bakeoff.report.export.methods import Tables, iterate_ledger_csv
from bakeoff.report.export.tables import LEDGER_TABLES
from bakeoff.report.gather import gather_report, gather_sources
from bakeoff.report.notebook import make_progress
from bakeoff.report.render.html import write_html
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.reported import Reported
from bakeoff.report.sections.labels import list_thumbnails
from bakeoff.report.status import Status, list_status
from bakeoff.report.text import count
from bakeoff.report.thumbnails import keep_thumbnails
from bakeoff.report.workspace import diff_arms, diff_studies, list_studies, tag_study
from bakeoff.stats.measure import join_names
from bakeoff.stats.requirements import check_requirements, parse_requirement
from bakeoff.stats.results import Rules
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.load import FindMissing, load_study
from bakeoff.study.missing_images import find_missing_images
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study
from bakeoff.study.winner import find_winner
from bakeoff.trackers.logger import StudyLogger
from bakeoff.workspace import Folders, check_workspace, write_whole

__all__ = [
    "Estimate",
    "ReportError",
    "Result",
    "RunObserver",
    "Status",
    "Study",
    "diff_arms",
    "diff_studies",
    "iterate_csv",
    "list_status",
    "list_studies",
    "load",
    "load_study",
    "log_study",
    "plan",
    "prepare_study",
    "run",
    "tag_study",
    "write_report",
]

DEFAULT_WORKSPACE = Path("runs")

State = Literal["done", "failed", "unfinished"]
ExecutorName = Literal["local", "ray"]


@dataclass(frozen=True)
class Result(Reported, Tables):
    """The results of one study in a workspace.

    Attributes:
        state: done; failed (some trials failed, the others are kept); unfinished (run it again to resume).
        report: everything the reports are made from.
        study_id: its id in the ledger.
        workspace: the folder of the ledger.
    """

    state: State
    report: ReportInput = field(repr=False)
    study_id: str
    workspace: Path

    def _find_obstacle(self) -> str:
        report = self.report
        if self.state == "unfinished":
            ended = f"{report.num_done + report.num_failed:,} of {count(report.num_planned, 'trial')} have ended"
            progress = f"{ended}{', the final test is unfinished' if report.in_final_test else ''}"
            return f"the study is unfinished ({progress}). Run it again to resume."
        if self.state == "failed":
            reasons = join_names(list(dict.fromkeys(f"{each.arm}: {each.reason}" for each in report.failures))[:2])
            return f"{count(report.num_failed, 'trial')} of {report.num_planned:,} failed ({reasons})."
        return ""


class ReportError(UnwritableError):
    """The study's reports could not be written; `result` has what they would contain."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def run(
    study: Study | str | Path,
    *,
    overrides: Sequence[str] = (),
    quick: bool = False,
    workspace: str | Path = DEFAULT_WORKSPACE,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    device: str = AUTO,
    executor: ExecutorName = "local",
    address: str | None = None,
    gpus_per_worker: float = 0.0,
    final_test: bool = True,
    allow_missing: bool = False,
    pilot: int | None = None,
    require: Sequence[str] = (),
    wait: bool = True,
    observer: RunObserver | str | Sequence[RunObserver | str] | None = None,
    log: str | Sequence[str] = (),
) -> Result:
    """Train what the workspace does not hold yet, run the final test, and write the reports.

    Args:
        study: a Study, a study file's path, or a shipped study's name.
        overrides: `path.to.field=VALUE`; only for a file or a name.
        quick: run the study file's quick version, as a study of its own; only for a file or a name.
        workspace: the folder of the ledger; created if missing.
        data_dir: searched first for images.
        workers: number of processes; by default one per core or per GPU, or a few per GPU if trials do not fuse.
        device: auto, cpu, cuda (all GPUs), cuda:N or mps; see `driver.devices.choose_device`.
        executor: local (processes on this machine) or ray (actors on a cluster; needs the extra `ray`).
        address: of the Ray cluster, `auto` or `HOST:6379`; None starts one on this machine.
        gpus_per_worker: fraction of a GPU for each actor of a Ray cluster; 0 trains on CPUs.
        final_test: if False, the test split stays closed and verdicts rest on the validation split.
        allow_missing: open the test split even if trials of an arm failed.
        pilot: train only the first so many replicates, 2 or more, and leave the test split closed; what the study can
            show is then in the result's `prospects`. The same call without it continues, and reuses all trials.
        require: requirements that the result will be checked against (`Result.check`); one that the study can never
            meet is refused before training.
        wait: wait for another run in this workspace to end; if False, that is an error.
        observer: one or more observers of the run, or names of registered ones; by default, a progress display in
            notebooks, and none elsewhere. One that raises an exception is dropped, and the run continues.
        log: experiment trackers to log to: `tensorboard:DIR`, `mlflow:URI`, `trackio:PROJECT`, `wandb:PROJECT`.

    Raises:
        BakeoffError: the study is wrong, overrides were given with a Study, images are missing, a tracker cannot be
            used, or the workspace cannot be written.
    """
    folder = check_workspace(workspace)
    data = Path(data_dir) if data_dir is not None else None
    checked = _prepare(study, overrides, quick, folder, partial(find_missing_images, data_dir=data))
    planned = expand(checked)
    if pilot is not None:
        check_pilot(planned, pilot)
    _check_requirements(require, planned, pilot)
    chosen = choose_device(device) if executor == "local" or gpus_per_worker else CPU_DEVICE
    pool = _Pool(name=executor, num_workers=workers, device=chosen, address=address, gpus_per_worker=gpus_per_worker)
    with (
        _choose_observers(observer) as observers,
        watch(observers, [log] if isinstance(log, str) else log) as seen,
    ):
        with closing(_start_executor(pool, planned, folder, data, seen.message)) as started:
            context = RunContext(
                workspace=folder,
                executor=started,
                observer=seen,
                data_dir=data,
                device=chosen,
                max_threads=_limit_threads(started, chosen),
                command=_format_command(study, overrides, quick),
                final_test=final_test,
                allow_missing=allow_missing,
                pilot=pilot,
                wait=wait,
            )
            counts = run_plan(planned, context)
        result = _load(counts.study_id, folder, num_reused=counts.num_reused, data_dir=data or checked.folder)
        try:
            result = _write_reports(result, Folders(folder))
        finally:
            seen.run_done(_conclude(result))
    return result


def plan(
    study: Study | str | Path,
    *,
    overrides: Sequence[str] = (),
    quick: bool = False,
    workspace: str | Path = DEFAULT_WORKSPACE,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    device: str = AUTO,
    probe: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> Estimate:
    """Plan a study, check what can be checked without training, and estimate its cost. Trains nothing.

    Args:
        study: a Study, a study file's path, or a shipped study's name.
        overrides: `path.to.field=VALUE`; only for a file or a name.
        quick: plan the study file's quick version.
        workspace: searched for winners of earlier studies, and for trials that tell what this one can show.
        data_dir: searched first for images.
        workers: number of processes; by default as many as `run` starts.
        device: as for `run`. On a GPU, no time is estimated.
        probe: let a worker process build networks, check that weights are available and fit, and time a few training
            steps of each network. Takes about ten seconds; times are cached.
        say: called with a message before something slow.

    Raises:
        BakeoffError: the study is wrong, images are missing or cannot be split, or a network or its weights are not
            available or do not fit.
    """
    data = Path(data_dir) if data_dir is not None else None
    checked = _prepare(study, overrides, quick, workspace, partial(find_missing_images, data_dir=data))
    chosen = choose_device(device)
    folder = Path(workspace)
    return estimate_plan(expand(checked), workers, data, chosen, probe=probe, say=say, workspace=folder)


def prepare_study(
    study: Study | str | Path,
    overrides: Sequence[str] = (),
    *,
    quick: bool = False,
    workspace: str | Path = DEFAULT_WORKSPACE,
) -> Study:
    """Return the study as it would run: loaded, checked, and with the winners of earlier studies that it starts from.

    Args:
        study: a Study, a study file's path, or a shipped study's name.
        overrides: `path.to.field=VALUE`; only for a file or a name.
        quick: take the study file's quick version.
        workspace: searched for earlier studies.

    Raises:
        BakeoffError: the study is wrong, overrides were given with a Study, or a winner it starts from is not in the
            workspace.
    """
    return _prepare(study, overrides, quick, workspace, None)


def _prepare(
    study: Study | str | Path,
    overrides: Sequence[str],
    quick: bool,
    workspace: str | Path,
    find_missing: FindMissing | None,
) -> Study:
    if isinstance(study, Study) and (overrides or quick):
        raise OptionError(
            "overrides and quick apply to study files. Create the Study with the intended values instead."
        )
    find = partial(read_winners, Path(workspace))
    if not isinstance(study, Study):
        return load_study(study, overrides, quick=quick, find_winners=find, find_missing=find_missing)
    fields = study.model_dump(exclude_unset=True)
    found = find_winner(fields, find)
    return study if found == fields else Study.model_validate(found)


def load(name: str, workspace: str | Path = DEFAULT_WORKSPACE) -> Result:
    """Read a study's results from a workspace's ledger, finished or not. Trains nothing and does not need torch.

    Args:
        name: the study's name, a prefix of its id (six characters or more), or its file.
        workspace: the folder of the ledger.

    Raises:
        WorkspaceError: there is no ledger, no such study, or several; the message then lists their ids.
    """
    folder = check_workspace(workspace)
    with open_reading(Folders(folder)) as connection:
        identity = find_given_study(connection, name)
    return _load(identity, folder, num_reused=0)


def write_report(result: Result, workspace: str | Path = DEFAULT_WORKSPACE) -> Result:
    """Write `verdict.md` and `report.html` again; return the result with their paths."""
    return _write_reports(result, Folders(check_workspace(workspace)))


def log_study(name: str, to: str | Sequence[str], workspace: str | Path = DEFAULT_WORKSPACE) -> int:
    """Show a study of the workspace in experiment trackers, as far as it is not shown there; write its reports again.

    Args:
        name: as for `load`.
        to: one or more of `tensorboard:DIR`, `mlflow:URI`, `trackio:PROJECT`, `wandb:PROJECT`.
        workspace: the folder of the ledger.

    Returns:
        The number of trials that are shown.

    Raises:
        BakeoffError: there is no such study, or a tracker cannot be used or fails.
    """
    loggers = [make_observer(each, is_logger=True) for each in ([to] if isinstance(to, str) else to)]
    folders = Folders(check_workspace(workspace))
    result = write_report(load(name, workspace), workspace)
    with open_reading(folders) as connection:
        planned = gather_sources(connection, result.study_id, folders).plan
    num_trials = 0
    for logger in loggers:
        if not isinstance(logger, StudyLogger):
            raise OptionError(f"{type(logger).__name__} logs studies only while they run.")
        num_trials = logger.log_now(result.study_id, folders, planned, _conclude(result))
    return num_trials


def iterate_csv(name: str, table: str, workspace: str | Path = DEFAULT_WORKSPACE) -> Iterator[str]:
    """Yield a study's table as CSV, line by line; trials and epochs come from the ledger without making a report."""
    if table not in LEDGER_TABLES:
        yield from load(name, workspace).iterate_csv(table)
        return
    folders = Folders(check_workspace(workspace))
    with open_reading(folders) as connection:
        identity = find_given_study(connection, name)
    yield from iterate_ledger_csv(folders, identity, table)


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """The workers of a run; see `run`."""

    name: ExecutorName
    num_workers: int | None
    device: Device
    address: str | None
    gpus_per_worker: float


@contextmanager
def _choose_observers(
    given: RunObserver | str | Sequence[RunObserver | str] | None,
) -> Iterator[Sequence[RunObserver | str]]:
    """Yield a run's observers: by default a progress display, which also hears of an interrupt."""
    if given is None:
        with make_progress() as progress:
            yield [progress]
    else:
        yield given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _start_executor(
    pool: _Pool, plan: Plan, workspace: Path, data_dir: Path | None, say: Callable[[str], object]
) -> Executor:
    if pool.name == "ray":
        from bakeoff.driver.executors.ray_executor import RayExecutor  # Ray is an extra, and slow to import

        return RayExecutor(
            workspace,
            data_dir,
            address=pool.address,
            num_workers=pool.num_workers,
            gpus_per_worker=pool.gpus_per_worker,
        )
    known = describe_datasets(plan.blocks, data_dir)
    num_workers, shortage = count_workers(pool.num_workers, pool.device, plan, known)
    if shortage:
        say(shortage)
    return LocalExecutor(num_workers, workspace, data_dir, pool.device.addresses)


def _limit_threads(executor: Executor, device: Device) -> int:
    """Return how many threads a worker may use: no more than there are cores, or workers were asked for."""
    if not isinstance(executor, LocalExecutor) or device.kind != "cpu":
        return 1
    return min(executor.num_workers, count_cores())


def _format_command(study: Study | str | Path, overrides: Sequence[str], quick: bool) -> str:
    if isinstance(study, Study):
        return ""
    flags = ["--quick"] if quick else []
    return shlex.join(["bakeoff", "run", str(study), *flags, *(part for text in overrides for part in ("--set", text))])


def _load(identity: str, workspace: Path, num_reused: int, data_dir: Path | None = None) -> Result:
    report = gather_report(identity, Folders(workspace), num_reused, data_dir)
    return Result(state=_state(report), report=report, study_id=identity, workspace=workspace.absolute())


def _conclude(result: Result) -> Conclusion:
    report = result.report
    return Conclusion(
        state=result.state,
        answers={answer.block: answer.sentence for answer in result.summary.answers},
        overall=result.summary.overall,
        report_path=None if report.report_path is None else Path(report.report_path),
        html_path=None if report.html_path is None else Path(report.html_path),
    )


def _check_requirements(require: Sequence[str], plan: Plan, pilot: int | None) -> None:
    if require and pilot is not None:
        raise OptionError("a pilot gives no verdicts that a requirement could be checked against: run the whole study.")
    study = plan.study
    check_requirements(
        [parse_requirement(text) for text in require],
        [*plan.arms, *list_ensemble_arms(study.ensembles)],
        [block.label for block in plan.blocks],
        Rules(margin=study.decide.margin, baseline=study.decide.against),
    )


def _state(report: ReportInput) -> State:
    states: dict[str, State] = {"done": "done", "failed": "failed"}
    return states.get(report.state, "unfinished")


def _write_reports(result: Result, folders: Folders) -> Result:
    folder = folders.reports(result.report.name, result.study_id)
    text, page = folder / "verdict.md", folder / "report.html"
    report = replace(result.report, report_path=str(text), html_path=str(page))
    try:
        for path, write in ((text, write_markdown), (page, write_html)):
            _write_text(path, write(report))
        keep_thumbnails(list_thumbnails(report), folders)
    except WorkspaceError as error:
        raise ReportError(str(error), result) from error
    except OSError as error:
        message = f"{folders.root}: pictures cannot be written ({error.strerror or error})."
        raise ReportError(message, result) from error
    return replace(result, report=report)


def _write_text(path: Path, text: str) -> None:
    try:
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    except OSError as error:
        raise UnwritableError(f"{path}: the report cannot be written ({error.strerror or error}).") from error
