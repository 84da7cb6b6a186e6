"""From a table of runs to what is compared: which columns tell arms, replicates, blocks, folds, and the score."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from bakeoff.errors import ColumnError, RunsError, ScoresError, nearest
from bakeoff.foreign.metric_names import (
    find_split,
    find_unit,
    is_lower_better,
    is_score,
    make_record,
    simplify,
    split_words,
)
from bakeoff.foreign.table import ForeignTable, Value
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import MetricRecord
from bakeoff.stats.results import TrialResult

Role = Literal["arm", "replicate", "block", "fold", "epoch"]

ROLES: tuple[Role, ...] = get_args(Role)

NAMES: Mapping[Role, tuple[str, ...]] = {
    "arm": (
        *("arm", "model", "method", "config", "configuration", "algorithm", "variant", "recipe", "architecture"),
        *(
            "arch",
            "network",
            "solver",
            "solver_name",
            "optimizer",
            "opt",
            "params",
            "group",
            "experiment",
            "path.1",
            "name",
            "run_name",
        ),
    ),
    "replicate": (
        *("replicate", "seed", "random_seed", "random_state", "rng_seed", "repeat", "repetition", "rep", "trial"),
        *("run", "run_number", "idx_rep", "version", "path.2"),
    ),
    "block": ("block", "dataset", "data", "dataset_name", "data_name", "task", "benchmark"),
    "fold": ("fold", "cv_fold", "fold_id", "split"),
    "epoch": ("epoch", "epochs_done", "step", "iteration"),
}
"""What columns of a role are usually called, the surest first."""

_STATES = ("state", "status", "run_state")
_MAX_EXACT = 2**53
_LARGEST_SCORE = 1e100
_UNFINISHED = {"failed", "crashed", "killed", "running", "pruned", "preempted", "error", "fail", "unfinished", "active"}
_SPLIT_WORDS = {"train", "training", "val", "valid", "validation", "dev", "test", "holdout", "eval"}
_NUMBERED = re.compile(r"(?P<stem>.+?)[-_. /]*(?:seed|run|rep|replicate|trial|version|v|s|r)?[-_=. #]*(?P<number>\d+)")
_MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user says of a table; all else is guessed.

    Attributes:
        metric: the column of scores.
        columns: the columns of roles; several joined by "+" tell arms apart together.
        where: only rows with these values count: column -> values, of which a row has one.
        lower_is_better: None to guess by the metric's name.
        epoch: of several rows of a run by epoch, the one that counts: "last", "max:COLUMN" or "min:COLUMN".
        pairs: whether equal ids of replicates pair runs; None if so, but not where runs have no ids.
    """

    metric: str | None = None
    columns: Mapping[Role, str] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lower_is_better: bool | None = None
    epoch: str = "last"
    pairs: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of another tool as a study's results, and how they were understood.

    Attributes:
        name: of the source, for titles.
        source: as given; `tool`: what wrote it.
        record: the metric.
        results: one per run; replicates and folds are numbered from 0, in the order of their ids.
        blocks, arms: labels, in the order in which they appear.
        num_folds: of every replicate; None without folds.
        has_ids: whether replicates have ids that can be the same in two arms.
        roles: how each role was found: role -> text.
        notes: sentences on what was not read, and on what to know.
    """

    name: str
    source: str
    tool: str
    record: MetricRecord
    results: tuple[TrialResult, ...]
    blocks: tuple[str, ...]
    arms: tuple[str, ...]
    num_folds: int | None
    has_ids: bool
    roles: Mapping[Role, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """A row with its place in messages, and what tells its run: block, arm, replicate, fold."""

    place: str
    values: Mapping[str, Value]
    key: tuple[str, str, str, str] = ("", "", "", "")


def map_table(table: ForeignTable, asked: Asked) -> Runs:
    """Find arms, replicates, blocks, folds and scores in a table.

    Raises:
        DataError: one line that names the culprit and the remedy.
    """
    if not table.rows:
        raise RunsError(f"{table.source} has no runs with scores. {' '.join(table.notes)}".rstrip())
    columns = list(dict.fromkeys(name for row in table.rows for name in row))
    _check_columns(table.source, columns, asked)
    rows, notes = _select(table, columns, asked)
    metric = _find_metric(table, columns, asked)
    found = _Finder(table.source, rows, columns, metric, asked).find()
    rows = _pick_epochs(found.rows, found.used, asked.epoch, table.source)
    _check_repeated(table.source, rows, found.used)
    scores = [_read_score(table.source, row, metric) for row in rows]
    is_lower = is_lower_better(metric) or metric in table.lower_is_better
    lower = is_lower if asked.lower_is_better is None else asked.lower_is_better
    unit = find_unit(metric, scores)
    results, num_folds = _make_results(rows, [score / 100 for score in scores] if unit == "percent" else scores, metric)
    runs = Runs(
        name=re.split(r"[\\/]", table.source.rstrip("\\/"))[-1].rsplit(".", 1)[0] or table.tool,
        source=table.source,
        tool=table.tool,
        record=make_record(metric, unit, lower_is_better=lower),
        results=tuple(results),
        blocks=tuple(dict.fromkeys(result.block for result in results)),
        arms=tuple(dict.fromkeys(result.arm for result in results)),
        num_folds=num_folds,
        has_ids=found.has_ids,
        roles=found.roles,
        notes=(*table.notes, *notes, *_say_unit(metric, unit), *_say_unused(rows, columns, found.used, metric)),
    )
    check_runs(runs)
    return runs


def check_runs(runs: Runs) -> None:
    """Refuse runs that cannot be compared.

    Raises:
        DataError: one arm, no arm with two replicates in a block, or folds that do not match.
    """
    if len(runs.arms) < 2:
        only = runs.arms[0] if runs.arms else ""
        raise RunsError(
            f"{runs.source}: there is one arm, {only!r}, and nothing to compare it with. Say which column tells arms "
            "apart: --map arm=COLUMN."
        )
    numbers = Counter((result.block, result.arm) for result in runs.results)
    if max(numbers.values()) < 2:
        raise RunsError(
            f"{runs.source} has fewer than 2 replicates of every arm: without their spread nothing can be said. Run "
            "each arm with several seeds (3 or more give verdicts), or say which column numbers them: "
            "--map replicate=COLUMN."
        )
    if runs.num_folds is not None:
        _check_folds(runs)


def _check_folds(runs: Runs) -> None:
    """Folds are compared fold by fold: arms without common ones cannot be."""
    cells: dict[tuple[str, str], set[tuple[int, int | None]]] = {}
    for result in runs.results:
        cells.setdefault((result.block, result.arm), set()).add((result.replicate, result.fold))
    for (block, arm), own in cells.items():
        for (other_block, other), theirs in cells.items():
            if block == other_block and 2 * len(own & theirs) < max(len(own), len(theirs)):
                raise RunsError(
                    f"{runs.source}: {arm} and {other} have {len(own & theirs)} folds of the same replicate in common, "
                    "fewer than half: arms are compared on the same folds. Train both on all of them, or leave one out "
                    "by --where."
                )


def _check_columns(source: str, columns: Sequence[str], asked: Asked) -> None:
    named = [(f"--map {role}=", part) for role, text in asked.columns.items() for part in text.split("+")]
    named += [("--where ", name) for name in asked.where]
    if asked.epoch != "last":
        kind, _, name = asked.epoch.partition(":")
        if kind not in ("max", "min") or not name:
            raise ColumnError(f"--epoch {asked.epoch}: write last, max:COLUMN or min:COLUMN.")
    for option, name in named:
        if name not in columns:
            raise ColumnError(
                f"{option}{name}: {source} has no such column. {list_columns(columns)}{nearest(name, columns)}"
            )


def list_columns(columns: Sequence[str]) -> str:
    """Return a sentence that lists columns, of many the first."""
    shown = ", ".join(columns[:20])
    return f"Columns: {shown}{', ...' if len(columns) > 20 else ''}."


def _select(table: ForeignTable, columns: Sequence[str], asked: Asked) -> tuple[list[_Row], list[str]]:
    """Return the rows that count, and notes on the others: not asked for, or not finished."""
    rows = [_Row(table.place(number), row) for number, row in enumerate(table.rows)]
    notes = []
    for name, values in asked.where.items():
        kept = [row for row in rows if write_value(row.values.get(name)) in values]
        if not kept:
            known = list(dict.fromkeys(write_value(row.values.get(name)) for row in rows))
            allowed = f"Values: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}."
            raise ColumnError(f"--where {name}={values[0]}: no row has it. {allowed}{nearest(values[0], known)}")
        notes.append(f"Only rows with {name} = {' or '.join(values)}: {len(kept):,} of {len(rows):,}.")
        rows = kept
    state = next((name for name in columns if name.strip().lower() in _STATES), None)
    if state is not None and state not in asked.where:
        ended = [row for row in rows if write_value(row.values.get(state)).strip().lower() not in _UNFINISHED]
        if ended and len(ended) < len(rows):
            left_out = Counter(write_value(row.values.get(state)) for row in rows if row not in ended)
            words = ", ".join(f"{number:,} {word}" for word, number in left_out.items())
            notes.append(f"Runs left out, because their {state} says that they have no final score: {words}.")
            rows = ended
    return rows, notes


def write_value(value: object) -> str:
    """Return a cell as text; empty if nothing is there, which data frames write as NaN."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if math.isnan(value):
        return ""
    # Seeds beside an empty cell are floats in a data frame: all their digits count.
    return str(int(value)) if value.is_integer() and abs(value) < _MAX_EXACT else f"{value:g}"


