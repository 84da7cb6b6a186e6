"""All studies of a workspace in one table: state, best arm, verdict, cost. What is slow to compute is kept by study.

A verdict takes the predictions of all trials. So a study's row is kept, in memory and in the workspace, together with a
stamp of all that it depends on: the study, its trials, final tests, looks at test images, and this version's code.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean, stdev
from threading import Lock
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff import __version__
from bakeoff.errors import BakeoffError, UnknownNameError, nearest
from bakeoff.ledger.check import read_version
from bakeoff.ledger.read import ListedStudy, StudyRecord, list_studies, open_reading, read_study, shorten_ids
from bakeoff.ledger.tags import read_tags
from bakeoff.report.gather import JudgedStudy, get_state, judge_study, read_plan
from bakeoff.report.tables import order_arms, verdicts_against
from bakeoff.report.text import count
from bakeoff.stats.measure import Measure, Split
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import ArmSummary, Summary
from bakeoff.stats.short import write_short
from bakeoff.study.plan import Plan
from bakeoff.workspace import Folders, write_whole

State = Literal["done", "failed", "unfinished", "unreadable", "unread"]


class BestArm(BaseModel):
    """The leading arm of a block.

    Attributes:
        score: its mean in the deciding metric; `interval`: of that mean over seeds, at the study's confidence, on these
            images; None for unfinished studies and single replicates.
        ties: the other arms not shown to be worse; empty while the study is unfinished.
    """

    model_config = ConfigDict(frozen=True)

    block: str
    arm: str
    score: float
    interval: tuple[float, float] | None = None
    ties: tuple[str, ...] = ()


class ArmStanding(BaseModel):
    """An arm of a finished study.

    Attributes:
        score: its mean in the deciding metric; None without a trial done.
        relation: best, baseline, or how it compares with that arm: better, worse, equivalent, inconclusive; empty where
            it is not compared.
    """

    model_config = ConfigDict(frozen=True)

    block: str
    arm: str
    score: float | None
    relation: str


class Brief(BaseModel):
    """What a table of studies shows of one, as far as it depends on the ledger.

    Attributes:
        stamp: of everything that it depends on.
        state: done; failed (some trials failed); unfinished; unreadable (`verdict` says why); unread for lack of
            time.
        replicates: such as "5", or "3 to 20" of a race.
        split: of the scores.
        best: of each block with a score.
        standings: all arms, block by block, best mean first; empty unless all trials have ended.
        verdict: in a few words. `sentences`: in full, one for each block; empty unless all trials have ended.
        looks: at this question on these test images so far. `num_final_tests`: openings of the test split.
        seconds: training time of all its trials, those of a search included.
        ended_at: when its last trial ended, ISO time.
    """

    model_config = ConfigDict(frozen=True)

    stamp: str
    state: State
    datasets: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    replicates: str = ""
    metric: str = ""
    split: Split = "validation"
    num_planned: int = 0
    num_done: int = 0
    num_failed: int = 0
    best: tuple[BestArm, ...] = ()
    standings: tuple[ArmStanding, ...] = ()
    verdict: str = ""
    sentences: tuple[str, ...] = ()
    looks: int = 0
    num_final_tests: int = 0
    seconds: float = 0.0
    ended_at: str | None = None


class Overview(Brief):
    """One study in a table of studies.

    Attributes:
        id: the shortest unique prefix of `study_id`, at least eight characters; commands accept it instead of the name.
        created_at: ISO time.
        tags: set by `bakeoff tag`.
    """

    id: str
    study_id: str
    name: str
    question: str
    created_at: str
    tags: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the row as plain values, for JSON."""
        return self.model_dump(mode="json", exclude={"stamp"})

    @property
    def measure(self) -> Measure | None:
        """The deciding metric on the split of the scores; None for a study that cannot be read."""
        return Measure(find_metric(self.metric), self.split) if self.metric else None


