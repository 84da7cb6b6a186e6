"""Verdicts with failed replicates: simulated studies of two arms; failures are dropped or count as chance level.

    python benchmarks/rigor_failures.py --studies 2000

Arms are equal except for their failures. If a's worst seeds end in NaN, a cannot be better, so "a better" is false; if
both fail alike, "better" and "worse" are both false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, percent, run_tables

from bakeoff.stats.pairs import MIN_REPLICATES, compare_pair

Row = dict[str, Any]

CHANCE = 0.1
"""Chance accuracy with ten classes."""

REPLICATES = (5, 10, 20)


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def measure_failures(num_studies: int) -> list[Row]:
    """Judge two arms; a's worst 30% of seeds fail, or 10% or 30% of both at random."""
    rows = []
    for name, fail in FAILURES.items():
        for n in REPLICATES:
            rng, false = np.random.default_rng(n), {"dropped": 0, "chance level": 0}
            for _ in range(num_studies):
                scores_2R = np.asarray(0.9 + 0.01 * rng.standard_normal((2, n)))
                failed_2R = fail(rng, scores_2R)
                for how in false:
                    difference = judge(scores_2R, failed_2R, is_dropped=how == "dropped")
                    false[how] += difference > 0 or (difference < 0 and name != "a's worst 30%")
            found = {f"false winner, failures {how}": percent(count / num_studies) for how, count in false.items()}
            rows.append({"failed": name, "replicates": n, **found})
    return rows


def judge(scores_2R: NDArray[np.float64], failed_2R: NDArray[np.bool_], *, is_dropped: bool) -> float:
    """Return the difference of two arms if it is significant, else 0."""
    a_R, b_R = np.where(failed_2R, CHANCE, scores_2R)
    if is_dropped:
        kept_R = ~failed_2R.any(axis=0)
        a_R, b_R = a_R[kept_R], b_R[kept_R]
    if len(a_R) < MIN_REPLICATES:
        return 0.0
    pair = compare_pair(a_R.tolist(), b_R.tolist())
    settled = pair.p is not None and pair.p <= ERROR_RATE
    return pair.difference or 0.0 if settled else 0.0


def fail_worst(rng: np.random.Generator, scores_2R: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Let the worst seeds of arm a fail."""
    failed_2R = np.zeros(scores_2R.shape, dtype=bool)
    failed_2R[0] = scores_2R[0] < 0.9 - 0.524 * 0.01  # the lower 30% of a normal distribution
    return failed_2R


def fail_at_random(rate: float) -> Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.bool_]]:
    """Let seeds of both arms fail at the same rate."""
    return lambda rng, scores_2R: rng.random(scores_2R.shape) < rate


FAILURES: dict[str, Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.bool_]]] = {
    "a's worst 30%": fail_worst,
    "10% of both, at random": fail_at_random(0.1),
    "30% of both, at random": fail_at_random(0.3),
}

TABLES: dict[str, Callable[[int], list[Row]]] = {"failed replicates": measure_failures}

if __name__ == "__main__":
    main()
