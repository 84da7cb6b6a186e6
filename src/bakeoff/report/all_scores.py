"""The whole table of scores: every metric on training and test images, mean and sd, a row per arm."""

from __future__ import annotations

from bakeoff.analysis.measure import Measure, Split
from bakeoff.analysis.metrics import METRICS
from bakeoff.analysis.results import Summary
from bakeoff.report.tables import Column, order_arms, tabulate_measure
from bakeoff.report.text import show_text


def tabulate_all_scores(summary: Summary, block: str, splits: tuple[Split, ...] | None = None) -> list[Column]:
    """Tabulate accuracy, loss, macro precision, recall and F1 of every arm of a block, best first.

    Args:
        summary: of the study.
        block: the block's label.
        splits: which; by default the training split and the one the verdicts rest on.
    """
    arms = order_arms(summary, block)
    columns = [Column(key="arm", header=("arm",), cells=tuple(show_text(arm.arm) for arm in arms), is_number=False)]
    for split in splits or ("train", summary.split):
        for record in METRICS:
            if any(record.name in arm.on(split) for arm in arms):
                columns.append(tabulate_measure(Measure(record, split), arms))
    return columns
