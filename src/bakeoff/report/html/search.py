"""The search on the page: how it went, what mattered in it, and where its winner comes from."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.html.comparison import Figures
from bakeoff.report.html.parts import Bullets, Details, Paragraph, Part, make_table, name_block
from bakeoff.report.importance import describe_importance
from bakeoff.report.search import SearchReport, describe_search, tabulate_groups, tabulate_lineage

_MOST_ANCESTORS_OPEN = 12


def describe_searches(report: ReportInput, figures: Figures) -> Iterator[Part]:
    """Yield every block's search: its history, importance, lineage and candidates; nothing without one."""
    for search in report.searches:
        yield from name_block(report, search.block)
        yield Bullets(lines=tuple(describe_search(search)))
        yield from _show(figures, "search", search)
        groups = make_table(f"Values by {search.group_noun}, on the validation split", tabulate_groups(search))
        yield Details(summary=f"Values by {search.group_noun}", parts=(groups,))
        yield from _importance(search, figures)
        yield from _show(figures, "lineage", search)
        yield from _lineages(search)
        columns = tabulate_lineage(search.candidates, search.objectives[0])
        table = make_table("What every candidate changes of the default recipe", columns)
        yield Details(summary=f"All {len(search.candidates)} candidates", parts=(table,))


def _show(figures: Figures, kind: str, search: SearchReport) -> Iterator[Part]:
    if (kind, search.block) in figures:
        yield figures[kind, search.block]


def _importance(search: SearchReport, figures: Figures) -> Iterator[Part]:
    if search.importance is None:
        return
    names = tuple(field.field for field in search.importance.fields)
    yield Paragraph(text=describe_importance(search.importance), names=names)
    yield from _show(figures, "importance", search)
    yield from _show(figures, "slices", search)


def _lineages(search: SearchReport) -> Iterator[Part]:
    for kind in search.kinds:
        if kind.winner is not None and len(kind.lineage) > 1:
            caption = f"Where {kind.kind} {kind.winner.number} comes from, itself last"
            columns = tabulate_lineage(kind.lineage, search.objectives[0])
            # A recipe of many layers fills a screen; how each came about is what a lineage tells.
            table = make_table(caption, [column for column in columns if column.key != "changes"])
            is_long = len(kind.lineage) > _MOST_ANCESTORS_OPEN
            yield Details(summary=caption, parts=(table,)) if is_long else table
