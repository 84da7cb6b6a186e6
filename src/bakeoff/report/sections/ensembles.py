"""Ensembles: every vote beside its members, score by score and class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import CLASS_SCORES, EnsembleReport, name_members
from bakeoff.report.figures.ensembles import draw_ensembles
from bakeoff.report.parts import (
    MOST_BLOCKS_IN_FULL,
    Bullets,
    Details,
    Figure,
    Paragraph,
    Part,
    Section,
    Table,
    by_block,
    terminal_if_few,
)
from bakeoff.report.tables import (
    PAGES,
    Column,
    Medium,
    describe_rows,
    format_all,
    format_mean,
    leave_out,
    numbers,
    pick_worst,
    texts,
)
from bakeoff.stats.ensembles import find_vote
from bakeoff.stats.measure import Measure, join_names
from bakeoff.stats.metrics import find_metric

_MOST_LINES_ON_PAGE = 4
_MOST_SENTENCES, _MOST_CLASSES, _MOST_CLASS_TABLES = 3, 12, 2
"""In a terminal: sentences about votes over replicates or folds, classes in a table, and such tables."""


def write_ensembles(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield a block's ensembles, if it has any."""
    mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
    if not mine:
        return
    yield Figure(draw=draw_ensembles)
    lines = Bullets(lines=tuple(ensemble.sentence for ensemble in mine))
    is_long = len(mine) > _MOST_LINES_ON_PAGE
    yield Details(summary=f"All {len(mine)} ensembles in words", parts=(lines,)) if is_long else lines
    splits = {each.split for each in mine}
    where = f" on the {mine[0].split} split" if len(splits) == 1 else ""
    yield Table(
        caption="Before and after the vote",
        label="ensembles",
        paper=f"{block}: ensembles before and after the vote{where}. Before: the best member alone or, for one arm's "
        "models, their mean; after: mean ± standard deviation over the votes. The changes have no verdicts.",
        columns=leave_out(tabulate_ensembles(mine), Medium.LATEX, lambda each: each.key != "split" or len(splits) > 1),
        # What distinguishes the rows is dropped last: a vote over replicates has a row for every arm.
        sacrifices=[("drop", "votes"), ("drop", "split"), ("fold", ""), ("drop", "by"), ("drop", "of")],
        media=PAGES | Medium.LATEX | terminal_if_few(report.summary),
    )
    for each in mine:
        columns = tabulate_classes(each)
        caption = f"Class by class on the {each.split} split, before ({each.before}) and after ({each.label})"
        of = "" if each.over == "arms" else f" of {each.before}"
        which = describe_rows(len(each.classes), len(columns[0].cells))
        table = Table(caption=caption, columns=columns)
        yield Details(summary=f"Class by class: {each.label}{of}, {which}", parts=(table,))
    if len(report.summary.blocks) <= MOST_BLOCKS_IN_FULL:
        yield from _list_for_terminal(mine)


def _list_for_terminal(mine: Sequence[EnsembleReport]) -> Iterator[Part]:
    """Yield the sentences, fewer if there are many, and the F1 of classes if these are few."""
    single = [each for each in mine if each.over != "arms"]
    are_many = len(single) > _MOST_SENTENCES
    lines = [each.sentence for each in mine if each.over == "arms" or not are_many]
    if are_many:
        names = join_names(list(dict.fromkeys(each.label for each in single)))
        lines.append(f"{names}: one value each, without an interval or a verdict, because there is no other vote.")
    for line in lines:
        yield Paragraph(text=line, media=Medium.TERMINAL)
    for each in mine[:_MOST_CLASS_TABLES] if len(mine[0].classes) <= _MOST_CLASSES else ():
        table = Table(columns=tabulate_classes(each, scores=("f1",)), media=Medium.TERMINAL)
        summary = f"Class by class, {each.before} before, {each.label} after"
        yield Details(summary=summary, parts=(table,), media=Medium.TERMINAL)


def tabulate_ensembles(reports: Sequence[EnsembleReport]) -> list[Column]:
    """Tabulate the ensembles of one block: members, kind of vote, and the score before and after."""
    rows = [(report, Measure(find_metric(report.metric), report.split)) for report in reports]
    record = rows[0][1].record
    label = record.label + (" %" if record.is_share else "")
    changes = (measure.signed(report.score.mean - report.before_score) for report, measure in rows)
    return [
        texts("ensemble", (report.label for report in reports)),
        texts("by", (find_vote(report.by).label for report in reports)),
        texts("of", map(name_members, reports)),
        texts("split", (report.split for report in reports)),
        numbers("votes", (str(report.num_votes) for report in reports)),
        numbers("before", (measure.number(report.before_score) for report, measure in rows), "before", label),
        numbers("after", (format_mean(measure, r.score, unit=False) for r, measure in rows), "after", label),
        numbers("change", changes, "", "change"),
    ]


def tabulate_classes(report: EnsembleReport, scores: Sequence[str] = CLASS_SCORES) -> list[Column]:
    """Tabulate precision, recall and F1 (or some of them) before and after the vote, a row per class."""
    shown = pick_worst(report.classes, [change.f1[1] for change in report.classes])
    columns = [texts("class", (change.name for change in shown))]
    for score in scores:
        pairs = [getattr(change, score) for change in shown]
        for position, word in enumerate(("before", "after")):
            cells = format_all((pair[position] for pair in pairs), "{:.4f}".format)
            columns.append(numbers(f"{score} {word}", cells, score, word))
    if len(scores) == 1:
        changes = (None if None in pair else round(pair[1] - pair[0], 4) or 0.0 for pair in pairs)
        cells = format_all(changes, "{:+.4f}".format)
        columns.append(numbers("change", cells, "", "change"))
    return columns


SECTION = Section(
    name="ensembles",
    title="Ensembles",
    write=by_block(write_ensembles),
    dump=lambda report: {"ensembles": [asdict(ensemble) for ensemble in report.ensembles]},
)