def _find_metric(table: ForeignTable, columns: Sequence[str], asked: Asked) -> str:
    if asked.metric is not None:
        if asked.metric in columns:
            return asked.metric
        words = simplify(asked.metric)
        close = [name for name in table.metrics if words <= simplify(name)]
        if len(close) == 1 or (close and simplify(close[0]) == words):
            return close[0]
        raise ColumnError(
            f"--metric {asked.metric}: {table.source} has no such column. "
            f"Scores: {', '.join(table.metrics) or 'none'}.{nearest(asked.metric, close or columns)}"
        )
    free = [name for name in table.metrics if name not in asked.columns.values()]
    if not free:
        raise ColumnError(f"{table.source} has no column of scores. {list_columns(columns)} {_advise(table)}")
    if len(free) > 1 and not is_score(free[0]):
        raise ColumnError(f"{table.source}: which column is the score? --metric COLUMN, one of {', '.join(free[:12])}.")
    return free[0]


@dataclass(frozen=True)
class _Found:
    """Rows with their keys, the columns used, how each role was found, and whether replicates have ids."""

    rows: list[_Row]
    used: frozenset[str]
    roles: Mapping[Role, str]
    has_ids: bool


class _Finder:
    """Finds the columns of roles: those that the user named, then those with usual names."""

    def __init__(self, source: str, rows: list[_Row], columns: Sequence[str], metric: str, asked: Asked) -> None:
        self._source, self._rows, self._asked = source, rows, asked
        self._columns = [name for name in columns if name != metric and self._values(name) != {""}]
        self._found: dict[Role, list[str]] = {role: text.split("+") for role, text in asked.columns.items()}

    def find(self) -> _Found:
        for role in ROLES:
            if role != "arm" and role not in self._found and (name := self._guess(role)):
                self._found[role] = [name]
        stems: dict[str, tuple[str, str]] = {}
        if "arm" not in self._found:
            arms = self._guess_arms()
            self._found["arm"] = arms
            if len(arms) == 1 and "replicate" not in self._found:
                stems = self._split_numbers(arms[0])
        return self._key(stems)

    def _key(self, stems: Mapping[str, tuple[str, str]]) -> _Found:
        """Give every row its key; without a column, replicates are numbered in the order of the rows."""
        has_ids = "replicate" in self._found or bool(stems) or "fold" in self._found
        keyed, numbers = [], Counter[tuple[str, str, str, str]]()
        for row in self._rows:
            arm, block, fold = (self._join(row, role) for role in ("arm", "block", "fold"))
            replicate = self._join(row, "replicate")
            if stems:
                arm, replicate = stems[arm]
            elif not has_ids:
                place = (block, arm, fold, self._join(row, "epoch"))
                numbers[place] += 1
                replicate = str(numbers[place])
            for role, text in (("arm", arm), ("replicate", replicate if has_ids else "-")):
                if not text and (role in self._found):
                    name = "+".join(self._found[role])
                    remedy = "Fill it in or delete the row."
                    raise ColumnError(f"{self._source}: {row.place} has no {role}: its {name} is empty. {remedy}")
            keyed.append(_Row(row.place, row.values, (block, arm, replicate, fold)))
        roles: dict[Role, str] = {role: " + ".join(names) for role, names in self._found.items()}
        if stems:
            roles["arm"], roles["replicate"] = (
                f"{roles['arm']}, less its last number",
                f"the last number of {roles['arm']}",
            )
        used = frozenset(name for names in self._found.values() for name in names)
        return _Found(keyed, used, roles, has_ids)

    def _join(self, row: _Row, role: Role) -> str:
        return ", ".join(write_value(row.values.get(name)).strip() for name in self._found.get(role, ())).strip(", ")

    def _values(self, name: str) -> set[str]:
        return {write_value(row.values.get(name)) for row in self._rows}

    def _free(self) -> list[str]:
        taken = {name for names in self._found.values() for name in names}
        return [name for name in self._columns if name not in taken]

    def _guess(self, role: Role) -> str | None:
        """Return the column of a usual name, if its values can be this role's."""
        for wanted in NAMES[role]:
            for name in self._free():
                if _normalize(name) == wanted and self._suits(role, name):
                    return name
        return None

    def _suits(self, role: Role, name: str) -> bool:
        values = self._values(name)
        if role == "fold":
            return len(values) > 1 and not {value.lower() for value in values} <= _SPLIT_WORDS
        if role == "epoch":
            return len(values) > 1 and ("replicate" in self._found or self._counts_up(name))
        return role != "replicate" or len(values) > 1 or len(self._rows) == 1

    def _counts_up(self, name: str) -> bool:
        """Return whether a column is 0, 1, 2, ... or 1, 2, 3, ...; others tell where runs without ids ended."""
        values = {row.values.get(name) for row in self._rows}
        return values in ({*range(len(values))}, {*range(1, len(values) + 1)})

    def _guess_arms(self) -> list[str]:
        """Return the column that tells arms apart: of a usual name, or the only text that varies and repeats."""
        named = [name for wanted in NAMES["arm"] for name in self._free() if _normalize(name) == wanted]
        varying = [name for name in named if len(self._values(name)) > 1]
        repeating = [name for name in varying if self._repeats(name)]
        if repeating:
            return repeating[:1]
        if varying and self._split_numbers(varying[0]):
            return varying[:1]
        others = [name for name in self._free() if len(self._values(name)) > 1 and self._repeats(name)]
        others = [name for name in others if not is_score(name) and _normalize(name) not in _STATES]
        texts = [name for name in others if any(isinstance(row.values.get(name), str) for row in self._rows)]
        chosen = texts if len(texts) == 1 else others
        if len(chosen) == 1:
            return chosen
        if named and not chosen:
            return named[:1]
        columns = list_columns(others or self._free())
        example = f" or, if several do together, --map arm={'+'.join(others[:2])}" if len(others) > 1 else ""
        raise ColumnError(f"{self._source}: which column tells arms apart? Say --map arm=COLUMN{example}. {columns}")

    def _repeats(self, name: str) -> bool:
        """Return whether some value is in several rows: the name of a single run is no arm."""
        return len(self._values(name)) < len(self._rows)

    def _split_numbers(self, name: str) -> dict[str, tuple[str, str]]:
        """Return names such as lenet-seed3 split into arm and replicate; empty unless all are, and arms repeat."""
        if self._repeats(name):
            return {}
        found = {value: _NUMBERED.fullmatch(value) for value in self._values(name)}
        split = {value: (match["stem"], match["number"]) for value, match in found.items() if match is not None}
        stems = Counter(stem for stem, _ in split.values())
        return split if len(split) == len(found) and stems and min(stems.values()) > 1 else {}


