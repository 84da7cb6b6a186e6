"""How the arms do on corrupted test images, block by block, where `bakeoff stress` has stored it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bakeoff.data.corruptions import CORRUPTIONS
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.export.frame import Frame, FrameColumn
from bakeoff.report.figures.robustness import draw_robustness
from bakeoff.report.parts import Bullets, Details, Figure, Paragraph, Part, Section, Table, by_block, terminal_if_few
from bakeoff.report.robustness import ArmRobustness, BlockRobustness, Robustness, gather_robustness
from bakeoff.report.sections.comparison import tabulate_pairs
from bakeoff.report.tables import (
    EVERYWHERE,
    NOWHERE,
    PAGES,
    Column,
    Medium,
    format_mean,
    numbers,
    order_verdicts,
    texts,
)
from bakeoff.report.text import count
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import MeanSd

_MEASURE = Measure(find_metric("accuracy"), "test")

_OWN_FAMILY = (
    "These verdicts are a family of their own, asked after the study's: they are by its method, on the mean accuracy "
    "over corruptions and severities, and change none of its verdicts."
)
_FOLDS = "There are no verdicts: with folds, the models of all folds share the test images."
_MOST_ARMS_ACROSS = 8
"""In a table with a column per arm, and on a terminal; a page has all."""


def _gather(sources: Sources) -> dict[str, Any]:
    found = gather_robustness(sources)
    return {} if found is None else {"robustness": found}


def _find(report: ReportInput) -> Robustness | None:
    found = report.facts.get("robustness")
    return found if isinstance(found, Robustness) else None


def write_robustness(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield how a block's arms do on corrupted test images; nothing if that is not stored."""
    robustness = _find(report)
    found = None if robustness is None else robustness.find(block)
    if robustness is None or found is None or not found.arms:
        return
    full = Medium.TERMINAL if robustness.is_asked else NOWHERE
    brief = NOWHERE if robustness.is_asked else terminal_if_few(report.summary)
    names = tuple(arm.arm for arm in found.arms)
    yield Bullets(lines=tuple(_tell(found, robustness)), names=names, media=PAGES | full)
    yield Paragraph(text=f"On test images corrupted by {_count_conditions(found)}:", media=brief)
    yield Figure(draw=draw_robustness)
    yield Table(
        caption=f"Accuracy on corrupted test images, mean ± standard deviation over {report.summary.runs}",
        label="robustness",
        paper=f"{block}: accuracy on test images corrupted in {count(len(found.corruptions), 'way')}, mean ± standard "
        f"deviation over {report.summary.runs}. Lost: clean less corrupted accuracy.",
        columns=tabulate_robustness(found.arms),
        sacrifices=[("drop", "trials"), ("drop", "error"), ("shorten", "clean"), ("shorten", "corrupted")],
        media=PAGES | Medium.LATEX | full | brief,
    )
    summary = robustness.summary
    verdicts = [] if summary is None else order_verdicts(summary, block)
    if summary is not None and verdicts:
        columns = [each for each in tabulate_pairs(summary, verdicts) if each.key != "needed"]
        sacrifices = [("drop", "p"), ("fold", ""), ("drop", "interval")]
        table = Table(caption="Every pair, on corrupted test images", columns=columns, sacrifices=sacrifices)
        yield Details(summary="Pairs", parts=(replace(table, media=PAGES | full),), media=PAGES | full)
    table = Table(
        caption="Accuracy by corruption, mean over severities", columns=tabulate_corruptions(found), is_split=True
    )
    yield Details(summary="Corruption by corruption", parts=(replace(table, media=PAGES | full),), media=PAGES | full)


def _tell(found: BlockRobustness, robustness: Robustness) -> Iterator[str]:
    """Yield the answer and what it rests on."""
    if robustness.summary is not None:
        (answer,) = (each for each in robustness.summary.answers if each.block == found.block)
        yield f"Here test accuracy is the mean over corrupted images. {answer.sentence}"
    is_whole = len(found.corruptions) == len(CORRUPTIONS)
    frost = " Their fifteenth, frost, is left out: it needs photographs." if is_whole else ""
    yield (
        f"The {found.num_images:,} test images were corrupted by {_count_conditions(found)} (Hendrycks and Dietterich "
        f"2019), the same for all trials.{frost}"
    )
    if len(found.arms) > 1:
        yield _FOLDS if robustness.summary is None else _OWN_FAMILY
    if found.looked_at:
        yield f"Looked at on {', '.join(dict.fromkeys(each[:10] for each in found.looked_at))}."


