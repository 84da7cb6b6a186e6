"""The verdict on every pair of a family, corrected for looking at all of them.

A family is all pairs of arms, or all arms against a baseline, in all blocks of a study; with `decide.family: block`
blocks are families of their own, and a study of many may hold more than one false verdict in twenty. Verdicts use p
values adjusted over the family (Holm 1979; Bonferroni, with one step, where variances are borrowed), so that the chance
of any false "better" or "worse" among its equal arms stays within 1 - confidence, over all looks at the same question
(`bakeoff.stats.looks`). Intervals are not adjusted, so one may exclude zero where the verdict is "inconclusive"; the
reason then says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from bakeoff.stats.needed import Needed, count_needed
from bakeoff.stats.pairs import MIN_REPLICATES, PairComparison

VerdictWord = Literal["better", "worse", "equivalent", "inconclusive"]

FamilyOf = Literal["study", "block"]
"""Over what verdicts are corrected together."""

Arm = TypeVar("Arm")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict on a pair within its family.

    Attributes:
        verdict: of a relative to b.
        reason: why, as a clause a reader can follow.
        p_adjusted: adjusted p of "no difference"; None where the pair cannot be tested.
        p_equivalence_adjusted: adjusted p of "differs by the margin or more"; None where not tested.
        p_margin_adjusted: adjusted p of "differs by the margin at most, in the direction seen"; None likewise.
        p_behind_adjusted: adjusted p of "the arm that is ahead is truly behind by the margin or more"; None likewise.
        needed: further replicates for 80% power, for inconclusive pairs; see `count_needed`.
    """

    verdict: VerdictWord
    reason: str
    p_adjusted: float | None
    p_equivalence_adjusted: float | None
    p_margin_adjusted: float | None
    p_behind_adjusted: float | None
    needed: Needed | None


@dataclass(frozen=True, kw_only=True)
class LookComparisons:
    """What one look at the pairs of a family showed.

    Attributes:
        share: of the error rate, what this look may spend; `next_share`: what the next one may.
        num_pairs: that had been looked at by then, at least; p values are corrected for them.
        comparisons: pair by pair, on what the look saw.
    """

    share: float
    next_share: float
    num_pairs: int
    comparisons: Sequence[PairComparison]


def list_family(arms: Sequence[Arm], baseline: Arm | None = None) -> list[tuple[Arm, Arm]]:
    """Return the pairs (a, b) of a family: all of `arms`, or with a baseline every other arm (a) against it (b).

    Raises:
        ValueError: the baseline is none of the arms.
    """
    if baseline is None:
        return list(combinations(arms, 2))
    if baseline not in arms:
        raise ValueError(f"the baseline '{baseline}' must be one of the arms")
    return [(arm, baseline) for arm in arms if arm != baseline]


def decide_family(
    comparisons: Sequence[PairComparison],
    *,
    runs_per_replicate: int = 1,
    level: float | None = None,
    num_pairs: int | None = None,
    looks: Sequence[LookComparisons] = (),
    single_step: bool = False,
    num_left: float | None = None,
) -> tuple[Decision, ...]:
    """Give every pair of a family its verdict, corrected over the whole family.

    "No difference", "differs by the margin or more" and "differs by the margin at most" are three families, each
    corrected on its own; "the arm ahead is behind by the margin or more" is a fourth, corrected by Bonferroni. A pair
    that cannot be tested (under 3 replicates) still counts in the family, with p 1: the family is what was asked, not
    what worked. A difference shown to lie inside the margin is "equivalent" even where it is also shown not to be zero.

    Args:
        comparisons: all pairs of the family, of one block or of all; see `list_family`.
        runs_per_replicate: the number of folds, where comparisons rest on folds; for `needed`.
        level: error rate of the verdicts; None for 1 - the comparisons' confidence.
        num_pairs: that p values are corrected for, where the family is larger than what is compared here.
        looks: what every look at these pairs showed, the last one `comparisons`: p values are then of all looks
            together. None: the pairs are looked at once, and the whole error rate is theirs.
        single_step: whether every p value is multiplied by the number of pairs, whatever else is found (Bonferroni), as
            borrowed variances ask for; False for Holm's steps.
        num_left: with `single_step`: what p values of "no difference" are multiplied by once a pair is found to differ,
            if their guarded ones agree; see `adjust_by_one_step`. None for all pairs always.

    Returns:
        One decision per comparison, in order.
    """
    if not looks:
        looks = [LookComparisons(share=1.0, next_share=1.0, num_pairs=num_pairs or 0, comparisons=comparisons)]
    adjusted = [_adjust_look(look, comparisons, single_step, num_left) for look in looks]
    # What is counted on for more replicates will be looked at next time, at that look's share of the error rate.
    num_pairs = max(num_pairs or 0, looks[-1].num_pairs, len(comparisons))
    per_pair = looks[-1].next_share / max(1, num_pairs)
    return tuple(
        _decide(comparison, [min(kind) for kind in zip(*of_looks, strict=True)], per_pair, runs_per_replicate, level)
        for comparison, *of_looks in zip(comparisons, *adjusted, strict=True)
    )