def _normalize(name: str) -> str:
    """Return a column's name in lower case and without the folder of parameters it is in, such as params/ or config."""
    lower = name.strip().lower()
    if lower.startswith("path."):
        return lower
    return "_".join(split_words(re.split(r"[/.:]", lower)[-1]))


def _pick_epochs(rows: list[_Row], used: frozenset[str], epoch: str, source: str) -> list[_Row]:
    """Return one row per run, where runs have a row per epoch: the last, or the best by a column."""
    column = next((name for name in used if _normalize(name) in NAMES["epoch"]), None)
    if column is None:
        return rows
    kind, _, by = epoch.partition(":")
    best: dict[tuple[str, ...], tuple[float, _Row]] = {}
    for row in rows:
        value = row.values.get(column if kind == "last" else by)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ScoresError(f"{source}: {row.place}: {column if kind == 'last' else by} is no number.")
        rank = -value if kind == "min" else float(value)
        if row.key not in best or rank > best[row.key][0]:
            best[row.key] = (rank, row)
    return [row for _, row in best.values()]


def _check_repeated(source: str, rows: Sequence[_Row], used: frozenset[str]) -> None:
    seen: dict[tuple[str, ...], _Row] = {}
    for row in rows:
        first = seen.setdefault(row.key, row)
        if first is row:
            continue
        block, arm, replicate, fold = row.key
        names = {"arm": arm, "replicate": replicate, "block": block, "fold": fold}
        what = ", ".join(f"{name} {value}" for name, value in names.items() if value)
        differ = [
            name
            for name in row.values
            if name not in used and not is_score(name) and first.values.get(name) != row.values[name]
        ]
        remedy = "Give every run one row."
        if differ:
            value = write_value(row.values[differ[0]])
            remedy = f"They differ in {differ[0]}: choose by --where {differ[0]}={value}, or give "
            remedy += f"it a role, such as --map block={differ[0]} or --map replicate={differ[0]}."
        raise RunsError(f"{source}: {first.place} and {row.place} are both {what}. {remedy}")


