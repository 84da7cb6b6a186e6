"""The table of studies, and tables of settings that differ, as parts of a report and as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.report.export.frame import Frame, FrameColumn, Value
from bakeoff.report.overview import BestArm, Overview
from bakeoff.report.parts import Table
from bakeoff.report.tables import texts
from bakeoff.report.text import count, duration
from bakeoff.stats.measure import join_names
from bakeoff.study.differences import Difference

_MOST_NAMED = 3

COLUMNS: tuple[FrameColumn, ...] = (
    FrameColumn("id", "text"),
    FrameColumn("name", "text"),
    FrameColumn("question", "text"),
    FrameColumn("state", "text"),
    FrameColumn("datasets", "text"),
    FrameColumn("blocks", "integer"),
    FrameColumn("arms", "integer"),
    FrameColumn("replicates", "text"),
    FrameColumn("metric", "text"),
    FrameColumn("split", "text"),
    FrameColumn("best", "text"),
    FrameColumn("score", "number"),
    FrameColumn("score_low", "number"),
    FrameColumn("score_high", "number"),
    FrameColumn("ties", "text"),
    FrameColumn("verdict", "text"),
    FrameColumn("looks", "integer"),
    FrameColumn("final_tests", "integer"),
    FrameColumn("trials", "integer"),
    FrameColumn("trials_done", "integer"),
    FrameColumn("trials_failed", "integer"),
    FrameColumn("seconds", "number"),
    FrameColumn("created_at", "time"),
    FrameColumn("ended_at", "time"),
    FrameColumn("tags", "text"),
)
"""Scores are those of the first block with one; `--json` has all blocks."""


def make_frame(rows: Sequence[Overview]) -> Frame:
    """Return the studies as a tidy table."""
    return Frame(COLUMNS, (_list_values(row) for row in rows))


def _list_values(row: Overview) -> tuple[Value, ...]:
    best = row.best[0] if row.best else None
    low, high = (None, None) if best is None or best.interval is None else best.interval
    return (
        row.id,
        row.name,
        row.question,
        row.state,
        ", ".join(row.datasets),
        len(row.blocks),
        len(row.arms),
        row.replicates,
        row.metric,
        row.split if row.metric else "",
        best.arm if best else "",
        best.score if best else None,
        low,
        high,
        ", ".join(best.ties) if best else "",
        row.verdict,
        row.looks,
        row.num_final_tests,
        row.num_planned,
        row.num_done,
        row.num_failed,
        row.seconds,
        row.created_at,
        row.ended_at,
        ", ".join(row.tags),
    )


def tabulate_studies(rows: Sequence[Overview]) -> Table:
    """Return the studies as a table for a terminal: without questions, and short enough to be read."""
    columns = [
        texts("id", [row.id for row in rows]),
        texts("study", [row.name for row in rows]),
        texts("state", [row.state for row in rows]),
        texts("data", [", ".join(row.datasets) for row in rows]),
        texts("size", [describe_size(row) for row in rows]),
        texts("best", [describe_best(row) for row in rows]),
        texts("verdict", [row.verdict for row in rows]),
        texts("cost", [duration(row.seconds) for row in rows]),
        texts("started", [row.created_at[:10] for row in rows]),
        texts("tags", [", ".join(row.tags) for row in rows]),
    ]
    if not any(row.tags for row in rows):
        columns.pop()
    sacrifices = [("drop", key) for key in ("started", "cost", "size", "data")]
    return Table(columns=columns, sacrifices=[("fold", ""), *sacrifices])


def tabulate_all(rows: Sequence[Overview]) -> Table:
    """Return the studies as a table with all that it holds, for Markdown and pages."""
    return Table(
        columns=[
            texts("study", [row.name for row in rows]),
            texts("id", [row.id for row in rows]),
            texts("question", [row.question for row in rows]),
            texts("state", [row.state for row in rows]),
            texts("data", [", ".join(row.datasets) for row in rows]),
            texts("size", [describe_size(row) for row in rows]),
            texts("metric", [row.measure.label if row.measure else "" for row in rows]),
            texts("best", [describe_best(row) for row in rows]),
            texts("verdict", [row.verdict for row in rows]),
            texts("test split", [describe_looks(row) for row in rows]),
            texts("cost", [duration(row.seconds) for row in rows]),
            texts("started", [row.created_at[:10] for row in rows]),
            texts("tags", [", ".join(row.tags) for row in rows]),
        ]
    )


def tabulate_differences(names: Sequence[str], differences: Sequence[Difference]) -> Table:
    """Return the settings that differ, one row each and one column for each of what is compared."""
    columns = [texts("setting", [each.setting for each in differences])]
    for number, name in enumerate(names):
        columns.append(texts(f"{number}", [each.values[number] for each in differences], name))
    return Table(columns=columns)


def describe_size(row: Overview) -> str:
    """Return a study's arms and replicates, such as "3 arms x 5", and its blocks if there are several."""
    if not row.arms:
        return ""
    size = f"{count(len(row.arms), 'arm')} x {row.replicates}"
    return f"{size}, {count(len(row.blocks), 'block')}" if len(row.blocks) > 1 else size


def describe_looks(row: Overview) -> str:
    """Return whether the test split has been opened, and how many looks at the question there were."""
    if not row.num_final_tests:
        return "closed"
    return "opened" if row.looks <= 1 else f"opened, {row.looks} looks"


def describe_best(row: Overview) -> str:
    """Return the best arm with its score and interval; of several blocks, what is best in most of them."""
    if not row.best:
        return "-"
    if len(row.best) > 1:
        wins = {each.arm: sum(other.arm == each.arm for other in row.best) for each in row.best}
        most = max(wins.values())
        leaders = [arm for arm, number in wins.items() if number == most]
        named = join_names(leaders) if len(leaders) <= _MOST_NAMED else f"{len(leaders)} arms"
        return f"{named} (in {most} of {len(row.best)} blocks{' each' if len(leaders) > 1 else ''})"
    return f"{row.best[0].arm} {describe_score(row, row.best[0])}"


def describe_score(row: Overview, best: BestArm) -> str:
    """Return an arm's mean score, with its interval if there is one, such as "91.6% (88.9 to 94.3)"."""
    measure = row.measure
    if measure is None:
        return ""
    decimals = 1 if measure.record.is_share else 2
    score = measure.value(best.score, decimals)
    return score if best.interval is None else f"{score} ({measure.interval(best.interval, decimals)})"
