"""The tidy tables of a study: trials, arms, verdicts, epochs, classes, confusion."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Literal

from bakeoff.ledger.tables import TrialEpoch, TrialRow, read_trial_epochs, read_trials
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value, list_metrics, name_metric, unit_of
from bakeoff.stats.measure import SPLITS
from bakeoff.stats.results import ArmSummary, BlockAnswer, MeanSd, Verdict

TableName = Literal["trials", "epochs", "arms", "verdicts", "classes", "confusion", "effects"]
"""Tables of our own; sections of other packages may have more."""

LEDGER_TABLES: tuple[TableName, ...] = ("trials", "epochs")
"""Those that the ledger alone has; the others need what a report works out."""

_PLACE: dict[str, Kind] = {"block": "text", "arm": "text", "replicate": "integer", "fold": "integer"}


def tabulate_trials(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate a study's trials that have come to an end, a row each; metrics of those that are done."""
    trials = list(read_trials(connection, study_id))
    metrics = list_metrics(trial.metrics for trial in trials)
    kinds: dict[str, Kind] = {
        **_PLACE,
        "state": "text",
        "reason": "text",
        "stop": "text",
        "epochs": "integer",
        "best_epoch": "integer",
        "training_seconds": "number",
        "parameters": "integer",
        "seed": "integer",
        **{name_metric(split, metric): "number" for split, metric in metrics},
        "finished_at": "time",
        "trial_id": "text",
    }
    rows = (
        (
            *_place(trial),
            *(trial.state, trial.reason, trial.stop),
            *(trial.epochs, trial.best_epoch, trial.seconds, trial.num_parameters, trial.seed),
            *(trial.metrics.get(split, {}).get(metric) for split, metric in metrics),
            *(trial.finished_at, trial.trial_id),
        )
        for trial in trials
    )
    return Frame(_columns(kinds), rows)


