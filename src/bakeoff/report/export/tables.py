"""The tidy tables of a study: trials, arms, verdicts, epochs, classes, confusion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Literal, cast

from bakeoff.ledger.tables import TrialEpoch, TrialRow, read_trial_epochs, read_trials
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value, list_metrics, name_metric, unit_of
from bakeoff.stats.measure import SPLITS, Split
from bakeoff.stats.results import ArmSummary, BlockAnswer, Summary, Verdict

TableName = Literal["trials", "epochs", "arms", "verdicts", "classes", "confusion"]
"""Our own tables; sections of other packages may add more."""

LEDGER_TABLES: tuple[TableName, ...] = ("trials", "epochs")
"""Tables that need only the ledger, not a report."""

_Column = tuple[str, Kind, Callable[[Any], Value]]
"""Name, kind, and the function that reads a row's value."""


def _make_frame(columns: Sequence[_Column], rows: Iterable[Any]) -> Frame:
    return Frame(
        tuple(FrameColumn(name, kind) for name, kind, _ in columns),
        (tuple(read(row) for _, _, read in columns) for row in rows),
    )


def _read_fields(kind: Kind, *names: str) -> list[_Column]:
    """Return columns with the attributes of these names."""
    return [(name, kind, attrgetter(name)) for name in names]


_PLACE: tuple[_Column, ...] = (
    *_read_fields("text", "block", "arm"),
    ("replicate", "integer", lambda row: row.replicate + 1),
    ("fold", "integer", lambda row: None if row.fold is None else row.fold + 1),
)
"""The position of a trial; replicates and folds count from 1."""


