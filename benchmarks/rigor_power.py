"""Are differences that are said to be detectable with 80% power detected? Simulated studies with a known truth.

    python benchmarks/rigor_power.py --studies 1000

Two arms of a family differ by what `bakeoff plan` would say is detectable, from known variances; the other arms lie
between them. All pairs are judged as in a real study: by the interval over seeds and images, Holm's correction and the
first look's share of the error rate. In the first table effects are normal, in the second models answer images by a
threshold as in rigor_scope.py. The third asks how well pilots and earlier trials tell the detectable difference, the
fourth whether verdicts keep their error rate where a pilot chose the number of replicates. Draws are seeded; "+-" is
twice the standard error of the simulation. Shape suffixes: S studies, A arms, R replicates, N images.
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
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.prospect import MORE_THAN_PILOT
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
    ) -> dict[tuple[int, int], list[Spread]]:
        """Draw, of [S, A, R] trials, what is measured of every pair of arms, study by study; leads are of the scope.

        Normal effects have sums of squares that are independent of the means, so these are drawn and no images:
        Wishart of N - 1 and (R - 1) (N - 1) degrees of freedom over arms.
        """
        s, arms, r = shape
        n = NUM_IMAGES
        seed_SAR = (self.seed**2 + self.rest**2 / n) ** 0.5 * rng.standard_normal((s, arms, r)) + lead_A[:, None]
        if scope == "images":
            seed_SAR += self.image / n**0.5 * rng.standard_normal((s, arms, 1))
        image_SAA = (r * self.image**2 + self.rest**2) * draw_wishart(rng, s, arms, n - 1)
        rest_SAA = self.rest**2 * draw_wishart(rng, s, arms, (r - 1) * (n - 1))
        return {
            (a, b): [
                Spread(
                    num_replicates=r, num_images=n, difference=mean, by_seed=by_seed, by_image=image, rest=rest, **_FEW
                )
                for mean, by_seed, image, rest in zip(
                    (seed_SAR[:, a] - seed_SAR[:, b]).mean(axis=1).tolist(),
                    (n * (seed_SAR[:, a] - seed_SAR[:, b]).var(axis=1, ddof=1)).tolist(),
                    subtract_squares(image_SAA, a, b).tolist(),
                    subtract_squares(rest_SAA, a, b).tolist(),
                    strict=True,
                )
            ]
            for a, b in combinations(range(arms), 2)
        }

    def draw_images(self, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Draw [A, R, N] scores of equal arms."""
        arms, r = shape
        image_ARN = self.image * rng.standard_normal((arms, 1, NUM_IMAGES))
        seed_ARN = self.seed * rng.standard_normal((arms, r, 1))
        return np.asarray(image_ARN + seed_ARN + self.rest * rng.standard_normal((arms, r, NUM_IMAGES)))


_FEW: dict[str, Any] = {
    "image_weight": 0.0,
    "cell_weight": 0.0,
    "image_skew": 0.0,
    "cell_skew": 0.0,
    "num_telling": NUM_IMAGES,
}
"""Where all images differ, either way, nothing is allowed for those not met."""


def draw_wishart(rng: np.random.Generator, num_studies: int, num_arms: int, degrees: int) -> NDArray[np.float64]:
    """Draw mean squares and products [S, A, A] of independent standard normal effects (Bartlett's decomposition)."""
    lower_SAA = np.tril(rng.standard_normal((num_studies, num_arms, num_arms)), -1)
    for arm in range(num_arms):
        lower_SAA[:, arm, arm] = rng.chisquare(degrees - arm, num_studies) ** 0.5
    return np.asarray(lower_SAA @ lower_SAA.transpose(0, 2, 1) / degrees)


def subtract_squares(squares_SAA: NDArray[np.float64], a: int, b: int) -> NDArray[np.float64]:
    """Return the mean squares of the difference of two arms."""
    return np.asarray(squares_SAA[:, a, a] + squares_SAA[:, b, b] - 2 * squares_SAA[:, a, b])


EFFECTS = (Effects("seeds matter more", 0.008, 0.08, 0.2), Effects("images matter more", 0.003, 0.2, 0.2))


def place_arms(num_arms: int, difference: float) -> NDArray[np.float64]:
    """Return leads: the first two arms differ, the others lie in the middle."""
    lead_A = np.zeros(num_arms)
    lead_A[:2] = difference / 2, -difference / 2
    return lead_A


def find_pair(spreads: dict[tuple[int, int], list[Spread]], scope: Scope) -> int:
    """Return in how many studies the first arm is shown to be better than the second, among all pairs."""
    p_PS = np.array([_find_p_values(of_pair, scope) for of_pair in spreads.values()])
    adjusted_S = np.array([adjust_holm(p_P)[0] for p_P in p_PS.T.tolist()])
    ahead_S = np.array([each.difference > 0 for each in spreads[0, 1]])
    return int(np.count_nonzero((adjusted_S <= LEVEL) & ahead_S))


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
        found += find_pair(effects.draw(rng, (size, num_arms, r), scope, place_arms(num_arms, difference)), scope)
    about = {"effects": effects.name, "scope": scope, "arms": num_arms, "replicates": r}
    return {**about, "said to be detectable": f"{100 * difference:.2f}", **tell_rate(found, num_studies)}


