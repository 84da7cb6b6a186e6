"""Which choices matter: simulated studies of crossed axes, screened by a few runs or crossed in full.

    python benchmarks/rigor_screening.py --studies 2000

Scores are drawn from known distributions and judged in batches; `tests/stats/test_rigor_screening.py` checks that a
batch comes to what the code that judges a real study says. Draws are seeded. Sizes are differences of level means in
standard deviations of a single run, replicates share a part that pairing takes out, and "up to" is the upper end of
Wilson's 95% interval of a rate.

Shape suffixes: S studies, A arms, R replicates, C contrasts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, Row, percent, run_tables
from rigor_scope import POPULATIONS
from scipy import special

from bakeoff.stats.borrowed import (
    AVERAGES_FACTOR,
    MIN_PAIRS,
    PAIR_FACTOR,
    PRIOR_DEGREES,
    OwnVariances,
    choose_slope,
    estimate_variances,
    moderate,
    weigh_prior,
)
from bakeoff.stats.designs import Fraction, make_fraction, make_screening
from bakeoff.stats.factorial import Factor, FactorialDesign
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.mean_error import make_error
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.screening import MAX_POOLED_ARMS, pool_error, screen_by_lenth
from bakeoff.stats.variance import measure_spread
from bakeoff.stats.wilson import wilson_interval

Scores = NDArray[np.float64]
Noise = Callable[[np.random.Generator, FactorialDesign, tuple[int, int]], Scores]
"""Draws the errors [S, A, R] of so many studies and replicates, of standard deviation 1."""

SEED_BY_FACTOR = "one effect differs by seed"
NUM_FACTORS = 10
PLANTED = 3
NUM_IMAGES = 359


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def draw_normal(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    return np.asarray(rng.standard_normal((shape[0], len(design.cells), shape[1])))


def draw_one_noisy(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    """Draw one arm with five times the spread of the others."""
    noise_SAR = draw_normal(rng, design, shape)
    noise_SAR[:, min(4, len(design.cells) - 1)] *= 5
    return noise_SAR


def draw_one_wild(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    """Draw one arm with ten times the spread of the others."""
    noise_SAR = draw_normal(rng, design, shape)
    noise_SAR[:, 0] *= 10
    return noise_SAR


def draw_heavy_tails(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    """Draw t with 3 degrees of freedom, scaled to a standard deviation of 1."""
    return np.asarray(rng.standard_t(3, (shape[0], len(design.cells), shape[1])) / np.sqrt(3))


def draw_seed_by_factor(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    """Draw a last factor whose effect differs by seed, with a standard deviation of half a run's."""
    sign_A = np.array([cell[-1] - 0.5 for cell in design.cells.values()])
    by_seed_SAR = sign_A[:, None] * rng.standard_normal((shape[0], 1, shape[1]))
    return np.asarray(draw_normal(rng, design, shape) + 0.5 * by_seed_SAR)


def draw_interaction(rng: np.random.Generator, design: FactorialDesign, shape: tuple[int, int]) -> Scores:
    """Draw an interaction of the first two factors: what one does differs by 2 between the levels of the other."""
    crossed_A = np.array([2.0 * (cell[0] - 0.5) * (cell[1] - 0.5) for cell in design.cells.values()])
    return np.asarray(draw_normal(rng, design, shape) + crossed_A[:, None])


NOISES: dict[str, Noise] = {
    "normal": draw_normal,
    "one arm 5x noisier": draw_one_noisy,
    "one arm 10x noisier": draw_one_wild,
    "t with 3 degrees of freedom": draw_heavy_tails,
    SEED_BY_FACTOR: draw_seed_by_factor,
    "an interaction of the first two": draw_interaction,
}


