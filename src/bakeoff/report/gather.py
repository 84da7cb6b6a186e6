"""Gathers what a study's reports are made from: its ledger and its trials' stored predictions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from bakeoff.data.registry import DATASETS
from bakeoff.errors import BakeoffError, LedgerError, MissingPluginError
from bakeoff.ledger.costs import read_study_costs
from bakeoff.ledger.final_tests import read_final_test_fingerprints
from bakeoff.ledger.looks import read_line
from bakeoff.ledger.missing import describe_missing
from bakeoff.ledger.read import StudyRecord, open_reading, read_study
from bakeoff.ledger.tables import read_packages
from bakeoff.ledger.values import DamagedLedger, read_mapping
from bakeoff.registry import Registry
from bakeoff.report.costs import describe_features
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.ensembles import describe_ensembles
from bakeoff.report.evidence import ImageScores, gather_contributions, gather_evidence, keep_leaders
from bakeoff.report.interim import withhold_verdicts
from bakeoff.report.notes import (
    describe_absent,
    describe_notes,
    describe_outdated,
    describe_reduction,
    describe_test_images,
)
from bakeoff.report.same_arms import gather_same_arms
from bakeoff.report.sections import SECTIONS
from bakeoff.report.text import count
from bakeoff.report.votes import Voted, add_ensembles
from bakeoff.stats.looks import LineLook
from bakeoff.stats.metrics import is_on_demand
from bakeoff.stats.race import design_race
from bakeoff.stats.results import Summary
from bakeoff.stats.sequential import SequentialDesign
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.study.fit import describe_registered
from bakeoff.study.plan import Block, Plan, expand, get_about
from bakeoff.study.sameness import SameArms
from bakeoff.study.schema import RECORDED, Study
from bakeoff.study.search import SEARCHES
from bakeoff.study.seen import describe_seen
from bakeoff.workspace import Folders

State = Literal["done", "failed", "unfinished"]

_HARDWARE = ("processor", "cores", "memory", "system")

_SEARCHED_FOLDS = "The search saw validation images of all folds, so its winners have an advantage on held-out folds."


def gather_report(study_id: str, folders: Folders, num_reused: int = 0, data_dir: Path | None = None) -> ReportInput:
    """Read everything a report says about a study, finished or not. Trains nothing and does not need torch.

    Args:
        study_id: its id in the ledger.
        folders: the workspace.
        num_reused: trials that the run that just ended found in the ledger.
        data_dir: searched first for pictures of mistakes that the workspace does not store yet.

    Raises:
        WorkspaceError: there is no ledger, or no such study in it.
    """
    with open_reading(folders) as connection:
        sources = gather_sources(connection, study_id, folders, data_dir)
        gathered = {name: facts for section in SECTIONS for name, facts in section.gather(sources).items()}
        versions = _list_versions(sources)
    study, record = sources.study, sources.record
    known = {field.name for field in fields(ReportInput)}
    return ReportInput(
        name=study.name,
        question=study.question,
        state=get_state(record),
        summary=sources.summary,
        evidence=sources.evidence,
        votes=sources.voted.arms[len(sources.plan.arms) :],
        ensembles=sources.ensembles,
        reduced=describe_reduction(sources.plan, record.facts),
        notes=_list_notes(sources),
        about=get_about(study).rows(),
        earlier_looks=tuple(look for look in sources.looks if look.study_id != study_id),
        versions=versions,
        facts={name: facts for name, facts in gathered.items() if name not in known},
        **{name: facts for name, facts in gathered.items() if name in known},
        **_describe_run(record, num_reused),
    )


@dataclass(frozen=True, kw_only=True)
class JudgedStudy:
    """A study in the ledger with its verdicts; the fields are those of `Sources`."""

    record: StudyRecord
    study: Study
    plan: Plan
    same: tuple[SameArms, ...]
    looks: tuple[LineLook, ...]
    voted: Voted
    summary: Summary
    class_names: Mapping[str, tuple[str, ...]]


def judge_study(connection: sqlite3.Connection, study_id: str, folders: Folders) -> JudgedStudy:
    """Read a study's plan and results, and judge them; verdicts are withheld while it is unfinished.

    Raises:
        WorkspaceError: no such study in the ledger, or it is damaged.
    """
    record = read_study(connection, study_id)
    study, plan = read_plan(record, connection)
    looks = read_line(connection, study_id)
    voted = add_ensembles(record.results, study, plan.arms, folders.load_predictions)
    voted = replace(voted, load=keep_leaders(voted.results, study.decide.metric, voted.load))
    same = gather_same_arms(plan, record)
    class_names = {block.label: _find_class_names(record, block) for block in plan.blocks}
    summary = _summarise(voted, study, plan, same, looks, class_names)
    if get_state(record) == "unfinished" and summary.race is None:
        summary = withhold_verdicts(summary, _describe_progress(record))
    return JudgedStudy(
        record=record,
        study=study,
        plan=plan,
        same=tuple(same),
        looks=tuple(looks),
        voted=voted,
        summary=summary,
        class_names=class_names,
    )


def gather_sources(
    connection: sqlite3.Connection, study_id: str, folders: Folders, data_dir: Path | None = None
) -> Sources:
    """Read a study's plan, results, predictions and summary: what sections of reports are made from.

    Raises:
        WorkspaceError: no such study in the ledger, or it is damaged.
    """
    judged = judge_study(connection, study_id, folders)
    voted, summary, class_names = judged.voted, judged.summary, judged.class_names
    return Sources(
        connection=connection,
        study_id=study_id,
        **{field.name: getattr(judged, field.name) for field in fields(JudgedStudy)},
        evidence=gather_evidence(voted.results, summary, class_names, voted.load),
        ensembles=describe_ensembles(voted, summary, class_names),
        costs=tuple(read_study_costs(connection, study_id)),
        tested=read_final_test_fingerprints(connection, study_id),
        folders=folders,
        data_dir=data_dir,
    )


def _list_notes(sources: Sources) -> tuple[str, ...]:
    return (
        *describe_outdated(sources.record.num_outdated),
        *describe_test_images(sources.tested),
        *describe_notes(sources.plan, sources.record.facts),
        *(each.describe() for each in sources.same),
        *describe_features(sources.costs),
        *describe_absent(sources.record.results, sources.class_names),
        *describe_seen(sources.plan, sources.class_names),
        *sources.voted.notes,
    )


def _list_versions(sources: Sources) -> dict[str, str]:
    """Return the versions of the software that trained the trials, and of packages whose entries the study uses."""
    study, plan = sources.study, sources.plan
    used: list[tuple[Registry[Any], str | None]] = [(DATASETS, block.data.source.registered) for block in plan.blocks]
    used += [(SEARCHES, None if study.search is None else study.search.name)]
    origins = [origin for kind, name in used if (origin := kind.find_origin(name)) is not None]
    return {
        **{name: text for name, text in _read_machine(sources.record).items() if name not in _HARDWARE},
        **{origin.distribution: origin.version for origin in origins},
        **read_packages(sources.connection, sources.study_id),
    }


def _read_machine(record: StudyRecord) -> Mapping[str, str]:
    return read_mapping(record.machines[0]) if record.machines else {}


def read_plan(record: StudyRecord, connection: sqlite3.Connection) -> tuple[Study, Plan]:
    """Return the study in the ledger, and its plan.

    Raises:
        DamagedLedger: the ledger's results do not belong to the study.
        WorkspaceError: an installed package is missing, or this version does not accept the study.
    """
    try:
        study = Study.model_validate(record.document, context={RECORDED: True})
        plan = expand(study)
    except BakeoffError as error:
        missing = describe_missing(connection, record.study_id, record.document)
        if missing:
            raise MissingPluginError(missing) from error
        raise LedgerError(
            "this version of bakeoff does not accept the study in the ledger "
            f"({str(error).splitlines()[0][:200]}). Correct the study file and run it again: finished trials are kept. "
            "If nothing is wrong with the file, the ledger is damaged."
        ) from error
    blocks, arms, metric = {block.label for block in plan.blocks}, set(plan.arms), study.decide.metric
    for result in record.results:
        where = f"a result of block {result.block[:60]!r}, arm {result.arm[:60]!r}"
        if result.block not in blocks or result.arm not in arms or not 0 <= result.replicate < study.most_replicates:
            raise DamagedLedger(f"{where}, which the study does not have")
        # A trial of an earlier study that did not name the metric has no score by it on training images.
        scored = [split for split in result.metrics if split != "train" or not is_on_demand(metric)]
        if result.state == "done" and any(metric not in result.metrics[split] for split in scored):
            raise DamagedLedger(f"{where} without its {metric}")
        if result.state == "done" and "validation" not in result.metrics:
            raise DamagedLedger(f"{where} without validation")
    return study, plan


def _summarise(
    voted: Voted,
    study: Study,
    plan: Plan,
    same: Sequence[SameArms],
    looks: Sequence[LineLook],
    class_names: Mapping[str, tuple[str, ...]],
) -> Summary:
    num_folds = plan.blocks[0].data.folds
    design = StudyDesign(
        blocks=[block.label for block in plan.blocks],
        arms=voted.arms,
        num_folds=num_folds,
        test_shares={block.label: share for block in plan.blocks if (share := block.data.test_share)},
        num_classes={block: len(names) for block, names in class_names.items()},
        same={label: [each.arms for each in same if each.block == label] for label in {each.block for each in same}},
    )
    decide = study.decide
    rules = Rules(
        metric=decide.metric,
        margin=decide.margin,
        confidence=decide.confidence,
        baseline=decide.against,
        race=_design_race(plan),
        failed=decide.failed,
        scope=decide.scope,
        family=decide.family,
        method=decide.method,
    )
    # With folds, verdicts rest on held-out images, which differ between models.
    images = ImageScores() if num_folds else gather_contributions(voted.results, decide.metric, voted.load)
    return summarise(
        voted.results,
        design,
        rules,
        by_image=images.by_trial,
        groups=images.groups,
        looks=looks,
        caveat=_SEARCHED_FOLDS if num_folds and study.search is not None else "",
    )


def _design_race(plan: Plan) -> SequentialDesign | None:
    replicates, decide = plan.study.replicates, plan.study.decide
    if isinstance(replicates, int):
        return None
    return design_race(
        plan.arms,
        baseline=decide.against,
        borrows=decide.method == "moderated",
        at_least=replicates.at_least,
        at_most=replicates.at_most,
        confidence=decide.confidence,
    )


def _describe_run(record: StudyRecord, num_reused: int) -> Mapping[str, Any]:
    """Return the report's fields about the run: what was run, when, and on which hardware."""
    machine = _read_machine(record)
    return {
        "num_done": sum(result.state == "done" for result in record.results),
        "num_failed": sum(result.state == "failed" for result in record.results),
        "num_reused": num_reused,
        "num_planned": record.num_planned,
        "final_test_opened": record.final_tests,
        "num_tested": record.num_tested,
        "in_final_test": record.in_final_test,
        "data": record.facts,
        "numeric": record.numeric,
        "hardware": {key: machine[key] for key in _HARDWARE if key in machine},
        "command": record.command,
        "seconds": record.seconds,
    }


def get_state(record: StudyRecord) -> State:
    """Return the state of a run: unfinished, failed (some trials failed) or done."""
    if _is_training(record) or record.in_final_test:
        return "unfinished"
    return "failed" if any(result.state == "failed" for result in record.results) else "done"


def _is_training(record: StudyRecord) -> bool:
    return record.asking or len(record.results) < record.num_planned


def _describe_progress(record: StudyRecord) -> str:
    """Return a clause that says how much of an unfinished study is done."""
    if _is_training(record):
        return f"{len(record.results):,} of {count(record.num_planned, 'trial')} have ended"
    num_done = sum(result.state == "done" for result in record.results)
    return f"the final test has evaluated {record.num_tested:,} of {count(num_done, 'trial')}"


def _find_class_names(record: StudyRecord, block: Block) -> tuple[str, ...]:
    """Return a block's class names from the ledger, or from the registry for older ledgers."""
    if block.label in record.facts:
        return tuple(record.facts[block.label]["class_names"])
    known = describe_registered(block.data.source)
    return () if known is None else known.class_names
