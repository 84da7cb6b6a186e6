"""Pairs of arms of one block judged as one family: compared on common replicates, corrected together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bakeoff.stats.bayes import decide_by_posterior, pool_blocks, standard_error
from bakeoff.stats.borrowed import MIN_PAIRS, Lender, choose_slope
from bakeoff.stats.effects import borrow_errors, correct_winner, measure_superiority
from bakeoff.stats.family import Decision, LookComparisons, count_left, decide_family
from bakeoff.stats.looks import LineLook, share_of_look
from bakeoff.stats.mean_error import MeanError
from bakeoff.stats.measure import Measure, join_names
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.results import ArmSummary, Rules, Verdict
from bakeoff.stats.sequential import compare_by_looks
from bakeoff.stats.unpaired import compare_unpaired, is_paired, measure_unpaired_spread
from bakeoff.stats.variance import Spread, measure_spread

ArmLender = Lender[str, tuple[int, int]]
"""What arms, by label, lend each other; their runs are replicates and folds."""


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What decides between two arms.

    Attributes:
        measure: the deciding metric on the deciding split.
        num_folds: of every replicate; None without folds.
        looks: at the question so far, the present one last; empty where none are on record.
        test_shares: with folds, by block: images scored in one of them over images trained on.
    """

    measure: Measure
    rules: Rules
    num_folds: int | None = None
    looks: tuple[LineLook, ...] = ()
    test_shares: Mapping[str, float] = field(default_factory=dict)


Compare = Callable[[ArmSummary, ArmSummary, Judging], PairComparison]
"""Compares two arms of a block."""


def judge_pairs(
    pairs: Sequence[tuple[ArmSummary, ArmSummary]], judging: Judging, compare: Compare | None = None
) -> list[Verdict]:
    """Give every pair of a family its verdict, of the first arm relative to the second, corrected over the family.

    Args:
        pairs: all pairs of the family, of one block or of several.
        judging: what decides.
        compare: compares two arms at a look; None for `compare_arms`, with what the method lets arms lend each other.
    """
    comparisons = compare_all(pairs, judging, compare)
    if judging.rules.method == "bayes":
        decisions = tuple(map(decide_by_posterior, comparisons))
    else:
        decisions = decide_family(
            comparisons,
            runs_per_replicate=judging.num_folds or 1,
            looks=_look_back(pairs, comparisons, judging, compare),
            single_step=compare is None and any(comparison.error is not None for comparison in comparisons),
            num_left=_count_left(pairs, judging),
        )
    decided = zip(pairs, comparisons, decisions, _find_errors(pairs, comparisons, judging), strict=True)
    return [_verdict(a, b, judging, comparison, decision, error) for (a, b), comparison, decision, error in decided]


def _count_left(pairs: Sequence[tuple[ArmSummary, ArmSummary]], judging: Judging) -> float | None:
    """Return what the pairs count as once one is found to differ; None unless they are all pairs of a block's arms."""
    by_block = _group_by_block(pairs)
    if len(by_block) != 1 or judging.rules.race is not None:
        return None
    ((arms, num_pairs),) = by_block.values()
    is_whole = num_pairs == len(arms) * (len(arms) - 1) // 2 and all(len(arm.members) == 1 for arm in arms)
    return count_left(len(arms)) if is_whole else None


def compare_all(
    pairs: Sequence[tuple[ArmSummary, ArmSummary]], judging: Judging, compare: Compare | None
) -> list[PairComparison]:
    """Compare pairs of a family at one look; see `judge_pairs`. Nothing is corrected for there being many."""
    if compare is not None:
        return [compare(a, b, judging) for a, b in pairs]
    lenders = _find_lenders(pairs, judging) if judging.rules.method == "moderated" else {}
    return [compare_arms(a, b, judging, lenders.get(a.block)) for a, b in pairs]


def _find_lenders(pairs: Sequence[tuple[ArmSummary, ArmSummary]], judging: Judging) -> dict[str, ArmLender]:
    """Return who lends in every block: the arms themselves, where averages of arms are compared."""
    by_block = _group_by_block(pairs)
    found = {}
    for block, (arms, num_pairs) in by_block.items():
        if num_pairs < MIN_PAIRS:
            continue
        members = {member.arm: member for arm in arms for member in arm.members}
        found[block] = Lender(
            {label: _list_scores(member, judging) for label, member in members.items()},
            slope=choose_slope(len(members), num_pairs, len(by_block)),
            test_share=judging.test_shares.get(block, 0.0),
        )
    return found


def _group_by_block(pairs: Sequence[tuple[ArmSummary, ArmSummary]]) -> dict[str, tuple[list[ArmSummary], int]]:
    """Return every block's arms and number of pairs.

    Averages are told apart by their members: two factors may have a level of the same name.
    """
    arms: dict[str, dict[frozenset[str], ArmSummary]] = {}
    for pair in pairs:
        for arm in pair:
            arms.setdefault(arm.block, {})[frozenset(member.arm for member in arm.members)] = arm
    blocks = [a.block for a, _ in pairs]
    return {block: (list(found.values()), blocks.count(block)) for block, found in arms.items()}


