"""Scores and verdicts, block by block: every arm, every metric, every pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bakeoff.report.document import ReportInput
from bakeoff.report.export.tables import tabulate_arms, tabulate_verdicts
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.parts import (
    Bullets,
    Details,
    Figure,
    Heading,
    InBlock,
    Paragraph,
    Part,
    Section,
    Table,
    terminal_if_few,
)
from bakeoff.report.sections.answer import shows_standings
from bakeoff.report.sections.basis import describe_incompleteness, describe_statistics
from bakeoff.report.sections.marks import explain_marks, find_bold, find_marks
from bakeoff.report.tables import (
    PAGES,
    Column,
    Medium,
    decider_of,
    format_all,
    leave_out,
    numbers,
    order_arms,
    order_verdicts,
    phrase,
    tabulate_means,
    tabulate_measure,
    texts,
    unit_of_differences,
)
from bakeoff.report.text import count, p_value
from bakeoff.stats.measure import SPLITS, Measure, Split, percent, whole_percent
from bakeoff.stats.metrics import METRICS, find_metric
from bakeoff.stats.results import ArmSummary, BlockAnswer, Summary, Verdict
from bakeoff.stats.wording import write_pairing

MAX_PAIRS = 80
"""In print, a block with more pairs lists only those with its best arm or the baseline."""

_MOST_PAIRS_ON_TERMINAL = 6
_MOST_ARMS_IN_MATRIX = 12
_MOST_MEASURES_IN_PRINT = 4


def write_comparison(report: ReportInput) -> Iterator[Part]:
    """Yield every block's scores and pairs, then an explanation of the tables."""
    summary = report.summary
    for answer in summary.answers:
        yield InBlock(block=answer.block, parts=tuple(_compare(report, answer)))
    if len(summary.arm_labels) > 1:
        yield Heading(text="How to read the tables", media=Medium.MARKDOWN)
        yield Bullets(lines=explain_pairs(summary), media=Medium.MARKDOWN)


def _compare(report: ReportInput, answer: BlockAnswer) -> Iterator[Part]:
    summary, block = report.summary, answer.block
    if not shows_standings(summary):
        yield Figure(draw=draw_differences)
    yield Figure(draw=draw_scores)
    counted = any(len(arm.trained_scores) < len(arm.fold_scores or arm.scores) for arm in summary.arms)
    failed = ", including failed trials at chance level" if counted else ""
    sentences = [
        f"{block}: {_count_runs(summary, block)}.",
        describe_statistics(report),
        explain_marks(summary, (answer,)),
        report.reduced,
        describe_incompleteness(report),
    ]
    scores = tabulate_scores(summary, block)
    yield Table(
        caption=f"Scores, mean ± standard deviation over {summary.runs}{failed}",
        label="scores",
        paper=" ".join(filter(None, sentences)),
        columns=_choose_columns(_mark_best(summary, answer, scores)),
        sacrifices=_list_sacrifices(summary, scores),
        media=PAGES | Medium.LATEX | terminal_if_few(summary),
    )
    if block == summary.answers[0].block and any("±" in cell for column in scores for cell in column.cells):
        text = f"± is the standard deviation over {summary.runs}."
        yield Paragraph(text=text, role="quiet", media=terminal_if_few(summary))
    columns = tabulate_all_scores(summary, block, ("train", summary.split))
    if len(columns) > 1:
        table = Table(caption=f"Every metric on training and {summary.split} images", columns=columns)
        yield Details(summary=table.caption, parts=(table,))
    yield from _list_pairs(summary, answer)
    yield from _print_pairs(report, answer)
    yield from _print_all_scores(summary, block)


