"""Calibration: whether the probabilities of every block's best arm are to be believed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.parts import Figure, InBlock, Paragraph, Part, Section


def write_calibration(report: ReportInput) -> Iterator[Part]:
    """Yield the calibration error and the reliability curve."""
    for evidence in report.evidence:
        error = evidence.averages.get("expected_calibration_error")
        drawn = Figure(draw=partial(draw_calibration, report, evidence.block))
        told: list[Part] = []
        if error is not None:
            text = (
                f"The confidence that {evidence.arm} states is off by {100 * error:.1f} points on average (expected "
                "calibration error); a perfectly calibrated one would be off by 0."
            )
            told.append(Paragraph(text=text))
        yield InBlock(block=evidence.block, parts=(*told, drawn))


SECTION = Section(name="calibration", title="Calibration", write=write_calibration)
