from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.across import AcrossBlocks, count_blocks_needed, summarise_blocks
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

ARMS = ("a", "b", "c")


def summarise_scores(
    scores_BA: np.ndarray, arms: Sequence[str] = ARMS, num_replicates: int = 1, noise: float = 0.0, **options: object
) -> Summary:
    """A study with these mean scores; NaN for an arm whose every trial failed."""
    rng, results = np.random.default_rng(0), []
    for block, row in enumerate(scores_BA):
        for arm, score in zip(arms, row, strict=True):
            spread = rng.normal(0, noise, num_replicates) if noise else np.zeros(num_replicates)
            for replicate, value in enumerate(score + spread - spread.mean()):
                failed = bool(np.isnan(value))
                results.append(
                    TrialResult(
                        trial_id=f"{block}{arm}{replicate}",
                        block=f"block{block}",
                        arm=arm,
                        replicate=replicate,
                        state="failed" if failed else "done",
                        metrics={} if failed else {"test": {"accuracy": float(value), "loss": 1 - float(value)}},
                        epochs_trained=1,
                        best_epoch=1,
                        seconds=1.0,
                    )
                )
    blocks = [f"block{block}" for block in range(len(scores_BA))]
    return summarise(results, StudyDesign(blocks=blocks, arms=arms), Rules(**options))  # type: ignore[arg-type]


def across(scores_BA: np.ndarray, **options: object) -> AcrossBlocks:
    found = summarise_blocks(summarise_scores(scores_BA, **options))  # type: ignore[arg-type]
    assert found is not None
    return found


