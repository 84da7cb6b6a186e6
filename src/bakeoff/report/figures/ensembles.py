"""Each ensemble's score before and after the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.figures.shared import list_some, metric_axis, round_all, row_axis, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.ensembles import find_vote
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric

MAX_ENSEMBLES = 30


def draw_ensembles(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's ensembles, a row each: the member before, the vote after; None without an ensemble.

    If several arms vote, a tick is the mean of all their models. The vote's bar is its standard deviation over votes,
    if there are several. Different splits are named beside the ensembles.
    """
    mine = [ensemble for ensemble in report.ensembles if ensemble.block == block][:MAX_ENSEMBLES]
    if not mine:
        return None
    record = find_metric(mine[0].metric)
    splits = {ensemble.split for ensemble in mine}
    title = record.label if len(splits) > 1 else Measure(record, mine[0].split).label
    names = [_name(ensemble, with_split=len(splits) > 1) for ensemble in mine]
    return FigureSpec(
        title=f"Before and after the vote: {title}",
        alt=_describe(mine, block),
        data=[_draw_lines(mine), *_draw_alone(mine), _draw_before(mine), _draw_after(mine)],
        layout=make_layout(
            150 + 38 * len(mine), xaxis=metric_axis(record, title), yaxis=row_axis(list(map(label_text, names)))
        ),
    )


def _name(ensemble: EnsembleReport, *, with_split: bool) -> str:
    split = f" ({ensemble.split})" if with_split else ""
    return f"{ensemble.label}{'' if ensemble.over == 'arms' else f': {ensemble.before}'}{split}"


def _format(ensemble: EnsembleReport, value: float) -> str:
    return Measure(find_metric(ensemble.metric), ensemble.split).value(value)


def _draw_lines(mine: Sequence[EnsembleReport]) -> dict[str, Any]:
    return scatter(
        "lines",
        round_all([x for ensemble in mine for x in (ensemble.before_score, ensemble.score.mean, None)]),
        [y for row in range(len(mine)) for y in (row, row, None)],
        line={"color": NEUTRAL, "width": 3},
    )


def _draw_alone(mine: Sequence[EnsembleReport]) -> list[dict[str, Any]]:
    """Return the mean of all models; for a vote of one arm's models, that is the score before the vote."""
    rows = [(row, ensemble) for row, ensemble in enumerate(mine) if ensemble.over == "arms"]
    if not rows:
        return []
    texts = [
        f"all models of {label_text(ensemble.label)} alone, mean: {_format(ensemble, ensemble.mean_score)}"
        for _, ensemble in rows
    ]
    values = [ensemble.mean_score for _, ensemble in rows]
    look = {"symbol": "line-ns-open", "color": NEUTRAL, "line": {"width": 2.5}}
    return [_draw_points("all models alone, mean", values, texts, look) | {"y": [row for row, _ in rows]}]


def _draw_before(mine: Sequence[EnsembleReport]) -> dict[str, Any]:
    texts = [
        f"before: {label_text(ensemble.before)} alone, {_format(ensemble, ensemble.before_score)}" for ensemble in mine
    ]
    values = [ensemble.before_score for ensemble in mine]
    overs = {ensemble.over == "arms" for ensemble in mine}
    words = {True: "best member alone", False: "one model alone, mean"}
    name = f"before: {' or '.join(word for is_arms, word in words.items() if is_arms in overs)}"
    return _draw_points(name, values, texts, {"symbol": "circle-open", "color": PALETTE[0], "line": {"width": 2.5}})


def _draw_after(mine: Sequence[EnsembleReport]) -> dict[str, Any]:
    texts = [
        f"after: {label_text(ensemble.label)}, {find_vote(ensemble.by).label} of "
        f"{count(ensemble.num_models, 'model')}, {_format(ensemble, ensemble.score.mean)}"
        for ensemble in mine
    ]
    values = [ensemble.score.mean for ensemble in mine]
    trace = _draw_points("after: the vote", values, texts, {"symbol": "diamond", "color": PALETTE[1]})
    spreads = [ensemble.score.sd or 0.0 for ensemble in mine]
    if any(spreads):
        trace["name"] = "after: the vote, ± sd over votes"
        trace["error_x"] = {"type": "data", "array": round_all(spreads), "color": PALETTE[1], "thickness": 2}
    return trace


def _draw_points(name: str, values: Sequence[float], texts: list[str], look: dict[str, Any]) -> dict[str, Any]:
    marker = {"size": 13, **look}
    rows = list(range(len(values)))
    return scatter("markers", round_all(values), rows, name=name, text=texts, hover="%{text}", marker=marker)


def _describe(mine: Sequence[EnsembleReport], block: str) -> str:
    changes = [
        f"{show_text(ensemble.label)} from {_format(ensemble, ensemble.before_score)} "
        f"({show_text(ensemble.before)}) to {_format(ensemble, ensemble.score.mean)}"
        for ensemble in mine
    ]
    return (
        f"Chart of {count(len(mine), 'ensemble')} in {show_text(block)}, best member alone and the vote: "
        f"{list_some(changes, 'ensemble')}."
    )
