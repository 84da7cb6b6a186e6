"""What all blocks say together: mean ranks, and which of them are not told apart (a critical-difference diagram)."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import round_all, scatter, spread
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.across import AcrossBlocks
from bakeoff.stats.measure import percent

MAX_ARMS = 40
MAX_BLOCKS = 40


def draw_ranks(report: ReportInput, block: str = "") -> FigureSpec | None:
    """Draw every arm's mean rank over the blocks, best on top, with its rank in each block; None for a single block.

    Below the arms stand the critical difference (Nemenyi) as a length, from the best mean rank on, and a bar for every
    group of arms that it does not tell apart (Demsar 2006). Both are absent in studies with a baseline. Beyond
    MAX_ARMS, the best are shown, without the bars; beyond MAX_BLOCKS, the ranks of the first.

    Args:
        report: with `across`.
        block: takes no part; all blocks do.
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
        yaxis={
            "tickvals": rows,
            "ticktext": names,
            "range": [rows[-1] + 0.6, -0.6],
            "showgrid": False,
        },
    )
    return FigureSpec(
        title="Mean rank over all blocks",
        alt=_describe(across),
        data=[_draw_blocks(across, arms), _draw_means(across, arms), *(trace for _, trace in below)],
        layout=layout,
    )


def _draw_blocks(across: AcrossBlocks, arms: tuple[str, ...]) -> dict[str, Any]:
    blocks = across.blocks[:MAX_BLOCKS]
    offsets = spread(len(blocks), 0.4)
    return scatter(
        "markers",
        round_all([across.ranks[block][arm] for arm in arms for block in blocks]),
        [round(row + offset, 3) for row in range(len(arms)) for offset in offsets],
        name="one block",
        text=[f"{label_text(arm)}, {label_text(block)}" for arm in arms for block in blocks],
        hover="%{text}: rank %{x:.3~g}",
        marker={"color": PALETTE[5], "size": 7, "opacity": 0.8},
    )


def _draw_means(across: AcrossBlocks, arms: tuple[str, ...]) -> dict[str, Any]:
    return scatter(
        "markers",
        round_all([across.mean_ranks[arm] for arm in arms]),
        list(range(len(arms))),
        name="mean rank",
        text=[label_text(arm) for arm in arms],
        hover="%{text}: mean rank %{x:.2f}",
        marker={"color": PALETTE[1], "size": 12, "symbol": "diamond"},
    )


def _draw_groups(across: AcrossBlocks, num_arms: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows below the arms: the critical difference, then every group that it does not tell apart."""
    critical = across.critical_difference
    if critical is None:
        return []
    best = across.mean_ranks[across.arms[0]]
    spans = [("critical difference", best, best + critical.value, f"{critical.value:.2f} ranks")]
    for group in critical.groups:
        told = ", ".join(label_text(arm) for arm in group[:6]) + (", ..." if len(group) > 6 else "")
        spans.append(("not told apart", across.mean_ranks[group[0]], across.mean_ranks[group[-1]], told))
    is_first = [name != spans[number - 1][0] for number, (name, *_) in enumerate(spans)]
    return [
        (
            name,
            _draw_bar(name, low, high, num_arms + 0.4 + 0.8 * number, told, PALETTE[0] if number else NEUTRAL, first),
        )
        for number, ((name, low, high, told), first) in enumerate(zip(spans, is_first, strict=True))
    ]


def _draw_bar(name: str, low: float, high: float, row: float, told: str, color: str, first: bool) -> dict[str, Any]:
    is_length = name == "critical difference"
    return scatter(
        "lines+markers",
        round_all([low, high]),
        [row, row],
        name=name,
        legendgroup=name,
        showlegend=first,
        text=[told, told],
        hover=f"{name}: %{{text}}",
        line={"color": color, "width": 2 if is_length else 5},
        marker={"symbol": "line-ns-open" if is_length else "circle", "size": 12 if is_length else 7, "color": color},
    )


def _describe(across: AcrossBlocks) -> str:
    means = "; ".join(f"{show_text(arm)} {across.mean_ranks[arm]:.2f}" for arm in across.arms[:8])
    rest = "" if len(across.arms) <= 8 else f"; and {count(len(across.arms) - 8, 'further arm')}"
    text = (
        f"Critical-difference diagram: mean ranks over {count(len(across.blocks), 'block')}, 1 is best: {means}{rest}."
    )
    critical = across.critical_difference
    if critical is None:
        return text
    text += f" Critical difference {critical.value:.2f} at {percent(critical.confidence)} confidence (Nemenyi)."
    groups = "; ".join(", ".join(show_text(arm) for arm in group) for group in critical.groups[:4])
    more = "; ..." if len(critical.groups) > 4 else ""
    return f"{text} Not told apart: {groups}{more}." if groups else f"{text} All arms are told apart."
