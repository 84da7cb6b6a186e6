"""The tables of a study as plain cells, for terminal and Markdown alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.analysis.across import AcrossBlocks
from bakeoff.analysis.measure import SPLITS, Measure, Split, percent, whole_percent
from bakeoff.analysis.metrics import CLASSES_ABSENT, find_metric
from bakeoff.analysis.results import ArmSummary, BlockAnswer, MeanSd, Summary, Verdict, rank_arms
from bakeoff.report.text import p_value, show_text

if TYPE_CHECKING:
    from bakeoff.report.document import TrialFailure


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        key: its stable name.
        header: lines of its head, top to bottom.
        cells: one text per row.
        short: the same without spreads, where space is tight; None when there is nothing to leave out.
        is_number: set flush right.
    """

    key: str
    header: tuple[str, ...]
    cells: tuple[str, ...]
    short: tuple[str, ...] | None = None
    is_number: bool = True


def list_marks(summary: Summary) -> tuple[str, ...]:
    """Return what the marks behind a score in an overview mean."""
    if summary.baseline is None:
        return ("* best", "= equivalent to it", "~ not shown to be worse", "no mark: worse", "- no trial done")
    marks = ("* best", "+ better than the baseline", "= equivalent to it", "~ not shown to differ from it")
    return (*marks, "no mark: worse", "- no trial done")


def measure_of(summary: Summary) -> Measure:
    """Return the metric and split that a study's verdicts rest on."""
    return Measure(find_metric(summary.metric), summary.split)


def runs_of(summary: Summary) -> str:
    """Return what scores are averaged over and pairs are compared by: replicates, or the folds of all of them."""
    return "replicates" if summary.num_folds is None else "folds"


def tabulate_scores(summary: Summary, block: str) -> list[Column]:
    """Tabulate one block: a row per arm, best first, arms without a score last; mean ± sd over replicates.

    The deciding metric comes first, then accuracy on every split, then loss and macro F1 on the deciding split.
    """
    arms = order_arms(summary, block)
    columns = [Column(key="arm", header=("arm",), cells=tuple(show_text(arm.arm) for arm in arms), is_number=False)]
    for measure in _measures(summary, arms):
        columns.append(tabulate_measure(measure, arms))
    epochs = [arm.epochs for arm in arms]
    seconds = [arm.seconds for arm in arms]
    columns.append(_mean_column("epochs", ("epochs",), epochs, lambda value: f"{value:.1f}"))
    columns.append(_mean_column("seconds", ("seconds", "per trial"), seconds, lambda value: f"{value:.1f}"))
    if len({arm.replicates for arm in arms}) > 1:
        columns.append(Column(key="done", header=("trials", "done"), cells=tuple(str(arm.replicates) for arm in arms)))
    return columns


def tabulate_pairs(summary: Summary, verdicts: Sequence[Verdict]) -> list[Column]:
    """Tabulate verdicts, a row per pair, each read from left to right: a, what it is, b."""
    measure = measure_of(summary)
    unit = "points" if measure.record.is_share else measure.record.label
    return [
        Column(key="a", header=("arm",), cells=tuple(show_text(v.a) for v in verdicts), is_number=False),
        Column(key="verdict", header=("verdict",), cells=tuple(phrase(v) for v in verdicts), is_number=False),
        Column(key="b", header=("other arm",), cells=tuple(show_text(v.b) for v in verdicts), is_number=False),
        Column(
            key="difference",
            header=("difference", unit),
            cells=tuple("-" if v.difference is None else measure.signed(v.difference) for v in verdicts),
        ),
        Column(
            key="interval",
            header=(f"{percent(summary.confidence)}", "interval"),
            cells=tuple("-" if v.interval is None else measure.interval(v.interval) for v in verdicts),
        ),
        Column(key="p", header=("p", "adjusted"), cells=tuple(p_value(v.p_adjusted) for v in verdicts)),
        Column(
            key="needed",
            header=("replicates", "needed"),
            cells=tuple(v.needs or "-" for v in verdicts),
        ),
    ]