def _advise(table: ForeignTable) -> str:
    """Return what to do about a table without scores."""
    texts = (value for row in table.rows for value in row.values() if isinstance(value, str))
    comma = next((text for text in texts if re.fullmatch(r"\s*[-+]?\d+,\d+\s*%?\s*", text)), None)
    if comma is None:
        return "Say which: --metric COLUMN."
    return f"Numbers need a decimal point, not a comma: {comma.strip().replace(',', '.')} for {comma.strip()}."


def _read_score(source: str, row: _Row, metric: str) -> float:
    value = row.values.get(metric)
    if isinstance(value, str) and value.strip().endswith("%"):
        stripped = value.strip().removesuffix("%")
        value = float(stripped) if re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*", stripped) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        shown = "empty" if value is None else f"'{value}'"
        raise ScoresError(
            f"{source}: {row.place}: {metric} is {shown}, not a number. Correct it, or leave the run out (--where)."
        )
    if abs(value) > _LARGEST_SCORE:
        raise ScoresError(
            f"{source}: {row.place}: {metric} is {value:g}, too large to compute with. Give it in a larger unit."
        )
    return float(value)


def _make_results(rows: Sequence[_Row], scores: Sequence[float], metric: str) -> tuple[list[TrialResult], int | None]:
    """Return results, and the number of folds; ids of replicates and folds are numbered in their natural order."""
    replicates = {text: number for number, text in enumerate(sort_naturally({row.key[2] for row in rows}))}
    folds = {text: number for number, text in enumerate(sort_naturally({row.key[3] for row in rows}))}
    num_folds = len(folds) if len(folds) > 1 else None
    split: Split = "held-out" if num_folds else "validation" if find_split(metric) == "validation" else "test"
    return [
        TrialResult(
            trial_id=f"run {number}",
            block=row.key[0],
            arm=row.key[1],
            replicate=replicates[row.key[2]],
            fold=folds[row.key[3]] if num_folds else None,
            state="done",
            metrics={split: {metric: score}},
            epochs_trained=0,
            best_epoch=None,
            seconds=0.0,
        )
        for number, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
    ], num_folds


