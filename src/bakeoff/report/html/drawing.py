"""Which figures a page shows: every kind in every block that has something to draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.figures.classes import draw_classes
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.figures.cost import draw_cost, draw_size
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.figures.ensembles import draw_ensembles
from bakeoff.report.figures.importance import draw_importance, draw_slices
from bakeoff.report.figures.lineage import draw_lineage
from bakeoff.report.figures.ranks import draw_ranks
from bakeoff.report.figures.roc import draw_roc, draw_whole_roc
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.steps import draw_steps
from bakeoff.report.html.parts import Figure, Part

DRAWERS: tuple[tuple[str, Callable[[ReportInput, str], FigureSpec | None]], ...] = (
    ("differences", draw_differences),
    ("scores", draw_scores),
    ("curves of loss", partial(draw_curves, metric="loss")),
    ("curves of accuracy", partial(draw_curves, metric="accuracy")),
    ("classes", draw_classes),
    ("confusion", draw_confusion),
    ("roc", draw_roc),
    ("whole roc", draw_whole_roc),
    ("calibration", draw_calibration),
    ("search", draw_search),
    ("steps", draw_steps),
    ("ensembles", draw_ensembles),
    ("importance", draw_importance),
    ("slices", draw_slices),
    ("lineage", draw_lineage),
    ("cost", draw_cost),
    ("size", draw_size),
)
"""Kind of figure and what draws it in one block, or returns None where there is nothing to draw."""


def draw_figures(report: ReportInput) -> dict[tuple[str, str], Part]:
    """Draw all figures of a report: (kind, block) -> figure; of all blocks together, ("ranks", "")."""
    drawn = {(kind, block): draw(report, block) for kind, draw in DRAWERS for block in report.summary.blocks}
    drawn["ranks", ""] = draw_ranks(report)
    return {key: Figure(spec=spec) for key, spec in drawn.items() if spec is not None}
