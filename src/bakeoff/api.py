"""The Python face of bakeoff: `Study`, `run`, `load`. The command line calls these and prints.

from bakeoff.api import Study, run

study = Study(question="...", recipe={"network": "lenet"}, arms=[{"initializer": ["he_normal", "glorot_normal"]}])
result = run(study, workspace="runs")
print(result.summary.answers[0].sentence)
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from bakeoff.analysis.across import summarise_blocks
from bakeoff.analysis.results import Summary
from bakeoff.analysis.sequential import SequentialDesign
from bakeoff.analysis.steps import compare_steps
from bakeoff.analysis.summary import summarise
from bakeoff.errors import BakeoffError, WorkspaceError
from bakeoff.execution.cohorts import Group, group_trials
from bakeoff.execution.costs import is_cost_known
from bakeoff.execution.facts import Datasets, describe_datasets
from bakeoff.execution.local import LocalExecutor
from bakeoff.execution.machine import count_cores
from bakeoff.execution.run import RunObserver, check_plan, run_plan
from bakeoff.ledger.curves import read_study_epochs
from bakeoff.ledger.read import StudyRecord, find_study, list_studies, open_reading, read_study
from bakeoff.report.curves import describe_curves
from bakeoff.report.document import PublishedFigure, ReportInput, TrialFailure, build_document
from bakeoff.report.ensembles import describe_ensembles
from bakeoff.report.evidence import gather_evidence
from bakeoff.report.figures.methods import Plots
from bakeoff.report.html.write import write_html
from bakeoff.report.markdown import write_markdown
from bakeoff.report.notes import describe_notes, describe_reduction
from bakeoff.report.progress import RunProgress
from bakeoff.report.search import describe_searches
from bakeoff.report.votes import add_ensembles
from bakeoff.study.chain import list_steps
from bakeoff.study.fit import describe_registered
from bakeoff.study.load import load_study
from bakeoff.study.plan import Block, Plan, expand
from bakeoff.study.schema import Study
from bakeoff.training.folders import Folders, write_whole

__all__ = ["Estimate", "Result", "Status", "Study", "estimate", "list_status", "load", "load_study", "run"]

DEFAULT_WORKSPACE = Path("runs")

OPERATIONS_PER_SECOND = 4e10
STEP_SECONDS = 0.0008
MEMBER_STEP_SECONDS = 0.0003
START_SECONDS = 4.0
"""For estimates before anything has run: multiply-adds per second and core, what a step costs beside them, with each
member's share, and what starting takes. Fitted to LeNet and ModNet1 on CIFAR-10 and LeNet on digits, on AMD EPYC 9005.
"""

State = Literal["done", "failed", "unfinished"]


@dataclass(frozen=True)
class Result(Plots):
    """What a workspace's ledger says of one study.

    Attributes:
        state: done; failed (some trials failed, the rest are kept); unfinished (run it again to go on).
        report: everything the reports are made from.
    """

    state: State
    report: ReportInput

    @property
    def summary(self) -> Summary:
        """Means, verdicts and answers."""
        return self.report.summary

    @property
    def document(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return build_document(self.report)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would take.

    Attributes:
        num_cohorts: groups of trials trained fused; 0 where no images are known before they are opened, and of a
            search, which is yet to choose its recipes.
        seconds: an upper bound when nothing stops early, at a typical rate; good to a factor of about two.
        notes: what the figures leave out, a sentence each.
    """

    plan: Plan
    num_cohorts: int
    num_workers: int
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far one study is.

    Attributes:
        num_candidates: tried by its search so far; `is_searching`: whether it will try more. They are not among the
            trials that are planned, done or failed.
    """

    name: str
    created_at: str
    num_planned: int
    num_done: int
    num_failed: int
    num_begun: int
    num_exams: int
    num_candidates: int = 0
    is_searching: bool = False


def run(
    study: Study | str | Path,
    *,
    overrides: Sequence[str] = (),
    workspace: str | Path = DEFAULT_WORKSPACE,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    exam: bool = True,
    observer: RunObserver | None = None,
) -> Result:
    """Train whatever of a study the workspace does not hold yet, hold the exam, write `verdict.md` and `report.html`.

    Args:
        study: a Study, a study file's path, or a shipped study's name.
        overrides: `path.to.field=VALUE`, for a file or a name only.
        workspace: the folder of the ledger; made where it is missing.
        data_dir: searched first for images.
        workers: processes; by default one per core.
        exam: False leaves the test split closed: verdicts then rest on the validation split.
        observer: sees the run as it goes; by default nobody.

    Raises:
        BakeoffError: the study is wrong, overrides beside a Study, images are missing, or the workspace cannot be
            written.
    """
    if isinstance(study, Study) and overrides:
        raise BakeoffError("overrides change a study file. Make the Study with the values it is to have instead.")
    checked = study if isinstance(study, Study) else load_study(study, overrides)
    folder = Path(workspace)
    data = Path(data_dir) if data_dir is not None else None
    plan = expand(checked)
    with _executor(workers, folder, data) as executor:
        counts = run_plan(
            plan,
            command=_spell_command(study, overrides),
            workspace=folder,
            data_dir=data,
            executor=executor,
            observer=observer or RunProgress(quiet=True),
            exam=exam,
        )
    result = _load(counts.study_id, folder, num_reused=counts.num_reused)
    if exam and not counts.exam_complete:
        result = Result(state="unfinished", report=replace(result.report, state="unfinished"))
    return _write_reports(result, Folders(folder))


def load(name: str, workspace: str | Path = DEFAULT_WORKSPACE) -> Result:
    """Read a study's results from a workspace's ledger, finished or not. Trains nothing, needs no torch.

    Args:
        name: the study's name, or the beginning of its id (six characters or more).
        workspace: the folder of the ledger.

    Raises:
        WorkspaceError: no ledger, or no such study in it.
    """
    folder = Path(workspace)
    with open_reading(Folders(folder)) as connection:
        identity = find_study(connection, name)
    return _load(identity, folder, num_reused=0)


def write_report(result: Result, workspace: str | Path = DEFAULT_WORKSPACE) -> Result:
    """Write `verdict.md` and `report.html` once more; return the result with their paths."""
    return _write_reports(result, Folders(Path(workspace)))


def list_status(workspace: str | Path = DEFAULT_WORKSPACE) -> tuple[Status, ...]:
    """Return how far every study of a workspace is, newest first."""
    with open_reading(Folders(Path(workspace))) as connection:
        records = [read_study(connection, study_id) for study_id, _ in list_studies(connection)]
    return tuple(
        Status(
            name=record.name,
            created_at=record.created_at,
            num_planned=record.num_planned,
            num_done=sum(result.state == "done" for result in record.results),
            num_failed=sum(result.state == "failed" for result in record.results),
            num_begun=record.num_begun,
            num_exams=len(record.exams),
            num_candidates=len(record.candidates),
            is_searching=record.asking,
        )
        for record in records
    )


def estimate(study: Study, workers: int | None = None, data_dir: str | Path | None = None) -> Estimate:
    """Plan a study and estimate what it takes; trains nothing, opens no images.

    Raises:
        BakeoffError: a network does not fit images of which enough is known.
    """
    plan = expand(study)
    datasets = describe_datasets(plan.blocks, Path(data_dir) if data_dir is not None else None)
    check_plan(plan, datasets)
    groups = group_trials([trial for trial in plan.trials if trial.data.source in datasets], datasets)
    num_workers = workers or count_cores()
    busy = max(1, min(num_workers, len(groups)))
    is_search = study.search is not None
    share = plan.most_trials / len(plan.trials)  # 1 but for a search
    return Estimate(
        plan=plan,
        num_cohorts=0 if is_search else len(groups),
        num_workers=num_workers,
        seconds=(START_SECONDS + share * sum(map(_estimate_group, groups)) / busy) if groups else 0.0,
        notes=(*_describe_candidates(plan), *_list_unknown(plan, datasets)),
    )


def _describe_candidates(plan: Plan) -> Iterator[str]:
    if plan.most_candidate_trials:
        finals = plan.most_trials - plan.most_candidate_trials
        yield (
            f"a search: at most {plan.most_candidate_trials:,} trials of candidates, then {finals:,} of the finals; "
            "the time takes every candidate for as costly as the default recipe."
        )


def _list_unknown(plan: Plan, datasets: Datasets) -> Iterator[str]:
    """Say what an estimate cannot count before images are opened or networks built."""
    closed = dict.fromkeys(block.data.source.label for block in plan.blocks if block.data.source not in datasets)
    if closed:
        yield f"not counted in cohorts and time, for the images have not been opened: {', '.join(closed)}."
    known = [trial for trial in plan.trials if trial.data.source in datasets]
    unknown = dict.fromkeys(
        str(trial.recipe.network.name)
        for trial in known
        if not is_cost_known(trial.recipe, datasets[trial.data.source].shape_HWC)
    )
    if unknown:
        yield f"not counted in time, for only building it tells its cost: {', '.join(unknown)}."


def _estimate_group(group: Group) -> float:
    """Return the seconds a group takes on one core when no member stops early."""
    num_epochs = max(trial.recipe.epochs for trial in group.trials)
    step_seconds = STEP_SECONDS + MEMBER_STEP_SECONDS * len(group.trials)
    return group.most_operations / OPERATIONS_PER_SECOND + num_epochs * group.cost.num_steps * step_seconds


@contextmanager
def _executor(workers: int | None, workspace: Path, data_dir: Path | None) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(workers or count_cores(), workspace, data_dir)
    try:
        yield executor
    finally:
        executor.close()


def _spell_command(study: Study | str | Path, overrides: Sequence[str]) -> str:
    if isinstance(study, Study):
        return ""
    return shlex.join(["bakeoff", "run", str(study), *(part for text in overrides for part in ("--set", text))])


def _load(identity: str, workspace: Path, num_reused: int) -> Result:
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, identity)
        study = Study.model_validate(record.document)
        metrics = tuple(dict.fromkeys(("accuracy", "loss", study.decide.metric)))
        curves = describe_curves(read_study_epochs(connection, identity), metrics)
    plan = expand(study)
    report = _gather(record, study, plan, Folders(workspace), num_reused)
    return Result(state=_state(record), report=replace(report, state=_state(record), curves=curves))


def _state(record: StudyRecord) -> State:
    if record.asking or len(record.results) < record.num_planned:
        return "unfinished"
    return "failed" if any(result.state == "failed" for result in record.results) else "done"


def _design_race(study: Study) -> SequentialDesign | None:
    if isinstance(study.replicates, int):
        return None
    return SequentialDesign(
        at_least=study.replicates.at_least, at_most=study.replicates.at_most, confidence=study.decide.confidence
    )


def _count_folds(plan: Plan) -> int | None:
    return plan.blocks[0].data.folds


def _gather(record: StudyRecord, study: Study, plan: Plan, folders: Folders, num_reused: int) -> ReportInput:
    voted = add_ensembles(record.results, study, plan.arms, folders.load_predictions)
    summary = summarise(
        voted.results,
        metric=study.decide.metric,
        margin=study.decide.margin,
        confidence=study.decide.confidence,
        blocks=[block.label for block in plan.blocks],
        arms=voted.arms,
        baseline=study.decide.against,
        num_folds=_count_folds(plan),
        race=_design_race(study),
    )
    class_names = {block.label: _find_class_names(record, block) for block in plan.blocks}
    machine = json.loads(record.machines[0]) if record.machines else {}
    hardware = {key: machine[key] for key in ("processor", "cores", "memory", "system") if key in machine}
    published = study.published
    return ReportInput(
        across=summarise_blocks(summary),
        evidence=gather_evidence(voted.results, summary, class_names, voted.load),
        votes=voted.arms[len(plan.arms) :],
        ensembles=describe_ensembles(voted, summary, class_names),
        steps=compare_steps(summary, list_steps(study.arms, study.ensembles, study.decide.steps)),
        reduced=describe_reduction(plan, record.facts),
        notes=(*describe_notes(plan, record.facts), *voted.notes),
        data=record.facts,
        searches=describe_searches(plan, record.candidates),
        name=study.name,
        question=study.question,
        state="",
        summary=summary,
        num_done=sum(result.state == "done" for result in record.results),
        num_failed=sum(result.state == "failed" for result in record.results),
        num_reused=num_reused,
        num_planned=record.num_planned,
        failures=tuple(
            TrialFailure(
                trial=result.trial_id,
                block=result.block,
                arm=result.arm,
                replicate=result.replicate,
                reason=result.reason,
            )
            for result in record.results
            if result.state == "failed"
        ),
        exam_opened=record.exams,
        exam_trials=record.num_examined,
        changed_after=record.changed_after,
        numeric=record.numeric,
        hardware=hardware,
        versions={key: text for key, text in machine.items() if key not in hardware},
        command=record.command,
        seconds=record.seconds,
        published_source=published.source if published else "",
        published=tuple(
            PublishedFigure(arm=f.arm, metric=f.metric, value=f.value, block=f.block, split=f.split)
            for f in (published.figures if published else ())
        ),
        study_text=yaml.safe_dump(record.document, sort_keys=False, allow_unicode=True),
    )


def _find_class_names(record: StudyRecord, block: Block) -> tuple[str, ...]:
    """Return a block's class names as the ledger has them; older ledgers leave them to the registry."""
    if block.label in record.facts:
        return tuple(record.facts[block.label]["class_names"])
    known = describe_registered(block.data.source)
    return () if known is None else known.class_names


def _write_reports(result: Result, folders: Folders) -> Result:
    folder = folders.reports(result.report.name)
    text, page = folder / "verdict.md", folder / "report.html"
    report = replace(result.report, report_path=str(text), html_path=str(page))
    for path, write in ((text, write_markdown), (page, write_html)):
        _write_text(path, write(report))
    return replace(result, report=report)


def _write_text(path: Path, text: str) -> None:
    try:
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    except OSError as error:
        raise WorkspaceError(f"{path}: the report cannot be written ({error.strerror or error}).") from error