def _adjust_look(
    look: LookComparisons, now: Sequence[PairComparison], single_step: bool, num_left: float | None
) -> list[tuple[float, ...]]:
    """Return what one look's p values come to, corrected for all pairs and for the look's share of the error rate.

    What an earlier look found stands as long as the data still point the same way: a difference in its direction, an
    equivalence inside the margin.
    """
    p_values = [[_testable(c, p) for p in (c.p, c.p_equivalence, c.p_margin, c.p_behind)] for c in look.comparisons]
    adjust = adjust_bonferroni if single_step else adjust_holm
    kinds = list(zip(*p_values, strict=True))
    of_kinds = [adjust(of_kind, look.num_pairs) for of_kind in kinds[:-1]]
    # By one step: which arm is ahead is seen in the data, so the hypotheses of this family are not fixed.
    of_kinds += [adjust_bonferroni(of_kind, look.num_pairs) for of_kind in kinds[-1:]]
    if single_step and num_left is not None and look.num_pairs <= len(p_values):
        guarded = [1.0 if c.p_guarded is None else c.p_guarded for c in look.comparisons]
        of_kinds[0] = adjust_by_one_step([p for p, *_ in p_values], guarded, num_left)
    found: list[tuple[float, ...]] = []
    for earlier, present, *adjusted in zip(look.comparisons, now, *of_kinds, strict=True):
        p, p_equivalence, p_margin, p_behind = (min(1.0, value / look.share) for value in adjusted)
        before, after = earlier.difference or 0.0, present.difference or 0.0
        if before * after < 0:
            p = p_margin = p_behind = 1.0
        if present.margin is not None and abs(after) >= present.margin:
            p_equivalence = 1.0
        found.append((p, p_equivalence, p_margin, p_behind))
    return found


def adjust_bonferroni(p_values: Sequence[float], num_pairs: int | None = None) -> list[float]:
    """Return p values times their number, or `num_pairs` if that is larger; at most 1."""
    num_pairs = max(num_pairs or 0, len(p_values))
    return [min(1.0, num_pairs * p) for p in p_values]


def adjust_by_one_step(p_values: Sequence[float], guarded: Sequence[float], num_left: float) -> list[float]:
    """Return p values times their number, or `num_left` once any pair is found to differ, then no less than guarded.

    If two arms of K differ, at most (K - 1) (K - 2) / 2 of all pairs can be equal (Shaffer 1986, "Modified sequentially
    rejective multiple test procedures"). p values that borrow variances err where an arm is wilder than the others, and
    the correction for many pairs is what holds it back; so there is one step only, halfway (`count_left`), and
    `guarded`, valid for a single pair, has to agree.
    """
    first = min(adjust_bonferroni(p_values), default=1.0)
    return [
        min(whole, max(first, min(1.0, num_left * p), guard))
        for whole, p, guard in zip(adjust_bonferroni(p_values), p_values, guarded, strict=True)
    ]


def count_left(num_arms: int) -> float:
    """Return what all pairs of arms count as once two arms are found to differ: between all, and those of one less."""
    return (num_arms - 1) ** 2 / 2


