"""The tidy tables of a study: trials, arms, verdicts, epochs, classes, confusion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Literal

from bakeoff.ledger.tables import read_trial_epochs, read_trials
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value, list_metrics, name_metric, unit_of
from bakeoff.stats.measure import SPLITS
from bakeoff.stats.results import ArmSummary, BlockAnswer, Summary

TableName = Literal["trials", "epochs", "arms", "verdicts", "classes", "confusion", "effects", "predictions"]
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


def _read(*path: str) -> Callable[[Any], Any]:
    """Return a function that follows attributes and keys from a row; its value is None if one is missing."""

    def read(row: Any) -> Any:
        for name in path:
            row = row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)
        return row

    return read


def _fields(kind: Kind, *names: str, **renamed: str) -> list[_Column]:
    """Return columns with the attributes of these names, or with other names for attributes."""
    return [(name, kind, _read(field)) for name, field in {**dict(zip(names, names, strict=True)), **renamed}.items()]


_POSITION: tuple[_Column, ...] = (
    *_fields("text", "block", "arm"),
    ("replicate", "integer", lambda row: row.replicate + 1),
    ("fold", "integer", lambda row: None if row.fold is None else row.fold + 1),
)
"""The position of a trial; replicates and folds count from 1."""


def tabulate_trials(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate a study's ended trials, a row each; only done ones have metrics."""
    trials = list(read_trials(connection, study_id))
    metrics = list_metrics(trial.metrics for trial in trials)
    columns = [
        *_POSITION,
        *_fields("text", "state", "reason", "stop"),
        *_fields("integer", "epochs", "best_epoch"),
        *_fields("number", training_seconds="seconds"),
        *_fields("integer", parameters="num_parameters", seed="seed"),
        *((name_metric(*metric), "number", _read("metrics", *metric)) for metric in metrics),
        *_fields("time", "finished_at"),
        *_fields("text", "trial_id"),
    ]
    return _make_frame(columns, trials)


def tabulate_epochs(connection: sqlite3.Connection, study_id: str) -> Frame:
    """Tabulate all epochs of a study's trials, a row each, including trials in training. Rows are read on demand.

    The first epoch determines the metrics, because all have the same.
    """
    epochs = read_trial_epochs(connection, study_id)
    first = list(islice(epochs, 1))
    metrics = list_metrics({"train": row.train, "validation": row.validation} for row in first)
    columns = [
        *_POSITION,
        *_fields("integer", "epoch"),
        *((name_metric(*metric), "number", _read(*metric)) for metric in metrics),
        *_fields("number", training_seconds="seconds", images_per_second="images_per_second"),
        *_fields("text", "trial_id"),
    ]
    return _make_frame(columns, chain(first, epochs))


def tabulate_arms(report: ReportInput) -> Frame:
    """Tabulate every arm in every block, including ensembles: means, standard deviations and standing.

    `kind` is arm or ensemble. `standing` is best, equivalent, not_worse or worse; with a baseline: baseline, better,
    equivalent, inconclusive or worse; empty if no trial is done.
    """
    arms = report.summary.arms
    answers = {answer.block: answer for answer in report.summary.answers}
    means = {
        **{
            name_metric(split, metric): (split.replace("-", "_"), metric)
            for split, metric in list_metrics({split: arm.on(split) for split in SPLITS} for arm in arms)
        },
        "epochs": ("epochs",),
        "training_seconds": ("seconds",),
    }
    columns: list[_Column] = [
        *_fields("text", "block", "arm"),
        ("kind", "text", lambda arm: "ensemble" if arm.arm in report.votes else "arm"),
        ("standing", "text", lambda arm: _stand(arm, answers[arm.block])),
        *_fields("integer", trials_done="replicates", trials_failed="failed"),
        *((f"{name}_{each}", "number", _read(*path, each)) for name, path in means.items() for each in ("mean", "sd")),
    ]
    return _make_frame(columns, arms)


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
    suffix = f"_{unit}" if unit else ""
    return [
        *_fields("text", "block"),
        ("family", "text", lambda verdict: family),
        *_fields("text", arm="a", verdict="verdict", other_arm="b", metric="metric", split="split"),
        *_fields("integer", "replicates"),
        (f"difference{suffix}", "number", _read("difference")),
        (f"interval_low{suffix}", "number", lambda verdict: verdict.interval and verdict.interval[0]),
        (f"interval_high{suffix}", "number", lambda verdict: verdict.interval and verdict.interval[1]),
        (f"sd_of_differences{suffix}", "number", _read("sd")),
        (f"margin{suffix}", "number", _read("margin")),
        ("confidence", "number", lambda verdict: summary.confidence),
        *_fields("number", "p", "p_adjusted", "p_equivalence_adjusted", effect_size_dz="effect_size"),
        *_fields("number", "correlation"),
        ("replicates_needed_least", "integer", _read("needed", "least")),
        ("replicates_needed", "integer", _read("needed", "most")),
        *_fields("text", "reason", "scope"),
        *_fields("integer", images="num_images"),
        ("beyond_margin", "text", lambda v: None if v.margin is None else "yes" if v.beyond_margin else "no"),
        (f"difference_corrected{suffix}", "number", _read("difference_corrected")),
        *_fields("number", p_a_better="superiority"),
        ("p_a_better_low", "number", lambda verdict: verdict.superiority_interval and verdict.superiority_interval[0]),
        ("p_a_better_high", "number", lambda verdict: verdict.superiority_interval and verdict.superiority_interval[1]),
    ]


def tabulate_all_classes(report: ReportInput) -> Frame:
    """Tabulate every class of each block's best arm, and of each ensemble after its vote, a row each.

    Values are means over trials; empty if undefined. Images and AUC are not known for ensembles.
    """
    rows: list[tuple[Value, ...]] = [
        (each.block, each.arm, each.split, row.name, row.occurring, row.precision, row.recall, row.f1, row.auc)
        for each in report.evidence
        for row in each.classes
    ]
    rows += [
        (each.block, each.label, each.split, row.name, None, row.precision[1], row.recall[1], row.f1[1], None)
        for each in report.ensembles
        for row in each.classes
    ]
    texts, scores = ("block", "arm", "split", "class"), ("precision", "recall", "f1", "auc")
    kinds: dict[str, Kind] = {**dict.fromkeys(texts, "text"), "images": "integer"}
    kinds |= dict.fromkeys([f"{score}_share" for score in scores], "number")
    return Frame(tuple(FrameColumn(name, kind) for name, kind in kinds.items()), rows)


def tabulate_confusion(report: ReportInput) -> Frame:
    """Tabulate the confusion matrix of each block's best arm, summed over trials: a row per nonzero cell."""
    rows = (
        (each.block, each.arm, each.split, each.classes[true].name, each.classes[predicted].name, number)
        for each in report.evidence
        for true, predicted, number in each.cells.tolist()
    )
    names = ("block", "arm", "split", "true_class", "predicted_class", "images")
    return Frame(tuple(FrameColumn(name, "integer" if name == "images" else "text") for name in names), rows)
