"""ROC curves: how well each class is separated from the rest, at any threshold."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.roc import MOST_NAMED, draw_roc, draw_whole_roc
from bakeoff.report.parts import Details, Figure, Paragraph, Part, Section, by_block
from bakeoff.report.tables import Medium


def write_roc(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield the ROC curves of a block's best arm."""
    evidence = report.evidence_of(block)
    if evidence is None or evidence.roc is None:
        return
    yield Paragraph(
        text=f"Given one image of a class and one of another, {evidence.arm} gives the first a higher probability of "
        f"that class in {100 * evidence.roc.macro.auc:.2f}% of cases, averaged over classes (macro AUC).",
        names=(evidence.arm,),
    )
    worst = f" The {MOST_NAMED} hardest classes are named." if evidence.roc.num_classes > MOST_NAMED else ""
    reading = f"Curves closer to the top left corner are better.{worst}"
    yield Paragraph(text=reading, role="quiet", media=Medium.HTML)
    yield Figure(draw=draw_roc)
    yield Details(summary="The whole curves, both axes from 0% to 100%", parts=(Figure(draw=draw_whole_roc),))


SECTION = Section(name="roc", title="ROC curves", write=by_block(write_roc))