class Overviews:
    """Reads a workspace's studies, and keeps the rows of those that have not changed. Thread-safe.

    Args:
        folders: the workspace.
        writes: also keep rows in the workspace, for other processes, if it can be written. They are read in any case.
    """

    def __init__(self, folders: Folders, *, writes: bool) -> None:
        self._folders, self._writes = folders, writes
        self._briefs: dict[str, Brief] = {}
        self._lock = Lock()

    def read(self, seconds: float = math.inf) -> tuple[Overview, ...]:
        """Return all studies, newest first.

        Args:
            seconds: after this time no further row is computed; their verdict is then "not read yet".

        Raises:
            WorkspaceError: there is no readable ledger.
        """
        end = time.monotonic() + seconds
        with self._lock, open_reading(self._folders) as connection:
            listed, stamps, tags = list_studies(connection), _read_stamps(connection), read_tags(self._folders)
            short = shorten_ids([study.study_id for study in listed])
            briefs = [self._find(connection, study, stamps.get(study.study_id, ""), end) for study in listed]
            return tuple(
                _join(study, brief, short[study.study_id], tags.get(study.study_id, ()))
                for study, brief in zip(listed, briefs, strict=True)
            )

    def find(self, study_id: str) -> Overview | None:
        """Return one study, computing its row if need be; None if the ledger has no such study.

        Raises:
            WorkspaceError: there is no readable ledger.
        """
        with self._lock, open_reading(self._folders) as connection:
            listed = list_studies(connection)
            study = next((each for each in listed if each.study_id == study_id), None)
            if study is None:
                return None
            brief = self._find(connection, study, _read_stamps(connection).get(study_id, ""), math.inf)
            short = shorten_ids([each.study_id for each in listed])
            return _join(study, brief, short[study_id], read_tags(self._folders).get(study_id, ()))

    def _find(self, connection: sqlite3.Connection, study: ListedStudy, stamp: str, end: float) -> Brief:
        kept = self._briefs.get(study.study_id) or self._read_kept(study.study_id)
        if kept is None or kept.stamp != stamp:
            if time.monotonic() > end:
                return Brief(stamp="", state="unread", verdict="not read yet")
            kept = _make_brief(connection, study.study_id, self._folders, stamp)
            self._keep(study.study_id, kept)
        self._briefs[study.study_id] = kept
        return kept

    def _read_kept(self, study_id: str) -> Brief | None:
        try:
            return Brief.model_validate_json(self._folders.brief(study_id).read_bytes())
        except (OSError, ValidationError, ValueError):
            return None

    def _keep(self, study_id: str, brief: Brief) -> None:
        if not self._writes or brief.state not in ("done", "failed") or not study_id.isalnum():
            return
        text = brief.model_dump_json()
        try:
            write_whole(self._folders.brief(study_id), lambda path: path.write_text(text, encoding="utf-8"))
        except (BakeoffError, OSError):
            self._writes = False  # a workspace that cannot be written can be read all the same


def _join(study: ListedStudy, brief: Brief, short_id: str, tags: tuple[str, ...]) -> Overview:
    return Overview(
        **brief.model_dump(),
        id=short_id,
        study_id=study.study_id,
        name=study.name,
        question=study.question,
        created_at=study.created_at,
        tags=tags,
    )


def _make_brief(connection: sqlite3.Connection, study_id: str, folders: Folders, stamp: str) -> Brief:
    try:
        record = read_study(connection, study_id)
        cost = _read_cost(connection, study_id)
        if get_state(record) == "unfinished":
            _, plan = read_plan(record, connection)
            found = _describe(record, plan) | _describe_unfinished(record, plan)
        else:
            judged = judge_study(connection, study_id, folders)
            found = _describe(record, judged.plan) | _describe_ended(judged)
        return Brief(**found, **cost, stamp=stamp)
    except BakeoffError as error:
        return Brief(stamp=stamp, state="unreadable", verdict=str(error).splitlines()[0])


def _describe(record: StudyRecord, plan: Plan) -> dict[str, Any]:
    replicates = plan.study.replicates
    folds = plan.blocks[0].data.folds
    number = str(replicates) if isinstance(replicates, int) else f"{replicates.at_least} to {replicates.at_most}"
    return {
        "state": get_state(record),
        "datasets": tuple(dict.fromkeys(block.data.source.label for block in plan.blocks)),
        "blocks": tuple(block.label for block in plan.blocks),
        "arms": plan.arms,
        "replicates": f"{number}, {folds} folds" if folds else number,
        "metric": plan.study.decide.metric,
        "num_planned": record.num_planned,
        "num_done": sum(result.state == "done" for result in record.results),
        "num_failed": sum(result.state == "failed" for result in record.results),
        "num_final_tests": len(record.final_tests),
    }


def _describe_unfinished(record: StudyRecord, plan: Plan) -> dict[str, Any]:
    """Return the arm that leads so far by its mean on the validation split, in each block, and no verdict."""
    metric = plan.study.decide.metric
    scores: dict[tuple[str, str], list[float]] = {}
    for result in record.results:
        if result.state == "done":
            scores.setdefault((result.block, result.arm), []).append(result.metrics["validation"][metric])
    sign = 1 if find_metric(metric).higher_is_better else -1
    best = []
    for block in plan.blocks:
        means = {arm: fmean(own) for (label, arm), own in scores.items() if label == block.label}
        if means:
            arm = max(means, key=lambda name: sign * means[name])
            best.append(BestArm(block=block.label, arm=arm, score=means[arm]))
    if record.in_final_test:
        verdict = "final test not finished"
    else:
        verdict = f"not finished: {len(record.results):,} of {count(record.num_planned, 'trial')}"
    return {"best": tuple(best), "verdict": verdict}