def make_design(fraction: Fraction) -> FactorialDesign:
    """Return a fraction as a study's design."""
    rows = [tuple(map(int, row)) for row in fraction.levels_NK]
    arms = {str(run): row for run, row in enumerate(rows)}
    return FactorialDesign(
        factors=tuple(Factor(name=str(place), levels=("low", "high")) for place in range(len(rows[0]))),
        cells=arms,
        kind="screening",
        resolution=fraction.resolution,
        others=tuple(
            {arm: int(level) for arm, level in zip(arms, column, strict=True)} for column in fraction.others_NJ.T
        ),
    )


def cross(*num_levels: int) -> FactorialDesign:
    """Return the full design of factors with so many levels each."""
    cells = itertools.product(*map(range, num_levels))
    return FactorialDesign(
        factors=tuple(
            Factor(name=str(place), levels=tuple(f"{place}.{level}" for level in range(number)))
            for place, number in enumerate(num_levels)
        ),
        cells={" / ".join(map(str, cell)): cell for cell in cells},
    )


def draw_studies(
    rng: np.random.Generator, design: FactorialDesign, noise: Noise, shape: tuple[int, int], effects: Sequence[float]
) -> Scores:
    """Draw scores [S, A, R]: effects of the first factors' levels (last less others), errors, shared seeds."""
    lasts = [len(factor.levels) - 1 for factor in design.factors]
    level_AK = np.array(list(design.cells.values())) == np.array(lasts)
    mean_A = level_AK[:, : len(effects)] @ np.array(effects)
    seeds_SR = rng.standard_normal((shape[0], 1, shape[1]))
    return np.asarray(mean_A[:, None] + noise(rng, design, shape) + 2 * seeds_SR)


# --- Judging in batches -------------------------------------------------------------------------------------------


def weigh_effects(design: FactorialDesign) -> tuple[list[tuple[int, int, int]], NDArray[np.float64]]:
    """Return (factor, level a, level b) of every main effect, and its weights of the arms' scores [C, A]."""
    cells_AK = np.array(list(design.cells.values()))
    names, weights = [], []
    for place, factor in enumerate(design.factors):
        for a, b in itertools.combinations(range(len(factor.levels)), 2):
            names.append((place, a, b))
            weights.append(_average(cells_AK[:, place] == a) - _average(cells_AK[:, place] == b))
    return names, np.array(weights)


def weigh_interactions(design: FactorialDesign) -> NDArray[np.float64]:
    """Return the weights of the arms' scores in every difference of differences, [C, A]."""
    cells_AK = np.array(list(design.cells.values()))
    weights = []
    for one, other in itertools.combinations(range(len(design.factors)), 2):
        levels = (range(len(design.factors[place].levels)) for place in (one, other))
        for (a, b), (c, d) in itertools.product(*(list(itertools.combinations(each, 2)) for each in levels)):
            cells = [
                _average((cells_AK[:, one] == x) & (cells_AK[:, other] == y))
                for x, y in ((a, c), (b, c), (a, d), (b, d))
            ]
            weights.append(cells[0] - cells[1] - cells[2] + cells[3])
    return np.array(weights)