def tabulate_epochs(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate every epoch of a study's trials, those still training included, a row each, read as they are asked for.

    What metrics there are is read from the first epoch: all have the same.
    """
    epochs = read_trial_epochs(connection, study_id)
    first = next(epochs, None)
    found = [] if first is None else [{"train": first.train, "validation": first.validation}]
    metrics = list_metrics(found)
    kinds: dict[str, Kind] = {
        **_PLACE,
        "epoch": "integer",
        **{name_metric(split, metric): "number" for split, metric in metrics},
        "training_seconds": "number",
        "images_per_second": "number",
        "trial_id": "text",
    }
    return Frame(_columns(kinds), _yield_epochs(first, epochs, metrics))


def _yield_epochs(
    first: TrialEpoch | None, rest: Iterator[TrialEpoch], metrics: list[tuple[str, str]]
) -> Iterator[tuple[Value, ...]]:
    if first is None:
        return
    yield _epoch_row(first, metrics)
    for row in rest:
        yield _epoch_row(row, metrics)


def _epoch_row(row: TrialEpoch, metrics: list[tuple[str, str]]) -> tuple[Value, ...]:
    values = {"train": row.train, "validation": row.validation}
    return (
        *_place(row),
        row.epoch,
        *(values[split].get(metric) for split, metric in metrics),
        *(row.seconds, row.images_per_second, row.trial_id),
    )


def _place(row: TrialRow | TrialEpoch) -> tuple[Value, ...]:
    """Return where a trial stands, as people count: replicates and folds from 1."""
    return row.block, row.arm, row.replicate + 1, None if row.fold is None else row.fold + 1


def tabulate_arms(report: ReportInput) -> Frame:
    """Tabulate every arm in every block, ensembles included: means, standard deviations and where it stands.

    `kind` is arm or ensemble. `standing` is best, equivalent, not_worse or worse; with a baseline: baseline, better,
    equivalent, inconclusive or worse. Empty without a trial done.
    """
    arms = report.summary.arms
    metrics = list_metrics(map(_list_scores, arms))
    measured = {
        name_metric(split, metric, statistic): "number" for split, metric in metrics for statistic in ("mean", "sd")
    }
    kinds: dict[str, Kind] = {"block": "text", "arm": "text", "kind": "text", "standing": "text"}
    kinds |= {"trials_done": "integer", "trials_failed": "integer"}
    kinds |= dict.fromkeys(
        [*measured, "epochs_mean", "epochs_sd", "training_seconds_mean", "training_seconds_sd"], "number"
    )
    answers = {answer.block: answer for answer in report.summary.answers}
    rows = (
        (
            *(arm.block, arm.arm, "ensemble" if arm.arm in report.votes else "arm", _stand(arm, answers[arm.block])),
            *(arm.replicates, arm.failed),
            *(value for split, metric in metrics for value in _mean_sd(_list_scores(arm)[split].get(metric))),
            *_mean_sd(arm.epochs),
            *_mean_sd(arm.seconds),
        )
        for arm in arms
    )
    return Frame(_columns(kinds), rows)


def _stand(arm: ArmSummary, answer: BlockAnswer) -> str | None:
    if arm.arm == answer.baseline:
        return "baseline"
    if answer.baseline is None and arm.arm == answer.best:
        return "best"
    groups = {"better": answer.better, "equivalent": answer.equivalent, "worse": answer.worse}
    for word, names in groups.items():
        if arm.arm in names:
            return word
    if arm.arm in answer.not_worse:
        return "not_worse" if answer.baseline is None else "inconclusive"
    return None


def _list_scores(arm: ArmSummary) -> dict[str, Mapping[str, MeanSd]]:
    return {split: arm.on(split) for split in SPLITS}


def tabulate_verdicts(report: ReportInput) -> Frame:
    """Tabulate what the evidence says of every pair, of `arm` relative to `other_arm`, a row each.

    `family` is study, or steps for the steps of an ablation chain, which are corrected among themselves; a pair can
    stand in both.
    """
    summary = report.summary
    unit = unit_of(summary.metric)
    sized = ("difference", "interval_low", "interval_high", "sd_of_differences", "margin")
    kinds: dict[str, Kind] = dict.fromkeys(
        ("block", "family", "arm", "verdict", "other_arm", "metric", "split"), "text"
    )
    kinds["replicates"] = "integer"
    kinds |= {f"{name}_{unit}".rstrip("_"): "number" for name in sized}
    kinds |= dict.fromkeys(
        ("confidence", "p", "p_adjusted", "p_equivalence_adjusted", "effect_size_dz", "correlation"), "number"
    )
    kinds |= {"replicates_needed_least": "integer", "replicates_needed": "integer", "reason": "text"}
    kinds |= {
        "scope": "text",
        "images": "integer",
        "beyond_margin": "text",
        f"difference_corrected_{unit}".rstrip("_"): "number",
    }
    kinds |= dict.fromkeys(("p_a_better", "p_a_better_low", "p_a_better_high"), "number")
    steps = [each for step in report.steps for each in (step.adds, step.since_start) if each is not None]
    listed = [*(("study", each) for each in summary.verdicts), *(("steps", each) for each in dict.fromkeys(steps))]
    return Frame(_columns(kinds), (_verdict_row(family, each, summary.confidence) for family, each in listed))


def tabulate_all_classes(report: ReportInput) -> Frame:
    """Tabulate every class of each block's best arm, and of each ensemble after its vote, a row each.

    Means over trials; empty where nothing defines a value. Of ensembles images and AUC are not kept.
    """
    kinds: dict[str, Kind] = {**dict.fromkeys(("block", "arm", "split", "class"), "text"), "images": "integer"}
    kinds |= dict.fromkeys([f"{score}_share" for score in ("precision", "recall", "f1", "auc")], "number")
    own = (
        (*(each.block, each.arm, each.split, row.name, row.occurring), *(row.precision, row.recall, row.f1, row.auc))
        for each in report.evidence
        for row in each.classes
    )
    votes = (
        (*(each.block, each.label, each.split, row.name, None), *(row.precision[1], row.recall[1], row.f1[1], None))
        for each in report.ensembles
        for row in each.classes
    )
    return Frame(_columns(kinds), chain(own, votes))


def tabulate_confusion(report: ReportInput) -> Frame:
    """Tabulate the confusion matrix of each block's best arm, summed over trials: a row per cell that is not zero."""
    kinds: dict[str, Kind] = dict.fromkeys(("block", "arm", "split", "true_class", "predicted_class"), "text")
    kinds["images"] = "integer"
    rows = (
        (*(each.block, each.arm, each.split), each.classes[true].name, each.classes[predicted].name, number)
        for each in report.evidence
        for true, predicted, number in each.cells.tolist()
    )
    return Frame(_columns(kinds), rows)


def _verdict_row(family: str, verdict: Verdict, confidence: float) -> tuple[Value, ...]:
    low, high = verdict.interval or (None, None)
    return (
        *(verdict.block, family, verdict.a, verdict.verdict, verdict.b, verdict.metric, verdict.split),
        *(verdict.replicates, verdict.difference, low, high, verdict.sd, verdict.margin, confidence),
        *(verdict.p, verdict.p_adjusted, verdict.p_equivalence_adjusted, verdict.effect_size, verdict.correlation),
        *((None, None) if verdict.needed is None else (verdict.needed.least, verdict.needed.most)),
        *(verdict.reason, verdict.scope),
        *(verdict.num_images, None if verdict.margin is None else "yes" if verdict.beyond_margin else "no"),
        *(verdict.difference_corrected, verdict.superiority, *(verdict.superiority_interval or (None, None))),
    )


def _mean_sd(value: MeanSd | None) -> tuple[float | None, float | None]:
    return (None, None) if value is None else (value.mean, value.sd)


def _columns(kinds: dict[str, Kind]) -> tuple[FrameColumn, ...]:
    return tuple(FrameColumn(name, kind) for name, kind in kinds.items())
