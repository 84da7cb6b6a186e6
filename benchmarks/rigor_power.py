"""Are differences that are said to be detectable with 80% power detected? Simulated studies with a known truth.

    python benchmarks/rigor_power.py --studies 1000

Two arms of a family differ by what `bakeoff plan` would say is detectable, from known variances; the other arms lie
between them. All pairs are judged as in a real study: by the interval over seeds and images, Holm's correction and the
first look's share of the error rate. In the first table effects are normal, in the second models answer images by a
threshold as in rigor_scope.py. The third asks how well pilots and earlier trials tell the detectable difference. Draws
are seeded; "+-" is twice the standard error of the simulation. Shape suffixes: S studies, A arms, R replicates,
N images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_batches import measure_batch
from rigor_pairs import ERROR_RATE, percent, run_tables
from rigor_scope import POPULATIONS, Population, find_truth, list_batches

from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.looks import FIRST_SHARE
from bakeoff.stats.sources import (
    ValidationPair,
    count_pooled_degrees,
    list_factors,
    measure_validation,
    pool_spreads,
    scale_variance,
)
from bakeoff.stats.variance import Scope, Spread, find_tail, measure_spread

Row = dict[str, Any]

NUM_IMAGES = 359
LEVEL = ERROR_RATE * FIRST_SHARE


@dataclass(frozen=True)
class Effects:
    """Standard deviations of what an arm's seed, an image and a single answer add to its score, all normal."""

    name: str
    seed: float
    image: float
    rest: float

    def expect(self, scope: Scope) -> ExpectedSpread:
        """Return the spread of a pair's difference."""
        return ExpectedSpread(
            sd=(2 * (self.seed**2 + self.rest**2 / NUM_IMAGES)) ** 0.5,
            images=2 * self.image**2 / NUM_IMAGES if scope == "images" else 0.0,
        )

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int], scope: Scope, lead_A: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Draw [S, A, R, N] scores; in scope seeds leads are on these images."""
        s, arms, r = shape
        image_SAN = self.image * rng.standard_normal((s, arms, 1, NUM_IMAGES), dtype=np.float32)
        if scope == "seeds":
            image_SAN -= image_SAN.mean(axis=3, keepdims=True)
        seed_SAR = self.seed * rng.standard_normal((s, arms, r, 1), dtype=np.float32)
        rest_SARN = self.rest * rng.standard_normal((s, arms, r, NUM_IMAGES), dtype=np.float32)
        return np.asarray(rest_SARN + image_SAN + seed_SAR + lead_A[:, None, None].astype(np.float32))


EFFECTS = (Effects("seeds matter more", 0.008, 0.08, 0.2), Effects("images matter more", 0.003, 0.2, 0.2))


def place_arms(num_arms: int, difference: float) -> NDArray[np.float64]:
    """Return leads: the first two arms differ, the others lie in the middle."""
    lead_A = np.zeros(num_arms)
    lead_A[:2] = difference / 2, -difference / 2
    return lead_A


def find_pair(scores_SARN: NDArray[np.float32], scope: Scope) -> int:
    """Return in how many studies the first arm is shown to be better than the second, among all pairs."""
    pairs = list(combinations(range(scores_SARN.shape[1]), 2))
    p_PS = np.array([_find_p_values(measure_batch(scores_SARN[:, a] - scores_SARN[:, b]), scope) for a, b in pairs])
    adjusted_SP = np.array([adjust_holm(p_P) for p_P in p_PS.T.tolist()])
    ahead_S = scores_SARN[:, 0].mean(axis=(1, 2)) > scores_SARN[:, 1].mean(axis=(1, 2))
    return int(np.count_nonzero((adjusted_SP[:, 0] <= LEVEL) & ahead_S))


def _find_p_values(spreads: list[Spread], scope: Scope) -> list[float]:
    """Return p values; 1 for those above the level, which no correction lowers."""
    return [
        1.0
        if abs(each.difference) < each.half_width(LEVEL / 2, scope)
        else 2 * find_tail(lambda tail, each=each: each.half_width(tail, scope), abs(each.difference))  # type: ignore[misc]
        for each in spreads
    ]


def tell_rate(found: int, num_studies: int) -> Row:
    """Return a rate with twice its standard error."""
    rate = found / num_studies
    return {"detected": percent(rate), "+-": percent(2 * (rate * (1 - rate) / num_studies) ** 0.5)}


def measure_detection(num_studies: int) -> list[Row]:
    """Detect what is said to be detectable: normal effects."""
    return [
        _detect_normal(effects, scope, num_arms, r, num_studies)
        for effects in EFFECTS
        for scope in ("images", "seeds")
        for num_arms in (4, 9)
        for r in (3, 5, 10)
    ]


def _detect_normal(effects: Effects, scope: Scope, num_arms: int, r: int, num_studies: int) -> Row:
    rng, found = np.random.default_rng([num_arms, r]), 0
    difference = effects.expect(scope).find_detectable(r, LEVEL / (num_arms * (num_arms - 1) / 2))
    for size in list_batches(num_studies):
        scores = effects.draw(rng, (size, num_arms, r), scope, place_arms(num_arms, difference))
        found += find_pair(scores, scope)
    about = {"effects": effects.name, "scope": scope, "arms": num_arms, "replicates": r}
    return {**about, "said to be detectable": f"{100 * difference:.2f}", **tell_rate(found, num_studies)}


# --- Answers that are right or wrong ---------------------------------------------------------------------------------


def measure_answers(num_studies: int) -> list[Row]:
    """Detect what is said to be detectable: two arms, answers right or wrong, variances of a large draw."""
    rows = []
    for population in POPULATIONS[1:]:
        expected = expect_population(population)
        for r in (3, 5, 10):
            difference = expected.find_detectable(r, LEVEL)
            lead = find_lead(population, difference)
            rng, found = np.random.default_rng(r), 0
            for size in list_batches(num_studies) if lead is not None else ():
                found += find_pair(population.draw(rng, (size, 2, r, 2_000), lead).astype(np.float32), "images")
            rate = {"detected": "out of reach", "+-": "-"} if lead is None else tell_rate(found, num_studies)
            about = {"population": population.name, "arms": 2, "images": 2_000, "replicates": r}
            rows.append({**about, "said to be detectable": f"{100 * difference:.2f}", **rate})
    return rows


def expect_population(population: Population) -> ExpectedSpread:
    """Return the spread of equal arms of a population on 2,000 images, from 100 pairs of 30 seeds on 2,000 images."""
    rng, spreads = np.random.default_rng(0), []
    for _ in range(100):
        a_RN, b_RN = population.draw(rng, (1, 2, 30, 2_000))[0]
        spread = measure_spread(a_RN, b_RN, unit=1.0)
        assert spread is not None, "there are 30 replicates"
        spreads.append(spread)
    return pool_spreads(spreads, is_counted=True)


def find_lead(population: Population, difference: float) -> float | None:
    """Return the lead in logits that makes this true difference, to 1%; None if the first arm cannot lead so far."""
    low, high = 0.0, 4.0
    if find_truth(population, high) < difference:
        return None
    while high - low > 0.004 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if find_truth(population, middle) >= difference else (middle, high)
    return high


# --- What is known from few trials -----------------------------------------------------------------------------------


def measure_sources(num_studies: int) -> list[Row]:
    """Ask how often the 80% range that is said of a detectable difference holds the true one."""
    rows = []
    for effects in EFFECTS:
        for num_arms in (4, 9):
            for source, r in (("pilot", 2), ("pilot", 3), ("tested trials", 3), ("tested trials", 5)):
                said = np.array(list(_ask_sources(effects, num_arms, source, r, num_studies)))
                truth = effects.expect("images").find_detectable(5, LEVEL / (num_arms * (num_arms - 1) / 2))
                ratio = said[:, 0] / truth
                held = np.mean((said[:, 1] <= truth) & (truth <= said[:, 2]))
                rows.append(
                    {
                        "effects": effects.name,
                        "arms": num_arms,
                        "source": f"{source}, {r} replicates",
                        "said / true, median": f"{np.median(ratio):.2f}",
                        "10% to 90%": f"{np.quantile(ratio, 0.1):.2f} to {np.quantile(ratio, 0.9):.2f}",
                        "range holds the true one": percent(held),
                        "+-": percent(2 * (held * (1 - held) / len(said)) ** 0.5),
                    }
                )
    return rows


def _ask_sources(
    effects: Effects, num_arms: int, source: str, r: int, num_studies: int
) -> Iterator[tuple[float, float, float]]:
    """Yield the difference that is said to be detectable with 5 replicates, and the ends of its range."""
    rng, level = np.random.default_rng([num_arms, r]), LEVEL / (num_arms * (num_arms - 1) / 2)
    factors = list_factors(count_pooled_degrees(num_arms, r, against_baseline=False))
    measure = _measure_pilot if source == "pilot" else _measure_tested
    for _ in range(num_studies):
        said, *ends = (each.find_detectable(5, level) for each in measure(effects, rng, num_arms, r, factors))
        yield said, min(ends), max(ends)


Factors = tuple[float, float]


def _measure_tested(
    effects: Effects, rng: np.random.Generator, num_arms: int, r: int, factors: Factors
) -> list[ExpectedSpread]:
    scores_ARN = effects.draw(rng, (1, num_arms, r), "images", np.zeros(num_arms))[0]
    measured = [measure_spread(scores_ARN[a], scores_ARN[b], unit=1.0) for a, b in combinations(range(num_arms), 2)]
    spread = pool_spreads([each for each in measured if each is not None], is_counted=False)
    return [spread, *(scale_variance(spread, factor) for factor in factors)]


def _measure_pilot(
    effects: Effects, rng: np.random.Generator, num_arms: int, r: int, factors: Factors
) -> list[ExpectedSpread]:
    """Measure on a tenth of 1,440 training images, drawn anew in every replicate."""
    num_pool, validated = 1_440, 144
    image_AN = effects.image * rng.standard_normal((num_arms, num_pool))
    rows = [rng.choice(num_pool, validated, replace=False) for _ in range(r)]
    scores = [
        image_AN[:, row]
        + effects.seed * rng.standard_normal((num_arms, 1))
        + effects.rest * rng.standard_normal((num_arms, validated))
        for row in rows
    ]
    pairs = [
        ValidationPair(differences=[each[a] - each[b] for each in scores], indices=rows)
        for a, b in combinations(range(num_arms), 2)
    ]
    measured = measure_validation(pairs)
    ends = [
        measured.expect(NUM_IMAGES, is_counted=False, factor=factor, lasting=lasting)
        for factor in factors
        for lasting in measured.lasting_ends
    ]
    return [measured.expect(NUM_IMAGES, is_counted=False), *ends]


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "power, normal effects": measure_detection,
    "power, answers right or wrong": measure_answers,
    "power, known from few trials": measure_sources,
}

if __name__ == "__main__":
    main()