def _count_conditions(found: BlockRobustness) -> str:
    severity = "severity" if len(found.severities) == 1 else "severities"
    is_full = len(found.conditions) == len(found.corruptions) * len(found.severities)
    some = "" if is_full else f", {len(found.conditions)} combinations of them"
    return f"{count(len(found.corruptions), 'corruption')} at {severity} {', '.join(map(str, found.severities))}{some}"


def tabulate_robustness(arms: Sequence[ArmRobustness]) -> list[Column]:
    """Tabulate the accuracy on clean and on corrupted images, best on corrupted ones first."""
    return [
        texts("arm", (arm.arm for arm in arms)),
        _tabulate_means("corrupted", [arm.corrupted for arm in arms], "corrupted", "accuracy %"),
        _tabulate_means("clean", [arm.clean for arm in arms], "clean", "accuracy %"),
        numbers("lost", (_MEASURE.number(arm.lost) for arm in arms), "lost", "points"),
        numbers("error", (_MEASURE.number(1 - arm.corrupted.mean) for arm in arms), "mean corruption", "error %"),
        numbers("trials", (str(arm.num_trials) for arm in arms)),
    ]


def _tabulate_means(key: str, values: Sequence[MeanSd], *header: str) -> Column:
    return Column(
        key=key,
        header=header,
        cells=tuple(format_mean(_MEASURE, value, unit=False) for value in values),
        short=tuple(_MEASURE.number(value.mean) for value in values),
    )


def tabulate_corruptions(found: BlockRobustness) -> list[Column]:
    """Tabulate the accuracy on each corruption in percent, a column per arm, and on clean images in the first row."""
    columns = [texts("corruption", ("clean", *found.corruptions))]
    for position, arm in enumerate(found.arms):
        values = [arm.clean.mean, *map(arm.average_corruption, found.corruptions)]
        media = EVERYWHERE if position < _MOST_ARMS_ACROSS else PAGES
        cells = tuple(_MEASURE.number(value) for value in values)
        columns.append(Column(key=arm.arm, header=(arm.arm,), cells=cells, media=media))
    return columns


def _frame_robustness(report: ReportInput) -> Frame:
    """Tabulate every arm on every condition, a row each."""
    robustness = _find(report)
    names = ("block", "arm", "corruption"), ("severity", "trials"), ("accuracy_share", "accuracy_share_sd")
    return Frame(
        (
            *(FrameColumn(name, "text") for name in names[0]),
            *(FrameColumn(name, "integer") for name in names[1]),
            *(FrameColumn(name, "number") for name in names[2]),
        ),
        (
            (block.block, arm.arm, *condition, arm.num_trials, score.mean, score.sd)
            for block in (() if robustness is None else robustness.blocks)
            for arm in block.arms
            for condition, score in arm.by_condition.items()
        ),
    )


def _dump(report: ReportInput) -> dict[str, Any]:
    """Nothing unless it is stored, so that other studies' documents stay as they are."""
    robustness = _find(report)
    if robustness is None:
        return {}
    summary = robustness.summary
    return {
        "robustness": {
            "blocks": [_dump_block(block) for block in robustness.blocks],
            "margin": None if summary is None else summary.margin,
            "verdicts": [] if summary is None else [verdict.dump() for verdict in summary.verdicts],
            "answers": []
            if summary is None
            else [{"block": answer.block, "sentence": answer.sentence} for answer in summary.answers],
        }
    }


def _dump_block(block: BlockRobustness) -> dict[str, Any]:
    return {
        "block": block.block,
        "images": block.num_images,
        "corruptions": list(block.corruptions),
        "severities": list(block.severities),
        "looked_at": list(block.looked_at),
        "arms": [
            {
                "arm": arm.arm,
                "trials": arm.num_trials,
                "clean": vars(arm.clean),
                "corrupted": vars(arm.corrupted),
                "mean_corruption_error": 1 - arm.corrupted.mean,
                "lost": arm.lost,
                "conditions": [
                    {**condition._asdict(), "mean": score.mean, "sd": score.sd}
                    for condition, score in arm.by_condition.items()
                ],
            }
            for arm in block.arms
        ],
    }


SECTION = Section(
    name="robustness",
    title="Robustness",
    gather=_gather,
    write=by_block(write_robustness),
    dump=_dump,
    tables={"robustness": _frame_robustness},
)
