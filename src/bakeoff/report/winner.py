"""Which models a study recommends: its best arm on validation, who ties with it, and their trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.errors import BakeoffError, NotYetError, UnknownPartError, nearest
from bakeoff.report.document import Sources
from bakeoff.report.text import show_text
from bakeoff.stats.measure import Measure, join_names
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import ArmSummary, MeanSd, Summary, rank_arms

Prefer: TypeAlias = Literal["score", "cheaper"]
"""Among arms that no verdict tells apart: the best mean on validation, or the least training time."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The arm to use in one block, and its models.

    Attributes:
        tied: other arms that no verdict tells apart from it.
        metric: the deciding metric. `validation`: mean and sd of it over replicates, by which the arm was chosen;
            `test`: the same on the test split, or with folds on the held-out folds; None before the final test.
        trial_ids: its finished trials, the best on validation first.
        is_chosen: whether the user named the arm.
    """

    block: str
    arm: str
    tied: tuple[str, ...]
    metric: str
    validation: MeanSd
    test: MeanSd | None
    trial_ids: tuple[str, ...]
    is_chosen: bool

    def describe(self) -> str:
        """Say in one sentence which arm this is, and who ties with it."""
        if self.is_chosen:
            return f"{self.arm}, as asked."
        reason = f"{self.arm} has the best mean {find_metric(self.metric).label} on validation"
        if not self.tied:
            return f"{reason}."
        return f"{reason}; no verdict tells it apart from {join_names(list(self.tied))}, which may be just as good."


def choose_winner(
    sources: Sources, block: str | None = None, arm: str | None = None, prefer: Prefer = "score"
) -> Winner:
    """Choose the arm of a study to use.

    The choice rests on validation alone, so the winner's test score stays the score of a model that the test images had
    no part in choosing. Verdicts then say which arms it is not told apart from.

    Args:
        sources: the study, read from its ledger.
        block: the block; needed if there are several.
        arm: the arm to use instead of the best.
        prefer: which of the arms that tie.

    Raises:
        WorkspaceError: no such block or arm, or none of its trials is finished.
    """
    summary = sources.summary
    block = _choose_block(summary, block)
    measure = Measure(find_metric(summary.metric), "validation")
    # A failed trial has a score, at chance level, but no weights.
    trained = {each.arm for each in sources.record.results if (each.block, each.state) == (block, "done")}
    ranked = [each for each in rank_arms(summary.arms_of(block), measure) if each.arm in trained]
    if arm is not None and arm not in [each.arm for each in ranked]:
        known = [each.arm for each in ranked]
        raise _refuse(f"no arm '{show_text(arm)}' with a finished trial in block '{show_text(block)}'", arm, known)
    if not ranked:
        raise NotYetError(f"No trial of block '{show_text(block)}' is finished: run the study first.")
    chosen = ranked[0] if arm is None else next(each for each in ranked if each.arm == arm)
    tied = _find_tied(chosen, ranked, summary)
    if arm is None and prefer == "cheaper":
        chosen = min((chosen, *tied), key=_seconds)
        tied = _find_tied(chosen, ranked, summary)
    validation = chosen.score(measure)
    assert validation is not None, "ranked arms have a score"
    return Winner(
        block=block,
        arm=chosen.arm,
        tied=tuple(each.arm for each in tied),
        metric=summary.metric,
        validation=validation,
        test=None if summary.split == "validation" else chosen.score(summary.measure),
        trial_ids=_order_trials(chosen, sources, measure),
        is_chosen=arm is not None,
    )


def _choose_block(summary: Summary, block: str | None) -> str:
    if block is None and len(summary.blocks) == 1:
        return summary.blocks[0]
    if block is None:
        raise _refuse("The study has several blocks: name one with --block", "", summary.blocks)
    if block not in summary.blocks:
        raise _refuse(f"no block '{show_text(block)}'", block, summary.blocks)
    return block


def _find_tied(chosen: ArmSummary, ranked: Sequence[ArmSummary], summary: Summary) -> list[ArmSummary]:
    """Return the arms that no verdict shows to be better or worse than the chosen one, best mean first."""
    settled = {
        other
        for verdict in summary.verdicts_of(chosen.block)
        if verdict.verdict in ("better", "worse") and chosen.arm in (verdict.a, verdict.b)
        for other in (verdict.a, verdict.b)
    }
    return [each for each in ranked if each.arm != chosen.arm and each.arm not in settled]


def _seconds(arm: ArmSummary) -> float:
    return float("inf") if arm.seconds is None else arm.seconds.mean


def _order_trials(arm: ArmSummary, sources: Sources, measure: Measure) -> tuple[str, ...]:
    """Return the arm's finished trials, the best on validation first."""
    scores = {
        result.trial_id: result.metrics["validation"][measure.record.name]
        for result in sources.record.results
        if (result.block, result.arm, result.state) == (arm.block, arm.arm, "done")
    }
    sign = -1 if measure.record.higher_is_better else 1
    return tuple(sorted(scores, key=lambda trial_id: (sign * scores[trial_id], trial_id)))


def _refuse(problem: str, given: str, names: Sequence[str]) -> BakeoffError:
    listed = ", ".join(map(show_text, names)) or "none"
    return UnknownPartError(f"{problem[:1].upper()}{problem[1:]}. There are: {listed}.{nearest(given, names)}")