def sort_naturally(texts: Iterable[str]) -> list[str]:
    """Return texts in an order in which 10 comes after 9."""
    return sorted(texts, key=natural_key)


def natural_key(text: str) -> list[tuple[int, float, str]]:
    """Return a key by which numbers in texts count as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if part[:1].isdecimal() else (1, 0.0, part) for part in parts if part]


def _say_unit(metric: str, unit: str) -> list[str]:
    notes = [f"{metric} is above 1, so it is read as percentages."] if unit == "percent" else []
    if find_split(metric) == "train":
        notes.append(f"{metric} is of training images by its name: it says nothing of new ones.")
    return notes


def _say_unused(rows: Sequence[_Row], columns: Sequence[str], used: frozenset[str], metric: str) -> list[str]:
    """Name columns that vary and were used for nothing: arms may differ in more than their names say."""
    free = [name for name in columns if name not in used and name != metric and not is_score(name)]
    free = [name for name in free if len({write_value(row.values.get(name)) for row in rows}) > 1]
    if not free:
        return []
    named = ", ".join(free[:_MOST_NAMED]) + (", ..." if len(free) > _MOST_NAMED else "")
    verb = "column that varies was" if len(free) == 1 else "columns that vary were"
    return [f"{len(free)} {verb} not used: {named}."]
