"""Runs of a tool with their curves, and the table that is made of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.data.source import show_text
from bakeoff.errors import RunsError
from bakeoff.foreign.epochs import Curve, Epoch
from bakeoff.foreign.paths import make_path_columns, split_parts
from bakeoff.foreign.reading import DamagedError, Found, hide_password, parse_score
from bakeoff.foreign.scores import is_no_score, sort_metrics
from bakeoff.foreign.table import ForeignTable, Value

_MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as its tool recorded it.

    Attributes:
        label: names it in notes: its file or its name.
        facts: its name, parameters, tags.
        curves: scores by metric.
        parts: its path below the source; empty if files do not tell runs apart.
        minimized: the scores that the tool minimized.
        unread: why it does not count, continuing its label: "had not finished"; empty if it does.
    """

    label: str
    facts: Mapping[str, Value] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    minimized: tuple[str, ...] = ()
    unread: str = ""


def read_files(files: Iterable[Found], read: Callable[[Found], Iterable[Run]]) -> list[Run]:
    """Return the runs in files; a damaged file is a run that was not read."""
    runs: list[Run] = []
    for found in files:
        try:
            runs += read(found)
        except DamagedError as error:
            runs.append(Run(label=name_file(found), parts=found.parts, unread=str(error)))
    return runs


def collect_curves(rows: Iterable[Mapping[str, object]], step: str, *, restarts: bool = True) -> dict[str, Curve]:
    """Return the curves in rows of scores by epoch; cells that are empty or no numbers are left out.

    Args:
        rows: in the order of training.
        step: the column with the epoch or step.
        restarts: a step that comes after a later one means that training went on from there: what came later is void.

    Raises:
        DamagedError: a row has no epoch.
    """
    curves: dict[str, dict[float, float]] = defaultdict(dict)
    last = -math.inf
    for number, row in enumerate(rows, start=1):
        at = parse_score(row.get(step))
        if at is None or math.isnan(at):
            raise DamagedError(f"has no number as {step} in row {number + 1}")
        if restarts and at < last:
            curves = defaultdict(
                dict, {name: {s: v for s, v in curve.items() if s < at} for name, curve in curves.items()}
            )
        last = at
        for name, cell in row.items():
            value = parse_score(cell) if name and name != step else None
            if value is not None:
                curves[name].pop(at, None)
                curves[name][at] = value
    return dict(curves)


def name_file(found: Found) -> str:
    """Return how notes name a file: its path below the source."""
    return "/".join((*found.parts[:-1], found.path.name))


def find_beside(path: Path, *names: str) -> Path | None:
    """Return the first of these files that lies in the same folder as a run's log."""
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def make_table(tool: str, source: str, runs: Sequence[Run], epoch: str, notes: Sequence[str] = ()) -> ForeignTable:
    """Return the table of runs, with their scores at one epoch.

    Raises:
        DataError: no run counts, or the epoch is unknown.
    """
    chosen = Epoch.parse(epoch)
    skipped: dict[str, list[str]] = defaultdict(list)
    kept: list[tuple[Run, dict[str, float]]] = []
    usable = [(run, _drop_no_scores(run.curves)) for run in runs if not run.unread]
    names = list(dict.fromkeys(name for _, curves in usable for name in curves))
    if names:
        chosen.check(source, sort_metrics(names))
    for run in runs:
        if run.unread:
            skipped[run.unread].append(run.label)
    for run, curves in usable:
        scores = chosen.read(curves) if curves else None
        if scores:
            kept.append((run, scores))
        else:
            skipped[f"has no finite {chosen.metric}" if curves else "has no scores"].append(run.label)
    why = [_format_skipped(reason, labels) for reason, labels in skipped.items()]
    if not kept:
        reasons = f": {'; '.join(why)}" if why else ""
        raise RunsError(f"{hide_password(source)} holds no finished run of {tool} with scores{reasons}.")
    counted = {id(run) for run, _ in kept}
    lengths = [_count_epochs(curves) for run, curves in usable if id(run) in counted]
    minimized = dict.fromkeys(name for run, scores in kept for name in run.minimized if name in scores)
    return ForeignTable(
        tool=tool,
        source=hide_password(source),
        rows=_make_rows(kept),
        metrics=tuple(sort_metrics(dict.fromkeys(name for _, scores in kept for name in scores))),
        lower_is_better=tuple(sort_metrics(minimized)),
        num_skipped=sum(map(len, skipped.values())),
        notes=(*notes, *_note_epochs(chosen, lengths), *_note_scores(kept), *(f"skipped: {text}" for text in why)),
    )


def _drop_no_scores(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    return {name: curve for name, curve in curves.items() if curve and not is_no_score(name)}


def _count_epochs(curves: Mapping[str, Curve]) -> int:
    return max(map(len, curves.values()))


def _make_rows(kept: Sequence[tuple[Run, Mapping[str, float]]]) -> tuple[dict[str, Value], ...]:
    metrics = {name for _, scores in kept for name in scores}
    known = {name for run, _ in kept for name in run.facts} | metrics
    paths = make_path_columns([run.parts for run, _ in kept])
    names = _split_names([run.facts.get("name") for run, _ in kept])
    rows = []
    for (run, scores), path, name in zip(kept, paths, names, strict=True):
        # A setting may have the name of a score: `loss` = cross_entropy.
        facts = {f"setting.{key}" if key in metrics else key: value for key, value in run.facts.items()}
        derived = {key: value for key, value in {**name, **path}.items() if key not in known}
        rows.append({**facts, **derived, **scores})
    return tuple(rows)


def _split_names(names: Sequence[Value]) -> list[dict[str, Value]]:
    """Return what runs' names say: `name.1` = adam and `seed` = 3 for adam-seed3."""
    texts = [name if isinstance(name, str) else None for name in names]
    columns: list[dict[str, Value]] = []
    for piece in split_parts(texts):
        values = {f"name.{i}": value for i, value in enumerate(piece.values, start=1)}
        columns.append({**values, **piece.named} if len(values) > 1 or piece.named else {})
    return columns


def _format_skipped(reason: str, labels: Sequence[str]) -> str:
    named = ", ".join(show_text(label) for label in labels[:_MAX_NAMED])
    more = f" and {len(labels) - _MAX_NAMED:,} more" if len(labels) > _MAX_NAMED else ""
    return f"{named}{more} {reason}"


def _note_epochs(chosen: Epoch, lengths: Sequence[int]) -> list[str]:
    if max(lengths) == 1:
        return []
    notes = [chosen.describe()]
    if len(set(lengths)) > 1:
        notes.append(
            f"runs have from {min(lengths):,} to {max(lengths):,} logged epochs or steps: "
            "some stopped early or were interrupted"
        )
    return notes


def _note_scores(kept: Sequence[tuple[Run, Mapping[str, float]]]) -> list[str]:
    labels = [run.label for run, scores in kept if not all(map(math.isfinite, scores.values()))]
    return [f"{_format_skipped('diverged: a score is not a finite number', labels)}"] if labels else []