# --- Answers that are right or wrong ---------------------------------------------------------------------------------


def measure_answers(num_studies: int) -> list[Row]:
    """Detect what is said to be detectable: two arms, answers right or wrong, variances of a large draw.

    Variances are those of equal arms, or of arms that differ so: where one arm is far better they are smaller.
    """
    rows = []
    for population in POPULATIONS[1:]:
        for r in (3, 5, 10):
            lead: float | None = 0.0
            for of in ("equal arms", "these arms"):
                difference = expect_population(population, lead or 0.0).find_detectable(r, LEVEL)
                lead = find_lead(population, difference)
                rate = {"detected": "out of reach", "+-": "-"}
                if lead is not None:
                    rate = tell_rate(_count_detected(population, r, lead, num_studies), num_studies)
                about = {"population": population.name, "images": NUM_ANSWERED, "replicates": r, "variances of": of}
                rows.append({**about, "said to be detectable": f"{100 * difference:.2f}", **rate})
    return rows


NUM_ANSWERED = 2_000


def _count_detected(population: Population, r: int, lead: float, num_studies: int) -> int:
    rng, found = np.random.default_rng(r), 0
    for size in list_batches(num_studies):
        a_SRN, b_SRN = population.draw(rng, (size, 2, r, NUM_ANSWERED), lead).astype(np.float32).swapaxes(0, 1)
        found += find_pair({(0, 1): measure_batch(a_SRN - b_SRN)}, "images")
    return found


def expect_population(population: Population, lead: float) -> ExpectedSpread:
    """Return the spread of two arms of a population on 2,000 images, from 60 pairs of 30 seeds on 2,000 images."""
    rng, spreads = np.random.default_rng(0), []
    for _ in range(60):
        a_RN, b_RN = population.draw(rng, (1, 2, 30, NUM_ANSWERED), lead)[0]
        spread = measure_spread(a_RN, b_RN, unit=1.0)
        assert spread is not None, "there are 30 replicates"
        spreads.append(spread)
    return pool_spreads(spreads)


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
    scores_ARN = effects.draw_images(rng, (num_arms, r))
    measured = [measure_spread(scores_ARN[a], scores_ARN[b], unit=1.0) for a, b in combinations(range(num_arms), 2)]
    spread = pool_spreads([each for each in measured if each is not None])
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
        measured.expect(NUM_IMAGES, factor=factor, lasting=lasting)
        for factor in factors
        for lasting in measured.lasting_ends
    ]
    return [measured.expect(NUM_IMAGES), *ends]


# --- Replicates chosen by a pilot ------------------------------------------------------------------------------------


def measure_choice(num_studies: int) -> list[Row]:
    """Count false winners among equal arms where the spread of 2 or 3 pilot replicates chose the number of replicates.

    Scores are normal with sd 1. On the test split they are those of validation (the worst case), share half of their
    variance with them (the seeds), or have nothing to do with them. The margin to be shown is 2.
    """
    rows = []
    for num_arms in (2, 4):
        for pilot in (2, 3):
            for shared in (1.0, 0.5, 0.0):
                rng = np.random.default_rng([num_arms, pilot, round(10 * shared)])
                chosen = [_run_chosen(rng, num_arms, pilot, shared) for _ in range(num_studies)]
                false = np.mean([is_false for _, is_false in chosen])
                rows.append(
                    {
                        "arms": num_arms,
                        "pilot replicates": pilot,
                        "variance shared with validation": percent(shared),
                        "replicates chosen, 10% to 90%": " to ".join(
                            f"{np.quantile([n for n, _ in chosen], each):.0f}" for each in (0.1, 0.9)
                        ),
                        "false winner": percent(false),
                        "+-": percent(2 * (false * (1 - false) / num_studies) ** 0.5),
                    }
                )
    return rows


def _run_chosen(rng: np.random.Generator, num_arms: int, pilot: int, shared: float) -> tuple[int, bool]:
    """Return how many replicates a pilot chose, and whether there was a winner after Holm, at a first look."""
    pairs = list(combinations(range(num_arms), 2))
    seed_AR = rng.standard_normal((num_arms, MOST_CHOSEN))
    validation_AR, test_AR = (
        shared**0.5 * seed_AR + (1 - shared) ** 0.5 * rng.standard_normal(seed_AR.shape) for _ in range(2)
    )
    sd = np.mean([np.var(validation_AR[a, :pilot] - validation_AR[b, :pilot], ddof=1) for a, b in pairs]) ** 0.5
    n = ExpectedSpread(sd=float(sd)).count_to_show(2.0, LEVEL / len(pairs)) or MOST_CHOSEN
    n = min(max(n, pilot + MORE_THAN_PILOT), MOST_CHOSEN)
    compared = [compare_pair(test_AR[a, :n].tolist(), test_AR[b, :n].tolist()) for a, b in pairs]
    return n, min(adjust_holm([1.0 if each.p is None else each.p for each in compared])) <= LEVEL


MOST_CHOSEN = 30
"""Replicates that a pilot may choose, at most."""


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "power, normal effects": measure_detection,
    "power, answers right or wrong": measure_answers,
    "power, known from few trials": measure_sources,
    "power, replicates chosen by a pilot": measure_choice,
}

if __name__ == "__main__":
    main()
