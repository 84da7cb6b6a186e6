"""The sections of a report, one file each: to add one, write its file and list it here."""

from __future__ import annotations

from bakeoff.report.parts import Section
from bakeoff.report.sections import (
    answer,
    appendix,
    basis,
    blocks,
    calibration,
    classes,
    comparison,
    cost,
    curves,
    ensembles,
    failures,
    mistakes,
    published,
    roc,
    search,
    steps,
)

SECTIONS: tuple[Section, ...] = (
    answer.SECTION,
    basis.SECTION,
    blocks.SECTION,
    comparison.SECTION,
    steps.SECTION,
    curves.SECTION,
    classes.SECTION,
    mistakes.SECTION,
    roc.SECTION,
    calibration.SECTION,
    search.SECTION,
    ensembles.SECTION,
    published.SECTION,
    cost.SECTION,
    failures.SECTION,
    appendix.SECTION,
)
"""In the order in which a reader asks."""


def list_sections() -> tuple[Section, ...]:
    """Return every section of a report."""
    return SECTIONS
