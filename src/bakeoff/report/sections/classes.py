"""Class by class: how well the best arm of every block recognises each class, and what it confuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.export.tables import tabulate_all_classes, tabulate_confusion
from bakeoff.report.figures.classes import draw_classes
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.parts import Bullets, Details, Figure, Part, Section, Table, by_block
from bakeoff.report.tables import Column, describe_rows, format_all, numbers, pick_worst, texts
from bakeoff.report.text import count

MOST_CLASSES_OPEN = 12
"""Tables of more classes are folded, and their confusion matrix is shown only as a figure."""


def write_classes(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield the class tables of a block's best arm; nothing if no predictions are stored."""
    evidence = report.evidence_of(block)
    if evidence is None:
        return
    yield Bullets(lines=tuple(_describe(evidence)))
    yield Figure(draw=draw_classes)
    columns = tabulate_evidence(evidence)
    which = describe_rows(len(evidence.classes), len(columns[0].cells))
    table = Table(caption=f"Class by class: {evidence.arm}, {which}", columns=columns)
    is_long = len(evidence.classes) > MOST_CLASSES_OPEN
    yield Details(summary=which[:1].upper() + which[1:], parts=(table,)) if is_long else table
    yield Figure(draw=draw_confusion)
    if not is_long:
        yield Details(summary="The confusion matrix as a table", parts=(_tabulate_confusion(evidence),))


def _describe(evidence: BlockEvidence) -> Iterator[str]:
    low, high = evidence.accuracy_interval
    formatted = ", ".join(f"{_name_average(name)} {value:.4f}" for name, value in evidence.averages.items())
    yield (
        f"Scores of {evidence.arm}, the arm with the highest mean, on the {evidence.split} split (means over "
        f"{count(evidence.num_trials, 'trial')} and all classes present): {formatted}."
    )
    yield (
        f"Accuracy of these trained models on new images of this kind: {100 * low:.2f}% to {100 * high:.2f}% (Wilson's "
        "95% interval)."
    )
    if evidence.vote is not None:
        accuracy = f"{100 * evidence.vote.mean:.2f}%"
        yield f"Soft vote of the folds' models on the common test split: accuracy {accuracy}."
    if evidence.error is not None:
        yield f"Against {evidence.rival}: {evidence.error.sentence}"


def _name_average(name: str) -> str:
    """Return a figure's name as a reader knows it: "macro F1", "top-3 accuracy"."""
    words = {"f1": "F1", "auc": "AUC", "top": "top-"}
    return " ".join(words.get(word, word) for word in name.split("_")).replace("- ", "-")


def tabulate_evidence(evidence: BlockEvidence) -> list[Column]:
    """Tabulate how well a block's best arm recognises each class, or each of the hardest: a row per class."""
    rows = pick_worst(evidence.classes, [row.f1 for row in evidence.classes])
    scores = {"precision": "precision", "recall": "recall", "F1": "f1", "AUC": "auc"}
    return [
        texts("class", (row.name for row in rows)),
        numbers("images", (f"{row.occurring:,}" for row in rows)),
        *(
            numbers(name, format_all((getattr(row, score) for row in rows), "{:.4f}".format))
            for name, score in scores.items()
        ),
    ]


def _tabulate_confusion(evidence: BlockEvidence) -> Table:
    names = evidence.confusion_names
    columns = (
        numbers(name, (f"{row[number]:,}" for row in evidence.confusion), name) for number, name in enumerate(names)
    )
    return Table(
        caption="Images by true class (rows) and predicted class (columns), summed over trials",
        columns=[texts("true class", names), *columns],
    )


def _dump_evidence(evidence: BlockEvidence) -> dict[str, Any]:
    """Return one block's evidence as plain values; of the ROC curves only the mean."""
    document = asdict(evidence)
    del document["cells"]  # thousands of classes have too many cells; `--table confusion` lists them
    if evidence.roc is not None:
        document["roc"] = {"macro": asdict(evidence.roc.macro), "error": evidence.roc.error}
    return document


SECTION = Section(
    name="classes",
    title="Class by class",
    write=by_block(write_classes),
    dump=lambda report: {"evidence": [_dump_evidence(evidence) for evidence in report.evidence]},
    tables={"classes": tabulate_all_classes, "confusion": tabulate_confusion},
)
