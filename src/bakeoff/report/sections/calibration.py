"""Calibration: how far the probabilities of each block's best arm can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.parts import Figure, Paragraph, Part, Section, by_block


def write_calibration(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield the calibration error and reliability curve of a block's best arm."""
    evidence = report.evidence_of(block)
    error = None if evidence is None else evidence.averages.get("expected_calibration_error")
    if evidence is not None and error is not None:
        yield Paragraph(
            text=f"The confidence of {evidence.arm} is off by {100 * error:.1f} points on average (expected "
            "calibration error); perfect calibration is 0."
        )
    yield Figure(draw=draw_calibration)


SECTION = Section(name="calibration", title="Calibration", write=by_block(write_calibration))
