"""A section of the report: how long the arms trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Part, Section, Table
from bakeoff.report.tables import EVERYWHERE, numbers, texts


def write(report: ReportInput) -> Iterator[Part]:
    """Yield the section's parts, for all outputs at once; a section without parts is left out."""
    arms = [arm for arm in report.summary.arms if arm.epochs is not None]
    if arms:
        columns = [
            texts("block", [arm.block for arm in arms]),
            texts("arm", [arm.arm for arm in arms]),
            numbers("epochs", [f"{arm.epochs.mean:.1f}" for arm in arms if arm.epochs]),
        ]
        yield Table(caption="Mean epochs trained", label="lengths", columns=columns, media=EVERYWHERE)


def dump(report: ReportInput) -> Mapping[str, Any]:
    """Return what the section adds to the JSON document."""
    lengths = [
        {"block": arm.block, "arm": arm.arm, "epochs": arm.epochs.mean} for arm in report.summary.arms if arm.epochs
    ]
    return {"lengths": lengths}


LENGTHS = Section(name="lengths", title="Lengths of training", write=write, dump=dump)
