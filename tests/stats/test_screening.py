"""The error pooled over a two-level design, and Lenth's method, against closed forms and least squares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bakeoff.stats.designs import make_screening
from bakeoff.stats.factor_effects import FactorEffects
from bakeoff.stats.factorial import Factor, FactorialDesign
from bakeoff.stats.factors import judge_factors
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.screening import pool_error, screen_by_lenth
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

EFFECTS = {"a": 21.6, "b": 3.1, "c": 9.9, "d": 14.6, "ab": 0.1, "ac": -18.1, "ad": 16.6, "bc": 2.4, "bd": -0.4}


def make_design(num_factors: int, num_runs: int) -> FactorialDesign:
    fraction = make_screening(num_factors, num_runs)
    cells = {str(run): tuple(map(int, row)) for run, row in enumerate(fraction.levels_NK)}
    return FactorialDesign(
        factors=tuple(Factor(name=str(place), levels=("low", "high")) for place in range(num_factors)),
        cells=cells,
        kind="screening",
        resolution=fraction.resolution,
        others=tuple({arm: int(v) for arm, v in zip(cells, column, strict=True)} for column in fraction.others_NJ.T),
    )


def summarise_scores(
    scores: Mapping[str, NDArray[np.float64]],
    rules: Rules | None = None,
    images: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Summary:
    results = [
        TrialResult(
            trial_id=f"{arm} {replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": float(value)}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]
    by_image = {f"{arm} {r}": row for arm, rows in (images or {}).items() for r, row in enumerate(rows)}
    return summarise(results, StudyDesign(blocks=("digits",), arms=list(scores)), rules, by_image=by_image)


def draw_scores(design: FactorialDesign, num_replicates: int = 3) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 0.02, num_replicates)
    return {
        arm: 0.8 + 0.01 * cell[0] + shared + rng.normal(0, 0.005, num_replicates) for arm, cell in design.cells.items()
    }


def judge(
    design: FactorialDesign, scores: Mapping[str, NDArray[np.float64]], rules: Rules | None = None
) -> FactorEffects:
    return judge_factors(summarise_scores(scores, rules), design)[0]


def test_effects_are_those_of_least_squares_and_the_pooled_variance_is_its_residual_one() -> None:
    design = make_design(11, 12)
    scores = draw_scores(design)
    found = judge(design, scores)
    x = np.array([[2 * level - 1 for level in cell] for cell in design.cells.values()], dtype=float)
    y_AR = np.array(list(scores.values()))
    effects = 2 * np.linalg.lstsq(np.column_stack([np.ones(12), x]), y_AR.mean(axis=1), rcond=None)[0][1:]
    assert [effect.verdict.difference for effect in found.effects] == pytest.approx(-effects)  # low minus high
    # Arm and replicate as two factors without interaction: (N - 1) (R - 1) residual degrees of freedom.
    arms, replicates = np.repeat(np.eye(12), 3, axis=0), np.tile(np.eye(3), (12, 1))
    model = np.column_stack([arms, replicates])
    found_b, _, rank, _ = np.linalg.lstsq(model, y_AR.ravel(), rcond=None)
    rest = y_AR.ravel() - model @ found_b
    variance = (rest**2).sum() / (36 - rank)
    high = np.array([cell[0] for cell in design.cells.values()], dtype=bool)
    error = pool_error(y_AR[high], y_AR[~high])
    own = (y_AR[high].mean(axis=0) - y_AR[~high].mean(axis=0)).var(ddof=1)
    assert rank == 14
    assert error.variance == pytest.approx(max(4 / 12 * variance, (4 / 12 * variance + own) / 2))
    assert 2 <= error.degrees <= 22


def test_p_values_and_intervals_are_of_the_pooled_t_corrected_over_the_effects() -> None:
    design = make_design(5, 12)
    scores = draw_scores(design)
    found = judge(design, scores)
    p_values = []
    for place, effect in enumerate(found.effects):
        low, high = (
            np.array([scores[arm] for arm, cell in design.cells.items() if cell[place] == level]) for level in (0, 1)
        )
        error = pool_error(low, high)
        difference, width = low.mean() - high.mean(), np.sqrt(error.variance / 3)
        p_values.append(2 * stats.t.sf(abs(difference) / width, error.degrees))
        half = stats.t.ppf(0.975, error.degrees) * width
        assert effect.verdict.interval == pytest.approx((difference - half, difference + half))
    assert [e.verdict.p for e in found.effects] == pytest.approx(p_values)
    assert [e.verdict.p_adjusted for e in found.effects] == pytest.approx(adjust_holm(p_values))


def test_one_arm_with_all_the_variance_leaves_its_own_degrees_of_freedom() -> None:
    y_AR = np.zeros((400, 3))
    y_AR[3] = [1, -2, 1]
    assert pool_error(y_AR[:200], y_AR[200:]).degrees == pytest.approx(2, abs=0.05)
    alike = np.tile([1.0, -1.0, 0.0], (6, 1)) * np.array([[1], [-1]] * 3)
    assert pool_error(alike, -alike).degrees == pytest.approx(22)


def test_an_effect_that_differs_by_seed_keeps_half_of_its_own_variance() -> None:
    y_AR = np.random.default_rng(0).normal(0, 0.01, (12, 3))
    y_AR[:6] += [1, -1, 0.5]
    error = pool_error(y_AR[:6], y_AR[6:])
    own = (y_AR[:6].mean(axis=0) - y_AR[6:].mean(axis=0)).var(ddof=1)
    assert error.variance >= own / 2


def test_with_images_the_seeds_part_is_pooled_and_the_images_part_stays() -> None:
    design = make_design(7, 8)
    rng = np.random.default_rng(1)
    images = {arm: rng.random((3, 300)) < 0.8 + 0.1 * cell[0] for arm, cell in design.cells.items()}
    scores = {arm: rows.mean(axis=1) for arm, rows in images.items()}
    found = judge_factors(summarise_scores(scores, images=images), design)[0]
    alone = judge_factors(summarise_scores(scores, Rules(method="bayes"), images=images), design)[0]
    effect = found.effects[0].verdict
    assert (effect.scope, effect.num_images, effect.verdict) == ("images", 300, "worse")
    assert alone.effects[0].verdict.difference == pytest.approx(effect.difference)


def test_pooling_only_serves_where_it_says() -> None:
    design = make_design(3, 4)
    plain = judge(design, draw_scores(design, 2))
    assert {effect.verdict.verdict for effect in plain.effects} == {"inconclusive"}
    assert plain.screen is None  # three contrasts are too few


def test_lenth_by_hand() -> None:
    screen = screen_by_lenth(EFFECTS)
    sizes = np.abs(list(EFFECTS.values()))
    trial = 1.5 * np.median(sizes)
    error = 1.5 * np.median(sizes[sizes < 2.5 * trial])
    assert screen.error == pytest.approx(error)
    assert screen.limit == pytest.approx(error * stats.t.ppf((1 + 0.95 ** (1 / 9)) / 2, 3))


def test_lenth_names_what_stands_out_largest_first() -> None:
    small = {str(n): 0.1 * (-1) ** n * (1 + n / 20) for n in range(12)}
    assert screen_by_lenth({**small, "x": 3.0, "y": -5.0}).standing_out == ("y", "x")
    assert screen_by_lenth(small).standing_out == ()


def test_a_single_replicate_is_screened_with_all_columns() -> None:
    design = make_design(5, 12)
    scores = draw_scores(design, 1)
    found = judge(design, scores)
    assert found.screen is not None
    assert found.screen.effects["0"] == pytest.approx(
        np.mean([v for arm, v in scores.items() if design.cells[arm][0]])
        - np.mean([v for arm, v in scores.items() if not design.cells[arm][0]])
    )


def test_beyond_24_runs_every_effect_has_its_own_error() -> None:
    design = make_design(5, 32)
    scores = draw_scores(design)
    first = judge(design, scores).effects[0].verdict
    low, high = (
        np.mean([scores[arm] for arm, cell in design.cells.items() if cell[0] == level], axis=0) for level in (0, 1)
    )
    assert first.p == pytest.approx(stats.ttest_rel(low, high).pvalue)