def tabulate_trials(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate a study's ended trials, a row each; only done ones have metrics."""
    trials = list(read_trials(connection, study_id))
    columns: list[_Column] = [
        *_PLACE,
        *_read_fields("text", "state", "reason", "stop"),
        *_read_fields("integer", "epochs", "best_epoch"),
        ("training_seconds", "number", lambda trial: trial.seconds),
        ("parameters", "integer", lambda trial: trial.num_parameters),
        *_read_fields("integer", "seed"),
        *(
            (name_metric(split, metric), "number", partial(_read_trial, split, metric))
            for split, metric in list_metrics(trial.metrics for trial in trials)
        ),
        *_read_fields("time", "finished_at"),
        *_read_fields("text", "trial_id"),
    ]
    return _make_frame(columns, trials)


def _read_trial(split: str, metric: str, trial: TrialRow) -> float | None:
    return trial.metrics.get(split, {}).get(metric)


def tabulate_epochs(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate all epochs of a study's trials, a row each, including trials in training. Rows are read on demand.

    The first epoch determines the metrics, because all have the same.
    """
    epochs = read_trial_epochs(connection, study_id)
    first = list(islice(epochs, 1))
    columns: list[_Column] = [
        *_PLACE,
        *_read_fields("integer", "epoch"),
        *(
            (name_metric(split, metric), "number", partial(_read_epoch, split, metric))
            for split, metric in list_metrics({"train": row.train, "validation": row.validation} for row in first)
        ),
        ("training_seconds", "number", lambda row: row.seconds),
        *_read_fields("number", "images_per_second"),
        *_read_fields("text", "trial_id"),
    ]
    return _make_frame(columns, chain(first, epochs))


def _read_epoch(split: str, metric: str, row: TrialEpoch) -> float | None:
    values = row.train if split == "train" else row.validation
    return values.get(metric)


def tabulate_arms(report: ReportInput) -> Frame:
    """Tabulate every arm in every block, including ensembles: means, standard deviations and standing.

    `kind` is arm or ensemble. `standing` is best, equivalent, not_worse or worse; with a baseline: baseline, better,
    equivalent, inconclusive or worse; empty if no trial is done.
    """
    arms = report.summary.arms
    answers = {answer.block: answer for answer in report.summary.answers}
    metrics = list_metrics({split: arm.on(split) for split in SPLITS} for arm in arms)
    columns: list[_Column] = [
        *_read_fields("text", "block", "arm"),
        ("kind", "text", lambda arm: "ensemble" if arm.arm in report.votes else "arm"),
        ("standing", "text", lambda arm: _stand(arm, answers[arm.block])),
        ("trials_done", "integer", lambda arm: arm.replicates),
        ("trials_failed", "integer", lambda arm: arm.failed),
    ]
    for split, metric in metrics:
        columns += [
            (
                name_metric(split, metric, statistic),
                "number",
                partial(_read_score, cast(Split, split), metric, statistic),
            )
            for statistic in ("mean", "sd")
        ]
    for name, field in (("epochs", "epochs"), ("training_seconds", "seconds")):
        columns += [
            (f"{name}_{statistic}", "number", partial(_read_statistic, field, statistic))
            for statistic in ("mean", "sd")
        ]
    return _make_frame(columns, arms)


def _read_score(split: Split, metric: str, statistic: str, arm: ArmSummary) -> float | None:
    return getattr(arm.on(split).get(metric), statistic, None)


def _read_statistic(field: str, statistic: str, arm: ArmSummary) -> float | None:
    return getattr(getattr(arm, field), statistic, None)


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


def tabulate_verdicts(report: ReportInput) -> Frame:
    """Tabulate the verdicts on `arm` relative to `other_arm`, a row per pair.

    `family` is study, or steps for the steps of an ablation chain, whose p values are adjusted among themselves. A pair
    can be in both.
    """
    steps = dict.fromkeys(each for step in report.steps for each in (step.adds, step.since_start) if each is not None)
    frames = [
        _make_frame(_list_verdict_columns(report.summary, family), verdicts)
        for family, verdicts in (("study", report.summary.verdicts), ("steps", steps))
    ]
    return Frame(frames[0].columns, chain.from_iterable(frame.rows for frame in frames))


def _list_verdict_columns(summary: Summary, family: str) -> list[_Column]:
    unit = unit_of(summary.metric)

    def sized(name: str, read: Callable[[Verdict], Value]) -> _Column:
        return f"{name}_{unit}".rstrip("_"), "number", read

    return [
        *_read_fields("text", "block"),
        ("family", "text", lambda verdict: family),
        ("arm", "text", lambda verdict: verdict.a),
        *_read_fields("text", "verdict"),
        ("other_arm", "text", lambda verdict: verdict.b),
        *_read_fields("text", "metric", "split"),
        *_read_fields("integer", "replicates"),
        sized("difference", lambda verdict: verdict.difference),
        sized("interval_low", lambda verdict: _pick(verdict.interval, 0)),
        sized("interval_high", lambda verdict: _pick(verdict.interval, 1)),
        sized("sd_of_differences", lambda verdict: verdict.sd),
        sized("margin", lambda verdict: verdict.margin),
        ("confidence", "number", lambda verdict: summary.confidence),
        *_read_fields("number", "p", "p_adjusted", "p_equivalence_adjusted"),
        ("effect_size_dz", "number", lambda verdict: verdict.effect_size),
        *_read_fields("number", "correlation"),
        ("replicates_needed_least", "integer", lambda verdict: verdict.needed and verdict.needed.least),
        ("replicates_needed", "integer", lambda verdict: verdict.needed and verdict.needed.most),
        *_read_fields("text", "reason", "scope"),
        ("images", "integer", lambda verdict: verdict.num_images),
        ("beyond_margin", "text", _say_beyond_margin),
        sized("difference_corrected", lambda verdict: verdict.difference_corrected),
        ("p_a_better", "number", lambda verdict: verdict.superiority),
        ("p_a_better_low", "number", lambda verdict: _pick(verdict.superiority_interval, 0)),
        ("p_a_better_high", "number", lambda verdict: _pick(verdict.superiority_interval, 1)),
    ]


def _pick(interval: tuple[float, float] | None, end: int) -> float | None:
    return None if interval is None else interval[end]


def _say_beyond_margin(verdict: Verdict) -> str | None:
    if verdict.margin is None:
        return None
    return "yes" if verdict.beyond_margin else "no"


def tabulate_all_classes(report: ReportInput) -> Frame:
    """Tabulate every class of each block's best arm, and of each ensemble after its vote, a row each.

    Values are means over trials; empty if undefined. Images and AUC are not known for ensembles.
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
    """Tabulate the confusion matrix of each block's best arm, summed over trials: a row per nonzero cell."""
    kinds: dict[str, Kind] = dict.fromkeys(("block", "arm", "split", "true_class", "predicted_class"), "text")
    kinds["images"] = "integer"
    rows = (
        (*(each.block, each.arm, each.split), each.classes[true].name, each.classes[predicted].name, number)
        for each in report.evidence
        for true, predicted, number in each.cells.tolist()
    )
    return Frame(_columns(kinds), rows)


def _columns(kinds: dict[str, Kind]) -> tuple[FrameColumn, ...]:
    return tuple(FrameColumn(name, kind) for name, kind in kinds.items())
