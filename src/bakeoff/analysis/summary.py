"""From trial results to the study's answer: scores of every arm, verdicts on every pair, one answer per block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from bakeoff.analysis.family import Decision, decide_family
from bakeoff.analysis.measure import Measure, Split
from bakeoff.analysis.metrics import MetricError, find_metric
from bakeoff.analysis.pairs import PairComparison, compare_pair
from bakeoff.analysis.results import (
    ArmSummary,
    BlockAnswer,
    MeanSd,
    Summary,
    TrialResult,
    Verdict,
    rank_arms,
)
from bakeoff.analysis.wording import Standing, write_answer, write_overall

__all__ = ["ArmSummary", "BlockAnswer", "MeanSd", "Summary", "TrialResult", "Verdict", "rank_arms", "summarise"]


def summarise(
    results: Sequence[TrialResult],
    *,
    metric: str = "accuracy",
    margin: float | None = None,
    confidence: float = 0.95,
    blocks: Sequence[str],
    arms: Sequence[str],
) -> Summary:
    """Say what the results of a study show.

    Verdicts rest on the test split when every trial done was examined on it, else on the validation split; pairs are
    compared on the replicates both arms have. All pairs of arms within a block are one family.

    Args:
        results: trials done or failed, in any order; those not yet run are simply absent.
        metric: the deciding metric.
        margin: largest difference that does not matter, in the metric's unit; None for no equivalence verdicts.
        confidence: of intervals, 0..1; 1 - confidence is the family-wise error rate of the verdicts.
        blocks: all block labels, in order.
        arms: all arm labels, in order; an arm without a trial done appears with zero replicates.

    Raises:
        MetricError: unknown metric, or a trial done with a value that is not finite.
        ValueError: a result of an undeclared block or arm, or two of the same replicate.
    """
    by_cell = _group(results, blocks, arms)
    split = _deciding_split(results, metric)
    measure = Measure(find_metric(metric), split)
    summaries = {
        (block, arm): _summarise_arm(block, arm, by_cell[block, arm], metric, split) for block in blocks for arm in arms
    }
    verdicts: list[Verdict] = []
    answers: list[BlockAnswer] = []
    for block in blocks:
        block_arms = [summaries[block, arm] for arm in arms]
        found = _judge_block(block_arms, measure, margin, confidence)
        verdicts += found
        answers.append(_answer(block, block_arms, found, measure, margin, confidence))
    return Summary(
        metric=metric,
        split=split,
        margin=margin,
        confidence=confidence,
        blocks=tuple(blocks),
        arm_labels=tuple(arms),
        arms=tuple(summaries.values()),
        verdicts=tuple(verdicts),
        answers=tuple(answers),
        overall=write_overall(answers),
    )


def _group(
    results: Iterable[TrialResult], blocks: Sequence[str], arms: Sequence[str]
) -> dict[tuple[str, str], dict[int, TrialResult]]:
    cells: dict[tuple[str, str], dict[int, TrialResult]] = {(block, arm): {} for block in blocks for arm in arms}
    for result in results:
        cell = cells.get((result.block, result.arm))
        if cell is None:
            raise ValueError(f"trial {result.trial_id} belongs to no declared block and arm")
        if result.replicate in cell:
            raise ValueError(f"two results of block {result.block}, arm {result.arm}, replicate {result.replicate}")
        _check_finite(result)
        cell[result.replicate] = result
    return cells


def _check_finite(result: TrialResult) -> None:
    for split, metrics in result.metrics.items():
        for name, value in metrics.items():
            if result.state == "done" and not math.isfinite(value):
                raise MetricError(
                    f"trial {result.trial_id} is recorded as done with {split} {name} = {value}; "
                    "a trial without a finite score should be recorded as failed"
                )


def _deciding_split(results: Iterable[TrialResult], metric: str) -> Split:
    done = [result for result in results if result.state == "done"]
    examined = bool(done) and all(metric in result.metrics.get("test", {}) for result in done)
    return "test" if examined else "validation"


def _summarise_arm(
    block: str, arm: str, by_replicate: Mapping[int, TrialResult], metric: str, split: Split
) -> ArmSummary:
    done = {replicate: by_replicate[replicate] for replicate in sorted(by_replicate)}
    done = {replicate: result for replicate, result in done.items() if result.state == "done"}
    return ArmSummary(
        block=block,
        arm=arm,
        replicates=len(done),
        failed=len(by_replicate) - len(done),
        train=_average_metrics(done.values(), "train"),
        validation=_average_metrics(done.values(), "validation"),
        test=_average_metrics(done.values(), "test"),
        scores={r: v.metrics[split][metric] for r, v in done.items() if metric in v.metrics.get(split, {})},
        epochs=_average([float(result.epochs_trained) for result in done.values()]),
        seconds=_average([result.seconds for result in done.values()]),
    )


def _average_metrics(results: Iterable[TrialResult], split: str) -> dict[str, MeanSd]:
    values: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.metrics.get(split, {}).items():
            values.setdefault(name, []).append(value)
    return {name: average for name, listed in values.items() if (average := _average(listed))}


def _average(values: Sequence[float]) -> MeanSd | None:
    if not values:
        return None
    return MeanSd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _judge_block(
    arms: Sequence[ArmSummary], measure: Measure, margin: float | None, confidence: float
) -> list[Verdict]:
    pairs = list(combinations(arms, 2))
    comparisons = []
    for a, b in pairs:
        common = [replicate for replicate in a.scores if replicate in b.scores]
        comparisons.append(
            compare_pair(
                [a.scores[replicate] for replicate in common],
                [b.scores[replicate] for replicate in common],
                margin=margin,
                confidence=confidence,
                higher_is_better=measure.record.higher_is_better,
            )
        )
    decided = zip(pairs, comparisons, decide_family(comparisons), strict=True)
    return [_verdict(a, b, measure, comparison, decision) for (a, b), comparison, decision in decided]


def _verdict(a: ArmSummary, b: ArmSummary, measure: Measure, comparison: PairComparison, decision: Decision) -> Verdict:
    return Verdict(
        block=a.block,
        a=a.arm,
        b=b.arm,
        metric=measure.record.name,
        split=measure.split,
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
    )


def _answer(
    block: str,
    arms: Sequence[ArmSummary],
    verdicts: Sequence[Verdict],
    measure: Measure,
    margin: float | None,
    confidence: float,
) -> BlockAnswer:
    ranked = rank_arms(arms, measure)
    best = _best(ranked, verdicts)
    others = tuple(arm for arm in ranked if arm is not best)
    standing = Standing(
        block=block,
        measure=measure,
        best=best,
        others=others,
        missing=tuple(arm.arm for arm in arms if not arm.scores),
        against=_against(best, verdicts),
        failed=sum(arm.failed for arm in arms),
        margin=margin,
        confidence=confidence,
    )
    return BlockAnswer(
        block=block,
        best=best.arm if best else None,
        score=best.score(measure) if best else None,
        not_worse=tuple(arm.arm for arm in standing.those("inconclusive", "equivalent", "worse")),
        equivalent=tuple(arm.arm for arm in standing.those("equivalent")),
        worse=tuple(arm.arm for arm in standing.those("better")),
        missing=tuple(standing.missing),
        sentence=write_answer(standing),
    )


def _best(ranked: Sequence[ArmSummary], verdicts: Sequence[Verdict]) -> ArmSummary | None:
    """Return the best mean among arms not shown to be worse than another.

    With failed trials an arm can have the best mean over its own replicates and still lose on the common ones.
    """
    beaten = {v.a for v in verdicts if v.verdict == "worse"} | {v.b for v in verdicts if v.verdict == "better"}
    unbeaten = [arm for arm in ranked if arm.arm not in beaten]
    return next(iter(unbeaten or ranked), None)


def _against(best: ArmSummary | None, verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    if best is None:
        return {}
    seen = [verdict.seen_from(best.arm) for verdict in verdicts if best.arm in (verdict.a, verdict.b)]
    return {verdict.b: verdict for verdict in seen}
