"""The simulations' way to judge many factorial studies at once, against the code that judges a real one."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bakeoff.stats.designs import make_screening
from bakeoff.stats.factor_effects import FactorEffects
from bakeoff.stats.factorial import FactorialDesign
from bakeoff.stats.factors import judge_factors
from bakeoff.stats.results import DEFAULT_METHOD, ArmSummary, Method, Summary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rigor_moderated as moderated
import rigor_one_step as one_step
import rigor_screening as rigor


def judge(design: FactorialDesign, scores_AR: NDArray[np.float64], method: Method = DEFAULT_METHOD) -> FactorEffects:
    """Judge one study with these scores as a real one, in scope seeds: no image is known."""
    arms = [
        ArmSummary(
            block="simulated",
            arm=arm,
            replicates=len(scores_R),
            failed=0,
            train={},
            validation={},
            test={},
            scores=dict(enumerate(scores_R.tolist())),
            epochs=None,
            seconds=None,
        )
        for arm, scores_R in zip(design.cells, scores_AR, strict=True)
    ]
    summary = Summary(
        split="test",
        blocks=("simulated",),
        arm_labels=tuple(design.cells),
        arms=tuple(arms),
        verdicts=(),
        answers=(),
        overall="",
        method=method,
    )
    return judge_factors(summary, design)[0]


@pytest.mark.parametrize("num_runs", [12, 16])
@pytest.mark.parametrize("noise", rigor.NOISES)
def test_a_batch_of_screenings_is_judged_as_its_studies_are(num_runs: int, noise: str) -> None:
    design = rigor.make_design(make_screening(10, num_runs))
    scores_SAR = rigor.draw_studies(np.random.default_rng(0), design, rigor.NOISES[noise], (6, 3), [2.0, 1.0])
    adjusted_SC = rigor.judge_pooled(scores_SAR, rigor.weigh_effects(design)[1])
    for scores_AR, adjusted_C in zip(scores_SAR, adjusted_SC, strict=True):
        found = [effect.verdict.p_adjusted for effect in judge(design, scores_AR).effects]
        assert adjusted_C == pytest.approx(np.array(found, dtype=float))


def test_a_batch_of_single_replicates_is_screened_as_its_studies_are() -> None:
    design = rigor.make_design(make_screening(10, 12))
    scores_SAR = rigor.draw_studies(np.random.default_rng(0), design, rigor.draw_normal, (40, 1), [5.0] * 3)
    named_SC = rigor.name_choices(design, scores_SAR)
    for scores_AR, named_C in zip(scores_SAR, named_SC, strict=True):
        screen = judge(design, scores_AR).screen
        assert screen is not None
        assert set(screen.standing_out) == {str(place) for place in np.flatnonzero(named_C)}
    assert 0 < named_SC.sum() < named_SC.size


@pytest.mark.parametrize("method", ["paired", "moderated"])
@pytest.mark.parametrize("levels", [(2, 2), (2, 2, 2), (3, 4)])
def test_a_batch_of_full_factorials_is_judged_as_its_studies_are(levels: tuple[int, ...], method: Method) -> None:
    design = rigor.cross(*levels)
    scores_SAR = rigor.draw_studies(np.random.default_rng(0), design, rigor.draw_normal, (5, 4), [1.0])
    main_SC = rigor.WAYS[method](scores_SAR, rigor.weigh_effects(design)[1])
    crossed_SC = rigor.WAYS[method](scores_SAR, rigor.weigh_interactions(design))
    for scores_AR, main_C, crossed_C in zip(scores_SAR, main_SC, crossed_SC, strict=True):
        found = judge(design, scores_AR, method)
        assert main_C == pytest.approx(np.array([e.verdict.p_adjusted for e in found.effects], dtype=float))
        assert crossed_C == pytest.approx(np.array([e.verdict.p_adjusted for e in found.interactions], dtype=float))


def test_a_batch_of_pairs_steps_once_as_its_studies_do() -> None:
    scores_SKR = np.random.default_rng(3).standard_normal((20, 4, 3))
    scores_SKR[:, 0] += 5
    for scores_KR, found_P in zip(scores_SKR, one_step.step_once(scores_SKR), strict=True):
        pairs = list(itertools.combinations(range(4), 2))
        assert found_P == pytest.approx(np.array(moderated.adjust_both(scores_KR, pairs)[1]))
