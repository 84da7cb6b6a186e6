"""ROC curves of a block's best arm: how well each class is separated from the rest, at any threshold."""

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
"""Number of classes with their own colour and legend entry: those with the smallest areas."""

_CLOSE_AUC = 0.9
_FRAMES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)

_NamedLine = tuple[RocLine, str]
"""A class's curve and name."""


def draw_roc(report: ReportInput, block: str, *, whole: bool = False) -> FigureSpec | None:
    """Draw the ROC curves of one block's best arm: every class against the rest, and their mean.

    The curves of a good model are all close to one corner, so the figure zooms in on it, unless `whole`. None if no
    curve is defined.
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
        xaxis={"title": {"text": "false positive rate: others predicted as the class"}, **_axis(0.0, reach)},
        yaxis={"title": {"text": "true positive rate: the class found"}, **_axis(foot, 1.0)},
    )
    lines = sorted(
        (
            (line, row.name)
            for line, row in zip(evidence.roc.classes, evidence.classes, strict=True)
            if line is not None
        ),
        key=lambda pair: -pair[0].auc,
    )
    traces = [*_draw_classes(lines, evidence.roc), macro]
    return FigureSpec(
        title=f"ROC curves of {show_text(evidence.arm)}, {evidence.split} split{'' if frame is None else ', close up'}",
        alt=_describe(evidence, lines, evidence.roc, frame),
        data=[*traces, chance] if frame is None else traces,
        layout=layout,
    )


def draw_whole_roc(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the same with both axes from 0 to 1; None unless `draw_roc` zooms in."""
    evidence = report.evidence_of(block)
    is_cut = evidence is not None and evidence.roc is not None and find_frame(evidence.roc) is not None
    return draw_roc(report, block, whole=True) if is_cut else None


def find_frame(roc: RocLines) -> tuple[float, float] | None:
    """Return the part of the square to zoom in to: the end of its x axis and the start of its y axis.

    Every class's curve bends inside it. None if the curves need the whole square.
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


def _draw_classes(lines: Sequence[_NamedLine], roc: RocLines) -> Iterator[dict[str, Any]]:
    """Yield the curves of the classes, the worst last and so on top; all but the worst share a legend entry."""
    others = lines[:-MOST_NAMED]
    for number, (line, name) in enumerate(others):
        trace = _draw_line(line, _label(line, name))
        trace |= {"line": {"color": NEUTRAL, "width": 1}, "legendgroup": "others", "showlegend": False}
        if number == 0:
            which = "the other" if len(lines) == roc.num_classes else "the next worst"
            trace |= {
                "showlegend": True,
                "legendrank": 3,
                "name": f"{which} {count(len(others), 'class', 'classes')}",
            }
        yield trace
    for number, (line, name) in enumerate(lines[-MOST_NAMED:]):
        style = {"color": PALETTE[1 + number], "width": 2, "dash": DASHES[number % len(DASHES)]}
        yield _draw_line(line, _label(line, name)) | {"line": style, "legendrank": 2}


def _draw_line(line: RocLine, name: str) -> dict[str, Any]:
    hover = "%{text}<br>finds %{y:.2%} of its images, with %{x:.2%} of the others"
    return scatter("lines", list(line.rates), list(line.heights), name=name, text=name, hover=hover)


def _label(line: RocLine, name: str) -> str:
    return f"{label_text(name)}, AUC {line.auc:.4f}"


def _describe(
    evidence: BlockEvidence, lines: Sequence[_NamedLine], roc: RocLines, frame: tuple[float, float] | None
) -> str:
    which, largest = f"the {len(lines)} hardest classes of {roc.num_classes:,}", ""
    if len(lines) == roc.num_classes:
        which = count(len(lines), "class", "classes")
        largest = f", largest for {show_text(lines[0][1])}, {lines[0][0].auc:.4f}"
    cut = ""
    if frame is not None:
        cut = f" The axes are cut to 0 to {frame[0]:.0%} and {frame[1]:.0%} to 100%."
    bound = math.ceil(roc.error * 1e4) / 1e4
    return (
        f"Line chart of ROC curves for {show_text(evidence.arm)} in {show_text(evidence.block)}, {evidence.split} "
        f"split, each of {which} against the rest, means over {count(evidence.num_trials, 'trial')}. Area under the "
        f"mean curve {roc.macro.auc:.4f}; smallest for {show_text(lines[-1][1])}, "
        f"{lines[-1][0].auc:.4f}{largest}.{cut} Drawn to within {bound:.2%}."
    )