def adjust_holm(p_values: Sequence[float], num_pairs: int | None = None) -> list[float]:
    """Return Holm's step-down adjusted p values, in the given order, at most 1.

    Controls the family-wise error rate under any dependence (Holm 1979, "A simple sequentially rejective multiple test
    procedure"). `num_pairs`, where larger, counts p values of 1 that are not given.
    """
    num_pairs = max(num_pairs or 0, len(p_values))
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (num_pairs - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _decide(
    comparison: PairComparison,
    p_values: Sequence[float],
    share: float,
    runs_per_replicate: int,
    level: float | None,
) -> Decision:
    if comparison.n < MIN_REPLICATES:
        return Decision(
            verdict="inconclusive",
            reason=f"under {MIN_REPLICATES} {_runs(comparison)} ({_count_runs(comparison)})",
            p_adjusted=None,
            p_equivalence_adjusted=None,
            p_margin_adjusted=None,
            p_behind_adjusted=None,
            needed=None,
        )
    level = 1 - comparison.confidence if level is None else level
    p, p_equivalence, p_margin, p_behind = p_values
    verdict, reason = _judge(comparison, p, p_equivalence, level)
    needed = None
    if verdict == "inconclusive":
        needed = count_needed(comparison, level=level * share, runs_per_replicate=runs_per_replicate)
    return Decision(
        verdict=verdict,
        reason=reason,
        p_adjusted=p,
        p_equivalence_adjusted=None if comparison.margin is None else p_equivalence,
        p_margin_adjusted=None if comparison.margin is None else p_margin,
        p_behind_adjusted=None if comparison.margin is None else p_behind,
        needed=needed,
    )


def _judge(comparison: PairComparison, p: float, p_equivalence: float, alpha: float) -> tuple[VerdictWord, str]:
    if comparison.margin is not None and p_equivalence <= alpha:
        if comparison.exact and comparison.difference == 0:
            return "equivalent", f"equal in all {comparison.n} {_runs(comparison)}"
        return "equivalent", f"difference shown to be inside the margin (adjusted p {p_equivalence:.2g})"
    if p <= alpha:
        ahead = (comparison.difference or 0.0) > 0
        word: VerdictWord = "better" if ahead == comparison.higher_is_better else "worse"
        test = f"{_say_constant(comparison)}, " if comparison.exact else ""
        return word, f"{test}adjusted p {p:.2g}"
    return "inconclusive", _doubt(comparison, p, p_equivalence, alpha)


def _doubt(comparison: PairComparison, p: float, p_equivalence: float, alpha: float) -> str:
    everywhere = f"in all {comparison.n} {_runs(comparison)}"
    if comparison.exact and comparison.unpaired is not None:
        return f"{_say_constant(comparison)}: a permutation test is all that is left (adjusted p {p:.2g})"
    if comparison.exact and comparison.difference == 0:
        if comparison.margin is None:
            return f"equal {everywhere}, and no margin is declared to call that equivalent"
        return f"equal {everywhere}: too few to show that they are equivalent (adjusted p {p_equivalence:.2g})"
    if comparison.exact and comparison.test_share is not None:
        return f"same difference {everywhere}: without spread, overlapping folds cannot be tested"
    if comparison.exact:
        return f"same difference {everywhere}: too few for a sign test (adjusted p {p:.2g})"
    if comparison.p is not None and comparison.p <= alpha:
        return f"p {comparison.p:.2g} alone, {p:.2g} adjusted for all pairs and looks"
    return f"adjusted p {p:.2g}"


def _say_constant(comparison: PairComparison) -> str:
    if comparison.unpaired is not None:
        return "the same score in every replicate of each arm"
    return f"same difference in all {comparison.n} {_runs(comparison)}"


def _count_runs(comparison: PairComparison) -> str:
    if comparison.unpaired is not None:
        return f"{comparison.unpaired.sizes[0]} and {comparison.unpaired.sizes[1]}, unpaired"
    return f"{comparison.n} in common"


def _testable(comparison: PairComparison, p: float | None) -> float:
    return 1.0 if p is None or comparison.n < MIN_REPLICATES else p


def _runs(comparison: PairComparison) -> str:
    return "replicates" if comparison.test_share is None else "folds"