def draw(num_blocks: int, gaps: Sequence[float] = (0.02, 0.01, 0.0), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.9 + rng.normal(0, 0.03, (num_blocks, 1)) + np.array(gaps) + rng.normal(0, 0.002, (num_blocks, len(gaps)))


def test_mean_ranks_and_tests_agree_with_scipy() -> None:
    scores = draw(8, (0.004, 0.002, 0.0))
    found = across(scores)
    ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
    assert found.mean_ranks == pytest.approx(dict(zip(ARMS, ranks, strict=True)))
    assert found.friedman is not None
    assert found.friedman.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    columns = dict(zip(ARMS, scores.T, strict=True))
    expected = [stats.wilcoxon(columns[pair.a] - columns[pair.b], method="exact").pvalue for pair in found.pairs]
    assert [pair.p for pair in found.pairs] == pytest.approx(expected)
    assert [pair.p_adjusted for pair in found.pairs] == pytest.approx(adjust_holm(expected))


def test_replicates_are_never_counted_as_blocks() -> None:
    scores = draw(7)
    once, often = across(scores), across(scores, num_replicates=9, noise=0.001)
    assert (often.friedman, often.mean_ranks) == (once.friedman, once.mean_ranks)
    assert [pair.p for pair in often.pairs] == [pair.p for pair in once.pairs]
    assert often.critical_difference == once.critical_difference
    assert often.underpowered == once.underpowered
    assert summarise_blocks(summarise_scores(scores[:1], num_replicates=30, noise=0.001)) is None


@pytest.mark.parametrize("num_blocks", [2, 5])
def test_no_wilcoxon_at_five_blocks_or_fewer(num_blocks: int) -> None:
    found = across(draw(num_blocks), confidence=0.8)
    assert all(pair.p is None and pair.verdict == "inconclusive" for pair in found.pairs)
    assert " 6 blocks" in found.sentence
    assert found.pair("a", "c") == (num_blocks, 0, 0)


def test_clear_order_over_many_blocks() -> None:
    found = across(draw(30))
    assert found.arms == ARMS
    assert [pair.verdict for pair in found.pairs] == ["better"] * 3
    assert not found.underpowered
    for fact in ("30 blocks", "1.00 (a)", "3.00 (c)", f"Friedman, p {6.0**-29:.2g}", "Wilcoxon", "3 pairs"):
        assert fact in found.sentence
    assert [f"{a} is better than {b}" in found.sentence for a, b in ("ab", "ac", "bc")] == [True] * 3


def test_direction_follows_the_metric() -> None:
    found = across(draw(30), metric="loss")
    assert found.arms == ARMS
    assert [pair.verdict for pair in found.pairs] == ["better"] * 3
    assert all(pair.difference < 0 for pair in found.pairs)
    assert found.pair("c", "a") == (0, 0, 30)


def test_underpowered_is_said() -> None:
    # Three pairs at 5%: 14 for the paired t test at d = 1 and alpha 0.05 / 3, over 3 / pi.
    needed = count_blocks_needed(3)
    assert needed == 15
    few, enough = across(draw(needed - 1)), across(draw(needed))
    assert few.underpowered
    assert f" {needed} " in few.sentence
    assert "Underpowered" in few.sentence
    assert not enough.underpowered
    assert "Underpowered" not in enough.sentence


def test_blocks_needed_reach_the_power_they_promise() -> None:
    rng, needed = np.random.default_rng(1), count_blocks_needed(1)
    assert needed is not None
    found = [stats.wilcoxon(rng.normal(1, 1, needed)).pvalue <= 0.05 for _ in range(1500)]
    assert 0.76 < np.mean(found) < 0.87


def test_a_block_where_an_arm_has_no_score_is_left_out() -> None:
    scores = draw(8)
    scores[3, 1] = np.nan
    found = across(scores)
    assert found.left_out == ("block3",)
    assert len(found.blocks) == 7
    assert "block3" in found.sentence
    scores[1:, 1] = np.nan
    assert summarise_blocks(summarise_scores(scores)) is None
    assert summarise_blocks(summarise_scores(np.full((8, 3), np.nan))) is None
    assert summarise_blocks(summarise_scores(draw(8)[:, :1], arms=["a"])) is None


def test_level_arms_are_level_in_spite_of_rounding(make_results: Callable[..., list[TrialResult]]) -> None:
    values = [0.1, 0.2, 0.3]
    assert np.mean(values) != np.mean(values[::-1])
    results = make_results({"a": values, "b": values[::-1], "c": [0.2, 0.1, 0.3]}, blocks="123456")
    found = summarise_blocks(summarise(results, StudyDesign(blocks=list("123456"), arms=ARMS)))
    assert found is not None
    assert found.pair("a", "b") == (0, 6, 0)
    assert set(found.mean_ranks.values()) == {2.0}
    assert found.friedman is not None
    assert found.friedman.p_f == 1
    assert {pair.p for pair in found.pairs} == {1.0}


def test_a_baseline_makes_the_family_smaller() -> None:
    found = across(draw(12), baseline="b")
    assert [(pair.a, pair.b) for pair in found.pairs] == [("a", "b"), ("c", "b")]
    assert [pair.verdict for pair in found.pairs] == ["better", "worse"]
    assert found.critical_difference is None
    assert found.pair("a", "c") is None
    assert found.blocks_needed == count_blocks_needed(2)


def test_groups_are_runs_that_are_not_told_apart() -> None:
    scores = np.tile([0.9, 0.8, 0.7, 0.6], (10, 1)) + np.random.default_rng(0).normal(0, 1e-4, (10, 4))
    difference = across(scores, arms=("w", "x", "y", "z")).critical_difference
    assert difference is not None
    # q = 2.569 for four arms (Demsar 2006, table 5).
    assert difference.value == pytest.approx(2.569 * (4 * 5 / 60) ** 0.5, rel=5e-4)
    assert difference.groups == (("w", "x"), ("x", "y"), ("y", "z"))
    level = across(draw(20, (0.0, 0.0, 0.0))).critical_difference
    assert level is not None
    assert [set(group) for group in level.groups] == [set(ARMS)]


def test_equal_arms_rarely_win_over_blocks() -> None:
    rng, num_false = np.random.default_rng(5), 0
    for _ in range(200):
        found = across(0.9 + rng.normal(0, 0.01, (10, 3)))
        num_false += any(pair.verdict != "inconclusive" for pair in found.pairs)
    assert num_false <= 19  # expected at most 10; 19 is 3 sd above


def test_ranks_per_block_are_kept() -> None:
    ranks: Mapping[str, Mapping[str, float]] = across(draw(2)).ranks
    assert ranks == {f"block{block}": {"a": 1.0, "b": 2.0, "c": 3.0} for block in range(2)}


def test_networks_on_one_data_set_count_once() -> None:
    scores = draw(12)
    sources = {f"block{number}": ("mnist", "cifar10", "photos")[number % 3] for number in range(12)}
    found = summarise_blocks(summarise_scores(scores), sources)
    assert found is not None
    assert (found.blocks, found.num_averaged) == (("mnist", "cifar10", "photos"), 12)
    means = np.stack([scores[start::3].mean(axis=0) for start in range(3)])
    ranks = stats.rankdata(-means, axis=1).mean(axis=0)
    assert found.mean_ranks == pytest.approx(dict(zip(ARMS, ranks, strict=True)))
    assert {pair.p for pair in found.pairs} == {None}  # three data sets, however many blocks
    assert found.friedman is not None
    assert found.friedman.num_blocks == 3
    assert " 6 data sets" in found.sentence


def test_blocks_of_one_data_set_are_described_and_not_tested() -> None:
    found = summarise_blocks(summarise_scores(draw(12)), dict.fromkeys((f"block{n}" for n in range(12)), "mnist"))
    assert found is not None
    assert found.is_descriptive
    assert (found.friedman, found.critical_difference, {pair.p for pair in found.pairs}) == (None, None, {None})
    assert "one data set" in found.sentence
    assert "Wilcoxon" not in found.sentence


def test_equal_arms_on_a_data_set_shared_by_blocks_rarely_win() -> None:
    """Each data set favours some arm, whatever the network: over 2 data sets x 6 networks Wilcoxon finds 4 in 10."""
    rng, false = np.random.default_rng(3), 0
    sources = {f"block{number}": f"set{number // 2}" for number in range(12)}
    for _ in range(150):
        favours = np.repeat(rng.normal(0, 0.01, (6, 2)), 2, axis=0)
        scores = 0.9 + favours + rng.normal(0, 0.002, (12, 2))
        found = summarise_blocks(summarise_scores(scores, arms=("a", "b")), sources)
        assert found is not None
        false += any(pair.verdict != "inconclusive" for pair in found.pairs)
    assert false / 150 <= 0.08
