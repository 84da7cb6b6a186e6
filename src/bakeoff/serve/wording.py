"""The text of the live pages: a study's state, its speed, the leading arms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from bakeoff.ledger.live import ArmProgress, StudyProgress
from bakeoff.report.overview import Overview
from bakeoff.report.overview_table import describe_best, describe_looks, describe_size
from bakeoff.report.text import count, duration
from bakeoff.serve.figures import rank
from bakeoff.serve.watch import Pace
from bakeoff.serve.workspace import Seen
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric

MAX_ROWS = 50
MAX_LEADERS = 3

RELATIONS = {"best": "best mean", "inconclusive": "not settled"}
"""How relations to the best arm or the baseline are written, where not as they are."""


@dataclass(frozen=True)
class StudyState:
    """A study's state, in words.

    Attributes:
        word: the state in a word or two; `kind`: done, growing, failed or open, for styling.
        sentence: what is done, running and failed.
        pace: its speed; empty if unknown.
        done_share, started_share: fractions of its trials, 0 to 1.
    """

    word: str
    kind: str
    sentence: str
    pace: str
    done_share: float
    started_share: float


@dataclass(frozen=True)
class Leader:
    """The best arm of a block so far."""

    block: str
    arm: str
    score: str


@dataclass(frozen=True)
class Row:
    """One arm in the table of a block, in words; `relation`: its verdict relative to the best arm or the baseline."""

    arm: str
    trials: str
    now: str
    score: str
    is_best: bool
    relation: str = ""


def describe_state(progress: StudyProgress, pace: Pace) -> StudyState:
    """Describe a study's state and speed."""
    word, kind = _name_state(progress, pace)
    ended, planned = progress.num_done + progress.num_failed, progress.num_planned
    parts = [f"{progress.num_done:,} of {count(planned, 'trial')} done"] if planned else []
    if progress.num_failed:
        parts.append(f"{progress.num_failed:,} failed")
    if progress.num_started:
        parts.append(f"{progress.num_started:,} started")
    if progress.num_candidates:
        judged = f", {progress.num_judged:,} judged" if progress.asking else ""
        parts.append(
            f"{count(progress.num_candidates, 'candidate')} {'so far' if progress.asking else 'tried'}{judged}"
        )
    parts.append(f"{count(progress.num_epochs, 'epoch')} trained")
    if progress.num_tested:
        parts.append(f"test split opened for {count(progress.num_tested, 'trial')}")
    share = 1.0 / planned if planned else 0.0
    is_going = pace.is_growing and not progress.is_ended
    rate = f"{pace.epochs_per_minute:,.0f} epochs per minute" if is_going and pace.epochs_per_minute else ""
    return StudyState(word, kind, ", ".join(parts), rate, ended * share, progress.num_started * share)


def _name_state(progress: StudyProgress, pace: Pace) -> tuple[str, str]:
    if progress.is_ended:
        if progress.num_failed:
            return "ended, some trials failed", "failed"
        if progress.num_tested < progress.num_done:
            return f"trained, test split {'opened in part' if progress.num_tested else 'not opened'}", "open"
        return "done", "done"
    if pace.is_growing and progress.num_epochs:
        return "searching" if progress.asking else "training", "growing"
    return ("unfinished" if progress.num_epochs else "not started"), "open"


def list_leaders(progress: StudyProgress) -> tuple[tuple[Leader, ...], int]:
    """Return the best arm so far of the first blocks that have one, and the number of further such blocks."""
    measure = Measure(find_metric(progress.metric), "validation")
    leaders = []
    for block in progress.blocks:
        scored = [arm for arm in progress.arms if arm.block == block and arm.score is not None]
        for best in rank(scored, progress.metric)[:1]:
            leaders.append(Leader(block, best.arm, measure.value(best.score or 0.0)))
    return tuple(leaders[:MAX_LEADERS]), max(0, len(leaders) - MAX_LEADERS)


def list_rows(progress: StudyProgress, block: str) -> tuple[tuple[Row, ...], int]:
    """Return the arms of a block for a table, best first, and how many more there are."""
    ranked = rank([arm for arm in progress.arms if arm.block == block], progress.metric)
    measure = Measure(find_metric(progress.metric), "validation")
    rows = [
        Row(
            arm=arm.arm,
            trials=_count_trials(arm),
            now=_format_training(arm),
            score="" if arm.score is None else measure.value(arm.score),
            is_best=arm.score is not None and arm.score == ranked[0].score,
        )
        for arm in ranked
    ]
    return tuple(rows[:MAX_ROWS]), max(0, len(rows) - MAX_ROWS)


def find_verdict(seen: Seen) -> Overview | None:
    """Return a study's row in the table of studies if it has a verdict: all its trials have ended."""
    overview = seen.overview
    if overview is None or not seen.progress.is_ended or not overview.sentences:
        return None
    return overview


def list_judged(overview: Overview, progress: StudyProgress, block: str) -> tuple[tuple[Row, ...], int]:
    """Return the arms of a block with their verdicts for a table, best first, and how many more there are."""
    measure, ended = overview.measure, {arm.arm: arm for arm in progress.arms if arm.block == block}
    assert measure is not None, "a study with verdicts can be read"
    rows = [
        Row(
            arm=each.arm,
            trials=_count_trials(ended[each.arm]) if each.arm in ended else "-",
            now="",
            score="" if each.score is None else measure.value(each.score),
            is_best=False,
            relation=RELATIONS.get(each.relation, each.relation),
        )
        for each in overview.standings
        if each.block == block
    ]
    return tuple(rows[:MAX_ROWS]), max(0, len(rows) - MAX_ROWS)


def describe_overview(row: Overview) -> dict[str, str]:
    """Return the cells of a study's row in the table of studies."""
    return {
        "size": describe_size(row),
        "best": describe_best(row),
        "measure": "" if row.measure is None else row.measure.label,
        "looks": describe_looks(row),
        "cost": duration(row.seconds),
        "kind": {"done": "done", "failed": "failed", "unreadable": "failed"}.get(row.state, "open"),
    }


def label_score(progress: StudyProgress, judged: Overview | None = None) -> str:
    """Return the name of the table's scores."""
    if judged is not None and judged.measure is not None:
        return f"mean {judged.measure.label}"
    return f"mean validation {find_metric(progress.metric).label}"


def format_time(moment: str) -> str:
    """Format an ISO time in UTC to the minute, such as "2026-11-20 14:50 UTC"."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _count_trials(arm: ArmProgress) -> str:
    failed = f", {arm.num_failed:,} failed" if arm.num_failed else ""
    return f"{arm.num_done:,} of {arm.num_planned:,}{failed}"


def _format_training(arm: ArmProgress) -> str:
    if not arm.num_started:
        return ""
    epochs = f"epochs {arm.first_epoch:,} to {arm.last_epoch:,}"
    if arm.first_epoch == arm.last_epoch:
        epochs = f"epoch {arm.last_epoch:,}"
    return f"{count(arm.num_started, 'trial')} after {epochs}"
