"""Which choices matter: simulated studies of crossed axes, screened by a few runs or crossed in full.

    python benchmarks/rigor_screening.py --studies 2000

Scores are drawn from known distributions, and judged by the code that judges a real study. Draws are seeded. Sizes are
differences of level means in standard deviations of a single run, replicates share a part that pairing takes out, and
"up to" is the upper end of Wilson's 95% interval of a rate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import Row, percent, run_tables

from bakeoff.stats.designs import Fraction, make_screening
from bakeoff.stats.factors import Factor, FactorEffects, FactorialDesign, judge_factors
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import ArmSummary, Summary
from bakeoff.stats.wilson import wilson_interval

Scores = NDArray[np.float64]
Noise = Callable[[np.random.Generator, FactorialDesign, int], Scores]
"""Draws the errors [arms, replicates] of a study, of standard deviation 1."""

NUM_FACTORS = 10
PLANTED = 3


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def draw_normal(rng: np.random.Generator, design: FactorialDesign, n: int) -> Scores:
    return np.asarray(rng.standard_normal((len(design.cells), n)))


def draw_one_noisy(rng: np.random.Generator, design: FactorialDesign, n: int) -> Scores:
    """Draw one arm with five times the spread of the others."""
    noise_AR = draw_normal(rng, design, n)
    noise_AR[4] *= 5
    return noise_AR


def draw_heavy_tails(rng: np.random.Generator, design: FactorialDesign, n: int) -> Scores:
    """Draw t with 3 degrees of freedom, scaled to a standard deviation of 1."""
    return np.asarray(rng.standard_t(3, (len(design.cells), n)) / np.sqrt(3))


def draw_seed_by_factor(rng: np.random.Generator, design: FactorialDesign, n: int) -> Scores:
    """Draw a last factor whose effect differs by seed, with a standard deviation of half a run's."""
    sign_A = np.array([cell[-1] - 0.5 for cell in design.cells.values()])
    return np.asarray(draw_normal(rng, design, n) + 0.5 * np.outer(sign_A, rng.standard_normal(n)))


