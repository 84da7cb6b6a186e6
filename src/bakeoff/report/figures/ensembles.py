"""Each ensemble's score before and after the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.figures.shared import draw_points, list_some, metric_axis, round_all, row_axis, scatter
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
        data=[_draw_lines(mine), *_draw_scores(mine)],
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


def _draw_scores(mine: Sequence[EnsembleReport]) -> list[dict[str, Any]]:
    """Draw the mean of all models if several arms vote, the score before the vote, and the vote."""
    alone, before, after = [], [], []
    for row, each in enumerate(mine):
        label, vote = label_text(each.label), f"{find_vote(each.by).label} of {count(each.num_models, 'model')}"
        if each.over == "arms":
            text = f"all models of {label} alone, mean: {_format(each, each.mean_score)}"
            alone.append((each.mean_score, row, text))
        text = f"before: {label_text(each.before)} alone, {_format(each, each.before_score)}"
        before.append((each.before_score, row, text))
        after.append((each.score.mean, row, f"after: {label}, {vote}, {_format(each, each.score.mean)}"))
    names = ["best member alone"] if alone else []
    names += ["one model alone, mean"] if len(alone) < len(mine) else []
    look = {"size": 13, "line": {"width": 2.5}}
    return [
        *draw_points("all models alone, mean", alone, {**look, "symbol": "line-ns-open", "color": NEUTRAL}),
        *draw_points(f"before: {' or '.join(names)}", before, {**look, "symbol": "circle-open", "color": PALETTE[0]}),
        *_draw_votes(mine, after),
    ]


def _draw_votes(mine: Sequence[EnsembleReport], points: Sequence[tuple[float, int, str]]) -> list[dict[str, Any]]:
    marker = {"size": 13, "symbol": "diamond", "color": PALETTE[1]}
    spreads = [ensemble.score.sd or 0.0 for ensemble in mine]
    if not any(spreads):
        return draw_points("after: the vote", points, marker)
    bars = {"type": "data", "array": round_all(spreads), "color": PALETTE[1], "thickness": 2}
    return draw_points("after: the vote, ± sd over votes", points, marker, error_x=bars)


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