def tabulate_scores(summary: Summary, block: str) -> list[Column]:
    """Tabulate the scores of one block: a row per arm, best first; mean ± sd over replicates.

    The deciding metric comes first, then accuracy on every split, then loss and macro F1 on the deciding split.
    """
    arms = order_arms(summary, block)
    columns = [
        texts("arm", (arm.arm for arm in arms)),
        *(tabulate_measure(measure, arms) for measure in _list_measures(summary, arms)),
    ]
    if not any(arm.replicates and arm.seconds is None for arm in arms):  # another tool's epochs and times are not known
        columns += [
            tabulate_means("epochs", ("epochs",), [arm.epochs for arm in arms], "{:.1f}".format),
            tabulate_means("seconds", ("seconds", "per trial"), [arm.seconds for arm in arms], "{:.1f}".format),
        ]
    if len({arm.replicates for arm in arms}) > 1:
        columns.append(numbers("done", (str(arm.replicates) for arm in arms), "trials", "done"))
    return columns


def _list_measures(summary: Summary, arms: Sequence[ArmSummary]) -> list[Measure]:
    wanted: list[tuple[str, Split]] = [(summary.metric, summary.split)]
    wanted += [("accuracy", split) for split in reversed(SPLITS)]
    wanted += [("loss", summary.split), ("macro_f1", summary.split)]
    present = [(m, s) for m, s in dict.fromkeys(wanted) if any(m in arm.on(s) for arm in arms)]
    own = {summary.metric: summary.metric_record}
    return [Measure(own.get(metric) or find_metric(metric), split) for metric, split in present]


def _list_sacrifices(summary: Summary, scores: Sequence[Column]) -> list[tuple[str, str]]:
    decider = decider_of(summary)
    minor = [column.key for column in scores[1:] if column.key != decider]
    return [
        *(("shorten", key) for key in ("seconds", "epochs", "loss", "macro_f1") if key != summary.metric),
        *(("drop", "seconds"), ("shorten", "train accuracy"), ("drop", "epochs")),
        *(("drop", key) for key in reversed(minor)),
        ("shorten", decider),
    ]


def tabulate_all_scores(summary: Summary, block: str, splits: tuple[Split, ...]) -> list[Column]:
    """Tabulate every metric on some splits: a row per arm, best first."""
    arms = order_arms(summary, block)
    records = dict.fromkeys((*METRICS, summary.measure.record))
    measures = [Measure(record, split) for split in splits for record in records]
    return [
        texts("arm", (arm.arm for arm in arms)),
        *(tabulate_measure(m, arms) for m in measures if any(m.record.name in arm.on(m.split) for arm in arms)),
    ]


def tabulate_pairs(summary: Summary, verdicts: Sequence[Verdict]) -> list[Column]:
    """Tabulate verdicts, a row per pair, each read from left to right: a, verdict, b."""
    measure = summary.measure
    differences = format_all((v.difference for v in verdicts), measure.signed)
    intervals = format_all((v.interval for v in verdicts), measure.interval)
    needed = format_all(None if v.needed is None else v.needed.text for v in verdicts)
    return [
        texts("a", (v.a for v in verdicts), "arm"),
        texts("verdict", map(phrase, verdicts), is_verdict=True),
        texts("b", (v.b for v in verdicts), "other arm"),
        numbers("difference", differences, "difference", unit_of_differences(measure)),
        numbers("interval", intervals, percent(summary.confidence), "interval"),
        numbers("p", (p_value(v.p_adjusted) for v in verdicts), "p", "adjusted"),
        numbers("needed", needed, "replicates", "needed"),
    ]


def _format_probability(probability: float) -> str:
    """Format a probability estimated from few runs in whole percent, never as 0 or 100."""
    return whole_percent(min(max(probability, 1e-9), 1 - 1e-9))


def _tabulate_effects(summary: Summary, verdicts: Sequence[Verdict]) -> list[Column]:
    """Tabulate more about each pair: P(a > b), the difference corrected for selection, d_z, ..."""
    measure = summary.measure

    def format_superiority(verdict: Verdict) -> str:
        if verdict.superiority is None or verdict.superiority_interval is None:
            return "-"
        low, high = map(_format_probability, verdict.superiority_interval)
        return f"{_format_probability(verdict.superiority)}% ({low} to {high})"

    corrected = format_all((v.difference_corrected for v in verdicts), measure.signed)
    return [
        numbers("n", map(_count_compared, verdicts), summary.runs),
        numbers("p alone", (p_value(v.p) for v in verdicts)),
        numbers("P(a > b)", map(format_superiority, verdicts)),
        numbers("corrected", corrected, "corrected", "difference"),
        numbers("d_z", format_all((v.effect_size for v in verdicts), "{:.2f}".format)),
        numbers("correlation", format_all((v.correlation for v in verdicts), "{:.2f}".format)),
        texts("why", (v.reason for v in verdicts)),
    ]


