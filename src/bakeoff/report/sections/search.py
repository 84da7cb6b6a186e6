"""The search: its history, what mattered in it, and its winner's lineage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.importance import draw_importance, draw_slices
from bakeoff.report.figures.lineage import draw_lineage
from bakeoff.report.figures.search import draw_search
from bakeoff.report.importance import describe_importance
from bakeoff.report.parts import Bullets, Details, Figure, InBlock, Paragraph, Part, Section, Table
from bakeoff.report.search import SearchReport, describe_search, describe_searches, format_candidate, format_value
from bakeoff.report.tables import Column, Medium, format_all, numbers, texts

_MOST_ANCESTORS_OPEN = 12


def _gather(sources: Sources) -> dict[str, Any]:
    return {"searches": describe_searches(sources.plan, sources.record.candidates)}


def write_search(report: ReportInput) -> Iterator[Part]:
    """Yield every block's search: its history, importance, lineage and candidates."""
    for search in report.searches:
        yield from _show_in_terminal(report, search)
        yield InBlock(block=search.block, parts=tuple(_show_on_page(search)))


def _show_in_terminal(report: ReportInput, search: SearchReport) -> Iterator[Part]:
    sacrifices = [("drop", "best so far"), ("drop", "new"), ("drop", "mean")]
    yield Table(columns=tabulate_groups(search), sacrifices=sacrifices, media=Medium.TERMINAL)
    where = f"{search.block}: " if len(report.searches) > 1 else ""
    yield Bullets(lines=tuple(f"{where}{line}" for line in describe_search(search)), media=Medium.TERMINAL)


def _show_on_page(search: SearchReport) -> Iterator[Part]:
    yield Bullets(lines=tuple(describe_search(search)))
    yield Figure(draw=draw_search)
    by_group = f"Values by {search.group_noun}"
    groups = Table(caption=f"{by_group}, on the validation split", columns=tabulate_groups(search))
    yield Details(summary=by_group, parts=(groups,))
    if search.importance is not None:
        names = tuple(field.field for field in search.importance.fields)
        yield Paragraph(text=describe_importance(search.importance), names=names)
        yield Figure(draw=draw_importance)
        yield Figure(draw=draw_slices)
    yield Figure(draw=draw_lineage)
    yield from _trace_winners(search)
    columns = tabulate_lineage(search.candidates, search.objectives[0])
    table = Table(caption="What every candidate changes in the default recipe", columns=columns)
    yield Details(summary=f"All {len(search.candidates)} candidates", parts=(table,))


def _trace_winners(search: SearchReport) -> Iterator[Part]:
    for kind in search.kinds:
        if kind.winner is not None and len(kind.lineage) > 1:
            caption = f"Lineage of {kind.kind} {kind.winner.number}, oldest first"
            columns = tabulate_lineage(kind.lineage, search.objectives[0])
            # Recipes of many layers would fill a screen, and a lineage is about how each was made.
            table = Table(caption=caption, columns=[column for column in columns if column.key != "changes"])
            is_long = len(kind.lineage) > _MOST_ANCESTORS_OPEN
            yield Details(summary=caption, parts=(table,)) if is_long else table


def tabulate_groups(report: SearchReport) -> list[Column]:
    """Tabulate best and mean value by group or generation, for the search and its baseline."""
    objective = report.objectives[0]
    found = sorted({group.number for kind in report.kinds for group in kind.groups})
    columns = [numbers("group", map(str, found), report.group_noun)]
    for kind in report.kinds:
        by_number = {group.number: group for group in kind.groups}
        groups = [by_number.get(number) for number in found]
        name = "search" if kind.kind == "candidate" else "random"
        new = format_all(None if group is None else str(group.num_new) for group in groups)
        columns.append(numbers(f"{name} new", new, name, "new"))
        for header in ("best", "mean", "best so far"):
            values = [None if group is None else getattr(group, header.replace(" ", "_")) for group in groups]
            cells = (format_value(objective, value) for value in values)
            columns.append(numbers(f"{name} {header}", cells, name, header))
    return columns


def tabulate_lineage(rows: Sequence[CandidateRow], objective: str) -> list[Column]:
    """Tabulate candidates: generation, value, how each was made, and its changes."""
    values = (format_value(objective, row.scores.get(objective)) for row in rows)
    return [
        numbers("candidate", (str(row.number) for row in rows)),
        numbers("generation", (str(row.generation) for row in rows)),
        numbers("value", values, f"validation {objective}"),
        texts("how it was made", ("; ".join(row.notes) for row in rows)),
        texts("changes", map(format_candidate, rows)),
    ]


def _dump(report: ReportInput) -> dict[str, Any]:
    dumped = [
        {**asdict(search), "candidates": [asdict(row) for row in search.candidates]} for search in report.searches
    ]
    return {"searches": dumped}


SECTION = Section(name="search", title="Search", gather=_gather, write=write_search, dump=_dump)
