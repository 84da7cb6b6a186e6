from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.ranks import NUM_SHUFFLES, critical_difference, friedman_test, rank_scores, wilcoxon_p


def draw_scores(num_blocks: int, num_arms: int, seed: int, ties: bool = False) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(num_blocks, num_arms)) + np.arange(num_arms) / 3
    return np.round(scores) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("higher_is_better", [False, True])
def test_ranks_agree_with_scipy(ties: bool, higher_is_better: bool) -> None:
    scores = draw_scores(7, 5, 0, ties)
    expected = stats.rankdata(-scores if higher_is_better else scores, axis=1)
    assert rank_scores(scores, higher_is_better=higher_is_better) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("num_blocks", "num_arms"), [(2, 3), (6, 3), (12, 8)])
def test_friedman_agrees_with_scipy(num_blocks: int, num_arms: int, ties: bool) -> None:
    scores = draw_scores(num_blocks, num_arms, num_blocks, ties)
    found, expected = friedman_test(rank_scores(scores)), stats.friedmanchisquare(*scores.T)
    assert found is not None
    assert (found.num_blocks, found.num_arms) == (num_blocks, num_arms)
    assert found.chi_square == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)


def test_iman_davenport_by_hand() -> None:
    # Demsar (2006), section 3.2: 14 data sets, 4 classifiers, mean ranks 3.143, 2.000, 2.893, 1.964: 9.28 and 3.69.
    mean_ranks = np.array([3.143, 2.0, 2.893, 1.964])
    chi_square = 12 * 14 / (4 * 5) * (np.sum(mean_ranks**2) - 4 * 25 / 4)
    assert chi_square == pytest.approx(9.28, abs=0.01)
    assert 13 * chi_square / (14 * 3 - chi_square) == pytest.approx(3.69, abs=0.01)
    found = friedman_test(rank_scores(draw_scores(11, 4, 3)))
    assert found is not None
    assert found.f == pytest.approx(10 * found.chi_square / (11 * 3 - found.chi_square))
    assert found.p_f == pytest.approx(stats.f.sf(found.f, 3, 30))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_friedman_of_few_blocks_is_counted_over_all_orders(seed: int, ties: bool) -> None:
    ranks_BA = rank_scores(draw_scores(3, 4, seed, ties))
    orders = [list(itertools.permutations(row)) for row in ranks_BA]
    reached = np.array([(np.sum(rows, axis=0) ** 2).sum() for rows in itertools.product(*orders)])
    expected = float((reached >= (ranks_BA.sum(axis=0) ** 2).sum()).mean())
    found = friedman_test(ranks_BA)
    assert found is not None
    assert found.p_f == pytest.approx(expected, abs=4 * math.sqrt(expected / NUM_SHUFFLES) + 1 / NUM_SHUFFLES)


def test_friedman_of_two_blocks_is_not_surer_than_their_agreeing_entirely() -> None:
    # Nine arms, two blocks that swap a few neighbours: the F distribution says 3e-6, full agreement is one in 9!.
    found = friedman_test(np.array([[1.0, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 2, 4, 5, 7, 6, 8, 9]]))
    assert found is not None
    assert found.p_f > 1 / math.factorial(9)


def test_friedman_of_blocks_that_agree_is_an_exact_chance() -> None:
    agreeing = friedman_test(np.tile([1.0, 2.0, 3.0], (4, 1)))
    assert agreeing is not None
    assert (agreeing.f, agreeing.p_f) == (None, pytest.approx(1 / 6**3))
    tied = friedman_test(np.tile([1.0, 2.5, 2.5], (4, 1)))
    assert tied is not None
    assert tied.p_f == pytest.approx(1 / 3**3)


def test_friedman_of_level_arms_and_of_too_little() -> None:
    level = friedman_test(np.full((5, 3), 2.0))
    assert level is not None
    assert (level.chi_square, level.p, level.f, level.p_f) == (0, 1, 0, 1)
    assert friedman_test(np.array([[1.0, 2.0, 3.0]])) is None
    assert friedman_test(np.array([[1.0, 2.0]] * 9)) is None


@pytest.mark.parametrize("num_blocks", [1, 5, 6, 12, 25])
def test_wilcoxon_agrees_with_scipy(num_blocks: int) -> None:
    differences = np.random.default_rng(num_blocks).normal(0.4, 1, num_blocks)
    assert wilcoxon_p(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_is_the_share_of_signs_at_least_as_extreme() -> None:
    differences = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0, 0.0])
    apart = differences[differences != 0]
    ranks = stats.rankdata(np.abs(apart))
    observed = abs(np.sum(ranks * np.sign(apart)))
    signs = itertools.product((-1, 1), repeat=len(apart))
    share = np.mean([abs(np.dot(ranks, sign)) >= observed - 1e-9 for sign in signs])
    assert wilcoxon_p(differences) == pytest.approx(share)


def test_wilcoxon_of_many_blocks_agrees_with_the_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    differences = np.round(rng.normal(0.1, 1, 250), 1)
    expected = stats.wilcoxon(differences, zero_method="wilcox", method="approx", correction=False).pvalue
    assert wilcoxon_p(differences) == pytest.approx(expected)
    assert wilcoxon_p(differences[:199]) == pytest.approx(
        stats.wilcoxon(differences[:199], zero_method="wilcox", method="approx").pvalue, abs=0.003
    )


def test_wilcoxon_without_a_difference() -> None:
    assert wilcoxon_p(np.zeros(9)) == 1
    assert wilcoxon_p(np.empty(0)) == 1
    assert wilcoxon_p(np.array([0.5])) == 1


def test_five_blocks_can_never_reach_five_percent() -> None:
    assert wilcoxon_p(np.arange(1.0, 6)) == 2 / 2**5
    assert wilcoxon_p(np.arange(1.0, 7)) == 2 / 2**6


@pytest.mark.parametrize(("num_arms", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_agrees_with_the_published_table(num_arms: int, quantile: float) -> None:
    # Demsar (2006), table 5(a).
    found = critical_difference(14, num_arms)
    assert found == pytest.approx(quantile * math.sqrt(num_arms * (num_arms + 1) / (6 * 14)), rel=5e-4)
