"""How well classes are told from the rest, whatever the threshold: ROC curves of a block's best arm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.figures.shared import scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import DASHES, NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.roc import RocLine, RocLines
from bakeoff.report.text import count, show_text

MOST_NAMED = 4
"""Classes whose curves have a colour and a line in the legend of their own: those of the smallest areas."""

_CLOSE_AUC = 0.9
_FRAMES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def draw_roc(report: ReportInput, block: str, *, whole: bool = False) -> FigureSpec | None:
    """Draw the ROC curves of one block's best arm: every class against the rest, and their mean.

    Curves of a good model all hug one corner, so the axes are cut to it; None where nothing defines a curve.

    Args:
        report: what is told.
        block: its label.
        whole: show both axes from 0 to 1.
    """
    evidence = report.evidence_of(block)
    if evidence is None or evidence.roc is None:
        return None
    frame = None if whole else find_frame(evidence.roc)
    macro = _draw_line(evidence.roc.macro, f"mean of all classes, AUC {evidence.roc.macro.auc:.4f}")
    macro |= {"line": {"color": PALETTE[0], "width": 4}, "legendrank": 1}
    chance = scatter(
        "lines", [0, 1], [0, 1], name="chance", line={"color": NEUTRAL, "width": 1.5, "dash": "dot"}, legendrank=4
    )
    reach, foot = (1.0, 0.0) if frame is None else frame
    layout = make_layout(
        480,
        xaxis={"title": {"text": "false positive rate: others taken for the class"}, **_axis(0.0, reach)},
        yaxis={"title": {"text": "true positive rate: the class found"}, **_axis(foot, 1.0)},
    )
    cut = "" if frame is None else ", close up"
    lines = [*_draw_classes(evidence, evidence.roc), macro]
    return FigureSpec(
        title=f"ROC curves of {show_text(evidence.arm)}, {evidence.split} split{cut}",
        alt=_describe(evidence, evidence.roc, frame),
        data=[*lines, chance] if frame is None else lines,
        layout=layout,
    )


def draw_whole_roc(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the same with both axes from 0 to 1; None where `draw_roc` does."""
    evidence = report.evidence_of(block)
    is_cut = evidence is not None and evidence.roc is not None and find_frame(evidence.roc) is not None
    return draw_roc(report, block, whole=True) if is_cut else None


def find_frame(roc: RocLines) -> tuple[float, float] | None:
    """Return what part of the square is worth a closer look: the end of its x axis and the start of its y axis.

    Every class's curve bends inside it. None where the curves need the whole square.
    """
    lines = [line for line in roc.classes if line is not None]
    if min(line.auc for line in lines) < _CLOSE_AUC:
        return None
    # The bend is where a curve is farthest from the diagonal.
    bends = [max(zip(line.rates, line.heights, strict=True), key=lambda at: at[1] - at[0]) for line in lines]
    reach = next((frame for frame in _FRAMES if frame >= 1.3 * max(x for x, _ in bends)), None)
    foot = next((frame for frame in _FRAMES if frame >= 1.3 * (1 - min(y for _, y in bends))), None)
    return None if reach is None or foot is None else (reach, 1 - foot)


def _axis(low: float, high: float) -> dict[str, Any]:
    room = 0.02 * (high - low)
    return {"range": [round(low - room, 4), round(high + room, 4)], "tickformat": ".2~%"}


def _draw_classes(evidence: BlockEvidence, roc: RocLines) -> Iterator[dict[str, Any]]:
    """Yield the curves of the classes, the worst last and so on top; all others share one entry of the legend."""
    order = sorted(_defined(roc), key=lambda number: -_line(roc, number).auc)
    named = order[-MOST_NAMED:]
    others = order[: len(order) - len(named)]
    for number in others:
        trace = _draw_line(_line(roc, number), _label(evidence, roc, number))
        trace |= {"line": {"color": NEUTRAL, "width": 1}, "legendgroup": "others", "showlegend": False}
        if number == others[0]:
            trace |= {"showlegend": True, "legendrank": 3}
            beside = "the other" if len(order) == roc.num_classes else "the next worst"
            trace["name"] = f"{beside} {count(len(others), 'class', 'classes')}"
        yield trace
    for place, number in enumerate(named):
        trace = _draw_line(_line(roc, number), _label(evidence, roc, number))
        yield trace | {
            "line": {"color": PALETTE[1 + place], "width": 2, "dash": DASHES[place % len(DASHES)]},
            "legendrank": 2,
        }


def _draw_line(line: RocLine, name: str) -> dict[str, Any]:
    return scatter(
        "lines",
        list(line.rates),
        list(line.heights),
        name=name,
        text=name,
        hover="%{text}<br>finds %{y:.2%} of its images, with %{x:.2%} of the others",
    )


def _label(evidence: BlockEvidence, roc: RocLines, number: int) -> str:
    return f"{label_text(evidence.classes[number].name)}, AUC {_line(roc, number).auc:.4f}"


def _defined(roc: RocLines) -> Sequence[int]:
    return [number for number, line in enumerate(roc.classes) if line is not None]


def _count_drawn(order: Sequence[int], roc: RocLines) -> str:
    if len(order) == roc.num_classes:
        return count(len(order), "class", "classes")
    return f"the {len(order)} classes told apart worst, of {roc.num_classes:,},"


def _line(roc: RocLines, number: int) -> RocLine:
    line = roc.classes[number]
    assert line is not None
    return line


def _describe(evidence: BlockEvidence, roc: RocLines, frame: tuple[float, float] | None) -> str:
    order = sorted(_defined(roc), key=lambda number: _line(roc, number).auc)
    worst, best = order[0], order[-1]
    names = [show_text(evidence.classes[number].name) for number in (worst, best)]
    largest = f", largest for {names[1]}, {_line(roc, best).auc:.4f}" if len(order) == roc.num_classes else ""
    cut = ""
    if frame is not None:
        cut = f" The axes are cut to 0 to {frame[0]:.0%} and {frame[1]:.0%} to 100%."
    # Rounded up, as a bound is.
    bound = math.ceil(roc.error * 1e4) / 1e4
    return (
        f"Line chart of ROC curves for {show_text(evidence.arm)} in {show_text(evidence.block)}, {evidence.split} "
        f"split, each of {_count_drawn(order, roc)} against the rest, means over "
        f"{count(evidence.num_trials, 'trial')}. Area under the mean curve {roc.macro.auc:.4f}; smallest for "
        f"{names[0]}, {_line(roc, worst).auc:.4f}{largest}.{cut} Drawn to "
        f"within {bound:.2%}."
    )
