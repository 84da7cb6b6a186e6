"""The learning curves of every block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.parts import Figure, InBlock, Part, Section


def write_curves(report: ReportInput) -> Iterator[Part]:
    """Yield the curves of loss and accuracy."""
    for block in report.summary.blocks:
        drawn = (Figure(draw=partial(draw_curves, report, block, metric)) for metric in ("loss", "accuracy"))
        yield InBlock(block=block, parts=tuple(drawn))


SECTION = Section(name="curves", title="Learning curves", write=write_curves)