def _count_compared(verdict: Verdict) -> str:
    return str(verdict.replicates) if verdict.unpaired is None else f"{verdict.unpaired[0]} / {verdict.unpaired[1]}"


def explain_pairs(summary: Summary) -> tuple[str, ...]:
    """Return an explanation of each column in the tables of pairs."""
    level, runs = percent(summary.confidence), summary.runs
    where = " on the same test images" if summary.num_folds is None else ""
    if any(verdict.unpaired is not None for verdict in summary.verdicts):
        of = "of the means, over the replicates that both have or, where they do not match, over all of each"
    else:
        of = f"averaged over the {runs} that both have"
    return (
        f"The difference is the row's arm minus the other arm, {of}. Its "
        "interval is for this pair alone; the verdict rests on the adjusted p, which accounts for all pairs.",
        f"P(a > b): the probability that one more run of each arm favours the first, with its {level} interval.",
        "Corrected difference: differences that pass a test are too large on average, because only large ones pass; "
        "this one is corrected for that.",
        "d_z is the mean difference divided by the standard deviation of the differences.",
        f"The correlation of the two arms over {runs} shows how much pairing helped (near 0: not at all).",
        f"Replicates needed: how many more would settle the pair with 80% power{where}; the range contains the true "
        "number with 80% confidence.",
    )


def _list_pairs(summary: Summary, answer: BlockAnswer) -> Iterator[Part]:
    verdicts = order_verdicts(summary, answer.block)
    if not verdicts:
        return
    arms = [arm.arm for arm in order_arms(summary, answer.block)]
    if 2 < len(arms) <= _MOST_ARMS_IN_MATRIX and summary.baseline is None:
        yield _tabulate_matrix(summary, answer.block, arms)
    columns = [*tabulate_pairs(summary, verdicts), *_tabulate_effects(summary, verdicts)]
    table = Table(caption="Every pair, the better mean on the left", columns=columns)
    pairing = write_pairing(summary.verdicts_of(answer.block))
    rests = (Paragraph(text=pairing),) if pairing else ()
    parts = (table, *rests, Paragraph(text=" ".join(explain_pairs(summary)), role="quiet", media=Medium.HTML))
    if len(verdicts) == 1:
        yield from parts
    else:
        yield Details(summary=f"All {len(verdicts)} pairs, with p values", parts=parts)
    yield from _list_pairs_for_terminal(summary, answer, verdicts)


def _list_pairs_for_terminal(summary: Summary, answer: BlockAnswer, verdicts: Sequence[Verdict]) -> Iterator[Part]:
    """Yield the pairs or, of many, those with the best arm and a count of all."""
    media = terminal_if_few(summary)
    if not any(verdict.replicates for verdict in verdicts):
        return
    shown, best = verdicts, answer.best
    if len(verdicts) > _MOST_PAIRS_ON_TERMINAL and best is not None:
        shown = [verdict.seen_from(best) for verdict in verdicts if best in (verdict.a, verdict.b)]
    sacrifices = [("drop", "p"), ("drop", "needed"), ("fold", ""), ("drop", "interval"), ("drop", "difference")]
    yield Table(columns=tabulate_pairs(summary, shown), sacrifices=sacrifices, media=media)
    if len(shown) < len(verdicts):
        words = Counter("better or worse" if v.verdict in ("better", "worse") else v.verdict for v in verdicts)
        tally = ", ".join(f"{number} {word}" for word, number in words.items())
        yield Paragraph(text=f"All {count(len(verdicts), 'pair')}: {tally}.", role="quiet", media=media)