def _average(chosen_A: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(chosen_A / chosen_A.sum())


def judge_alone(scores_SAR: Scores, weights_CA: NDArray[np.float64]) -> Scores:
    """Return p values [S, C] of contrasts by the paired t test, adjusted by Holm within each study."""
    effects_SCR = np.einsum("sar,ca->scr", scores_SAR, weights_CA)
    n = effects_SCR.shape[2]
    t_SC = np.abs(effects_SCR.mean(axis=2)) / (effects_SCR.std(axis=2, ddof=1) / np.sqrt(n))
    return adjust_all(2 * special.stdtr(n - 1, -t_SC))


def judge_borrowed(scores_SAR: Scores, weights_CA: NDArray[np.float64]) -> Scores:
    """Return p values [S, C] of contrasts with the variances that the arms lend each other, by Bonferroni's correction.

    Families of fewer than three contrasts are judged alone.
    """
    num_pairs = len(weights_CA)
    if num_pairs < MIN_PAIRS:
        return judge_alone(scores_SAR, weights_CA)
    slope = choose_slope(scores_SAR.shape[1], num_pairs)
    return np.minimum(1.0, num_pairs * measure_borrowed(scores_SAR, weights_CA, slope))


def measure_borrowed(scores_SAR: Scores, weights_CA: NDArray[np.float64], slope: float) -> Scores:
    """Return p values [S, C] of contrasts as `LentVariances.judge` has them, not corrected."""
    _, num_arms, n = scores_SAR.shape
    d, nu = n - 1.0, PRIOR_DEGREES
    own = OwnVariances(
        squares_K=estimate_variances(scores_SAR), degrees_K=np.full(num_arms, d), counts_K=np.ones(num_arms)
    ).raise_smallest()
    weights_SG, centers_SG = weigh_prior(own, slope)
    # A difference of differences is judged as half of it, which is a difference of averages.
    sides_CA = weights_CA / np.maximum(weights_CA, 0).sum(axis=1, keepdims=True)
    effects_SCR = np.einsum("sar,ca->scr", scores_SAR, sides_CA)
    of_pair_S1C = effects_SCR.var(axis=2, ddof=1)[:, None]
    pair_SGC = (nu[:, None] * (sides_CA**2).sum(axis=1) * centers_SG[..., None] + d * of_pair_S1C) / (nu[:, None] + d)
    arms_SGC = moderate(own.squares_K, d, centers_SG) @ (sides_CA**2).T
    variance_SGC = np.maximum(arms_SGC, PAIR_FACTOR * pair_SGC)
    averaged_SGC = AVERAGES_FACTOR * of_pair_S1C + (1 - AVERAGES_FACTOR) * arms_SGC
    is_average_C = np.count_nonzero(weights_CA, axis=1) > 2
    variance_SGC = np.where(is_average_C, np.maximum(variance_SGC, averaged_SGC), variance_SGC)
    t_SGC = np.abs(effects_SCR.mean(axis=2))[:, None] / np.sqrt(variance_SGC / n)
    degrees_G1 = np.minimum(nu + d, d * (num_arms - 1))[:, None]
    return np.asarray(2 * np.einsum("sg,sgc->sc", weights_SG, special.stdtr(degrees_G1, -t_SGC)))


WAYS: dict[str, Callable[[Scores, NDArray[np.float64]], Scores]] = {"paired": judge_alone, "moderated": judge_borrowed}


def judge_pooled(scores_SAR: Scores, weights_CA: NDArray[np.float64]) -> Scores:
    """Return p values [S, C] of two-level contrasts with the pooled error, adjusted by Holm; see `pool_error`."""
    _, num_arms, n = scores_SAR.shape
    effects_SCR = np.einsum("sar,ca->scr", scores_SAR, weights_CA)
    rest_SAR = scores_SAR - scores_SAR.mean(axis=2, keepdims=True) - scores_SAR.mean(axis=1, keepdims=True)
    rest_SAR += scores_SAR.mean(axis=(1, 2), keepdims=True)
    variances_SA = (rest_SAR**2).sum(axis=2) / (n - 1) * num_arms / (num_arms - 1)
    total_S = variances_SA.sum(axis=1)
    share_S = np.clip(total_S**2 / (variances_SA**2).sum(axis=1), 1, num_arms - 1)
    pooled_S1 = (4 / num_arms**2 * total_S)[:, None]
    variance_SC = np.maximum(pooled_S1, (pooled_S1 + effects_SCR.var(axis=2, ddof=1)) / 2)
    t_SC = np.abs(effects_SCR.mean(axis=2)) / np.sqrt(variance_SC / n)
    return adjust_all(2 * special.stdtr(((n - 1) * share_S)[:, None], -t_SC))


def stand_out(design: FactorialDesign, scores_SAR: Scores) -> NDArray[np.bool_]:
    """Return which effects stand out by Lenth's method, [S, C]."""
    _, weights_CA = weigh_effects(design)
    others_JA = np.array([list(other.values()) for other in design.others]).reshape(-1, len(design.cells))
    sides = [_average(other_A == 1) - _average(other_A == 0) for other_A in others_JA]
    sizes_SC = np.abs(scores_SAR.mean(axis=2) @ np.array([*weights_CA, *sides]).T)
    effects = [str(place) for place in range(sizes_SC.shape[1])]
    limits_S = [screen_by_lenth(dict(zip(effects, row, strict=True))).limit for row in sizes_SC.tolist()]
    return np.asarray(sizes_SC[:, : len(weights_CA)] > np.array(limits_S)[:, None])


def adjust_all(p_SC: Scores) -> Scores:
    """Return p values adjusted by Holm within each study."""
    return np.array([adjust_holm(row) for row in p_SC.tolist()])


# --- Tables -------------------------------------------------------------------------------------------------------


def format_rate(found_S: NDArray[np.bool_]) -> str:
    number, total = int(found_S.sum()), len(found_S)
    return f"{percent(number / total)} (up to {percent(wilson_interval(number, total)[1])})"


def format_power(found_S: NDArray[np.bool_]) -> str:
    number, total = int(found_S.sum()), len(found_S)
    low, high = wilson_interval(number, total)
    return f"{percent(number / total)} ({percent(low)} to {percent(high)})"


def measure_screening(num_studies: int) -> list[Row]:
    """Screen ten factors by 12 and 16 runs: planted effects of several sizes, other errors, a single replicate."""
    cases: list[tuple[str, int, float]] = [("normal", 3, size) for size in (0.0, 1.0, 1.5, 2.0, 3.0)]
    cases += [("normal", 5, size) for size in (0.0, 1.0, 2.0)]
    cases += [("normal", 1, size) for size in (0.0, 2.0, 4.0)]
    others = [name for name in NOISES if name not in ("normal", "one arm 10x noisier")]
    cases += [(name, 3, size) for name in others for size in (0.0, 2.0)]
    designs = [make_design(make_screening(NUM_FACTORS, num_runs)) for num_runs in (12, 16)]
    return [screen(design, case, num_studies) for design in designs for case in cases]


def measure_larger(num_studies: int) -> list[Row]:
    """Screen by more runs: up to 24 the error is pooled, beyond it is the effect's own."""
    names = ("normal", "one arm 5x noisier", "one effect differs by seed")
    cases = [(name, n, size) for name in names for n, size in ((3, 0.0), (5, 0.0), (5, 1.0))]
    designs = [make_design(make_screening(20, 24)), make_design(make_fraction(8, num_runs=32))]
    return [screen(design, case, num_studies) for design in designs for case in cases]


def screen(design: FactorialDesign, case: tuple[str, int, float], num_studies: int) -> Row:
    """Return a row of studies with errors of a name, so many replicates, and planted effects of a size."""
    name, n, size = case
    rng, planted = np.random.default_rng([len(design.cells), n]), PLANTED if size else 0
    scores_SAR = draw_studies(rng, design, NOISES[name], (num_studies, n), [size] * planted)
    named_SC = name_choices(design, scores_SAR)
    return {
        "factors": len(design.factors),
        "arms": len(design.cells),
        "errors": name,
        "replicates": n,
        "planted": f"{PLANTED} of {size:g} sd" if size else "none",
        "all planted named": format_power(named_SC[:, :planted].all(axis=1)) if size else "-",
        "another named": format_rate(named_SC[:, planted:].any(axis=1)),
    }


def name_choices(design: FactorialDesign, scores_SAR: Scores) -> NDArray[np.bool_]:
    """Return which factors a screening names, [S, C]."""
    if scores_SAR.shape[2] < MIN_REPLICATES:
        return stand_out(design, scores_SAR)
    judge = judge_pooled if len(design.cells) <= MAX_POOLED_ARMS else judge_alone
    return np.asarray(judge(scores_SAR, weigh_effects(design)[1]) <= ERROR_RATE)


def measure_factorial(num_studies: int) -> list[Row]:
    """Judge full designs with no effect and with one: main effects, and interactions, none of which is there."""
    rows = []
    noises = ("normal", "one arm 5x noisier", "one arm 10x noisier", "t with 3 degrees of freedom", SEED_BY_FACTOR)
    for levels in ((2, 2), (2, 3), (2, 2, 2), (3, 4), (2, 2, 2, 2)):
        design = cross(*levels)
        names, weights_CA = weigh_effects(design)
        for name in noises:
            for n, size in ((3, 0.0), (5, 0.0), (3, 2.0)):
                rng = np.random.default_rng([*levels, n])
                scores_SAR = draw_studies(rng, design, NOISES[name], (num_studies, n), [size] if size else [])
                shown_WSC = np.array([judge(scores_SAR, weights_CA) <= ERROR_RATE for judge in WAYS.values()])
                crossed_SC = judge_borrowed(scores_SAR, weigh_interactions(design)) <= ERROR_RATE
                # The last level of the first factor has the effect: its pairs are true, all others are not.
                true_C = np.array([bool(size) and place == 0 and b == levels[0] - 1 for place, _, b in names])
                rows.append(
                    {
                        "design": " x ".join(map(str, levels)),
                        "errors": name,
                        "replicates": n,
                        "planted": f"1 of {size:g} sd" if size else "none",
                        **_tell_both("effect found", shown_WSC[..., true_C], format_power if size else None),
                        **_tell_both("false main effect", shown_WSC[..., ~true_C], format_rate),
                        "false interaction": format_rate(crossed_SC.any(axis=1)),
                    }
                )
    return rows


def _tell_both(title: str, shown_WSC: NDArray[np.bool_], tell: Callable[[NDArray[np.bool_]], str] | None) -> Row:
    """Return how often any contrast is shown, paired and moderated; "-" where there is none to be shown."""
    found = zip(WAYS, shown_WSC.any(axis=2), strict=True)
    return {f"{title}, {way}": "-" if tell is None else tell(shown_S) for way, shown_S in found}


def measure_images(num_studies: int) -> list[Row]:
    """Judge choices on new images where all arms are equal over all images: whether any main effect is named."""
    rows = []
    for design in (make_design(make_screening(NUM_FACTORS, 12)), cross(2, 2, 2)):
        for population in POPULATIONS:
            for n in (3, 5):
                rng = np.random.default_rng([len(design.cells), n])
                found = []
                for size in [min(20, num_studies - start) for start in range(0, num_studies, 20)]:
                    answers_SARN = population.draw(rng, (size, len(design.cells), n, NUM_IMAGES))
                    found += [names_any(design, answers_ARN) for answers_ARN in answers_SARN]
                rows.append(
                    {
                        "design": "10 factors, 12 runs" if design.kind == "screening" else "2 x 2 x 2",
                        "population": population.name,
                        "replicates": n,
                        "images": NUM_IMAGES,
                        "false main effect": format_rate(np.array(found)),
                    }
                )
    return rows


def names_any(design: FactorialDesign, answers_ARN: NDArray[np.bool_]) -> bool:
    """Return whether any main effect passes the strictest step of Holm, in scope images."""
    tail = ERROR_RATE / len(design.factors) / 2
    cells_AK = np.array(list(design.cells.values()))
    for level_A in cells_AK.T:
        sides = [answers_ARN[level_A == level] for level in (0, 1)]
        a_RN, b_RN = (side_ARN.mean(axis=0) for side_ARN in sides)
        spread = measure_spread(a_RN, b_RN, unit=1.0, scope="images")
        assert spread is not None
        error = None
        if design.kind == "screening":
            pooled = pool_error(*(side_ARN.mean(axis=2) for side_ARN in sides))
            error = make_error(pooled.variance / spread.num_replicates, pooled.degrees)
        if abs(spread.difference) > spread.half_width(tail, "images", error=error):
            return True
    return False


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "screening": measure_screening,
    "screening by more runs": measure_larger,
    "full factorials": measure_factorial,
    "choices on new images": measure_images,
}

if __name__ == "__main__":
    main()
