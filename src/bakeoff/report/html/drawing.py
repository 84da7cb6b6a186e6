"""Which figures a page shows: every kind in every block that has something to draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.figures.cost import draw_cost
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.html.parts import Figure, Part

DRAWERS: tuple[tuple[str, Callable[[ReportInput, str], FigureSpec | None]], ...] = (
    ("scores", draw_scores),
    ("curves of loss", partial(draw_curves, metric="loss")),
    ("curves of accuracy", partial(draw_curves, metric="accuracy")),
    ("confusion", draw_confusion),
    ("calibration", draw_calibration),
    ("search", draw_search),
    ("cost", draw_cost),
)
"""Kind of figure and what draws it in one block, or returns None where there is nothing to draw."""


def draw_figures(report: ReportInput) -> dict[tuple[str, str], Part]:
    """Draw all figures of a report: (kind, block) -> figure."""
    drawn = {(kind, block): draw(report, block) for kind, draw in DRAWERS for block in report.summary.blocks}
    return {key: Figure(spec=spec) for key, spec in drawn.items() if spec is not None}
