"""Main effects and interactions against closed forms, SciPy's paired t test and least squares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bakeoff.stats.borrowed import choose_slope, lend_variances
from bakeoff.stats.factor_effects import FactorEffects, dump_effects
from bakeoff.stats.factorial import Factor, FactorialDesign, complete_design
from bakeoff.stats.factors import judge_factors
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.looks import LineLook
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.sequential import SequentialDesign
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

OPTIMIZER = Factor(name="optimizer", levels=("adam", "sgd"))
INITIALIZER = Factor(name="initializer", levels=("he", "glorot", "zeros"))
WIDTH = Factor(name="width", levels=("narrow", "wide"))


def cross(*factors: Factor) -> FactorialDesign:
    """Return the full design of some factors."""
    cells = itertools.product(*(range(len(factor.levels)) for factor in factors))
    return FactorialDesign(
        factors=factors,
        cells={
            " / ".join(factor.levels[level] for factor, level in zip(factors, cell, strict=True)): cell
            for cell in cells
        },
    )


def summarise_scores(
    scores: Mapping[str, Sequence[float | None]],
    rules: Rules | None = None,
    *,
    images: Mapping[str, NDArray[np.bool_]] | None = None,
    looks: Sequence[LineLook] = (),
    blocks: Sequence[str] = ("digits",),
) -> Summary:
    """Summarise arm -> score per replicate; None for a replicate not run."""
    results = [
        TrialResult(
            trial_id=f"{block} {arm} {replicate}",
            block=block,
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": value}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for block in blocks
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
        if value is not None
    ]
    by_image = {f"{blocks[0]} {arm} {r}": row for arm, rows in (images or {}).items() for r, row in enumerate(rows)}
    design = StudyDesign(blocks=blocks, arms=list(scores))
    return summarise(results, design, rules, by_image=by_image, looks=looks)


def draw_scores(design: FactorialDesign, num_replicates: int = 5, seed: int = 0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.02, num_replicates)
    return {
        arm: [float(v) for v in 0.8 - 0.03 * cell[0] - 0.01 * cell[1] + shared + rng.normal(0, 0.005, num_replicates)]
        for arm, cell in design.cells.items()
    }


def judge(
    design: FactorialDesign, scores: Mapping[str, Sequence[float | None]], rules: Rules | None = None
) -> FactorEffects:
    return judge_factors(summarise_scores(scores, rules), design)[0]


def average(
    design: FactorialDesign, scores: Mapping[str, Sequence[float]], place: int, level: int
) -> NDArray[np.float64]:
    return np.mean([scores[arm] for arm, cell in design.cells.items() if cell[place] == level], axis=0)


def test_main_effects_are_paired_t_tests_of_level_averages_corrected_as_one_family() -> None:
    design = cross(OPTIMIZER, INITIALIZER)
    scores = draw_scores(design)
    found = judge(design, scores, Rules(method="paired"))
    wanted = [(0, 0, 1), (1, 0, 1), (1, 0, 2), (1, 1, 2)]
    tests = [stats.ttest_rel(average(design, scores, p, a), average(design, scores, p, b)) for p, a, b in wanted]
    adjusted = adjust_holm([test.pvalue for test in tests])
    assert [(e.verdict.a, e.verdict.b) for e in found.effects] == [
        ("adam", "sgd"),
        ("he", "glorot"),
        ("he", "zeros"),
        ("glorot", "zeros"),
    ]
    for effect, test, p, (place, a, b) in zip(found.effects, tests, adjusted, wanted, strict=True):
        difference = average(design, scores, place, a).mean() - average(design, scores, place, b).mean()
        assert effect.verdict.difference == pytest.approx(difference)
        assert effect.verdict.p == pytest.approx(test.pvalue)
        assert effect.verdict.p_adjusted == pytest.approx(p)
        assert effect.verdict.interval == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_main_effects_and_interactions_are_those_of_least_squares() -> None:
    design = cross(OPTIMIZER, WIDTH, Factor(name="batch", levels=("small", "large")))
    scores = draw_scores(design)
    found = judge(design, scores)
    # y = mean + sum of b_j x_j + sum of b_jk x_j x_k with x = +-1: level 0 is +1.
    x = np.array([[1 - 2 * level for level in cell] for cell in design.cells.values()], dtype=float)
    pairs = list(itertools.combinations(range(3), 2))
    matrix = np.column_stack([np.ones(8), x, *(x[:, j] * x[:, k] for j, k in pairs)])
    b = np.linalg.lstsq(matrix, np.array([np.mean(scores[arm]) for arm in design.cells]), rcond=None)[0]
    assert [e.verdict.difference for e in found.effects] == pytest.approx(2 * b[1:4])
    assert [i.verdict.difference for i in found.interactions] == pytest.approx(4 * b[4:])


def test_an_interaction_is_the_difference_of_differences() -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores = {
        "adam / narrow": [0.90, 0.91, 0.905],
        "adam / wide": [0.91, 0.921, 0.914],
        "sgd / narrow": [0.80, 0.812, 0.804],
        "sgd / wide": [0.88, 0.893, 0.884],
    }
    (interaction,) = judge(design, scores, Rules(margin=0.02)).interactions
    cells = {arm: np.array(values) for arm, values in scores.items()}
    d = (cells["adam / narrow"] - cells["sgd / narrow"]) - (cells["adam / wide"] - cells["sgd / wide"])
    test = stats.ttest_1samp(d, 0)
    assert interaction.levels == (("adam", "sgd"), ("narrow", "wide"))
    assert interaction.verdict.difference == pytest.approx(d.mean())
    assert interaction.verdict.sd == pytest.approx(d.std(ddof=1))
    assert interaction.verdict.p == pytest.approx(test.pvalue)
    assert interaction.verdict.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert interaction.verdict.margin == 0.02
    assert interaction.is_shown


def test_an_interaction_within_the_margin_is_equivalent_by_the_whole_difference_of_differences() -> None:
    design = cross(OPTIMIZER, WIDTH)
    noise = np.array([0.0, 0.001, -0.001, 0.0005])
    scores = {
        arm: list(0.9 + 0.015 * (cell == (0, 0)) + noise * (cell == (1, 1))) for arm, cell in design.cells.items()
    }
    (wide,) = judge(design, scores, Rules(margin=0.02)).interactions
    (tight,) = judge(design, scores, Rules(margin=0.012)).interactions
    assert wide.verdict.verdict == "equivalent"
    assert not wide.is_shown
    assert tight.verdict.verdict == "better"


def test_an_effect_is_even_if_all_cells_agree_and_no_interaction_is_shown() -> None:
    design = cross(OPTIMIZER, WIDTH)
    noise = np.array([[0, 0.001, -0.001, 0.0], [0.0005, 0, 0, -0.001], [0, 0, 0.001, 0], [0.0002, 0, 0.0003, 0]])
    levels = {"adam / narrow": 0.9, "adam / wide": 0.91, "sgd / narrow": 0.88, "sgd / wide": 0.89}
    even = {arm: list(level + row) for (arm, level), row in zip(levels.items(), noise, strict=True)}
    crossed = {**even, "sgd / wide": [v + 0.015 for v in even["sgd / wide"]]}  # the lead shrinks, and stays one
    assert judge(design, even).effects_of("optimizer")[0].is_even
    found = judge(design, crossed)
    assert found.interactions[0].is_shown
    assert min(found.effects_of("optimizer")[0].cells) > 0
    assert not found.effects_of("optimizer")[0].is_even


def test_choices_are_ordered_by_the_range_of_their_level_means() -> None:
    design = cross(WIDTH, INITIALIZER)
    rng = np.random.default_rng(3)
    scores = {
        arm: list(0.9 - 0.02 * cell[1] - 0.001 * cell[0] + rng.normal(0, 0.002, 5))
        for arm, cell in design.cells.items()
    }
    first, last = judge(design, scores).ranges
    assert (first.factor, last.factor) == ("initializer", "width")
    assert first.range == pytest.approx(max(first.means.values()) - min(first.means.values()))
    assert first.means["he"] == pytest.approx(np.mean([np.mean(scores[arm]) for arm in scores if "he" in arm]))
    assert first.interval is not None
    assert first.interval[0] <= first.range <= first.interval[1]
    assert first.is_shown
    # Two levels: the interval of the difference, as a size.
    effect = judge(design, scores).effects_of("width")[0].verdict
    assert effect.interval is not None
    assert last.interval == pytest.approx(
        (max(0, *effect.interval[:1], -effect.interval[1]), max(map(abs, effect.interval)))
    )


def test_the_range_of_three_levels_holds_the_true_one_as_often_as_it_says() -> None:
    design = cross(OPTIMIZER, INITIALIZER)
    rng, held = np.random.default_rng(5), 0
    for _ in range(100):
        scores = {arm: list(0.01 * cell[1] + 0.01 * rng.standard_normal(5)) for arm, cell in design.cells.items()}
        interval = next(r for r in judge(design, scores).ranges if r.factor == "initializer").interval
        assert interval is not None
        held += interval[0] <= 0.02 <= interval[1]
    assert held / 100 >= 0.92


def test_a_replicate_that_is_not_complete_is_left_out_everywhere() -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores: dict[str, list[float | None]] = {arm: list(values) for arm, values in draw_scores(design).items()}
    scores["sgd / wide"][1] = None
    found = judge(design, scores)
    assert found.replicates == 4
    assert {effect.verdict.replicates for effect in found.effects} == {4}
    assert found.missing == ()


def test_an_arm_without_a_score_leaves_the_largest_complete_part() -> None:
    design = cross(INITIALIZER, OPTIMIZER, WIDTH)
    scores: dict[str, list[float | None]] = {arm: list(values) for arm, values in draw_scores(design).items()}
    scores["zeros / sgd / wide"] = [None] * 5
    found = judge(design, scores)
    assert found.missing == ("zeros / sgd / wide",)
    assert found.dropped == (("initializer", "zeros"),)
    assert [factor.levels for factor in found.design.factors] == [("he", "glorot"), ("adam", "sgd"), ("narrow", "wide")]
    assert len(found.design.cells) == 8


def test_nothing_is_claimed_where_no_two_factors_are_complete() -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores: dict[str, list[float | None]] = {arm: list(values) for arm, values in draw_scores(design).items()}
    scores["sgd / wide"] = [None] * 5
    found = judge(design, scores)
    assert (found.effects, found.interactions, found.ranges, found.replicates) == ((), (), (), 0)
    assert found.missing == ("sgd / wide",)


@pytest.mark.parametrize("holes", [1, 2, 3, 5])
def test_what_is_kept_of_a_design_is_complete(holes: int) -> None:
    design = cross(INITIALIZER, OPTIMIZER, WIDTH)
    rng = np.random.default_rng(holes)
    for _ in range(20):
        missing = [str(arm) for arm in rng.choice(list(design.cells), holes, replace=False)]
        kept, dropped = complete_design(design, missing)
        if kept is None:
            continue
        assert not set(missing) & set(kept.cells)
        assert len(set(kept.cells.values())) == kept.num_cells == len(kept.cells)
        assert dropped


def test_levels_are_compared_on_new_images_where_the_images_are_known() -> None:
    design = cross(OPTIMIZER, WIDTH)
    rng = np.random.default_rng(0)
    images = {arm: rng.random((5, 200)) < 0.9 - 0.2 * cell[0] for arm, cell in design.cells.items()}
    scores = {arm: [float(row.mean()) for row in rows] for arm, rows in images.items()}
    (found,) = judge_factors(summarise_scores(scores, images=images), design)
    effect = found.effects_of("optimizer")[0].verdict
    assert (effect.scope, effect.num_images, effect.verdict) == ("images", 200, "better")
    assert effect.difference == pytest.approx(
        average(design, scores, 0, 0).mean() - average(design, scores, 0, 1).mean(), abs=1e-6
    )


def make_look(arms: Sequence[str], number: int, num_pairs: int, replicates: int) -> LineLook:
    return LineLook(
        number=number,
        study_id="s",
        study="s",
        looked_at="2026-01-01",
        trials=frozenset(f"digits {arm} {r}" for arm in arms for r in range(replicates)),
        replicates=frozenset(range(replicates)),
        num_pairs={"digits": num_pairs},
    )


def test_holm_corrects_for_the_effects_and_for_all_pairs_of_arms_once_arms_were_dropped() -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores = draw_scores(design)
    for num_pairs, family in ((6, 2), (28, 28)):
        looks = (make_look(list(scores), 1, num_pairs, 5),)
        (found,) = judge_factors(summarise_scores(scores, looks=looks), design)
        smallest = min((e.verdict for e in found.effects), key=lambda v: v.p or 1)
        assert smallest.p_adjusted == pytest.approx(min(1, (smallest.p or 1) * family / looks[0].share))


def test_levels_of_two_factors_that_share_names_are_no_family_of_all_pairs() -> None:
    """Four names and six pairs must not pass for all pairs of four arms."""
    names = ("0.1", "0.01", "0.001"), ("1", "0.1", "0.01")
    design = cross(Factor(name="lr", levels=names[0]), Factor(name="decay", levels=names[1]))
    found = judge(design, draw_scores(design, 3), Rules(scope="seeds")).effects
    p_values = [effect.verdict.p or 0.0 for effect in found]
    assert [effect.verdict.p_adjusted for effect in found] == pytest.approx([min(1.0, 6 * p) for p in p_values])


def test_main_effects_of_a_full_design_borrow_the_variances_of_all_cells() -> None:
    design = cross(OPTIMIZER, INITIALIZER)
    scores = draw_scores(design, 3)
    found = judge(design, scores, Rules(scope="seeds"))
    lent = lend_variances(np.array(list(scores.values())), slope=choose_slope(6, 4))
    assert lent is not None
    sides = [[place for place, cell in enumerate(design.cells.values()) if cell[0] == level] for level in (0, 1)]
    first = found.effects[0].verdict
    assert first.p == pytest.approx(2 * lent.judge(sides[0], sides[1]).tail(abs(first.difference or 0.0)))
    assert first.p_adjusted == pytest.approx(min(1.0, 4 * (first.p or 1.0)))


def test_main_effects_of_more_than_24_cells_have_an_error_of_their_own() -> None:
    five = tuple(Factor(name=str(place), levels=("a", "b")) for place in range(5))
    design = cross(*five)
    first = judge(design, draw_scores(design, 3)).effects[0].verdict
    plain = judge(design, draw_scores(design, 3), Rules(method="paired")).effects[0].verdict
    assert (first.borrowed, first.p) == (False, plain.p)


def test_an_earlier_look_is_judged_by_what_it_saw_of_every_member() -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores = draw_scores(design, 6)
    looks = (make_look(list(scores), 1, 6, 3), make_look(list(scores), 2, 6, 6))
    (found,) = judge_factors(summarise_scores(scores, looks=looks), design)
    early = judge(design, {arm: values[:3] for arm, values in scores.items()}).effects_of("optimizer")[0].verdict
    late = found.effects_of("optimizer")[0].verdict
    assert early.p_adjusted is not None
    assert late.p_adjusted is not None
    assert late.p_adjusted <= early.p_adjusted / looks[0].share + 1e-12


def test_every_block_has_a_family_of_its_own() -> None:
    design = cross(OPTIMIZER, WIDTH)
    summary = summarise_scores(draw_scores(design), blocks=("digits", "mnist"))
    assert [found.block for found in judge_factors(summary, design)] == ["digits", "mnist"]


def test_a_design_names_arms_of_the_study() -> None:
    summary = summarise_scores(draw_scores(cross(OPTIMIZER, WIDTH)))
    with pytest.raises(ValueError, match="no arm of the study"):
        judge_factors(summary, cross(OPTIMIZER, INITIALIZER))


def test_effects_as_plain_values() -> None:
    import json

    design = cross(OPTIMIZER, INITIALIZER)
    document = json.loads(json.dumps(dump_effects(judge(design, draw_scores(design))), allow_nan=False))
    assert document["effects"][0]["a"] == "adam"
    assert [choice["factor"] for choice in document["choices"]] == ["optimizer", "initializer"]
    assert len(document["interactions"]) == 3


def test_posteriors_decide_where_the_study_says_so() -> None:
    design = cross(OPTIMIZER, WIDTH)
    found = judge(design, draw_scores(design), Rules(method="bayes"))
    assert found.effects_of("optimizer")[0].verdict.p_adjusted is None


def test_a_race_judges_levels_by_its_sequential_p_values() -> None:
    design = cross(OPTIMIZER, INITIALIZER)
    rules = Rules(race=SequentialDesign(at_least=3, at_most=20))
    scores = draw_scores(design)
    raced, fixed = judge(design, scores, rules), judge(design, scores)
    effect, plain = raced.effects_of("optimizer")[0].verdict, fixed.effects_of("optimizer")[0].verdict
    assert effect.difference == pytest.approx(plain.difference)
    assert effect.p is not None
    assert plain.p is not None
    assert effect.p >= plain.p
    for one, other in zip(raced.ranges, fixed.ranges, strict=True):
        assert one.interval is not None
        assert other.interval is not None
        assert one.interval[1] >= other.interval[1]


def test_folds_are_averaged_fold_by_fold_and_compared_by_the_corrected_t() -> None:
    design = cross(OPTIMIZER, WIDTH)
    rng = np.random.default_rng(0)
    scores = {arm: 0.8 - 0.05 * cell[0] + rng.normal(0, 0.01, (2, 5)) for arm, cell in design.cells.items()}
    results = [
        TrialResult(
            trial_id=f"{arm} {replicate} {fold}",
            block="digits",
            arm=arm,
            replicate=replicate,
            fold=fold,
            state="done",
            metrics={"held-out": {"accuracy": float(value)}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, values in scores.items()
        for replicate, row in enumerate(values)
        for fold, value in enumerate(row)
    ]
    summary = summarise(results, StudyDesign(blocks=("digits",), arms=list(scores), num_folds=5))
    effect = judge_factors(summary, design)[0].effects_of("optimizer")[0].verdict
    flat = {arm: [float(v) for v in values.ravel()] for arm, values in scores.items()}
    pair = compare_pair(average(design, flat, 0, 0), average(design, flat, 0, 1), test_share=0.25)  # type: ignore[arg-type]
    assert (effect.scope, effect.replicates) == ("folds", 10)
    assert effect.p == pytest.approx(pair.p)
    assert effect.interval == pytest.approx(pair.interval)


@pytest.mark.parametrize(("mode", "replicates"), [("worst", 5), ("exclude", 4)])
def test_a_failed_trial_counts_as_the_study_says(mode: str, replicates: int) -> None:
    design = cross(OPTIMIZER, WIDTH)
    scores = draw_scores(design)
    results = [
        TrialResult(
            trial_id=f"{arm} {replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="failed" if (arm, replicate) == ("sgd / wide", 2) else "done",
            metrics={"test": {"accuracy": value}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]
    summary = summarise(
        results,
        StudyDesign(blocks=("digits",), arms=list(scores), num_classes={"digits": 10}),
        Rules(failed=mode),  # type: ignore[arg-type]
    )
    found = judge_factors(summary, design)[0]
    assert found.replicates == replicates
    lower = average(design, scores, 0, 1).copy()
    lower[2] = (scores["sgd / narrow"][2] + 0.1) / 2
    kept = [0, 1, 2, 3, 4] if mode == "worst" else [0, 1, 3, 4]
    wanted = average(design, scores, 0, 0)[kept].mean() - lower[kept].mean()
    assert found.effects_of("optimizer")[0].verdict.difference == pytest.approx(wanted)
