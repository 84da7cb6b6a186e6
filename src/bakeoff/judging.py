"""Verdicts about runs that others trained: scores, predictions, or the results of another tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from bakeoff.data.source import find_kind, show_text
from bakeoff.errors import (
    OptionError,
    PredictionsError,
    ResultsNotFoundError,
    RunsError,
    ScoresError,
    UnknownNameError,
    UnwritableError,
    nearest,
)
from bakeoff.foreign.csv_table import keep_plain, make_table
from bakeoff.foreign.importers import read_foreign
from bakeoff.foreign.mapping import ROLES, Asked, Role, Runs, map_table, write_value
from bakeoff.foreign.predictions import RawRun, holds_predictions, judge_predictions, read_predictions
from bakeoff.foreign.table import ForeignTable
from bakeoff.report.document import ReportInput
from bakeoff.report.export.methods import list_tables
from bakeoff.report.judged import Evidence, judge_runs
from bakeoff.report.render.csv import write_csv
from bakeoff.report.render.html import write_html
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.notebook import write_cell
from bakeoff.report.reported import Reported
from bakeoff.stats.results import DEFAULT_METHOD, Method, Rules, Verdict
from bakeoff.workspace import write_whole

ScopeName = Literal["images", "seeds"]

_METHODS = ("moderated", "paired", "bayes")
_SCOPES = ("images", "seeds")


@dataclass(frozen=True)
class Judged(Reported):
    """Verdicts about runs that others trained.

    Attributes:
        report: everything the reports are made from.
    """

    report: ReportInput = field(repr=False)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict on every pair."""
        return self.summary.verdicts

    @property
    def answer(self) -> str:
        """The answer in plain words, block by block."""
        return " ".join(each.sentence for each in self.summary.answers)

    def to_csv(self, table: str = "verdicts") -> str:
        """Return a table as CSV text: verdicts, arms, classes or confusion."""
        tables = list_tables()
        if table not in tables:
            raise UnknownNameError(f"there is no table '{table}'. Tables: {', '.join(tables)}.{nearest(table, tables)}")
        return "".join(write_csv(tables[table](self.report)))

    def write(self, path: str | Path) -> Path:
        """Write the report as Markdown, HTML or JSON, by the file's suffix.

        Raises:
            BakeoffError: another suffix, or the file cannot be written.
        """
        file = Path(path)
        check_out(file)
        text = {".md": write_markdown, ".html": write_html, ".json": _write_json}[file.suffix.lower()](self.report)
        try:
            write_whole(file, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
        except OSError as error:
            raise UnwritableError(f"{file}: the report cannot be written ({error.strerror or error}).") from error
        return file


@dataclass(frozen=True)
class Comparison:
    """The verdict on two arms.

    Attributes:
        result: the report, tables and figures behind it.
    """

    result: Judged = field(repr=False)

    @property
    def verdict(self) -> Verdict:
        """Of a relative to b, with all figures."""
        return self.result.verdicts[0]

    @property
    def word(self) -> str:
        """Better, worse, equivalent or inconclusive: what is shown of a relative to b."""
        return self.verdict.verdict

    @property
    def difference(self) -> float | None:
        """Mean of a less that of b, in the metric's unit."""
        return self.verdict.difference

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the difference, at the confidence asked for."""
        return self.verdict.interval

    @property
    def p(self) -> float | None:
        """Two-sided, of no difference."""
        return self.verdict.p

    @property
    def sentence(self) -> str:
        """The answer in plain words."""
        return self.result.answer

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return write_cell(self.result.report)


def _write_json(report: ReportInput) -> str:
    import json

    return json.dumps(build_document(report), indent=2, allow_nan=False) + "\n"


def check_out(file: Path) -> None:
    """Refuse a report file of an unknown kind before any work."""
    if file.suffix.lower() not in (".md", ".html", ".json"):
        raise OptionError(f"{file}: write a report to a file that ends in .md, .html or .json.")


def judge(
    source: Any,
    *,
    metric: str | None = None,
    against: str | None = None,
    margin: float | str | None = None,
    confidence: float = 0.95,
    method: Method = DEFAULT_METHOD,
    scope: ScopeName | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, object] | None = None,
    lower_is_better: bool | None = None,
    **options: Any,
) -> Judged:
    """Judge runs that others trained as a study's trials are judged.

    Two arms are compared run by run where the ids of their replicates match, and unpaired where they do not; the result
    says which.

    Args:
        source: a table of scores (a path, a pandas DataFrame or another with `to_dict`, or a list of dictionaries, a
            row per run); a mapping from arm to its scores, or to seed -> score; a folder or table of predictions; or
            the results of another tool.
        metric: the column of scores or, for predictions, one of our metrics; by default the likeliest.
        against: the baseline that all others are compared with.
        margin: largest difference that does not matter: a number, or a text such as "0.5 points".
        confidence: of intervals, 0..1; 1 - confidence is the error rate of verdicts.
        method: moderated (arms lend each other variances), paired (each pair by its own; Welch's t if unpaired), bayes.
        scope: images (new seeds and new images; needs predictions) or seeds (these images); by default as much as can
            be said.
        columns: role -> column: arm, replicate, block, fold, epoch. Several columns joined by "+" tell arms together.
        where: column -> value, or several: only such rows count.
        lower_is_better: None to go by the metric's name.
        options: `paired` (True or False for replicates that match or not by their order; None to go by their ids),
            `tool` (which tool wrote the source), `epoch` (of curves: "last", "max:METRIC" or "min:METRIC"), `family`
            ("study" or "block").

    Raises:
        BakeoffError: one line that names what cannot be judged, and the remedy.
    """
    tool, epoch, paired, family, command = _read_options(options)
    _check_rules(confidence, method, scope)
    asked = Asked(
        metric=metric,
        columns=_check_roles(columns or {}),
        where={name: _list_values(value) for name, value in (where or {}).items()},
        lower_is_better=lower_is_better,
        epoch=epoch,
    )
    runs, evidence = _read(source, asked, tool, is_ordered=paired is True)
    if scope == "images" and not evidence.is_known:
        raise OptionError(
            "scope images needs predictions: scores alone say nothing of new images. Give predictions, or take seeds."
        )
    if paired and not runs.has_ids:
        raise OptionError("--paired: nothing says which runs belong together. Say it: --map replicate=COLUMN.")
    is_own = not runs.record.is_column
    rules = Rules(
        metric=runs.record.name,
        margin=_read_margin(margin, runs),
        confidence=confidence,
        baseline=against,
        scope=scope or ("images" if evidence.is_known else "seeds"),
        family=family,
        method=method,
        pairing="never" if paired is False or not runs.has_ids else "common" if paired else "matched",
        record=None if is_own else runs.record,
    )
    return Judged(judge_runs(runs, rules, evidence, command))


def compare(
    a: Any,
    b: Any,
    *,
    labels: Any = None,
    names: tuple[str, str] = ("a", "b"),
    paired: bool | None = None,
    **options: Any,
) -> Comparison:
    """Compare two arms by their scores, or by their predictions on the same images.

    Args:
        a: a score per replicate; a mapping from seed to score; or predicted classes [replicates, N] or probabilities
            [replicates, N, C] with `labels`.
        b: the same for the other arm.
        labels: the right class of every image, [N], for predictions.
        names: of the arms.
        paired: True if the replicates at the same place belong together (the same seed), False if not; None for False,
            but by their seeds where these are given.
        options: as `judge` takes them: `metric`, `margin`, `confidence`, `method`, `scope`, `lower_is_better`.

    Raises:
        BakeoffError: one line that names what cannot be compared, and the remedy.
    """
    if len(set(names)) < 2:
        raise OptionError(f"both arms are named {names[0]!r}: give them two names.")
    arms = dict(zip(names, (a, b), strict=True))
    if labels is None and all(np.ndim(np.asarray(each)) > 1 for each in arms.values() if not isinstance(each, Mapping)):
        raise OptionError("predictions need labels=: the right class of every image.")
    source: Any = arms if labels is None else _Arrays(arms, labels)
    options.setdefault("lower_is_better", None if labels is not None or "metric" in options else False)
    return Comparison(judge(source, paired=paired, **options))


@dataclass(frozen=True)
class _Arrays:
    """Predictions of several arms on the same images."""

    arms: Mapping[str, Any]
    labels: Any


def _read_options(options: Mapping[str, Any]) -> tuple[str | None, str, bool | None, Any, str]:
    known = ("tool", "epoch", "paired", "family", "command")
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise UnknownNameError(f"judge has no option '{unknown}'.{nearest(unknown, known)}")
    family = options.get("family") or "study"
    if family not in ("study", "block"):
        raise OptionError(f"family must be study or block, not '{family}'.")
    found = (options.get("tool"), options.get("epoch") or "last", options.get("paired"))
    return *found, family, options.get("command") or ""


def _check_rules(confidence: float, method: str, scope: str | None) -> None:
    if not 0.5 <= confidence < 1:
        raise OptionError(f"confidence is {confidence:g}, allowed from 0.5 to below 1, such as 0.95.")
    if method not in _METHODS:
        raise UnknownNameError(f"unknown method '{method}'. Allowed: {', '.join(_METHODS)}.{nearest(method, _METHODS)}")
    if scope is not None and scope not in _SCOPES:
        raise UnknownNameError(f"unknown scope '{scope}'. Allowed: {', '.join(_SCOPES)}.{nearest(scope, _SCOPES)}")


def _check_roles(columns: Mapping[str, str]) -> dict[Role, str]:
    for role in columns:
        if role not in ROLES:
            raise UnknownNameError(f"--map {role}=: no such role. Allowed: {', '.join(ROLES)}.{nearest(role, ROLES)}")
    return {cast("Role", role): column for role, column in columns.items()}


def _list_values(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple | set) else (value,)
    return tuple(map(write_value, values))


def _read_margin(margin: float | str | None, runs: Runs) -> float | None:
    """Return a margin in the metric's unit; `0.5 points` of a share is 0.005."""
    if margin is None:
        return None
    text = str(margin).strip()
    number, _, unit = text.partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if unit.strip() in ("point", "points") and not runs.record.is_share:
        raise OptionError(f"margin {text}: {runs.record.label} is no share, so it has no points: give a number.")
    if not 0 < value < float("inf") or unit.strip() not in ("", "point", "points"):
        raise OptionError(f"margin {text}: give a number above 0 in the metric's unit, or such as '0.5 points'.")
    value = value / 100 if unit else value
    if runs.record.is_share and value >= 1:
        raise OptionError(
            f"margin {text}: {runs.record.label} goes from 0 to 1; for {value:g} points write {value / 100:g}."
        )
    return value


def _read(source: Any, asked: Asked, tool: str | None, *, is_ordered: bool) -> tuple[Runs, Evidence]:
    if isinstance(source, _Arrays):
        predicted = judge_predictions("predictions", _list_arrays(source), asked)
        runs = predicted.runs if is_ordered else replace(predicted.runs, has_ids=False, roles={})
        return runs, Evidence.of(predicted)
    if isinstance(source, str | Path):
        text = str(source)
        if not text.strip():
            raise ResultsNotFoundError("the path of the results is empty. Give a table, a folder, or runs of a tool.")
        kind = "" if "://" in text else find_kind(text)
        if kind == "other":
            raise ResultsNotFoundError(f"{text} is neither a file nor a folder. Save what it holds in a file.")
        if tool is None and kind == "nothing":
            raise ResultsNotFoundError(
                f"{show_text(text[:200])} does not exist. Give a table of scores, a folder of predictions, or runs "
                "of a tool."
            )
        if tool in (None, "csv", "predictions") and holds_predictions(text):
            predicted = read_predictions(text, asked)
            return predicted.runs, Evidence.of(predicted)
        return map_table(read_foreign(text, tool, asked.epoch), asked), Evidence()
    return map_table(_tabulate(source, asked.metric, is_ordered=is_ordered), asked), Evidence()


def _tabulate(source: Any, metric: str | None, *, is_ordered: bool) -> ForeignTable:
    """Return the rows of a frame, a list of dictionaries, or a mapping from arms to scores."""
    if isinstance(source, Mapping):
        return _tabulate_arms(source, metric or "score", is_ordered=is_ordered)
    if hasattr(source, "to_dicts"):  # polars
        source = source.to_dicts()
    elif hasattr(source, "to_dict"):  # pandas
        source = source.to_dict("records")
    if not isinstance(source, Sequence) or not all(isinstance(row, Mapping) for row in source):
        raise ResultsNotFoundError(
            f"judge takes a path, a data frame, a list of dictionaries, or a mapping from arms to scores, not "
            f"{type(source).__name__}."
        )
    if not source:
        raise RunsError("there are no runs to judge: the table is empty.")
    rows = [(f"row {number}", keep_plain(_drop_missing(row))) for number, row in enumerate(source, start=1)]
    return make_table("Python", "the table", rows)


def _drop_missing(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a row with None for missing texts of a frame; numbers that are missing are told by their line."""
    return {name: None if type(value).__name__ in ("NAType", "NaTType") else value for name, value in row.items()}


def _tabulate_arms(arms: Mapping[Any, Any], metric: str, *, is_ordered: bool) -> ForeignTable:
    rows: list[tuple[str, dict[str, Any]]] = []
    for arm, scores in arms.items():
        if isinstance(scores, Mapping):
            pairs = [(str(seed), score) for seed, score in scores.items()]
        else:
            values = np.asarray(scores)
            if values.ndim != 1:
                raise ScoresError(f"the scores of {arm} have the shape {values.shape}: give one number per replicate.")
            pairs = [
                (str(number) if is_ordered else "", score) for number, score in enumerate(values.tolist(), start=1)
            ]
        for seed, score in pairs:
            row = {"arm": str(arm), **({"replicate": seed} if seed else {}), metric: score}
            rows.append((f"score {len(rows) + 1} ({arm})", keep_plain(row)))
    if not rows:
        raise RunsError("there are no scores to judge: the mapping is empty.")
    found = make_table("Python", "the scores", rows)
    return replace(found, metrics=(metric,))


def _list_arrays(source: _Arrays) -> list[Any]:
    labels = np.asarray(source.labels)
    found = []
    for arm, given in source.arms.items():
        values = np.asarray(given)
        if values.ndim not in (2, 3) or labels.ndim != 1 or values.shape[1] != len(labels):
            raise PredictionsError(
                f"the predictions of {arm} have the shape {values.shape} for {labels.shape} labels: give classes "
                "[replicates, images] or probabilities [replicates, images, classes]."
            )
        for number, of_run in enumerate(values, start=1):
            raw = RawRun(
                place=f"{arm}, replicate {number}",
                block="",
                arm=arm,
                replicate=str(number),
                images=range(len(labels)),
                labels=labels.tolist(),
                called=of_run.tolist() if values.ndim == 2 else None,
                probabilities_NC=of_run if values.ndim == 3 else None,
            )
            found.append(lambda raw=raw: raw)
    return found