def _find_errors(
    pairs: Sequence[tuple[ArmSummary, ArmSummary]], comparisons: Sequence[PairComparison], judging: Judging
) -> list[float | None]:
    """Return the standard errors of all pairs, block by block; None each in a race, which they helped to stop."""
    found: list[float | None] = [None] * len(pairs)
    by_block: dict[str, list[int]] = {}
    for place, (a, _) in enumerate(pairs):
        by_block.setdefault(a.block, []).append(place)
    for places in by_block.values() if judging.rules.race is None else ():
        for place, error in zip(places, borrow_errors([comparisons[place] for place in places]), strict=True):
            found[place] = error
    return found


def _look_back(
    pairs: Sequence[tuple[ArmSummary, ArmSummary]],
    present: Sequence[PairComparison],
    judging: Judging,
    compare: Compare | None,
) -> list[LookComparisons]:
    """Return what every look at these pairs showed, from what of their trials it saw."""
    blocks = dict.fromkeys(a.block for a, _ in pairs)
    found = []
    for look in judging.looks:
        is_present = look is judging.looks[-1]
        found.append(
            LookComparisons(
                share=look.share,
                next_share=share_of_look(judging.looks[-1].number + 1),
                num_pairs=sum(look.num_pairs.get(block, 0) for block in blocks),
                comparisons=present
                if is_present
                else compare_all([(a.as_seen_at(look), b.as_seen_at(look)) for a, b in pairs], judging, compare),
            )
        )
    return found


def compare_arms(a: ArmSummary, b: ArmSummary, judging: Judging, lender: ArmLender | None = None) -> PairComparison:
    """Compare two arms of a block on the replicates, or folds, that both have; on none where both failed in all.

    Arms whose replicates do not match (`Rules.pairing`) are compared unpaired.

    Args:
        a: one arm.
        b: the other.
        judging: what decides.
        lender: what the arms of the block lend each other; None to judge by the pair's own differences.
    """
    ours, theirs = _list_scores(a, judging), _list_scores(b, judging)
    if judging.num_folds is None and ours and theirs and not is_paired(ours, theirs, judging.rules.pairing):
        return _compare_unpaired(a, b, judging, lender)
    values = _pair_scores(a, b, judging)
    runs, a_values, b_values = list(values), [ours for ours, _ in values.values()], [his for _, his in values.values()]
    spread = measure_pair(a, b, judging) if values else None
    if judging.rules.race is not None and values:
        return compare_by_looks(
            a_values,
            b_values,
            # The race decided on validation scores: on the locked images no look is special, so all are equally strict.
            design=judging.rules.race.flatten() if judging.measure.split != "validation" else judging.rules.race,
            margin=judging.rules.margin,
            higher_is_better=judging.measure.record.higher_is_better,
            spread=spread,
            scope=judging.rules.scope,
            find_error=None if lender is None else lambda n: _find_error(lender, a, b, runs[:n]),
        )
    return compare_pair(
        a_values,
        b_values,
        margin=judging.rules.margin,
        confidence=judging.rules.confidence,
        higher_is_better=judging.measure.record.higher_is_better,
        test_share=judging.test_shares.get(a.block),
        spread=spread,
        scope=judging.rules.scope,
        error=None if lender is None else _find_error(lender, a, b, runs),
    )


def _compare_unpaired(a: ArmSummary, b: ArmSummary, judging: Judging, lender: ArmLender | None) -> PairComparison:
    return compare_unpaired(
        list(a.scores.values()),
        list(b.scores.values()),
        margin=judging.rules.margin,
        confidence=judging.rules.confidence,
        higher_is_better=judging.measure.record.higher_is_better,
        spread=_measure_unpaired(a, b, judging),
        scope=judging.rules.scope,
        error=None if lender is None else lender.find_unpaired_error(a.arm, b.arm),
        is_cautious=judging.rules.method == "moderated",
    )


def _measure_unpaired(a: ArmSummary, b: ArmSummary, judging: Judging) -> Spread | None:
    """Measure how the difference spreads over images and replicates that are not paired; None as `measure_pair`."""
    if any(replicate not in arm.by_image for arm in (a, b) for replicate in arm.scores):
        return None
    rows = [[arm.by_image[replicate] for replicate in arm.scores] for arm in (a, b)]
    if len({len(row) for arm in rows for row in arm}) != 1:
        return None
    return measure_unpaired_spread(
        np.stack(rows[0]),
        np.stack(rows[1]),
        unit=1.0 if judging.measure.record.is_share else None,
        scope=judging.rules.scope,
        groups_N=a.groups,
    )


def _find_error(lender: ArmLender, a: ArmSummary, b: ArmSummary, runs: Sequence[tuple[int, int]]) -> MeanError | None:
    return lender.find_error([member.arm for member in a.members], [member.arm for member in b.members], runs)


