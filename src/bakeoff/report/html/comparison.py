"""The answer and the comparison on the page: where the arms stand, and what every pair comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bakeoff.analysis.across import AcrossBlocks
from bakeoff.analysis.measure import Measure, percent
from bakeoff.analysis.results import BlockAnswer, MeanSd, Summary, Verdict
from bakeoff.analysis.wording import write_pairing
from bakeoff.report.all_scores import tabulate_all_scores
from bakeoff.report.html.parts import (
    Cell,
    Details,
    Figure,
    Heading,
    Paragraph,
    Part,
    Section,
    Standing,
    Standings,
    Table,
    make_section,
    make_table,
)
from bakeoff.report.tables import (
    Column,
    explain_pairs,
    list_marks,
    measure_of,
    order_arms,
    order_verdicts,
    phrase,
    runs_of,
    tabulate_effects,
    tabulate_overview,
    tabulate_pairs,
    tabulate_rank_pairs,
    tabulate_ranks,
    tabulate_scores,
)
from bakeoff.report.text import p_value

Figures = Mapping[tuple[str, str], Part]
"""(kind of figure, block) -> the figure; those that have nothing to draw are absent. One of all blocks has block ""."""

_MOST_BLOCKS_IN_ANSWER = 3
_MOST_ARMS_IN_ANSWER = 16
_MOST_ARMS_IN_MATRIX = 12


def stand_arms(summary: Summary, figures: Figures) -> Iterator[Part]:
    """Yield how the arms stand, best first, block by block; nothing where that would be long or says nothing."""
    if len(summary.blocks) > _MOST_BLOCKS_IN_ANSWER or not 2 <= len(summary.arm_labels) <= _MOST_ARMS_IN_ANSWER:
        return
    for answer in summary.answers:
        if answer.best is not None:
            yield from [figures["differences", answer.block]] if ("differences", answer.block) in figures else []
            yield _stand(summary, answer, answer.baseline or answer.best)
    if summary.verdicts:
        yield Paragraph(text=_explain(summary), is_quiet=True)


def _stand(summary: Summary, answer: BlockAnswer, reference: str) -> Standings:
    measure = measure_of(summary)
    against = {
        seen.a: seen
        for verdict in summary.verdicts_of(answer.block)
        if reference in (verdict.a, verdict.b)
        for seen in [verdict.seen_from(verdict.b if verdict.a == reference else verdict.a)]
    }
    where = f" on {answer.block}" if len(summary.blocks) > 1 else ""
    return Standings(
        caption=f"Arms{where}, best first, each against {reference}",
        measure=f"{measure.label}, mean ± sd",
        difference=f"difference{measure.unit_of_difference and ', points'} ({percent(summary.confidence)} interval)",
        against=reference,
        rows=tuple(
            _stand_arm(arm.arm, _spell_score(arm.score(measure), measure), against.get(arm.arm), answer, measure)
            for arm in order_arms(summary, answer.block)
        ),
    )


def _stand_arm(arm: str, score: str, verdict: Verdict | None, answer: BlockAnswer, measure: Measure) -> Standing:
    if verdict is None:
        is_reference = arm == (answer.baseline or answer.best)
        role = "the baseline" if answer.baseline else "the best mean"
        return Standing(arm=arm, score=score, verdict="", words=role if is_reference else "not compared")
    difference = "" if verdict.difference is None else measure.signed(verdict.difference)
    if verdict.interval is not None:
        difference += f" ({measure.interval(verdict.interval)})"
    return Standing(
        arm=arm, score=score, verdict=verdict.verdict, words=f"{phrase(verdict)} {verdict.b}", difference=difference
    )


def _explain(summary: Summary) -> str:
    """Say what the verdicts in the answer mean; only those that occur."""
    words = {verdict.verdict for verdict in summary.verdicts}
    measure = measure_of(summary)
    level = percent(summary.confidence)
    margin = "" if summary.margin is None else f", less than {measure.distance(summary.margin)},"
    meanings = [
        f"Better and worse: shown at {level} confidence, with all comparisons accounted for."
        if words & {"better", "worse"}
        else "",
        f"Equivalent: shown to differ too little{margin} to matter." if "equivalent" in words else "",
        f"Inconclusive: these {runs_of(summary)} do not settle it; it does not mean equal."
        if "inconclusive" in words
        else "",
    ]
    spread = f"± is the standard deviation over {runs_of(summary)}."
    return " ".join(filter(None, [spread, *meanings, _explain_intervals(summary)]))


def _explain_intervals(summary: Summary) -> str:
    """Say why an interval can leave zero out beside a verdict that is inconclusive; empty where none does."""
    if not any(
        verdict.verdict == "inconclusive"
        and verdict.interval is not None
        and verdict.interval[0] * verdict.interval[1] > 0
        for verdict in summary.verdicts
    ):
        return ""
    return "An interval is of its own pair alone; a verdict also pays for every other comparison made beside it."


def _spell_score(score: MeanSd | None, measure: Measure) -> str:
    if score is None:
        return "no trial done"
    return measure.value(score.mean) + ("" if score.sd is None else f" ± {measure.number(score.sd)}")


def compare_arms(summary: Summary, figures: Figures, across: AcrossBlocks | None) -> Section | None:
    """Return the comparison: all blocks side by side, then every block with its figure, scores and pairs."""
    parts: list[Part] = []
    if len(summary.blocks) > 1:
        parts += _overview(summary)
        parts += _across(across, figures)
    is_told_above = any(isinstance(part, Figure) for part in stand_arms(summary, figures))
    for block in summary.blocks:
        parts += [Heading(text=block)] if len(summary.blocks) > 1 else []
        if not is_told_above and ("differences", block) in figures:
            parts.append(figures["differences", block])
        parts += [figures["scores", block]] if ("scores", block) in figures else []
        parts.append(
            make_table(f"Scores, mean ± standard deviation over {runs_of(summary)}", tabulate_scores(summary, block))
        )
        parts += _all_scores(summary, block)
        parts += _pairs(summary, block)
    return make_section("comparison", "Comparison", parts)


def _all_scores(summary: Summary, block: str) -> Iterator[Part]:
    columns = tabulate_all_scores(summary, block)
    if len(columns) > 1:
        table = make_table(f"Mean ± standard deviation over {runs_of(summary)}", columns)
        yield Details(summary=f"Every metric on training and {summary.split} images", parts=(table,))


def _overview(summary: Summary) -> Iterator[Part]:
    columns = tabulate_overview(summary)
    measure = measure_of(summary)
    unit = ", %" if measure.record.is_share else ""
    columns[1:] = [
        Column(key=column.key, header=(arm,), cells=tuple(cell.strip() for cell in column.cells))
        for column, arm in zip(columns[1:], summary.arm_labels, strict=True)
    ]
    yield make_table(f"All blocks: mean {measure.label}{unit}", columns)
    yield Paragraph(text="; ".join(list_marks(summary)), is_quiet=True)


def _across(across: AcrossBlocks | None, figures: Figures) -> Iterator[Part]:
    if across is None:
        return
    yield Paragraph(text=across.sentence)
    yield from [figures["ranks", ""]] if ("ranks", "") in figures else []
    yield make_table("Mean rank over blocks, 1 is best", tabulate_ranks(across))
    pairs = make_table("What the blocks together say of every pair", tabulate_rank_pairs(across))
    yield Details(summary="Every pair across blocks", parts=(pairs,))


def _pairs(summary: Summary, block: str) -> Iterator[Part]:
    verdicts = order_verdicts(summary, block)
    if not verdicts:
        return
    arms = [arm.arm for arm in order_arms(summary, block)]
    if 2 < len(arms) <= _MOST_ARMS_IN_MATRIX and summary.baseline is None:
        yield _matrix(summary, block, arms)
    table = make_table(
        "Every pair, the better mean on the left", [*tabulate_pairs(summary, verdicts), *_more(summary, verdicts)]
    )
    pairing = write_pairing(summary.verdicts_of(block))
    rests = (Paragraph(text=pairing),) if pairing else ()
    parts: tuple[Part, ...] = (table, *rests, Paragraph(text=" ".join(explain_pairs(summary)), is_quiet=True))
    if len(verdicts) == 1:
        yield from parts
    else:
        yield Details(summary=f"All {len(verdicts)} pairs, with p values", parts=parts)


def _more(summary: Summary, verdicts: list[Verdict]) -> list[Column]:
    return [
        Column(key="n", header=(runs_of(summary),), cells=tuple(str(verdict.replicates) for verdict in verdicts)),
        Column(key="p alone", header=("p alone",), cells=tuple(p_value(verdict.p) for verdict in verdicts)),
        *tabulate_effects(summary, verdicts),
        Column(key="reason", header=("why",), cells=tuple(verdict.reason for verdict in verdicts), is_number=False),
    ]


def _matrix(summary: Summary, block: str, arms: list[str]) -> Table:
    """Set every arm (row) against every other (column)."""
    measure = measure_of(summary)
    cells: dict[tuple[str, str], Cell] = {}
    for verdict in summary.verdicts_of(block):
        for seen in (verdict.seen_from(verdict.a), verdict.seen_from(verdict.b)):
            difference = "" if seen.difference is None else measure.signed(seen.difference)
            cells[seen.a, seen.b] = Cell(text=seen.verdict, verdict=seen.verdict, note=difference)
    unit = f"; differences in {measure.unit_of_difference.strip()}" if measure.unit_of_difference else ""
    blank = Cell(text="-")
    return Table(
        caption=f"Each row against each column{unit}",
        headers=("", *arms),
        is_number=(False,) * (len(arms) + 1),
        rows=tuple((Cell(text=arm), *(cells.get((arm, other), blank) for other in arms)) for arm in arms),
    )
