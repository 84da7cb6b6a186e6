"""The written report, verdict.md: the answer first, then all the evidence, then how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bakeoff.analysis.across import AcrossBlocks
from bakeoff.analysis.results import Summary
from bakeoff.analysis.wording import write_pairing
from bakeoff.report.all_scores import tabulate_all_scores
from bakeoff.report.basis import describe_basis
from bakeoff.report.class_tables import MOST_ROWS, describe_rows, tabulate_evidence
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import EnsembleReport, tabulate_classes, tabulate_ensembles
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.published import tabulate_curves, tabulate_published
from bakeoff.report.search import SearchReport, describe_search, tabulate_groups, tabulate_lineage
from bakeoff.report.steps import describe_steps, tabulate_steps
from bakeoff.report.tables import (
    Column,
    explain_pairs,
    list_marks,
    measure_of,
    order_arms,
    order_verdicts,
    runs_of,
    tabulate_effects,
    tabulate_failures,
    tabulate_overview,
    tabulate_pairs,
    tabulate_rank_pairs,
    tabulate_ranks,
    tabulate_scores,
)
from bakeoff.report.text import escape_line, escape_markdown, fence, p_value, show_text

_MOST_ARMS_IN_MATRIX = 12
_MOST_CLASSES_IN_CONFUSION = 12


def write_markdown(report: ReportInput) -> str:
    """Write the report as Markdown (GitHub's flavour).

    In order: question, answer, what it rests on, scores and all pairs of every block, published figures beside the
    measured, failures, how to repeat. Sections with nothing to say are left out. User text stays text.
    """
    sections = [
        f"# {escape_line(report.question or report.name)}",
        _write_answers(report.summary),
        escape_line(report.reduced),
        _section("What it rests on", _bullets(describe_basis(report))),
        _write_overview(report.summary),
        _write_across(report.across),
        *(_write_block(report.summary, block) for block in report.summary.blocks),
        _write_all_scores(report.summary),
        *(_write_search(search) for search in report.searches),
        *(_write_steps(report, block) for block in report.summary.blocks),
        *(_write_ensembles(report, block) for block in report.summary.blocks),
        *(_write_evidence(evidence) for evidence in report.evidence),
        _write_legend(report.summary),
        _write_published(report),
        _write_failures(report),
        _write_repeat(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _write_answers(summary: Summary) -> str:
    sentences = [answer.sentence for answer in summary.answers]
    if len(sentences) == 1:
        return f"**{escape_line(sentences[0])}**"
    overall = f"**{escape_line(summary.overall)}**\n\n" if summary.overall else ""
    return overall + _bullets(sentences)


def _write_overview(summary: Summary) -> str:
    if len(summary.blocks) < 2:
        return ""
    columns = tabulate_overview(summary)
    measure = measure_of(summary)
    unit = ", %" if measure.record.is_share else ""
    marks = "; ".join(list_marks(summary))
    legend = escape_line(f"Mean {measure.label}{unit}. {marks}")
    # The terminal breaks long names over lines; here they stand whole.
    columns[1:] = [
        Column(key=column.key, header=(arm,), cells=tuple(cell.strip() for cell in column.cells))
        for column, arm in zip(columns[1:], summary.arm_labels, strict=True)
    ]
    return _section("All blocks", f"{legend}\n\n{_table(columns)}")


def _write_block(summary: Summary, block: str) -> str:
    parts = [_table(tabulate_scores(summary, block))]
    matrix = _matrix(summary, block)
    if matrix:
        parts += ["Each row against each column:", matrix]
    pairs = _pairs(summary, block)
    if pairs:
        parts += ["Every pair:", pairs, escape_line(write_pairing(summary.verdicts_of(block)))]
    title = f"Scores and verdicts: {block}" if block else "Scores and verdicts"
    return _section(title, "\n\n".join(part for part in parts if part))


def _write_all_scores(summary: Summary) -> str:
    found = [(block, tabulate_all_scores(summary, block)) for block in summary.blocks]
    tables = [(block, _table(columns)) for block, columns in found if len(columns) > 1]
    if not tables:
        return ""
    parts = [f"{escape_line(block)}:\n\n{table}" if len(tables) > 1 else table for block, table in tables]
    return _section(f"Every metric on training and {summary.split} images", "\n\n".join(parts))


def _matrix(summary: Summary, block: str) -> str:
    arms = [arm.arm for arm in order_arms(summary, block)]
    if not summary.verdicts_of(block) or not 2 < len(arms) <= _MOST_ARMS_IN_MATRIX:
        return ""
    words = {}
    for verdict in summary.verdicts_of(block):
        words[verdict.a, verdict.b] = verdict.verdict
        words[verdict.b, verdict.a] = verdict.seen_from(verdict.b).verdict
    columns = [Column(key="arm", header=("arm",), cells=tuple(arms), is_number=False)]
    for other in arms:
        cells = tuple(words.get((arm, other), "") for arm in arms)
        columns.append(Column(key=other, header=(other,), cells=cells, is_number=False))
    return _table(columns)


def _pairs(summary: Summary, block: str) -> str:
    verdicts = order_verdicts(summary, block)
    if not verdicts:
        return ""
    correlation = ["-" if v.correlation is None else f"{v.correlation:.2f}" for v in verdicts]
    more = [
        Column(key="n", header=(runs_of(summary),), cells=tuple(str(v.replicates) for v in verdicts)),
        Column(key="p alone", header=("p alone",), cells=tuple(p_value(v.p) for v in verdicts)),
        *tabulate_effects(summary, verdicts),
        Column(key="correlation", header=("correlation",), cells=tuple(correlation)),
        Column(key="reason", header=("why",), cells=tuple(v.reason for v in verdicts), is_number=False),
    ]
    return _table([*tabulate_pairs(summary, verdicts), *more])


def _write_across(across: AcrossBlocks | None) -> str:
    if across is None:
        return ""
    diagram = _draw_ranks(across)
    ranks, pairs = _table(tabulate_ranks(across)), _table(tabulate_rank_pairs(across))
    parts = [escape_line(across.sentence), ranks, diagram, pairs]
    return _section("Across blocks", "\n\n".join(part for part in parts if part))


def _draw_ranks(across: AcrossBlocks) -> str:
    """Draw the critical-difference diagram as text: arms by mean rank, and lines that join what is not told apart."""
    difference = across.critical_difference
    if difference is None:
        return ""
    power = ", underpowered: too few blocks" if across.underpowered else ""
    lines = [f"Mean ranks, 1 is best; critical difference {difference.value:.2f} (Nemenyi{power})"]
    width = max(len(show_text(arm)) for arm in across.arms)
    for arm in across.arms:
        bars = "".join(" |" if arm in group else "  " for group in difference.groups)
        lines.append(f"{across.mean_ranks[arm]:5.2f}  {show_text(arm):<{width}} {bars}".rstrip())
    return f"{fence(chr(10).join(lines))}\n\nArms joined by one line are not told apart by their ranks."


def _write_search(search: SearchReport) -> str:
    parts = [_bullets(describe_search(search)), _table(tabulate_groups(search))]
    for kind in search.kinds:
        if kind.winner is not None and len(kind.lineage) > 1:
            parts += [f"Where {kind.kind} {kind.winner.number} comes from:"]
            parts += [_table(tabulate_lineage(kind.lineage, search.objectives[0]))]
    parts += ["Every candidate:", _table(tabulate_lineage(search.candidates, search.objectives[0]))]
    return _section(f"Search: {search.block}", "\n\n".join(parts))


def _write_steps(report: ReportInput, block: str) -> str:
    lines = describe_steps(report.summary, report.steps, block)
    if not lines:
        return ""
    table = _table(tabulate_steps(report.summary, report.steps, block))
    return _section(f"Step by step: {block}", f"{_bullets(lines)}\n\n{table}")


def _write_ensembles(report: ReportInput, block: str) -> str:
    mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
    if not mine:
        return ""
    parts = [_bullets(ensemble.sentence for ensemble in mine), _table(tabulate_ensembles(mine))]
    for ensemble in mine:
        parts += [_name_change(ensemble), _table(tabulate_classes(ensemble))]
    return _section(f"Ensembles: {block}", "\n\n".join(parts))


def _name_change(ensemble: EnsembleReport) -> str:
    text = f"Class by class on the {ensemble.split} split, before ({ensemble.before}) and after ({ensemble.label}):"
    return escape_line(text)


def _write_evidence(evidence: BlockEvidence) -> str:
    heading = f"Class by class: {evidence.arm}, {evidence.block}"
    columns = tabulate_evidence(evidence)
    low, high = evidence.accuracy_interval
    spelled = ", ".join(f"{_name_average(name)} {value:.4f}" for name, value in evidence.averages.items())
    lines = [f"On the {evidence.split} split, means over {evidence.num_trials} trials: {spelled}."]
    lines.append(f"Accuracy on other images of this kind, by Wilson's 95% interval: {low:.4f} to {high:.4f}.")
    if evidence.vote is not None:
        lines.append(
            f"The models of the folds voting together on the common test split: accuracy {evidence.vote.mean:.4f}."
        )
    if evidence.error is not None:
        lines.append(f"Against {evidence.rival}: {evidence.error.sentence}")
    shown = "" if len(columns[0].cells) == len(evidence.classes) else describe_rows(len(evidence.classes), MOST_ROWS)
    parts = [_bullets(lines), escape_line(shown), _table(columns)]
    if len(evidence.classes) <= _MOST_CLASSES_IN_CONFUSION:
        parts += ["Images by true class (rows) and predicted class, summed over trials:", _confusion(evidence)]
    return _section(heading, "\n\n".join(part for part in parts if part))


def _name_average(name: str) -> str:
    """Return a figure's name as it is read: "macro F1", "top-3 accuracy"."""
    words = {"f1": "F1", "auc": "AUC", "top": "top-"}
    return " ".join(words.get(word, word) for word in name.split("_")).replace("- ", "-")


def _confusion(evidence: BlockEvidence) -> str:
    names = evidence.confusion_names
    columns = [Column(key="class", header=("",), cells=names, is_number=False)]
    for number, name in enumerate(names):
        cells = tuple(str(row[number]) for row in evidence.confusion)
        columns.append(Column(key=name, header=(name,), cells=cells))
    return _table(columns)


def _write_legend(summary: Summary) -> str:
    if len(summary.arm_labels) < 2:
        return ""
    counted = any(len(arm.trained_scores) < len(arm.fold_scores or arm.scores) for arm in summary.arms)
    failed = ", failed trials at chance level among them" if counted else ""
    lines = [
        f"Scores are mean ± standard deviation over {runs_of(summary)}{failed}.",
        *explain_pairs(summary),
        f"The correlation of the two arms over {runs_of(summary)} says how much pairing bought (near 0: nothing).",
    ]
    return _section("How to read the tables", "\n".join(f"- {line}" for line in lines))


def _write_published(report: ReportInput) -> str:
    curves = tabulate_curves(report)
    if not report.published and not curves:
        return ""
    parts = [f"Source: {escape_markdown(report.published_source)}"] if report.published_source else []
    parts += [_table(tabulate_published(report))] if report.published else []
    parts += ["By generation; measured on the validation split:", _table(curves)] if curves else []
    return _section("Published against measured", "\n\n".join(parts))


def _write_failures(report: ReportInput) -> str:
    if not report.failures:
        return ""
    return _section("Failures", _table(tabulate_failures(report.failures)))


def _write_repeat(report: ReportInput) -> str:
    parts = [fence(report.command)] if report.command else []
    if report.about:
        parts += ["What the study file says of itself:", _bullets(f"{name}: {text}" for name, text in report.about)]
    if report.study_text.strip():
        parts += ["The study as run:", fence(report.study_text)]
    if report.recipes_text.strip():
        parts += ["Every field of every arm, defaults included:", fence(report.recipes_text)]
    if facts := report.made_with:
        parts += ["Made with:", _bullets(f"{name}: {text}" for name, text in facts.items())]
    return _section("How to repeat it", "\n\n".join(parts)) if parts else ""


def _section(title: str, body: str) -> str:
    return f"## {escape_line(title)}\n\n{body}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape_line(line)}" for line in lines)


def _table(columns: Sequence[Column]) -> str:
    head = _row(" ".join(column.header) for column in columns)
    rule = "|" + "|".join(" ---: " if column.is_number else " --- " for column in columns) + "|"
    rows = [_row(cells) for cells in zip(*(column.cells for column in columns), strict=True)]
    return "\n".join([head, rule, *rows])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape_markdown(cell) or " " for cell in cells) + " |"
