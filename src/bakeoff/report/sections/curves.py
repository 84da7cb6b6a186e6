"""The learning curves of every block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from bakeoff.ledger.curves import read_study_epochs
from bakeoff.report.curves import describe_curves
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.parts import Figure, Part, Section, by_block


def _gather(sources: Sources) -> dict[str, Any]:
    metrics = tuple(dict.fromkeys(("accuracy", "loss", sources.study.decide.metric)))
    return {"curves": describe_curves(read_study_epochs(sources.connection, sources.study_id), metrics)}


def write_curves(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield a block's learning curves of loss and accuracy."""
    yield from (Figure(draw=partial(draw_curves, metric=metric)) for metric in ("loss", "accuracy"))


SECTION = Section(name="curves", title="Learning curves", gather=_gather, write=by_block(write_curves))
