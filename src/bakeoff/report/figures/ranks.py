"""Mean ranks over all blocks, and which arms they do not distinguish (a critical-difference diagram)."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import draw_points, list_some, round_all, scatter, spread
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.across import AcrossBlocks
from bakeoff.stats.measure import percent

MAX_ARMS = 40
MAX_BLOCKS = 40


def draw_ranks(report: ReportInput, block: str = "") -> FigureSpec | None:
    """Draw every arm's mean rank over the blocks, best on top, with its rank in each block; None for a single block.

    Below the arms are the critical difference (Nemenyi), as a length from the best mean rank, and a bar for every group
    of arms that it does not separate (Demsar 2006). Studies with a baseline have neither. Of more than MAX_ARMS, the
    best are shown, without the bars; of more than MAX_BLOCKS, the ranks in the first. `block` is ignored.
    """
    across = report.across
    if across is None:
        return None
    arms = across.arms[:MAX_ARMS]
    below = _draw_groups(across, len(arms)) if len(arms) == len(across.arms) else []
    names = [label_text(arm) for arm in arms] + [name for name, _ in below]
    rows = [*range(len(arms)), *(len(arms) + 0.4 + 0.8 * number for number in range(len(below)))]
    layout = make_layout(
        150 + 34 * len(arms) + 27 * len(below),
        xaxis={"title": {"text": "rank, 1 is best"}, "range": [0.7, len(across.arms) + 0.3], "tickformat": ".3~g"},
        yaxis={"tickvals": rows, "ticktext": names, "range": [rows[-1] + 0.6, -0.6], "showgrid": False},
    )
    return FigureSpec(
        title="Mean rank over all blocks",
        alt=_describe(across),
        data=[*_draw_arms(across, arms), *(trace for _, trace in below)],
        layout=layout,
    )


def _draw_arms(across: AcrossBlocks, arms: tuple[str, ...]) -> list[dict[str, Any]]:
    blocks = across.blocks[:MAX_BLOCKS]
    ranks = [
        (across.ranks[block][arm], round(row + offset, 3), f"{label_text(arm)}, {label_text(block)}")
        for row, arm in enumerate(arms)
        for block, offset in zip(blocks, spread(len(blocks), 0.4), strict=True)
    ]
    means = [(across.mean_ranks[arm], row, label_text(arm)) for row, arm in enumerate(arms)]
    small, large = ({"color": PALETTE[5], "size": 7, "opacity": 0.8}, {"color": PALETTE[1], "size": 12})
    return [
        *draw_points("one block", ranks, small, hover="%{text}: rank %{x:.3~g}"),
        *draw_points("mean rank", means, large | {"symbol": "diamond"}, hover="%{text}: mean rank %{x:.2f}"),
    ]


def _draw_groups(across: AcrossBlocks, num_arms: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows below the arms, name and bar: the critical difference, then groups it does not separate."""
    critical = across.critical_difference
    if critical is None:
        return []
    best = across.mean_ranks[across.arms[0]]
    length = scatter(
        "lines+markers",
        round_all([best, best + critical.value]),
        [num_arms + 0.4] * 2,
        name="critical difference",
        legendgroup="critical difference",
        showlegend=True,
        text=[f"{critical.value:.2f} ranks"] * 2,
        hover="critical difference: %{text}",
        line={"color": NEUTRAL, "width": 2},
        marker={"symbol": "line-ns-open", "size": 12, "color": NEUTRAL},
    )
    bars = [
        scatter(
            "lines+markers",
            round_all([across.mean_ranks[group[0]], across.mean_ranks[group[-1]]]),
            [num_arms + 0.4 + 0.8 * number] * 2,
            name="not told apart",
            legendgroup="not told apart",
            showlegend=number == 1,
            text=[", ".join(label_text(arm) for arm in group[:6]) + (", ..." if len(group) > 6 else "")] * 2,
            hover="not told apart: %{text}",
            line={"color": PALETTE[0], "width": 5},
            marker={"symbol": "circle", "size": 7, "color": PALETTE[0]},
        )
        for number, group in enumerate(critical.groups, 1)
    ]
    return [("critical difference", length), *(("not told apart", bar) for bar in bars)]


def _describe(across: AcrossBlocks) -> str:
    means = list_some([f"{show_text(arm)} {across.mean_ranks[arm]:.2f}" for arm in across.arms], "arm")
    text = f"Critical-difference diagram: mean ranks over {count(len(across.blocks), 'block')}, 1 is best: {means}."
    critical = across.critical_difference
    if critical is None:
        return text
    text += f" Critical difference {critical.value:.2f} at {percent(critical.confidence)} confidence (Nemenyi)."
    groups = "; ".join(", ".join(show_text(arm) for arm in group) for group in critical.groups[:4])
    more = "; ..." if len(critical.groups) > 4 else ""
    return f"{text} Not told apart: {groups}{more}." if groups else f"{text} All arms are told apart."