def _describe_ended(judged: JudgedStudy) -> dict[str, Any]:
    summary = judged.summary
    sentences = tuple(answer.sentence for answer in summary.answers)
    return {
        "arms": summary.arm_labels,
        "split": summary.split,
        "best": tuple(_list_best(summary)),
        "standings": tuple(_list_standings(summary)),
        "verdict": write_short(summary),
        "sentences": (summary.overall, *sentences) if summary.overall else sentences,
        "looks": len(summary.looks),
    }


def _list_best(summary: Summary) -> Iterator[BestArm]:
    for answer in summary.answers:
        arms = {arm.arm: arm for arm in summary.arms_of(answer.block)}
        if answer.best is not None and answer.score is not None:
            yield BestArm(
                block=answer.block,
                arm=answer.best,
                score=answer.score.mean,
                interval=_find_interval(arms[answer.best], answer.score.mean, summary),
                ties=() if answer.baseline else answer.not_worse,
            )


def _list_standings(summary: Summary) -> Iterator[ArmStanding]:
    for answer in summary.answers:
        reference = answer.baseline or answer.best
        against = {} if reference is None else verdicts_against(summary, answer.block, reference)
        for arm in order_arms(summary, answer.block):
            score, verdict = arm.score(summary.measure), against.get(arm.arm)
            relation = "" if verdict is None else str(verdict.verdict)
            if arm.arm == reference and score is not None:
                relation = "baseline" if answer.baseline else "best"
            mean = None if score is None else score.mean
            yield ArmStanding(block=answer.block, arm=arm.arm, score=mean, relation=relation)


def _find_interval(arm: ArmSummary, mean: float, summary: Summary) -> tuple[float, float] | None:
    """Return Student's t interval of an arm's mean over replicates; None for fewer than two."""
    from scipy.special import stdtrit

    scores = list(arm.scores.values())
    if len(scores) < 2:
        return None
    reach = float(stdtrit(len(scores) - 1, (1 + summary.confidence) / 2)) * stdev(scores) / math.sqrt(len(scores))
    if not summary.measure.record.is_share:
        return mean - reach, mean + reach
    return max(0.0, mean - reach), min(1.0, mean + reach)


def _read_cost(connection: sqlite3.Connection, study_id: str) -> dict[str, Any]:
    """Return the training time of a study's trials, with that of frozen bodies' features, and when the last ended."""
    own = "(SELECT trial_id FROM placements WHERE study_id = ?)"
    query = f"SELECT SUM(seconds), MAX(finished_at) FROM trials WHERE id IN {own}"
    seconds, ended_at = connection.execute(query, (study_id,)).fetchone()
    features = 0.0
    if (read_version(connection) or 0) >= 4:
        query = (
            f"SELECT SUM(once) FROM (SELECT MAX(seconds) AS once FROM features WHERE trial_id IN {own} GROUP BY key)"
        )
        (features,) = connection.execute(query, (study_id,)).fetchone()
    return {"seconds": float(seconds or 0.0) + float(features or 0.0), "ended_at": ended_at}


def _read_stamps(connection: sqlite3.Connection) -> Mapping[str, str]:
    """Return by study a stamp of everything in the ledger that its row depends on, and of this version's code."""
    looks, code = _read_looks(connection), _hash_code()
    openings = dict(
        connection.execute("SELECT study_id, COUNT(*) || ' ' || MAX(id) FROM exams GROUP BY study_id").fetchall()
    )
    rows = connection.execute(
        "SELECT s.id, COUNT(e.trial_id), s.document, s.facts, COUNT(p.trial_id), COUNT(t.id), "
        "TOTAL(t.state = 'done'), MAX(t.finished_at), MAX(e.exam_id) FROM studies s LEFT JOIN placements p "
        "ON p.study_id = s.id LEFT JOIN trials t ON t.id = p.trial_id LEFT JOIN exam_results e "
        "ON e.trial_id = p.trial_id GROUP BY s.id".replace("s.facts", _facts_column(connection))
    )
    return {
        row[0]: _hash([code, *map(str, row), str(openings.get(row[0])), looks.before(row[0], row[1])]) for row in rows
    }


