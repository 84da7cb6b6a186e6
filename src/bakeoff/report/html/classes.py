"""The sections on classes: how each is recognised, which is taken for which, whether confidence is to be believed."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.class_tables import describe_rows, tabulate_evidence
from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.figures.roc import MOST_NAMED
from bakeoff.report.html.comparison import Figures
from bakeoff.report.html.parts import Bullets, Cell, Details, Paragraph, Part, Table, make_table, name_block

MOST_CLASSES_OPEN = 12
"""Classes whose tables stand open; those of more are folded."""


def describe_classes(report: ReportInput, figures: Figures) -> Iterator[Part]:
    """Tell how the best arm of every block recognises each class, and which it takes for which."""
    for evidence in report.evidence:
        yield from name_block(report, evidence.block)
        yield Bullets(lines=tuple(_describe_evidence(evidence)))
        if ("classes", evidence.block) in figures:
            yield figures["classes", evidence.block]
        is_long = len(evidence.classes) > MOST_CLASSES_OPEN
        table = _tabulate_classes(evidence)
        told = describe_rows(len(evidence.classes), len(table.rows))
        yield Details(summary=told[:1].upper() + told[1:], parts=(table,)) if is_long else table
        if ("confusion", evidence.block) in figures:
            yield figures["confusion", evidence.block]
        if not is_long:
            yield Details(summary="The same as a table", parts=(_tabulate_confusion(evidence),))


def _describe_evidence(evidence: BlockEvidence) -> Iterator[str]:
    low, high = evidence.accuracy_interval
    names = {"macro_precision": "precision", "macro_recall": "recall", "macro_f1": "F1", "macro_auc": "AUC"}
    spelled = ", ".join(
        f"{text} {evidence.averages[name]:.4f}" for name, text in names.items() if name in evidence.averages
    )
    yield (
        f"The best arm, {evidence.arm}, on the {evidence.split} split, means over {evidence.num_trials} trials and "
        f"all classes that occur: {spelled}."
    )
    yield (
        f"Accuracy to expect on other images of this kind, by Wilson's 95% interval: {100 * low:.2f}% to "
        f"{100 * high:.2f}%."
    )
    if evidence.vote is not None:
        accuracy = f"{100 * evidence.vote.mean:.2f}%"
        yield f"The models of the folds voting together on the common test split: accuracy {accuracy}."
    if evidence.error is not None:
        yield f"Against {evidence.rival}: {evidence.error.sentence}"


def _tabulate_classes(evidence: BlockEvidence) -> Table:
    return make_table(f"Class by class: {evidence.arm}", tabulate_evidence(evidence))


def _tabulate_confusion(evidence: BlockEvidence) -> Table:
    names = evidence.confusion_names
    rows = tuple(
        (Cell(text=name), *(Cell(text=f"{number:,}") for number in numbers))
        for name, numbers in zip(names, evidence.confusion, strict=True)
    )
    return Table(
        caption="Images by true class (rows) and predicted class (columns), summed over trials",
        headers=("true class", *names),
        is_number=(False, *(True for _ in names)),
        rows=rows,
    )


def describe_roc(report: ReportInput, figures: Figures) -> Iterator[Part]:
    """Tell how well classes are told from the rest at any threshold."""
    for evidence in report.evidence:
        if evidence.roc is None:
            continue
        yield from name_block(report, evidence.block)
        named = (
            f" The {MOST_NAMED} classes told apart worst are named." if evidence.roc.num_classes > MOST_NAMED else ""
        )
        yield Paragraph(
            text=f"Of an image of a class and one of another, {evidence.arm} gives the first the higher probability of "
            f"that class in {100 * evidence.roc.macro.auc:.2f}% of cases, averaged over classes (macro AUC). The "
            f"higher and the further left a curve, the better.{named}",
            names=(evidence.arm,),
        )
        if ("roc", evidence.block) in figures:
            yield figures["roc", evidence.block]
        if ("whole roc", evidence.block) in figures:
            yield Details(
                summary="The whole curves, both axes from 0% to 100%", parts=(figures["whole roc", evidence.block],)
            )


def describe_calibration(report: ReportInput, figures: Figures) -> Iterator[Part]:
    """Tell whether the probabilities of every block's best arm are to be believed."""
    for evidence in report.evidence:
        error = evidence.averages.get("expected_calibration_error")
        if error is not None:
            yield from name_block(report, evidence.block)
            yield Paragraph(
                text=f"The confidence that {evidence.arm} states is off by {100 * error:.1f} points on average "
                "(expected calibration error); a perfectly calibrated one would be off by 0."
            )
        if ("calibration", evidence.block) in figures:
            yield figures["calibration", evidence.block]
