"""Do verdicts hold for new groups of images (patients, objects, videos)? Simulated studies, before and after.

    python benchmarks/rigor_groups.py --studies 2000

"Before" takes the images of a group for independent ones. A prediction is correct if its logit is positive: the sum of
the group's difficulty and the image's own, of effects of arm and group, of the seed, and of seed and image. Arms are
equal over all groups. Draws are seeded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, holds, run_tables
from scipy.special import ndtr

from bakeoff.stats.bayes import decide_by_posterior
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.variance import Spread, measure_spread
from bakeoff.stats.wilson import count_effective, wilson_interval

Row = dict[str, Any]
Bits = NDArray[np.bool_]
GROUP_SD, SEED_IMAGE_SD, SEED_SD = 2.0, 0.5, 0.1


@dataclass(frozen=True)
class Population:
    """A distribution of correct and wrong predictions of images in groups.

    Attributes:
        arm_group_sd: sd of the interaction of arm and group: what arms make of a group, with any seed.
        sizes: smallest and largest number of images in a group.
        image_sd: sd of an image's own difficulty: if it is large, arms differ a little in every group.
    """

    name: str
    arm_group_sd: float
    sizes: tuple[int, int]
    image_sd: float = 0.5

    def draw(self, rng: np.random.Generator, num_arms: int, r: int, num_groups: int) -> tuple[Bits, NDArray[np.int64]]:
        """Draw [arms, R, N] correct or wrong predictions, and the group of every image."""
        low, high = self.sizes
        groups = np.repeat(np.arange(num_groups), rng.integers(low, high + 1, num_groups))
        n = len(groups)
        logits = 2.2 + GROUP_SD * rng.standard_normal(num_groups)[groups] + self.image_sd * rng.standard_normal(n)
        logits = logits + self.arm_group_sd * rng.standard_normal((num_arms, 1, num_groups))[:, :, groups]
        logits = logits + SEED_SD * rng.standard_normal((num_arms, r, 1))
        logits = logits + SEED_IMAGE_SD * rng.standard_normal((num_arms, r, n))
        return logits > 0, groups

    @property
    def accuracy(self) -> float:
        """Return the true accuracy of every arm, over all groups of one size."""
        squares = (GROUP_SD, self.image_sd, self.arm_group_sd, SEED_SD, SEED_IMAGE_SD)
        return float(ndtr(2.2 / math.sqrt(sum(sd**2 for sd in squares))))


MANY = Population("60 images, arms differ a little in every group", 0.7, (60, 60), image_sd=3.0)
ALIKE = Population("8 images, arms differ by group", 1.5, (8, 8))
POPULATIONS = (
    ALIKE,
    MANY,
    Population("1 to 15 images, arms differ by group", 1.5, (1, 15)),
    Population("8 images, arms alike", 0.0, (8, 8)),
    Population("1 image, arms differ by group", 1.5, (1, 1)),
)
DESIGNS = ((5, 6), (5, 10), (3, 20), (5, 20), (20, 20), (5, 50), (5, 200))


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def give_error(hits: list[bool]) -> str:
    """Format a rate in percent with its standard error."""
    rate = float(np.mean(hits))
    return f"{100 * rate:.1f} ± {100 * math.sqrt(rate * (1 - rate) / len(hits)):.1f}%"


def measure(a_RN: Bits, b_RN: Bits, groups_N: NDArray[np.int64] | None) -> Spread:
    spread = measure_spread(a_RN, b_RN, unit=1.0, scope="images", groups_N=groups_N)
    assert spread is not None, "two replicates and two groups at least"
    return spread


def differs(spread: Spread) -> bool:
    """Tell whether a difference is found in scope images: the interval leaves 0 out, as p <= 5% would."""
    return abs(spread.difference) >= spread.half_width(ERROR_RATE / 2, "images") > 0


def list_designs() -> Iterator[tuple[Population, int, int]]:
    for population in POPULATIONS:
        for r, num_groups in DESIGNS if population in (ALIKE, MANY) else ((5, 20), (5, 50)):
            yield population, r, num_groups


def measure_null(num_studies: int) -> list[Row]:
    """Judge two equal arms: every difference found is false."""
    rows = []
    for population, r, num_groups in list_designs():
        rng = np.random.default_rng([r, num_groups])
        before, after, wide = [], [], []
        for _ in range(num_studies):
            (a_RN, b_RN), groups_N = population.draw(rng, 2, r, num_groups)
            apart, together = measure(a_RN, b_RN, None), measure(a_RN, b_RN, groups_N)
            before.append(differs(apart))
            after.append(differs(together))
            wide.append(together.half_width(ERROR_RATE / 2, "images") / apart.half_width(ERROR_RATE / 2, "images"))
        rows.append(
            {
                "population": population.name,
                "replicates": r,
                "groups": num_groups,
                "false winner, before": give_error(before),
                "false winner": give_error(after),
                "interval, times as wide": f"{np.median(wide):.1f}",
            }
        )
    return rows


def measure_methods(num_studies: int) -> list[Row]:
    """Judge two equal arms by posterior probabilities, and two that differ by the margin for equivalence."""
    rows = []
    for r, num_groups in ((5, 10), (5, 20), (5, 50)):
        rng = np.random.default_rng([r, num_groups, 1])
        found: dict[str, list[bool]] = {"bayes, before": [], "bayes": [], "equivalent, before": [], "equivalent": []}
        for _ in range(num_studies):
            (a_RN, b_RN), groups_N = ALIKE.draw(rng, 2, r, num_groups)
            for suffix, groups in ((", before", None), ("", groups_N)):
                comparison = compare(a_RN, b_RN, groups, None)
                found[f"bayes{suffix}"].append(decide_by_posterior(comparison).verdict in ("better", "worse"))
            # The margin is the true difference: the first arm's answers, moved by it.
            shifted = compare_shifted(a_RN, b_RN, None), compare_shifted(a_RN, b_RN, groups_N)
            for suffix, comparison in zip((", before", ""), shifted, strict=True):
                found[f"equivalent{suffix}"].append((comparison.p_equivalence or 0.0) <= ERROR_RATE)
        rows.append(
            {
                "replicates": r,
                "groups": num_groups,
                **{f"false, {name}": give_error(hits) for name, hits in found.items()},
            }
        )
    return rows


def compare(a_RN: NDArray[Any], b_RN: NDArray[Any], groups_N: NDArray[np.int64] | None, margin: float | None) -> Any:
    spread = measure(a_RN, b_RN, groups_N)
    return compare_pair(a_RN.mean(axis=1), b_RN.mean(axis=1), margin=margin, spread=spread)


def compare_shifted(a_RN: Bits, b_RN: Bits, groups_N: NDArray[np.int64] | None, margin: float = 0.1) -> PairComparison:
    found: PairComparison = compare(a_RN + margin, b_RN.astype(float), groups_N, margin)
    return found


def measure_accuracy(num_studies: int) -> list[Row]:
    """Count how often Wilson's interval contains the true accuracy, with images and with effective images."""
    rows = []
    for num_groups in (10, 20, 50, 200):
        rng = np.random.default_rng([num_groups, 2])
        before, after = [], []
        for _ in range(num_studies):
            hits, groups_N = ALIKE.draw(rng, 1, 1, num_groups)
            hits_N, n = hits[0, 0], len(groups_N)
            number = count_effective(hits_N, groups_N)
            before.append(holds(wilson_interval(int(hits_N.sum()), n), ALIKE.accuracy))
            after.append(holds(wilson_interval(float(hits_N.mean()) * number, number), ALIKE.accuracy))
        rows.append({"groups": num_groups, "covers, before": give_error(before), "covers": give_error(after)})
    return rows


TABLES = {
    "groups, equal arms": measure_null,
    "groups, other verdicts": measure_methods,
    "groups, one accuracy": measure_accuracy,
}

if __name__ == "__main__":
    main()