def _tabulate_matrix(summary: Summary, block: str, arms: Sequence[str]) -> Table:
    """Tabulate the verdicts on every arm (row) against every other (column)."""
    measure = summary.measure
    seen = {(each.a, each.b): each for v in summary.verdicts_of(block) for each in (v, v.seen_from(v.b))}
    columns = [texts("arm", arms, "")]
    for other in arms:
        cells = [seen.get((arm, other)) for arm in arms]
        words = format_all(None if verdict is None else verdict.verdict for verdict in cells)
        notes = ("" if v is None or v.difference is None else measure.signed(v.difference) for v in cells)
        columns.append(replace(texts(other, words, is_verdict=True), notes=tuple(notes)))
    unit = f"; differences in {measure.unit_of_difference.strip()}" if measure.unit_of_difference else ""
    return Table(caption=f"Verdict on each row relative to each column{unit}", columns=columns)


def _mark_best(summary: Summary, answer: BlockAnswer, scores: Sequence[Column]) -> list[Column]:
    """Mark the deciding scores for print: the winner in bold, and signs for what the verdicts say of the others."""
    bold = find_bold(summary, answer.block)
    rows = {arm.arm: row for row, arm in enumerate(order_arms(summary, answer.block))}
    marks = {rows[arm]: mark for arm, mark in find_marks(answer).items()}
    return [
        replace(column, bold=() if bold is None else (rows[bold],), marks=marks)
        if column.key == decider_of(summary)
        else column
        for column in scores
    ]


def _choose_columns(columns: Sequence[Column]) -> list[Column]:
    """Hide in print what does not fit on a page: training scores, epochs, and all but four measures."""
    others = ("arm", "epochs", "seconds", "done")
    measures = [c.key for c in columns if c.key not in others and not c.key.startswith("train ")]
    measures = measures[:_MOST_MEASURES_IN_PRINT]
    if columns[1].key not in measures and columns[1].key not in others:  # always keep the deciding measure
        measures = [columns[1].key, *measures[: _MOST_MEASURES_IN_PRINT - 1]]
    return leave_out(columns, Medium.LATEX, lambda each: each.key in ("arm", *measures, "seconds", "done"))


def _count_runs(summary: Summary, block: str) -> str:
    found = sorted({arm.replicates for arm in summary.arms_of(block) if arm.scores})
    if not found:
        return "no trial is done"
    spread = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
    runs = "replicates" if summary.num_folds is None else f"trials, {summary.num_folds} folds a replicate"
    return f"mean ± standard deviation over n = {spread} {runs}"


def _print_pairs(report: ReportInput, answer: BlockAnswer) -> Iterator[Table]:
    summary = report.summary
    verdicts = order_verdicts(summary, answer.block)
    only = ""
    if len(verdicts) > MAX_PAIRS:
        reference = answer.baseline or answer.best
        verdicts = [verdict for verdict in verdicts if reference in (verdict.a, verdict.b)]
        only = f"Only pairs with {reference} are listed."
    if verdicts:
        sentences = [
            f"{answer.block}: verdicts on pairs, the better mean on the left.",
            describe_statistics(report),
            "Differences are the arm on the left minus the other; an interval is for its pair alone.",
            only,
        ]
        columns = [column for column in tabulate_pairs(summary, verdicts) if column.key != "needed"]
        yield Table(caption=" ".join(filter(None, sentences)), label="pairs", columns=columns, media=Medium.LATEX)


def _print_all_scores(summary: Summary, block: str) -> Iterator[Table]:
    """Yield every metric, a table each for the training split and the deciding split; one would be too wide."""
    for split in dict.fromkeys(("train", summary.split)):
        columns = tabulate_all_scores(summary, block, (split,))
        if len(columns) > 1:
            caption = f"{block}: every metric on {split} images, {_count_runs(summary, block)}."
            yield Table(caption=caption, label=f"all-{split}", columns=columns, media=Medium.LATEX)


SECTION = Section(
    name="comparison",
    title="Scores and verdicts",
    write=write_comparison,
    tables={"arms": tabulate_arms, "verdicts": tabulate_verdicts},
)
