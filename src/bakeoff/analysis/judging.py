"""Pairs of arms of one block judged as one family: compared on common replicates, corrected together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.analysis.family import Decision, decide_family
from bakeoff.analysis.measure import Measure
from bakeoff.analysis.pairs import PairComparison, compare_pair
from bakeoff.analysis.results import ArmSummary, Verdict
from bakeoff.analysis.sequential import SequentialDesign, compare_by_looks


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What decides between two arms.

    Attributes:
        measure: the deciding metric on the deciding split.
        margin, confidence, num_folds, race: as `summarise` takes them.
        test_share: with folds, images scored in one of them over images trained on.
    """

    measure: Measure
    margin: float | None
    confidence: float
    num_folds: int | None = None
    race: SequentialDesign | None = None
    test_share: float | None = None


def judge_pairs(pairs: Sequence[tuple[ArmSummary, ArmSummary]], judging: Judging) -> list[Verdict]:
    """Give every pair of a family its verdict, of the first arm relative to the second, Holm-corrected over the family.

    Args:
        pairs: all pairs of the family, of one block.
        judging: what decides.
    """
    comparisons = [_compare(a, b, judging) for a, b in pairs]
    decisions = decide_family(comparisons, runs_per_replicate=judging.num_folds or 1)
    decided = zip(pairs, comparisons, decisions, strict=True)
    return [_verdict(a, b, judging, comparison, decision) for (a, b), comparison, decision in decided]


def _compare(a: ArmSummary, b: ArmSummary, judging: Judging) -> PairComparison:
    if judging.num_folds is None:
        values = [(a.scores[replicate], b.scores[replicate]) for replicate in a.scores if replicate in b.scores]
    else:
        values = [(a.fold_scores[run], b.fold_scores[run]) for run in a.fold_scores if run in b.fold_scores]
    if judging.race is not None and values:
        return compare_by_looks(
            [value for value, _ in values],
            [value for _, value in values],
            # The race decided on validation scores: on the test split no look is special, so all are equally strict.
            design=judging.race.flatten() if judging.measure.split == "test" else judging.race,
            margin=judging.margin,
            higher_is_better=judging.measure.record.higher_is_better,
        )
    return compare_pair(
        [value for value, _ in values],
        [value for _, value in values],
        margin=judging.margin,
        confidence=judging.confidence,
        higher_is_better=judging.measure.record.higher_is_better,
        test_share=judging.test_share,
    )


def _verdict(a: ArmSummary, b: ArmSummary, judging: Judging, comparison: PairComparison, decision: Decision) -> Verdict:
    return Verdict(
        block=a.block,
        a=a.arm,
        b=b.arm,
        metric=judging.measure.record.name,
        split=judging.measure.split,
        replicates=comparison.n,
        difference=comparison.difference,
        interval=comparison.interval,
        sd=comparison.sd,
        p=comparison.p,
        p_adjusted=decision.p_adjusted,
        p_equivalence_adjusted=decision.p_equivalence_adjusted,
        effect_size=comparison.effect_size,
        correlation=comparison.correlation,
        verdict=decision.verdict,
        reason=decision.reason,
        replicates_needed=decision.replicates_needed,
        margin=judging.margin,
        num_folds=judging.num_folds,
    )
