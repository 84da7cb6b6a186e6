"""The verdict on every pair of a family, corrected for looking at all of them.

A family is what a study declares within one block: all pairs of arms, or all arms against a baseline. Verdicts use p
values adjusted over the family (Holm 1979), so that the chance of any false "better" or "worse" among equal arms of a
block stays within 1 - confidence. Intervals are not adjusted, so one may exclude zero where the verdict is
"inconclusive"; the reason then says so. Blocks are families of their own: a study of many blocks may hold more than one
false verdict in twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from bakeoff.analysis.pairs import MIN_REPLICATES, PairComparison, still_needed

VerdictWord = Literal["better", "worse", "equivalent", "inconclusive"]

Arm = TypeVar("Arm")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict on a pair within its family.

    Attributes:
        verdict: of a relative to b.
        reason: why, as a clause a reader can follow.
        p_adjusted: Holm-adjusted p of "no difference"; None where the pair cannot be tested.
        p_equivalence_adjusted: Holm-adjusted p of "differs by the margin or more"; None where not tested.
        replicates_needed: further replicates for 80% power, for inconclusive pairs; see `still_needed`.
    """

    verdict: VerdictWord
    reason: str
    p_adjusted: float | None
    p_equivalence_adjusted: float | None
    replicates_needed: int | None


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


def decide_family(comparisons: Sequence[PairComparison], *, runs_per_replicate: int = 1) -> tuple[Decision, ...]:
    """Give every pair of a family its verdict, with Holm's correction over the whole family.

    "No difference" and "differs by the margin or more" are two families, each corrected on its own. A pair that cannot
    be tested (under 3 replicates) still counts in the family, with p 1: the family is what was asked, not what worked.
    A difference shown to lie inside the margin is "equivalent" even where it is also shown not to be zero.

    Args:
        comparisons: all pairs of the family within one block; see `list_family`.
        runs_per_replicate: the number of folds, where comparisons rest on folds; for `replicates_needed`.

    Returns:
        One decision per comparison, in order.
    """
    adjusted = adjust_holm([_testable(c, c.p) for c in comparisons])
    adjusted_equivalence = adjust_holm([_testable(c, c.p_equivalence) for c in comparisons])
    return tuple(
        _decide(comparison, p, p_equivalence, len(comparisons), runs_per_replicate)
        for comparison, p, p_equivalence in zip(comparisons, adjusted, adjusted_equivalence, strict=True)
    )


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values, in the given order, at most 1.

    Controls the family-wise error rate under any dependence (Holm 1979, "A simple sequentially rejective multiple test
    procedure").
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _decide(
    comparison: PairComparison, p: float, p_equivalence: float, num_pairs: int, runs_per_replicate: int
) -> Decision:
    if comparison.n < MIN_REPLICATES:
        reason = f"under {MIN_REPLICATES} {_runs(comparison)} ({comparison.n} in common)"
        return Decision(
            verdict="inconclusive", reason=reason, p_adjusted=None, p_equivalence_adjusted=None, replicates_needed=None
        )
    verdict, reason = _judge(comparison, p, p_equivalence)
    needed = None
    if verdict == "inconclusive":
        needed = still_needed(comparison, num_pairs=num_pairs, runs_per_replicate=runs_per_replicate)
    return Decision(
        verdict=verdict,
        reason=reason,
        p_adjusted=p,
        p_equivalence_adjusted=None if comparison.margin is None else p_equivalence,
        replicates_needed=needed,
    )


def _judge(comparison: PairComparison, p: float, p_equivalence: float) -> tuple[VerdictWord, str]:
    alpha = 1 - comparison.confidence
    if comparison.margin is not None and p_equivalence <= alpha:
        if comparison.exact and comparison.difference == 0:
            return "equivalent", f"equal in all {comparison.n} {_runs(comparison)}"
        return "equivalent", f"difference shown to be inside the margin (adjusted p {p_equivalence:.2g})"
    if p <= alpha:
        ahead = (comparison.difference or 0.0) > 0
        word: VerdictWord = "better" if ahead == comparison.higher_is_better else "worse"
        test = f"same difference in all {comparison.n} {_runs(comparison)}, " if comparison.exact else ""
        return word, f"{test}adjusted p {p:.2g}"
    return "inconclusive", _doubt(comparison, p, alpha)


def _doubt(comparison: PairComparison, p: float, alpha: float) -> str:
    everywhere = f"in all {comparison.n} {_runs(comparison)}"
    if comparison.exact and comparison.difference == 0:
        return f"equal {everywhere}, and no margin is declared to call that equivalent"
    if comparison.exact and comparison.test_share is not None:
        return f"same difference {everywhere}: without spread, overlapping folds cannot be tested"
    if comparison.exact:
        return f"same difference {everywhere}: too few for a sign test (adjusted p {p:.2g})"
    if comparison.p is not None and comparison.p <= alpha:
        return f"p {comparison.p:.2g} alone, {p:.2g} when adjusted for the number of pairs compared"
    return f"adjusted p {p:.2g}"


def _testable(comparison: PairComparison, p: float | None) -> float:
    return 1.0 if p is None or comparison.n < MIN_REPLICATES else p


def _runs(comparison: PairComparison) -> str:
    return "replicates" if comparison.test_share is None else "folds"