def _facts_column(connection: sqlite3.Connection) -> str:
    """Return the column that says what else a study's row depends on; ledgers of older versions lack it."""
    version = read_version(connection) or 0
    return "s.facts || s.asking" if version >= 3 else "s.facts" if version == 2 else "''"


@dataclass(frozen=True)
class _Looks:
    """The looks on record.

    Attributes:
        own: by study, its last look and the number of trials in it.
        last: the last look of any study.
    """

    own: Mapping[str, tuple[int, int]]
    last: int

    def before(self, study_id: str, num_tested: int) -> str:
        """Return the last look that a study's verdict depends on.

        Those after its own do not matter, unless that has not seen all trials that are tested now.
        """
        look, num_seen = self.own.get(study_id, (self.last, num_tested))
        return str(look if num_seen == num_tested else self.last)


def _read_looks(connection: sqlite3.Connection) -> _Looks:
    if (read_version(connection) or 0) < 5:  # older ledgers record none: their final tests are the looks
        (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM exams").fetchone()
        return _Looks({}, last)
    query = (
        "SELECT study_id, id, (SELECT COUNT(*) FROM look_trials WHERE look_id = id) FROM "
        "(SELECT study_id, MAX(id) AS id FROM looks GROUP BY study_id)"
    )
    own = {study_id: (look, number) for study_id, look, number in connection.execute(query)}
    return _Looks(own, max((look for look, _ in own.values()), default=0))


@cache
def _hash_code() -> str:
    """Return a hash of the code that computes rows: a version under development keeps its number."""
    sources = [
        path
        for package in ("bakeoff.stats", "bakeoff.report")
        for path in sorted(files(package).iterdir(), key=lambda path: path.name)
        if path.name.endswith(".py")
    ]
    return _hash([__version__, *(path.read_text("utf-8") for path in sources)])


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:32]


STATES = get_args(State)[:4]
FILTERS = ("state", "dataset", "tag", "name", "arm", "metric")
SORTS = ("date", "name", "state", "dataset", "metric", "score", "looks", "cost", "trials")


def select(rows: Sequence[Overview], filters: Sequence[str] = (), sort: str = "-date") -> tuple[Overview, ...]:
    """Return the rows that match all filters, sorted.

    Args:
        rows: newest first.
        filters: `FIELD=VALUE` with a field of FILTERS, or a text that is anywhere in the row; case does not matter.
        sort: one of SORTS, with `-` in front for descending order. Rows without a value come last.

    Raises:
        BakeoffError: no such order or state.
    """
    wanted = [text.removeprefix("state=").casefold() for text in filters if text.startswith("state=")]
    unknown = next((each for each in wanted if each not in STATES), None)
    if unknown is not None:
        allowed = f"{', '.join(STATES)}.{nearest(unknown, STATES)}"
        raise UnknownNameError(f"--filter state={unknown}: no such state. Allowed: {allowed}")
    key = sort.removeprefix("-")
    if key not in SORTS:
        raise UnknownNameError(
            f"--sort {sort}: unknown order. Allowed: {', '.join(SORTS)}, each also with '-'.{nearest(key, SORTS)}"
        )
    kept = [row for row in rows if all(_matches(row, text) for text in filters)]
    known = [row for row in kept if _sort_value(row, key) is not None]
    known.sort(key=lambda row: _sort_value(row, key), reverse=sort.startswith("-"))  # type: ignore[arg-type,return-value]
    return (*known, *(row for row in kept if _sort_value(row, key) is None))


def _matches(row: Overview, text: str) -> bool:
    field, equals, value = text.partition("=")
    wanted = value.casefold()
    fields: Mapping[str, Sequence[str]] = {
        "state": (row.state,),
        "dataset": row.datasets,
        "tag": row.tags,
        "name": (row.name,),
        "arm": row.arms,
        "metric": (row.metric,),
    }
    if equals and field in fields:
        return any(wanted == each.casefold() for each in fields[field])
    texts = (row.study_id, row.question, row.verdict, *(each for values in fields.values() for each in values))
    return any(text.casefold() in each.casefold() for each in texts)


def _sort_value(row: Overview, key: str) -> str | float | None:
    values: Mapping[str, str | float | None] = {
        "date": row.created_at,
        "name": row.name.casefold(),
        "state": row.state,
        "dataset": ", ".join(row.datasets) or None,
        "metric": row.metric or None,
        "score": row.best[0].score if row.best else None,
        "looks": row.looks,
        "cost": row.seconds,
        "trials": row.num_planned,
    }
    return values[key]
