from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bakeoff.stats.bayes import Posterior, find_posterior, pool_blocks
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise


def test_one_block_is_the_t_distribution_about_the_mean() -> None:
    d = np.array([0.01, 0.02, -0.01, 0.03, 0.02])
    found = find_posterior(compare_pair(d, np.zeros(5), margin=0.01))
    posterior = stats.t(4, d.mean(), d.std(ddof=1) / 5**0.5)
    assert found is not None
    assert found.better == pytest.approx(posterior.sf(0.01))
    assert found.worse == pytest.approx(posterior.cdf(-0.01))
    assert found.better + found.equivalent + found.worse == pytest.approx(1)
    loss = find_posterior(compare_pair(d, np.zeros(5), margin=0.01, higher_is_better=False))
    assert loss is not None
    assert (loss.better, loss.worse) == (found.worse, found.better)


def test_folds_are_the_bayesian_correlated_t_test() -> None:
    # Corani and Benavoli (2015): scale^2 = (1 / n + rho / (1 - rho)) s^2 with rho = 1 / k, on n - 1 degrees of freedom.
    d = np.array([0.01, 0.02, -0.01, 0.03, 0.02])
    found = find_posterior(compare_pair(d, np.zeros(5), test_share=1 / 4))
    scale = (1 / 5 + 0.2 / 0.8) ** 0.5 * d.std(ddof=1)
    assert found is not None
    assert found.better == pytest.approx(stats.t(4, d.mean(), scale).sf(0))


def test_several_blocks_agree_with_the_integral_written_out() -> None:
    leads, errors, margin = np.array([0.02, 0.01, 0.04]), np.array([0.01, 0.015, 0.01]), 0.005
    most = 10 * max(leads.std(ddof=1), errors.max())

    spread, mean = np.linspace(1e-6, most, 400)[:, None], np.linspace(-0.6, 0.65, 1_001)
    sd = np.sqrt(spread[..., None] ** 2 + errors**2)
    density = stats.norm.pdf(leads, mean[:, None], sd).prod(axis=-1)
    above = density * stats.norm.sf(margin, mean, spread)
    expected = integrate.trapezoid(above.sum(axis=1), spread[:, 0])
    expected /= integrate.trapezoid(density.sum(axis=1), spread[:, 0])
    found = pool_blocks(list(zip(leads, errors, strict=True)), margin)
    assert found is not None
    assert found.better == pytest.approx(expected, abs=0.01)
    assert pool_blocks([(0.1, 0.01), (0.2, 0.01)]) is None


def test_words_follow_the_probabilities() -> None:
    assert Posterior(0.96, 0.03, 0.01).decide(0.95) == "better"
    assert Posterior(0.02, 0.96, 0.02).decide(0.95) == "equivalent"
    assert Posterior(0.02, 0.02, 0.96).decide(0.95) == "worse"
    assert Posterior(0.9, 0.05, 0.05).decide(0.95) == "inconclusive"


def make(method: str, blocks: tuple[str, ...]) -> Summary:
    rng = np.random.default_rng(0)
    results = [
        TrialResult(
            trial_id=f"{block}{arm}{replicate}",
            block=block,
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": float(0.9 + lead + rng.normal(0, 0.003))}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for block in blocks
        for arm, lead in (("a", 0.03), ("b", 0.0))
        for replicate in range(6)
    ]
    return summarise(results, StudyDesign(blocks=blocks, arms=["a", "b"]), Rules(margin=0.005, method=method))  # type: ignore[arg-type]


def test_a_study_can_be_read_this_way() -> None:
    summary = make("bayes", ("x", "y", "z", "w"))
    assert {verdict.verdict for verdict in summary.verdicts} == {"better"}
    assert {verdict.p_adjusted for verdict in summary.verdicts} == {None}
    assert "posterior probability of 95%" in summary.answers[0].sentence
    assert "posterior" in summary.overall
    assert "a is better" in summary.overall
    assert "posterior" not in make("paired", ("x", "y", "z", "w")).overall
