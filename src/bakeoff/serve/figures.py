"""Figures of a running study: learning curves so far, and a search's history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.ledger.curves import EpochRow
from bakeoff.ledger.live import ArmProgress, StudyProgress
from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.curves import describe_curves
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.curves import MAX_ARMS, draw_curves
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.search import describe_searches
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.study.plan import expand
from bakeoff.study.schema import RECORDED, Study


def choose_arms(progress: StudyProgress, block: str) -> tuple[str, ...]:
    """Return the arms of a block whose curves are drawn: the best so far, then those without a score.

    They are in the study's order, so that an arm keeps its colour when another overtakes it.
    """
    arms = [arm for arm in progress.arms if arm.block == block and (arm.num_done or arm.num_started)]
    best = {arm.arm for arm in rank(arms, progress.metric)[:MAX_ARMS]}
    return tuple(arm.arm for arm in arms if arm.arm in best)


def rank(arms: Sequence[ArmProgress], metric: str) -> list[ArmProgress]:
    """Return arms sorted by score so far, best first; those without one come last, in their order."""
    sign = -1.0 if find_metric(metric).higher_is_better else 1.0
    return sorted(arms, key=lambda arm: (arm.score is None, sign * (arm.score or 0.0)))


def draw_live_curves(
    progress: StudyProgress, block: str, metric: str, arms: Sequence[str], rows: Sequence[EpochRow]
) -> FigureSpec | None:
    """Draw one metric's learning curves in one block, for every trial so far; None before the first epoch.

    `arms` are those to draw, at most MAX_ARMS; `rows` are the block's epochs so far.
    """
    wanted = set(arms)
    curves = describe_curves((row for row in rows if row.arm in wanted), (metric,))
    if not curves:
        return None
    return draw_curves(_report(progress, block, arms, curves=curves), block, metric)


def draw_live_search(
    progress: StudyProgress, block: str, document: dict[str, Any], candidates: Sequence[CandidateRow]
) -> FigureSpec | None:
    """Draw what a search has tried in one block so far; None if nothing has a value yet."""
    searches = describe_searches(expand(Study.model_validate(document, context={RECORDED: True})), candidates)
    return draw_search(_report(progress, block, ("search",), searches=searches), block)


def _report(progress: StudyProgress, block: str, arms: Sequence[str], **parts: Any) -> ReportInput:
    """Return a report that contains only what a figure draws."""
    return ReportInput(
        name=progress.name,
        question=progress.question,
        state="unfinished",
        summary=summarise((), StudyDesign(blocks=(block,), arms=arms), Rules(metric=progress.metric)),
        num_done=progress.num_done,
        num_failed=progress.num_failed,
        num_reused=0,
        num_planned=progress.num_planned,
        **parts,
    )