def tabulate_effects(summary: Summary, verdicts: Sequence[Verdict]) -> list[Column]:
    """Tabulate what the differences of pairs mean: P(a > b), a winner's difference corrected for selection, d_z."""
    measure = measure_of(summary)

    def spell_superiority(verdict: Verdict) -> str:
        if verdict.superiority is None or verdict.superiority_interval is None:
            return "-"
        low, high = map(whole_percent, verdict.superiority_interval)
        return f"{whole_percent(verdict.superiority)}% ({low} to {high})"

    corrected = [v.difference_corrected for v in verdicts]
    return [
        Column(key="superiority", header=("P(a > b)",), cells=tuple(map(spell_superiority, verdicts))),
        Column(
            key="corrected",
            header=("corrected", "difference"),
            cells=tuple("-" if each is None else measure.signed(each) for each in corrected),
        ),
        Column(
            key="effect",
            header=("d_z",),
            cells=tuple("-" if v.effect_size is None else f"{v.effect_size:.2f}" for v in verdicts),
        ),
    ]


def explain_pairs(summary: Summary) -> tuple[str, ...]:
    """Explain the columns of the tables of pairs, a sentence or two each."""
    level = percent(summary.confidence)
    where = " on the same test images" if summary.num_folds is None else ""
    return (
        f"The difference is the row's arm minus the other arm, averaged over the {runs_of(summary)} both have. Its "
        "interval looks at this pair alone; the verdict rests on the adjusted p, which accounts for all pairs.",
        f"P(a > b): how probable it is that one more run of each arm favours the first, with its {level} interval.",
        "Corrected difference: differences that pass a test are too large on average, because only large ones pass; "
        "this is the difference corrected for that.",
        "d_z is the mean difference in standard deviations of the differences.",
        f"Replicates needed: how many more would settle the pair with 80% power{where}; the range holds the number "
        "truly needed with 80% confidence.",
    )


def tabulate_overview(summary: Summary) -> list[Column]:
    """Tabulate all blocks: a row per block, a column per arm with its mean score.

    Marks: `*` the best, `=` equivalent to it, `~` not shown to be worse, none: shown to be worse; `-` no trial done.
    """
    columns = [Column(key="block", header=("block",), cells=tuple(map(show_text, summary.blocks)), is_number=False)]
    measure = measure_of(summary)
    scores = {(arm.block, arm.arm): arm.score(measure) for arm in summary.arms}
    for arm in summary.arm_labels:
        cells = tuple(_marked(scores[answer.block, arm], answer, arm, measure) for answer in summary.answers)
        columns.append(Column(key=f"arm {arm}", header=break_name(show_text(arm)), cells=cells))
    return columns


def tabulate_ranks(across: AcrossBlocks) -> list[Column]:
    """Tabulate each arm's mean rank over the blocks, 1 is best."""
    ranks = tuple(f"{across.mean_ranks[arm]:.2f}" for arm in across.arms)
    return [
        Column(key="arm", header=("arm",), cells=across.arms, is_number=False),
        Column(key="rank", header=("mean rank",), cells=ranks),
    ]


def tabulate_rank_pairs(across: AcrossBlocks) -> list[Column]:
    """Tabulate what the blocks together say of every pair of arms."""
    pairs = across.pairs
    return [
        Column(key="a", header=("arm",), cells=tuple(pair.a for pair in pairs), is_number=False),
        Column(key="verdict", header=("verdict",), cells=tuple(pair.verdict for pair in pairs), is_number=False),
        Column(key="b", header=("other arm",), cells=tuple(pair.b for pair in pairs), is_number=False),
        *(
            Column(key=word, header=(word,), cells=tuple(str(getattr(pair, word)) for pair in pairs))
            for word in ("wins", "ties", "losses")
        ),
        Column(key="p", header=("p adjusted",), cells=tuple(p_value(pair.p_adjusted) for pair in pairs)),
    ]


