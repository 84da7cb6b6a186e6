"""What a study's blocks say together: mean ranks, Friedman, Wilcoxon pair by pair, the critical difference.

Only data sets count: an arm's score on one is its mean over replicates, and over the blocks that use it, one number,
however many it rests on. Replicates, or several networks on one data set, taken for independent blocks would pass off
what favours an arm there as evidence about many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.family import adjust_holm, list_family
from bakeoff.stats.measure import join_names
from bakeoff.stats.power import replicates_to_detect
from bakeoff.stats.ranks import FriedmanTest, critical_difference, friedman_test, rank_scores, wilcoxon_p
from bakeoff.stats.results import Summary

MIN_BLOCKS = 6
"""With fewer blocks Wilcoxon's smallest p value is above 5%: no test could succeed."""

LARGE_EFFECT = 1.0
"""The difference, in standard deviations over blocks, that enough blocks would show with 80% power."""

_WILCOXON_EFFICIENCY = 3 / math.pi
_DECIMALS = 12
_MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class PairAcrossBlocks:
    """Arm a against arm b over blocks.

    Attributes:
        wins, ties, losses: blocks in which a's mean score is better than, equal to, worse than b's.
        difference: median over blocks of a - b, in the metric's unit.
        p: Wilcoxon's signed-rank test, two-sided; None under 6 blocks. `p_adjusted`: Holm over the family.
        verdict: of a relative to b over blocks; "inconclusive" where not tested.
    """

    a: str
    b: str
    wins: int
    ties: int
    losses: int
    difference: float
    p: float | None
    p_adjusted: float | None
    verdict: Literal["better", "worse", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class CriticalDifference:
    """What a critical-difference diagram shows, over all pairs (Nemenyi).

    Attributes:
        value: mean ranks that differ by less are not told apart.
        groups: the longest runs of arms, best first, in which no two are told apart; single arms are left out.
        confidence: 1 - the family-wise error rate.
    """

    value: float
    groups: tuple[tuple[str, ...], ...]
    confidence: float


@dataclass(frozen=True, kw_only=True)
class AcrossBlocks:
    """All blocks of a study together.

    Attributes:
        blocks: data sets on which every arm has a score: a block's label, or the data set's where several blocks are of
            one; `left_out`: blocks in which some arm has none.
        arms: best mean rank first.
        mean_ranks: arm -> mean over blocks of its rank, 1 is best.
        ranks: block -> arm -> rank.
        friedman: None under 3 arms.
        pairs: the family: all pairs in the study's order, or every arm against the baseline.
        critical_difference: None for studies with a baseline, whose family is not all pairs.
        blocks_needed: blocks that would show a large effect in a pair with 80% power; None beyond 1,000.
        underpowered: there are fewer.
        sentence: all this in plain words. Holds names as the user wrote them: escape before printing.
        num_averaged: blocks that were averaged within their data sets first; 0 where each is of its own.
        is_descriptive: all blocks are of one data set: they are ranked, and nothing is tested.
    """

    metric: str
    blocks: tuple[str, ...]
    left_out: tuple[str, ...]
    arms: tuple[str, ...]
    mean_ranks: Mapping[str, float]
    ranks: Mapping[str, Mapping[str, float]]
    friedman: FriedmanTest | None
    pairs: tuple[PairAcrossBlocks, ...]
    critical_difference: CriticalDifference | None
    blocks_needed: int | None
    underpowered: bool
    sentence: str
    num_averaged: int = 0
    is_descriptive: bool = False

    def pair(self, a: str, b: str) -> tuple[int, int, int] | None:
        """Return wins, ties and losses of a against b, for the pairwise matrix; None for a pair outside the family."""
        for pair in self.pairs:
            if (pair.a, pair.b) == (a, b):
                return pair.wins, pair.ties, pair.losses
            if (pair.a, pair.b) == (b, a):
                return pair.losses, pair.ties, pair.wins
        return None


def summarise_blocks(summary: Summary, sources: Mapping[str, str] | None = None) -> AcrossBlocks | None:
    """Say what the blocks of a study show together.

    What is compared are mean scores, data set by data set, over the blocks in which every arm has one (Demsar 2006,
    "Statistical comparisons of classifiers over multiple data sets"). Wilcoxon's signed-rank test takes 6 data sets at
    least; Holm corrects it over the family. Several networks on one data set are no independent blocks: what favours an
    arm there favours it with all of them, so their scores are averaged first, and count once.

    Args:
        summary: of the study.
        sources: block -> its data set, by any name; None: every block is one of its own.

    Returns:
        None where there is nothing to put together: under 2 arms, or under 2 blocks in which every arm has a score.
    """
    measure = summary.measure
    scores = {(arm.block, arm.arm): score.mean for arm in summary.arms if (score := arm.score(measure))}
    blocks = [block for block in summary.blocks if all((block, arm) in scores for arm in summary.arm_labels)]
    if len(blocks) < 2 or len(summary.arm_labels) < 2:
        return None
    units = _group_blocks(blocks, sources)
    is_descriptive = len(units) < 2
    if is_descriptive:
        units = {block: [block] for block in blocks}
    means_UA = [
        [np.mean([scores[block, arm] for block in unit]) for arm in summary.arm_labels] for unit in units.values()
    ]
    # Rounded: means of the same values must be level, whatever order they were added in.
    scores_UA = np.round(means_UA, _DECIMALS)
    ranks_UA = rank_scores(scores_UA, higher_is_better=measure.record.higher_is_better)
    means = dict(zip(summary.arm_labels, ranks_UA.mean(axis=0).tolist(), strict=True))
    arms = tuple(sorted(summary.arm_labels, key=means.__getitem__))
    pairs = _compare_pairs(summary, scores_UA, measure.record.higher_is_better, is_tested=not is_descriptive)
    needed = count_blocks_needed(len(pairs), summary.confidence)
    has_diagram = summary.baseline is None and not is_descriptive
    found = AcrossBlocks(
        metric=summary.metric,
        blocks=tuple(units),
        left_out=tuple(block for block in summary.blocks if block not in blocks),
        arms=arms,
        mean_ranks={arm: means[arm] for arm in arms},
        ranks={
            unit: dict(zip(summary.arm_labels, row, strict=True))
            for unit, row in zip(units, ranks_UA.tolist(), strict=True)
        },
        friedman=None if is_descriptive else friedman_test(ranks_UA),
        pairs=pairs,
        critical_difference=_group_arms(arms, means, len(units), summary.confidence) if has_diagram else None,
        blocks_needed=needed,
        underpowered=needed is None or len(units) < needed,
        sentence="",
        num_averaged=0 if len(units) == len(blocks) else len(blocks),
        is_descriptive=is_descriptive,
    )
    return replace(found, sentence=_write(found, summary.baseline, summary.confidence))


def count_blocks_needed(num_pairs: int, confidence: float = 0.95) -> int | None:
    """Return the blocks that show a large effect in a pair with 80% power, or None beyond 1,000.

    A large effect: a mean difference as large as its standard deviation over blocks. Counted for the paired t test at
    Holm's strictest step, (1 - confidence) / num_pairs, and divided by 3 / pi, what Wilcoxon's test keeps of its
    efficiency for normal differences (Hodges and Lehmann 1956). At least 6. This is what "underpowered" is measured by.
    """
    by_t = replicates_to_detect(LARGE_EFFECT, alpha=(1 - confidence) / num_pairs)
    return None if by_t is None else max(MIN_BLOCKS, math.ceil(by_t / _WILCOXON_EFFICIENCY))


def _group_blocks(blocks: Sequence[str], sources: Mapping[str, str] | None) -> dict[str, list[str]]:
    """Return blocks by their data set; a data set with one block is called as that is."""
    by_source: dict[str, list[str]] = {}
    for block in blocks:
        by_source.setdefault(block if sources is None else sources[block], []).append(block)
    return {mine[0] if len(mine) == 1 else source: mine for source, mine in by_source.items()}


def _compare_pairs(
    summary: Summary, scores_UA: NDArray[np.float64], higher_is_better: bool, *, is_tested: bool
) -> tuple[PairAcrossBlocks, ...]:
    family = list_family(summary.arm_labels, summary.baseline)
    column = {arm: scores_UA[:, number] for number, arm in enumerate(summary.arm_labels)}
    differences = [np.round(column[a] - column[b], _DECIMALS) for a, b in family]
    p_values = [wilcoxon_p(difference_B) for difference_B in differences]
    enough = is_tested and len(scores_UA) >= MIN_BLOCKS
    pairs = []
    for (a, b), difference_B, p, p_adjusted in zip(family, differences, p_values, adjust_holm(p_values), strict=True):
        gain_B = difference_B * (1 if higher_is_better else -1)
        verdict: Literal["better", "worse", "inconclusive"] = "inconclusive"
        if enough and p_adjusted <= 1 - summary.confidence:
            verdict = "better" if _sum_signed_ranks(gain_B) > 0 else "worse"
        pairs.append(
            PairAcrossBlocks(
                a=a,
                b=b,
                wins=int((gain_B > 0).sum()),
                ties=int((gain_B == 0).sum()),
                losses=int((gain_B < 0).sum()),
                difference=float(np.median(difference_B)),
                p=p if enough else None,
                p_adjusted=p_adjusted if enough else None,
                verdict=verdict,
            )
        )
    return tuple(pairs)


def _sum_signed_ranks(gain_B: NDArray[np.float64]) -> float:
    apart = gain_B[gain_B != 0]
    return float((np.sign(apart) * rank_scores(np.abs(apart)[None], higher_is_better=False)[0]).sum())


def _group_arms(
    arms: Sequence[str], mean_ranks: Mapping[str, float], num_blocks: int, confidence: float
) -> CriticalDifference:
    value = critical_difference(num_blocks, len(arms), confidence)
    groups: list[tuple[str, ...]] = []
    for start, first in enumerate(arms):
        group = tuple(arm for arm in arms[start:] if mean_ranks[arm] - mean_ranks[first] < value)
        inside_last = bool(groups) and group[-1] in groups[-1]
        if len(group) > 1 and not inside_last:
            groups.append(group)
    return CriticalDifference(value=value, groups=tuple(groups), confidence=confidence)


def _write(found: AcrossBlocks, baseline: str | None, confidence: float) -> str:
    best, worst = found.arms[0], found.arms[-1]
    averaged = f", {found.num_averaged} blocks averaged within them," if found.num_averaged else ""
    sentences = [
        f"Over {len(found.blocks)} {_units(found)}{averaged} mean ranks run from {found.mean_ranks[best]:.2f} ({best}) "
        f"to {found.mean_ranks[worst]:.2f} ({worst})."
    ]
    if found.is_descriptive:
        sentences.append("All are of one data set, so this describes these blocks and says nothing of other data sets.")
        return " ".join([*sentences, *_name_left_out(found)])
    if found.friedman is not None:
        chance = "more than chance" if found.friedman.p_f <= 1 - confidence else "not shown to be more than chance"
        sentences.append(
            f"That the {_units(found)} agree on an order is {chance} (Friedman, p {found.friedman.p_f:.2g})."
        )
    sentences.append(_write_pairs(found, baseline))
    if found.underpowered:
        wanted = "more than 1,000" if found.blocks_needed is None else str(found.blocks_needed)
        sentences.append(
            f"Underpowered: to show with 80% power a difference as large as its standard deviation over "
            f"{_units(found)} takes {wanted} of them."
        )
    return " ".join([*sentences, *_name_left_out(found)])


def _units(found: AcrossBlocks) -> str:
    return "data sets" if found.num_averaged else "blocks"


def _name_left_out(found: AcrossBlocks) -> list[str]:
    if not found.left_out:
        return []
    return [f"Left out, because an arm has no score there: {join_names(list(found.left_out))}."]


def _write_pairs(found: AcrossBlocks, baseline: str | None) -> str:
    if len(found.blocks) < MIN_BLOCKS:
        return f"No pair is tested under {MIN_BLOCKS} {_units(found)}: Wilcoxon's test could not succeed."
    settled = [
        f"{pair.a} is better than {pair.b}" if pair.verdict == "better" else f"{pair.b} is better than {pair.a}"
        for pair in found.pairs
        if pair.verdict != "inconclusive"
    ]
    if not settled:
        against = "" if baseline is None else f" from the baseline, {baseline}"
        return (
            f"No arm is shown to differ{against} over {_units(found)} (Wilcoxon, adjusted for {_count(found.pairs)})."
        )
    listed = join_names(settled[:_MOST_NAMED])
    more = f" and {len(settled) - _MOST_NAMED} more pairs differ" if len(settled) > _MOST_NAMED else ""
    return f"Over {_units(found)} {listed}{more} (Wilcoxon, adjusted for {_count(found.pairs)})."


def _count(pairs: Sequence[PairAcrossBlocks]) -> str:
    return "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
