"""Tests on ranks for arms compared over several blocks: Friedman, Iman and Davenport, Wilcoxon, Nemenyi.

The blocks are the independent units here: data sets, never networks on one data set, replicates, folds or seeds.

Shape suffixes: B blocks, A arms.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXACT_BLOCKS = 200

FEW_BLOCKS = 10
"""Under so many blocks Friedman's p value is counted over shuffled ranks: the F distribution is far off (with 9 arms in
2 blocks it says 3e-6 where chance alone does as well in one case of 12,000)."""

NUM_SHUFFLES = 50_000


@dataclass(frozen=True, kw_only=True)
class FriedmanTest:
    """Whether the arms' ranks differ over blocks more than chance would have it.

    Attributes:
        chi_square: Friedman's statistic, corrected for ties; 0 when all arms are level in every block.
        p: its two-sided p value from the chi-square distribution with A - 1 degrees of freedom.
        f: Iman and Davenport's less cautious statistic; None when all blocks rank the arms alike (it is infinite).
        p_f: its p value: under FEW_BLOCKS blocks the share of NUM_SHUFFLES shuffles of the ranks within blocks that
            agree as much, else from the F distribution; when all blocks rank the arms alike, the exact chance of that.
    """

    num_blocks: int
    num_arms: int
    chi_square: float
    p: float
    f: float | None
    p_f: float


def rank_scores(scores_BA: NDArray[np.float64], *, higher_is_better: bool = True) -> NDArray[np.float64]:
    """Rank the arms in every block: 1 is best, equal scores share the mean of their ranks; [B, A]."""
    signed_BA = -scores_BA if higher_is_better else scores_BA
    below_BA = (signed_BA[:, None, :] < signed_BA[:, :, None]).sum(axis=2)
    level_BA = (signed_BA[:, None, :] == signed_BA[:, :, None]).sum(axis=2)
    return np.asarray(below_BA + (level_BA + 1) / 2)


def friedman_test(ranks_BA: NDArray[np.float64]) -> FriedmanTest | None:
    """Test whether all arms are level over blocks: Friedman (1937), and Iman and Davenport (1980).

    Assumes independent blocks; nothing of the scores but their order within a block. The chi-square distribution is
    an approximation that wants more than about 10 blocks and 5 arms (Demsar 2006, section 3.2).

    Args:
        ranks_BA: as `rank_scores` gives them.

    Returns:
        None under 2 blocks or 3 arms: for two arms, see `wilcoxon_p`.
    """
    num_blocks, num_arms = ranks_BA.shape
    if num_blocks < 2 or num_arms < 3:
        return None
    from scipy.special import chdtrc, fdtrc

    # With ties, the sum of squares that ranks without ties would have is replaced by the one they do have.
    spread = float(((ranks_BA - (num_arms + 1) / 2) ** 2).sum())
    between = float(num_blocks * ((ranks_BA.mean(axis=0) - (num_arms + 1) / 2) ** 2).sum())
    agreement = between / spread if spread else 0.0
    chi_square = num_blocks * (num_arms - 1) * agreement
    if agreement > 1 - 1e-9:
        f, p_f = None, _chance_of_agreement(ranks_BA)
    else:
        f = (num_blocks - 1) * agreement / (1 - agreement)
        p_f = (
            _shuffle_ranks(ranks_BA)
            if num_blocks < FEW_BLOCKS
            else float(fdtrc(num_arms - 1, (num_arms - 1) * (num_blocks - 1), f))
        )
    return FriedmanTest(
        num_blocks=num_blocks,
        num_arms=num_arms,
        chi_square=chi_square,
        p=float(chdtrc(num_arms - 1, chi_square)),
        f=f,
        p_f=p_f,
    )


def wilcoxon_p(differences_B: NDArray[np.float64]) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test (1945); 1 when no block differs.

    Exact up to 200 blocks, ties included: of all ways to give the ranks signs, the share at least as extreme. Beyond
    that the normal distribution, corrected for ties. Blocks without a difference are left out, as Wilcoxon did. Assumes
    independent blocks with differences symmetric around their centre, and comparable in size from block to block.
    """
    apart = differences_B[differences_B != 0]
    if not len(apart):
        return 1.0
    sizes = np.abs(apart)
    # Twice the rank: a whole number even where ranks are shared.
    ranks = (sizes[None] < sizes[:, None]).sum(axis=1) * 2 + (sizes[None] == sizes[:, None]).sum(axis=1) + 1
    positive, total = int(ranks[apart > 0].sum()), int(ranks.sum())
    extreme = min(positive, total - positive)
    if len(apart) > _EXACT_BLOCKS:
        return math.erfc((total - 2 * extreme) / math.sqrt(2 * float((ranks.astype(np.float64) ** 2).sum())))
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in ranks:
        chances[rank:] = (chances[rank:] + chances[:-rank]) / 2
        chances[:rank] /= 2
    return min(1.0, 2 * float(chances[: extreme + 1].sum()))


def critical_difference(num_blocks: int, num_arms: int, confidence: float = 0.95) -> float:
    """Return Nemenyi's critical difference of mean ranks.

    Two arms whose mean ranks differ by it or more differ over blocks, at a family-wise error rate of 1 - confidence
    over all pairs (Nemenyi 1963; Demsar 2006, section 3.2). Whether two arms pass depends on which other arms are in
    the study (Benavoli, Corani and Mangili 2016), so it is for the diagram; verdicts rest on Wilcoxon.

    Args:
        num_blocks: 1 or more.
        num_arms: 2 or more.
        confidence: strictly between 0 and 1.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.isf(1 - confidence, num_arms, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(num_arms * (num_arms + 1) / (6 * num_blocks))


def _shuffle_ranks(ranks_BA: NDArray[np.float64]) -> float:
    """Return how often ranks shuffled within blocks agree at least as much, these themselves among them."""
    rng = np.random.default_rng(0)  # a fixed seed: the same ranks have the same p value in every report
    shuffled_SA = np.zeros((NUM_SHUFFLES, ranks_BA.shape[1]))
    for ranks_A in ranks_BA:
        shuffled_SA += rng.permuted(np.broadcast_to(ranks_A, shuffled_SA.shape), axis=1)
    # Ranks are halves, and sums of their squares exact: equal statistics compare as equal.
    reached = (shuffled_SA**2).sum(axis=1) >= (ranks_BA.sum(axis=0) ** 2).sum()
    return float((reached.sum() + 1) / (NUM_SHUFFLES + 1))


def _chance_of_agreement(ranks_BA: NDArray[np.float64]) -> float:
    """Return the chance that all blocks rank the arms as the first does, were every order as likely."""
    num_blocks, num_arms = ranks_BA.shape
    orders = math.factorial(num_arms)
    for tied in Counter(ranks_BA[0].tolist()).values():
        orders //= math.factorial(tied)
    return math.exp(-(num_blocks - 1) * math.log(orders))
