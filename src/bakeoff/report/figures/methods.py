"""The figures as methods of a result, for notebooks. Plotly is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bakeoff.errors import OptionError, UnknownNameError, nearest
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.figures.classes import draw_classes
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.figures.cost import draw_cost, draw_size
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.figures.ensembles import draw_ensembles
from bakeoff.report.figures.factors import draw_choices
from bakeoff.report.figures.importance import draw_importance, draw_slices
from bakeoff.report.figures.lineage import draw_lineage
from bakeoff.report.figures.ranks import draw_ranks
from bakeoff.report.figures.roc import draw_roc
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.steps import draw_steps
from bakeoff.report.figures.theme import MODES, Mode, label_text, make_template

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Draw = Callable[[ReportInput, str], FigureSpec | None]


class Plots:
    """Figures of one report, each a plotly `Figure`.

    Every method takes a block's label (by default the first) and a mode, light or dark. It raises BakeoffError if the
    study does not have the block, or if the ledger holds nothing to draw.
    """

    report: ReportInput

    def plot_differences(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot each arm's difference from the best one or the baseline: every replicate, mean and verdict."""
        return self._plot("verdicts", draw_differences, block, mode)

    def plot_scores(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot every replicate's score, with means and, if no verdicts are given, their intervals."""
        return self._plot("scores", draw_scores, block, mode)

    def plot_curves(self, block: str | None = None, metric: str = "loss", *, mode: Mode = "light") -> Figure:
        """Plot learning curves of accuracy, loss or the deciding metric: training above, validation below."""
        return self._plot(f"curves of {metric}", lambda report, at: draw_curves(report, at, metric), block, mode)

    def plot_confusion(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot the confusion matrix of the best arm."""
        return self._plot("predictions", draw_confusion, block, mode)

    def plot_classes(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot precision, recall and F1 of every class for the best arm, hardest first."""
        return self._plot("predictions", draw_classes, block, mode)

    def plot_roc(self, block: str | None = None, *, whole: bool = False, mode: Mode = "light") -> Figure:
        """Plot the ROC curves of the best arm, zoomed in to where they bend; `whole` shows both axes in full."""
        return self._plot("ROC curves", lambda report, at: draw_roc(report, at, whole=whole), block, mode)

    def plot_calibration(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot accuracy against confidence for the best arm."""
        return self._plot("predictions", draw_calibration, block, mode)

    def plot_search(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot a search's history: candidates, best so far and mean."""
        return self._plot("search", draw_search, block, mode)

    def plot_cost(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot training time against score, if there are two arms or more."""
        return self._plot("costs of two arms", draw_cost, block, mode)

    def plot_size(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot trained parameters against score, if arms differ in size."""
        return self._plot("arms of two sizes", draw_size, block, mode)

    def plot_steps(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot what each step of an ablation chain adds, with its interval."""
        return self._plot("steps", draw_steps, block, mode)

    def plot_choices(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot which choices matter, where axes of arms are crossed: the range of every axis's level means."""
        return self._plot("crossed axes", draw_choices, block, mode)

    def plot_ensembles(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot every ensemble before and after the vote."""
        return self._plot("ensembles", draw_ensembles, block, mode)

    def plot_importance(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot which fields mattered in a search, compared with chance, if there are twenty candidates or more."""
        return self._plot("search with enough candidates", draw_importance, block, mode)

    def plot_slices(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot the candidates' scores against the fields that mattered most."""
        return self._plot("search with enough candidates", draw_slices, block, mode)

    def plot_lineage(self, block: str | None = None, *, mode: Mode = "light") -> Figure:
        """Plot the ancestors of an evolved winner."""
        return self._plot("ancestors of a winner", draw_lineage, block, mode)

    def plot_ranks(self, *, mode: Mode = "light") -> Figure:
        """Plot the mean ranks over all blocks with the critical difference, if there are two blocks or more."""
        spec = draw_ranks(self.report)
        if spec is None:
            raise OptionError("ranks need two or more blocks in which every arm has a score.")
        return to_plotly(spec, mode)

    def _plot(self, what: str, draw: Draw, block: str | None, mode: Mode) -> Figure:
        blocks = self.report.summary.blocks
        chosen = blocks[0] if block is None else block
        if chosen not in blocks:
            raise UnknownNameError(
                f"there is no block '{chosen}'. Blocks: {', '.join(blocks)}.{nearest(chosen, blocks)}"
            )
        spec = draw(self.report, chosen)
        if spec is None:
            raise OptionError(f"the ledger holds no {what} for block '{chosen}', so there is nothing to plot.")
        return to_plotly(spec, mode)


def to_plotly(spec: FigureSpec, mode: Mode = "light") -> Figure:
    """Return a plotly `Figure` with its title and template; its text alternative is `layout.meta.alt`.

    Raises:
        BakeoffError: the mode is neither light nor dark.
    """
    import plotly.graph_objects as go  # slow to import

    if mode not in MODES:
        raise OptionError(f"mode must be light or dark, not '{mode}'.")
    title = {"text": label_text(spec.title, 120)}
    margin = {**spec.layout["margin"], "t": 64}
    layout = {**spec.layout, "title": title, "margin": margin, "meta": {"alt": spec.alt}}
    return go.Figure(data=spec.data, layout={**layout, "template": make_template(mode)})