def tabulate_failures(failures: Sequence[TrialFailure]) -> list[Column]:
    """Tabulate failed trials, a row each; the fold only where there are folds."""
    fields = ["block", "arm", "replicate", "fold", "reason", "trial"]
    if all(failure.fold is None for failure in failures):
        fields.remove("fold")
    return [
        Column(
            key=name,
            header=(name,),
            cells=tuple(str(getattr(failure, name)) for failure in failures),
            is_number=name in ("replicate", "fold"),
        )
        for name in fields
    ]


def order_arms(summary: Summary, block: str) -> list[ArmSummary]:
    """Return the arms of a block, best mean first, those without a score last."""
    arms = summary.arms_of(block)
    ranked = rank_arms(arms, measure_of(summary))
    return ranked + [arm for arm in arms if not arm.scores]


def order_verdicts(summary: Summary, block: str) -> list[Verdict]:
    """Return every verdict of a block, the better mean on the left, in the order of the score table."""
    order = {arm.arm: position for position, arm in enumerate(order_arms(summary, block))}
    seen = [v.seen_from(min(v.a, v.b, key=order.__getitem__)) for v in summary.verdicts_of(block)]
    return sorted(seen, key=lambda v: (order[v.a], order[v.b]))


def phrase(verdict: Verdict) -> str:
    """Return the verdict as it stands between two names: "better than", "equivalent to", ..."""
    link = {"better": " than", "worse": " than", "equivalent": " to", "inconclusive": " against"}
    return verdict.verdict + link[verdict.verdict]


def _measures(summary: Summary, arms: Sequence[ArmSummary]) -> list[Measure]:
    wanted: list[tuple[str, Split]] = [(summary.metric, summary.split)]
    wanted += [("accuracy", split) for split in reversed(SPLITS)]
    wanted += [("loss", summary.split), ("macro_f1", summary.split)]
    present = [(m, s) for m, s in dict.fromkeys(wanted) if any(m in arm.on(s) for arm in arms)]
    return [Measure(find_metric(metric), split) for metric, split in present]


def tabulate_measure(measure: Measure, arms: Sequence[ArmSummary]) -> Column:
    """Tabulate one measure, a row per arm: mean ± sd, a dash where it was not measured."""
    unit = " %" if measure.record.is_share else ""
    values = [arm.score(measure) for arm in arms]
    key = f"{measure.split} {measure.record.name}"
    header = (measure.split, measure.record.label + unit + _mark_absent(measure, arms))
    return _mean_column(key, header, values, measure.number)


def _mark_absent(measure: Measure, arms: Sequence[ArmSummary]) -> str:
    """Return a mark for a macro average that leaves out classes without images; a note of the report says which."""
    absent = any(CLASSES_ABSENT in arm.on(measure.split) for arm in arms)
    return " (classes present)" if absent and measure.record.name.startswith("macro_") else ""


def _mean_column(
    key: str, header: tuple[str, ...], values: Sequence[MeanSd | None], spell: Callable[[float], str]
) -> Column:
    short = tuple("-" if value is None else spell(value.mean) for value in values)
    spreads = ["" if value is None or value.sd is None else f" ± {spell(value.sd)}" for value in values]
    cells = tuple(mean + spread for mean, spread in zip(short, spreads, strict=True))
    return Column(key=key, header=header, cells=cells, short=short)


def _marked(score: MeanSd | None, answer: BlockAnswer, arm: str, measure: Measure) -> str:
    if score is None:
        return "- "
    if arm == answer.best:
        mark = "*"
    elif arm in answer.better:
        mark = "+"
    elif arm in answer.equivalent:
        mark = "="
    else:
        mark = "~" if arm in answer.not_worse else " "
    return measure.number(score.mean) + mark


def break_name(name: str) -> tuple[str, ...]:
    """Break a long name after its separators, so that a narrow column can carry it."""
    lines = [""]
    for character in name:
        lines[-1] += character
        if character in "_-,; " and len(lines[-1]) > 3:
            lines.append("")
    return tuple(line.strip() for line in lines if line.strip())
