"""The confusion matrix of a block's best arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.figures.shared import name_axis
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import label_text, make_layout
from bakeoff.report.text import count, show_text

MAX_LABELLED = 15
_TICKS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)


def draw_confusion(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the confusion matrix of one block's best arm; None if no predictions are stored."""
    evidence = report.evidence_of(block)
    if evidence is None:
        return None
    names = evidence.confusion_names
    axis = {"showgrid": False, "constrain": "domain"}
    layout = make_layout(
        max(360, min(900, 150 + 34 * len(names))),
        xaxis=name_axis(names, title={"text": "predicted class"}, **axis),
        yaxis=name_axis(names, title={"text": "true class"}, autorange="reversed", **axis),
    )
    some = ""
    if len(names) < len(evidence.classes):
        some = f", the {len(names)} classes confused most of {len(evidence.classes):,}"
    title = f"Confusion matrix of {show_text(evidence.arm)}, {evidence.split} split{some}"
    return FigureSpec(title=title, alt=_describe(names, evidence), data=[_draw_cells(names, evidence)], layout=layout)


def _draw_cells(names: Sequence[str], evidence: BlockEvidence) -> dict[str, Any]:
    """Draw each cell by the square root of its fraction of the true class, so that rare mistakes stay visible.

    Up to MAX_LABELLED classes, the cells show their counts.
    """
    shares = [
        [number / max(1, images) for number in row]
        for row, images in zip(evidence.confusion, evidence.confusion_images, strict=True)
    ]
    trace = {
        "type": "heatmap",
        "z": [[round(math.sqrt(share), 4) for share in row] for row in shares],
        "zmin": 0,
        "zmax": 1,
        "autocolorscale": True,
        "xgap": 1,
        "ygap": 1,
        "hovertext": _hover(names, evidence, shares),
        "hoverinfo": "text",
        "colorbar": {
            "title": {"text": "fraction of the true class", "side": "right"},
            "tickvals": [math.sqrt(tick) for tick in _TICKS],
            "ticktext": [f"{tick:.0%}" for tick in _TICKS],
            "thickness": 12,
            "outlinewidth": 0,
        },
    }
    if len(names) <= MAX_LABELLED:
        trace |= {"text": [[str(n) if n else "" for n in row] for row in evidence.confusion], "texttemplate": "%{text}"}
    return trace


def _hover(names: Sequence[str], evidence: BlockEvidence, shares: Sequence[Sequence[float]]) -> list[list[str]]:
    labels = [label_text(name) for name in names]
    return [
        [
            f"true {labels[row]}, predicted {labels[column]}<br>{count(number, 'image')}, {shares[row][column]:.2%}"
            for column, number in enumerate(numbers)
        ]
        for row, numbers in enumerate(evidence.confusion)
    ]


def _describe(names: Sequence[str], evidence: BlockEvidence) -> str:
    cells = [
        (number, f"{show_text(names[row])} predicted as {show_text(names[column])} ({count(number, 'image')})")
        for row, numbers in enumerate(evidence.confusion)
        for column, number in enumerate(numbers)
        if row != column and number
    ]
    worst = [text for _, text in sorted(cells, key=lambda cell: -cell[0])[:3]]
    mistakes = f"Most frequent mistakes: {'; '.join(worst)}." if worst else "There are no mistakes."
    return (
        f"Heat map of true against predicted class for {show_text(evidence.arm)} in {show_text(evidence.block)}, "
        f"{evidence.split} split, summed over {count(evidence.num_trials, 'trial')}. {mistakes}"
    )
