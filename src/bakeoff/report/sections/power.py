"""What more replicates would show: the detectable difference over replicates, from the study's own variance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bakeoff.driver.prospects import find_prospects
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.power import draw_power, find_prospect
from bakeoff.report.parts import Bullets, Figure, Part, Section, by_block
from bakeoff.stats.prospects import Prospects, describe_more


def _gather(sources: Sources) -> dict[str, Any]:
    found = find_prospects(
        sources.plan,
        workspace=sources.folders.root,
        data_dir=sources.data_dir,
        connection=sources.connection,
        is_run=True,
    )
    return {"power": found}


def write_power(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield what a block can show; nothing if its trials do not tell."""
    prospect = find_prospect(report, block)
    if prospect is None:
        return
    yield Bullets(lines=tuple(f"{_begin(text)}." for text in describe_more(prospect)))
    yield Figure(draw=draw_power)


def _begin(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _dump(report: ReportInput) -> dict[str, Any]:
    found = report.facts.get("power")
    return {"power": found.dump()} if isinstance(found, Prospects) else {}


SECTION = Section(
    name="power", title="What more replicates would show", gather=_gather, write=by_block(write_power), dump=_dump
)
