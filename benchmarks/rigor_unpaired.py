"""Are verdicts on arms without seeds in common right as often as they claim? Simulated runs with a known truth.

    python benchmarks/rigor_unpaired.py --studies 2000

Scores are normal; every arm has seeds of its own. "Paired" judges every pair by Welch's t and Holm's correction;
"moderated", with 3 arms or more, by variances that arms lend each other and Bonferroni's correction with one step, and
two arms by Welch's t with tempered degrees of freedom. Draws are seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, percent, run_tables
from scipy.stats import beta

from bakeoff.stats.borrowed import MIN_PAIRS, UnpairedLender, choose_slope
from bakeoff.stats.family import adjust_by_one_step, adjust_holm, count_left
from bakeoff.stats.unpaired import compare_unpaired, measure_unpaired_spread

Row = dict[str, Any]
Scores = Sequence[NDArray[np.float64]]

SIZES: dict[str, tuple[int, ...]] = {"3": (3,), "5": (5,), "10": (10,), "3 and 10": (3, 10)}
"""Replicates of the arms, in turn; the first arm is the one that may spread more."""

FACTORS = (1, 3, 10)
LEAD = 4.0


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def measure_null(num_studies: int) -> list[Row]:
    """Judge equal arms: every "better" or "worse" is false, and every interval should contain 0."""
    rows = []
    for num_arms in (2, 4, 9):
        for name, sizes in SIZES.items():
            for factor in FACTORS:
                rng = np.random.default_rng([num_arms, len(sizes), sizes[0], factor])
                found = [judge_all(_draw(rng, num_arms, sizes, factor)) for _ in range(num_studies)]
                paired, moderated = (sum(has_found[of] for has_found in found) for of in (0, 1))
                rows.append(
                    {
                        "arms": num_arms,
                        "replicates": name,
                        "first arm": f"{factor} x sd",
                        "paired, false": _rate(paired, num_studies),
                        "moderated, false": _rate(moderated, num_studies),
                    }
                )
    return rows


def measure_power(num_studies: int) -> list[Row]:
    """Judge arms of which the first leads by 4 sd of a run: how often it is shown to be better than another."""
    rows = []
    for num_arms in (2, 4, 9):
        for name, sizes in SIZES.items():
            rng, found = np.random.default_rng([num_arms, sizes[0], 1]), np.zeros(2)
            for _ in range(num_studies):
                scores = _draw(rng, num_arms, sizes, 1)
                scores[0] = scores[0] + LEAD
                found += [np.mean(np.array(p[: num_arms - 1]) <= ERROR_RATE) for p in adjust_all(scores)]
            shown = [percent(share) for share in found / num_studies]
            rows.append({"arms": num_arms, "replicates": name, "paired, found": shown[0], "moderated, found": shown[1]})
    return rows


def measure_images(num_studies: int) -> list[Row]:
    """Judge two arms that are equal over all images, by new seeds and new images: "better" or "worse" is false.

    An arm answers an image rightly with a probability of the image, arm and run: all vary, on the scale of logits.
    """
    rows = []
    for name, (r, s) in {"3": (3, 3), "5": (5, 5), "3 and 10": (3, 10)}.items():
        for title, by_arm, by_seed in (("alike on images", 0.0, 0.3), ("unlike on images", 1.0, 0.3)):
            rng, false = np.random.default_rng([r, s, int(by_arm)]), 0
            for _ in range(num_studies):
                image_N = 1.5 + 2.0 * rng.standard_normal(400)
                a_RN, b_SN = (_answer(rng, image_N, n, by_arm, by_seed) for n in (r, s))
                spread = measure_unpaired_spread(a_RN, b_SN, unit=1.0, scope="images")
                found = compare_unpaired(a_RN.mean(axis=1), b_SN.mean(axis=1), spread=spread, is_cautious=True)
                false += found.p is not None and found.p <= ERROR_RATE
            rows.append({"replicates": name, "arms": title, "images": 400, "false": _rate(false, num_studies)})
    return rows


def _answer(
    rng: np.random.Generator, image_N: NDArray[np.float64], n: int, by_arm: float, by_seed: float
) -> NDArray[np.bool_]:
    logits_N = image_N + by_arm * rng.standard_normal(len(image_N))
    logits_RN = logits_N + by_seed * rng.standard_normal((n, 1)) + 0.5 * rng.standard_normal((n, len(image_N)))
    return np.asarray(rng.random((n, len(image_N))) < 1 / (1 + np.exp(-logits_RN)))


def _draw(rng: np.random.Generator, num_arms: int, sizes: Sequence[int], factor: float) -> list[NDArray[np.float64]]:
    numbers = [sizes[arm % len(sizes)] for arm in range(num_arms)]
    return [rng.standard_normal(n) * (factor if arm == 0 else 1) for arm, n in enumerate(numbers)]


def judge_all(scores: Scores) -> tuple[bool, bool]:
    """Return whether any pair is found to differ: by each pair's own variances, and moderated."""
    own, moderated = adjust_all(scores)
    return min(own) <= ERROR_RATE, min(moderated) <= ERROR_RATE


def adjust_all(scores: Scores) -> tuple[list[float], list[float]]:
    """Return the adjusted p values of all pairs: by each pair's own variances, and moderated."""
    pairs = list(combinations(range(len(scores)), 2))
    own = [compare_unpaired(scores[a], scores[b]).p or 0.0 for a, b in pairs]
    if len(pairs) < MIN_PAIRS:
        cautious = [compare_unpaired(scores[a], scores[b], is_cautious=True).p or 0.0 for a, b in pairs]
        return adjust_holm(own), adjust_holm(cautious)
    sizes = [abs(float(scores[a].mean() - scores[b].mean())) for a, b in pairs]
    lender = UnpairedLender(dict(enumerate(scores)), slope=choose_slope(len(scores), len(pairs)))
    errors = [error for a, b in pairs if (error := lender.find_error(a, b)) is not None]
    p_values = [2 * error.tail(size) for error, size in zip(errors, sizes, strict=True)]
    guards = [error.guard for error in errors if error.guard is not None]
    guarded = [2 * guard.tail(size) for guard, size in zip(guards, sizes, strict=True)]
    return adjust_holm(own), adjust_by_one_step(p_values, guarded, count_left(len(scores)))


def _rate(count: int, total: int) -> str:
    upper = 1.0 if count == total else float(beta.ppf(0.975, count + 1, total - count))
    return f"{percent(count / total)} (to {percent(upper)})"


TABLES = {"unpaired, equal arms": measure_null, "unpaired, power": measure_power, "unpaired, images": measure_images}

if __name__ == "__main__":
    main()
