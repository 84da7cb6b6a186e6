"""The ROC curves: how well classes are told from the rest at any threshold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.roc import MOST_NAMED, draw_roc, draw_whole_roc
from bakeoff.report.parts import Details, Figure, InBlock, Paragraph, Part, Section
from bakeoff.report.tables import Medium


def write_roc(report: ReportInput) -> Iterator[Part]:
    """Yield the curves of every block's best arm."""
    for evidence in report.evidence:
        if evidence.roc is None:
            continue
        told = Paragraph(
            text=f"Of an image of a class and one of another, {evidence.arm} gives the first the higher probability of "
            f"that class in {100 * evidence.roc.macro.auc:.2f}% of cases, averaged over classes (macro AUC).",
            names=(evidence.arm,),
        )
        worst = f" The {MOST_NAMED} classes told apart worst are named."
        reading = "The higher and the further left a curve, the better."
        reading += worst if evidence.roc.num_classes > MOST_NAMED else ""
        explained = Paragraph(text=reading, role="quiet", media=Medium.HTML)
        bent, whole = (Figure(draw=partial(draw, report, evidence.block)) for draw in (draw_roc, draw_whole_roc))
        folded = Details(summary="The whole curves, both axes from 0% to 100%", parts=(whole,))
        yield InBlock(block=evidence.block, parts=(told, explained, bent, folded))


SECTION = Section(name="roc", title="ROC curves", write=write_roc)