def _list_scores(arm: ArmSummary, judging: Judging) -> Mapping[tuple[int, int], float]:
    """Return an arm's scores by replicate and fold, 0 without folds."""
    if judging.num_folds is not None:
        return arm.fold_scores
    return {(replicate, 0): score for replicate, score in arm.scores.items()}


def _pair_scores(a: ArmSummary, b: ArmSummary, judging: Judging) -> dict[tuple[int, int], tuple[float, float]]:
    """Return both scores of every common replicate, or fold; none where both arms failed in all of them.

    Chance level against itself is no evidence that two arms are alike.
    """
    ours, theirs = _list_scores(a, judging), _list_scores(b, judging)
    common = [run for run in ours if run in theirs]
    if all(run in a.failed_runs and run in b.failed_runs for run in common):
        return {}
    return {run: (ours[run], theirs[run]) for run in common}


def measure_pair(a: ArmSummary, b: ArmSummary, judging: Judging) -> Spread | None:
    """Measure how the difference of two arms spreads over common replicates and test images.

    Returns:
        None with folds, which have images of their own each; where the contributions of a replicate that both arms have
        are not known, or are not of the same images; and under 2 replicates or images.
    """
    if judging.num_folds is not None:
        return None
    common = [replicate for replicate in a.scores if replicate in b.scores]
    if not common or any(replicate not in arm.by_image for arm in (a, b) for replicate in common):
        return None
    rows = [[arm.by_image[replicate] for replicate in common] for arm in (a, b)]
    if len({len(row) for arm in rows for row in arm}) != 1:
        return None
    unit = 1.0 if judging.measure.record.is_share else None
    groups_N = a.groups if a.groups is not None and len(a.groups) == len(rows[0][0]) else None
    return measure_spread(np.stack(rows[0]), np.stack(rows[1]), unit=unit, scope=judging.rules.scope, groups_N=groups_N)


def _exceeds(decision: Decision, judging: Judging, level: float) -> bool:
    """Tell whether a difference is shown to exceed the margin; by a posterior, "better" says just that."""
    if judging.rules.method == "bayes":
        return judging.rules.margin is not None
    return decision.p_margin_adjusted is not None and decision.p_margin_adjusted <= level


def _find_bar(comparison: PairComparison, decision: Decision, level: float) -> float:
    """Return the level that a pair's own p value had to pass: the error rate less what its family and looks take."""
    if not comparison.p or not decision.p_adjusted:
        return level
    return min(level, level * comparison.p / decision.p_adjusted)


def _verdict(
    a: ArmSummary,
    b: ArmSummary,
    judging: Judging,
    comparison: PairComparison,
    decision: Decision,
    error: float | None,
) -> Verdict:
    level = 1 - judging.rules.confidence
    superiority = measure_superiority(comparison)
    settled = decision.verdict in ("better", "worse")
    corrected = correct_winner(comparison, _find_bar(comparison, decision, level), error) if settled else None
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
        margin=judging.rules.margin,
        num_folds=judging.num_folds,
        scope=comparison.scope,
        num_images=None if comparison.spread is None else comparison.spread.num_scored,
        beyond_margin=settled and _exceeds(decision, judging, level),
        p_margin_adjusted=decision.p_margin_adjusted,
        difference_corrected=corrected,
        superiority=None if superiority is None else superiority.probability,
        superiority_interval=None if superiority is None else superiority.interval,
        spread=comparison.spread,
        needed=decision.needed,
        borrowed=comparison.error is not None,
        unpaired=None if comparison.unpaired is None else comparison.unpaired.sizes,
    )


def write_pooled(arms: Sequence[ArmSummary], family: Sequence[tuple[str, str]], judging: Judging) -> str:
    """Say what the blocks together make probable in a new block, by the hierarchical model; empty under 3 blocks."""
    by_place = {(arm.block, arm.arm): arm for arm in arms}
    sign = 1 if judging.measure.record.higher_is_better else -1
    found = []
    for a, b in family:
        leads = []
        for block in dict.fromkeys(arm.block for arm in arms):
            comparison = compare_arms(by_place[block, a], by_place[block, b], judging)
            error = standard_error(comparison)
            if error is not None and comparison.difference is not None:
                leads.append((sign * comparison.difference, error))
        pooled = pool_blocks(leads, judging.rules.margin or 0.0)
        if pooled is not None:
            found.append((a, b, pooled))
    if not found:
        return ""
    settled = [(a, b, each, each.decide(judging.rules.confidence)) for a, b, each in found]
    links = {"better": "is better than", "worse": "is worse than", "equivalent": "is equivalent to"}
    said = [f"{a} {links[word]} {b} ({getattr(each, word):.0%})" for a, b, each, word in settled if word in links]
    if not said:
        return "In a new block like these, no pair's outcome is probable enough to be called."
    return f"In a new block like these, by their posterior probability: {join_names(said)}."
