"""What was understood of runs that others trained: the first thing to check, before any verdict on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Bullets, Part, Section, Table
from bakeoff.report.tables import PAGES, Medium, texts
from bakeoff.report.text import count


@dataclass(frozen=True)
class Understood:
    """How the results of another tool were read.

    Attributes:
        rows: what and how: arms, replicates, metric, pairs, ...
        notes: sentences on what was not read or not used.
    """

    rows: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def find_understood(report: ReportInput) -> Understood | None:
    """Return how a report's results were read; None for a study of our own."""
    found: Understood | None = report.facts.get("understood")
    return found


def write_understood(report: ReportInput) -> Iterator[Part]:
    """Yield the table of what was understood, with notes."""
    found = find_understood(report)
    if found is None:
        return
    columns = [texts("what", (name for name, _ in found.rows)), texts("understood", (text for _, text in found.rows))]
    yield Table(caption="What was read, and how", columns=columns, media=PAGES | Medium.TERMINAL)
    if found.notes:
        yield Bullets(lines=found.notes, role="quiet", media=PAGES | Medium.TERMINAL)


def describe_runs(report: ReportInput) -> str:
    """Say how many runs were judged, and that others trained them."""
    summary = report.summary
    blocks = f"{count(len(summary.blocks), 'block')} x " if len(summary.blocks) > 1 else ""
    return (
        f"{blocks}{count(len(summary.arm_labels), 'arm')}, {count(report.num_done, 'run')} that were trained "
        "elsewhere: what was tuned, stopped early or left out there is not known; the runs are taken as they are."
    )


def _dump(report: ReportInput) -> dict[str, Any]:
    found = find_understood(report)
    return (
        {}
        if found is None
        else {"understood": {**{name.replace(" ", "_"): text for name, text in found.rows}, "notes": list(found.notes)}}
    )


SECTION = Section(name="understood", title="What was understood", write=write_understood, dump=_dump)