NOISES: dict[str, Noise] = {
    "normal": draw_normal,
    "one arm 5x noisier": draw_one_noisy,
    "t with 3 degrees of freedom": draw_heavy_tails,
    "one effect differs by seed": draw_seed_by_factor,
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


def judge(design: FactorialDesign, scores_AR: Scores) -> FactorEffects:
    """Judge a study with these scores, in scope seeds: no image is known."""
    arms = tuple(_make_arm(arm, row_R) for arm, row_R in zip(design.cells, scores_AR, strict=True))
    measure = Measure(find_metric("accuracy"), "test")
    summary = Summary(
        metric=measure.record.name,
        split=measure.split,
        blocks=("simulated",),
        arm_labels=tuple(design.cells),
        arms=arms,
        verdicts=(),
        answers=(),
        overall="",
    )
    return judge_factors(summary, design)[0]


def _make_arm(arm: str, scores_R: Scores) -> ArmSummary:
    return ArmSummary(
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


def draw_study(
    rng: np.random.Generator, design: FactorialDesign, noise: Noise, n: int, effects: Sequence[float]
) -> Scores:
    """Draw scores [arms, replicates]: effects of the first factors' levels (last less first), errors, shared seeds."""
    lasts = [len(factor.levels) - 1 for factor in design.factors]
    level_AK = np.array(list(design.cells.values())) == np.array(lasts)
    mean_A = level_AK[:, : len(effects)] @ np.array(effects)
    return np.asarray(mean_A[:, None] + noise(rng, design, n) + 2 * rng.standard_normal(n))


def name_factors(found: FactorEffects) -> set[str]:
    """Return the factors that a study names: of which levels are shown to differ, or stand out by Lenth's method."""
    if found.screen is not None:
        return set(found.screen.standing_out)
    return {each.factor for each in found.ranges if each.is_shown}


def count_named(
    design: FactorialDesign, noise: Noise, n: int, effects: Sequence[float], num_studies: int
) -> tuple[int, int]:
    """Return the studies that name every planted factor, and those that name another."""
    rng = np.random.default_rng([len(design.cells), n, len(effects)])
    planted = {factor.name for factor in design.factors[: len(effects)]}
    found_all = found_false = 0
    for _ in range(num_studies):
        named = name_factors(judge(design, draw_study(rng, design, noise, n, effects)))
        found_all += named >= planted
        found_false += bool(named - planted)
    return found_all, found_false


def format_rate(number: int, total: int) -> str:
    return f"{percent(number / total)} (up to {percent(wilson_interval(number, total)[1])})"


def format_power(number: int, total: int) -> str:
    low, high = wilson_interval(number, total)
    return f"{percent(number / total)} ({percent(low)} to {percent(high)})"


def measure_screening(num_studies: int) -> list[Row]:
    """Screen ten factors by 12 and 16 runs: three planted effects, other errors, none planted, and one replicate."""
    cases: list[tuple[str, int, float]] = [("normal", 3, size) for size in (0.0, 1.0, 1.5, 2.0, 3.0)]
    cases += [("normal", 5, 2.0), ("normal", 1, 2.0), ("normal", 1, 0.0), ("normal", 1, 4.0)]
    cases += [(name, 3, size) for name in list(NOISES)[1:] for size in (0.0, 2.0)]
    rows = []
    for num_runs in (12, 16):
        fraction = make_screening(NUM_FACTORS, num_runs)
        for name, n, size in cases:
            effects = [size] * PLANTED if size else []
            found_all, found_false = count_named(make_design(fraction), NOISES[name], n, effects, num_studies)
            rows.append(
                {
                    "arms": num_runs,
                    "errors": name,
                    "replicates": n,
                    "planted": f"{PLANTED} of {size:g} sd" if size else "none",
                    "all planted named": format_power(found_all, num_studies) if size else "-",
                    "another named": format_rate(found_false, num_studies),
                }
            )
    return rows


def measure_factorial(num_studies: int) -> list[Row]:
    """Judge full designs with no effect and with one: main effects, and interactions, none of which is there."""
    rows = []
    for shape in ((2, 2, 2), (3, 4)):
        design = cross(*shape)
        for name in ("normal", "one arm 5x noisier", "t with 3 degrees of freedom"):
            for n, size in ((3, 0.0), (5, 0.0), (5, 2.0)):
                rng = np.random.default_rng([*shape, n])
                counts = np.zeros(3, dtype=int)
                for _ in range(num_studies):
                    found = judge(design, draw_study(rng, design, NOISES[name], n, [size] if size else []))
                    counts += judge_truth(found, has_effect=bool(size))
                rows.append(
                    {
                        "design": " x ".join(map(str, shape)),
                        "errors": name,
                        "replicates": n,
                        "planted": f"1 of {size:g} sd" if size else "none",
                        "effect found": format_power(int(counts[0]), num_studies) if size else "-",
                        "false main effect": format_rate(int(counts[1]), num_studies),
                        "false interaction": format_rate(int(counts[2]), num_studies),
                    }
                )
    return rows


def judge_truth(found: FactorEffects, *, has_effect: bool) -> tuple[bool, bool, bool]:
    """Return whether the planted effect was found, and whether any other main effect, and any interaction, was.

    The last level of the first factor has the effect: its pairs are true, those of the other levels are not.
    """
    planted = found.design.factors[0].levels[-1] if has_effect else ""
    shown = [effect.verdict for effect in found.effects if effect.verdict.verdict in ("better", "worse")]
    true = [verdict for verdict in shown if verdict.b == planted and verdict.verdict == "worse"]
    return bool(true), len(true) < len(shown), any(each.is_shown for each in found.interactions)


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "screening": measure_screening,
    "full factorials": measure_factorial,
}

if __name__ == "__main__":
    main()
