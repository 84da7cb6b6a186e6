"""Verdicts on pairs with a fixed number of replicates, and intervals of accuracies: simulated studies.

    python benchmarks/rigor_pairs.py --studies 2000

Scores are drawn from known distributions and judged by the code that judges a real study. Draws are seeded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.family import adjust_holm, decide_family, list_family
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.wilson import wilson_interval

NUM_ARMS = 8
ERROR_RATE = 0.05
Row = dict[str, Any]
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def run_tables(description: str, tables: Mapping[str, Callable[[int], list[Row]]]) -> dict[str, list[Row]]:
    """Measure tables, print them, and return them as JSON values, following the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2_000, help="simulated studies per row (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(tables), metavar="TABLE")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    options = parser.parse_args()
    chosen = {name: measure for name, measure in tables.items() if name in (options.only or tables)}
    found = {name: [{"studies": options.studies, **row} for row in chosen[name](options.studies)] for name in chosen}
    found = {name: rows for name, rows in found.items() if rows}  # real images need their folder
    if options.json:
        print(json.dumps(found, indent=1))
        return found
    for name, rows in found.items():
        print(f"\n{name}\n\n| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
        for row in rows:
            print(f"| {' | '.join(map(str, row.values()))} |")
    return found


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


# --- Pairs --------------------------------------------------------------------------------------------------------


def draw_normal(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Draw [arms, n] scores of equal arms; a replicate's scores share a part that pairing removes."""
    return np.asarray(rng.standard_normal((NUM_ARMS, n)) + 2 * rng.standard_normal(n))


def draw_accuracies(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Draw accuracies on 1,000 images, near 98%: skewed, in steps of 0.1 points, often tied."""
    logits = 3.9 + 0.15 * rng.standard_normal(n) + 0.15 * rng.standard_normal((NUM_ARMS, n))
    return np.asarray(rng.binomial(1_000, 1 / (1 + np.exp(-logits))) / 1_000)


def draw_heavy_tails(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Draw scores with occasional outliers: t with 3 degrees of freedom."""
    return np.asarray(rng.standard_t(3, (NUM_ARMS, n)))


DRAWS: dict[str, Draw] = {
    "normal": draw_normal,
    "accuracies on 1,000 images": draw_accuracies,
    "t with 3 degrees of freedom": draw_heavy_tails,
}


def measure_null(num_studies: int) -> list[Row]:
    """Judge studies of 8 equal arms: every "better" or "worse" is false, and every interval should contain 0."""
    rows = []
    for name, draw in DRAWS.items():
        for n in (3, 5, 10):
            rng = np.random.default_rng(n)
            families = [judge_all(draw(rng, n)) for _ in range(num_studies)]
            rows.append({"scores": name, "replicates": n, "family": "all 28 pairs", **count_false(families)})
    for n in (3, 5, 10):
        rng = np.random.default_rng(n)
        families = [judge_all(draw_normal(rng, n), baseline=0) for _ in range(num_studies)]
        rows.append({"scores": "normal", "replicates": n, "family": "7 against a baseline", **count_false(families)})
    return rows


def judge_all(
    scores: NDArray[np.float64], baseline: int | None = None, **options: float | None
) -> list[PairComparison]:
    pairs = list_family(range(len(scores)), baseline)
    return [compare_pair(scores[a], scores[b], **options) for a, b in pairs]  # type: ignore[arg-type]


def count_false(families: Sequence[Sequence[PairComparison]]) -> Row:
    """Count false winners, with and without Holm, among equal arms, and the intervals that contain 0."""
    p_values = [[1.0 if pair.p is None else pair.p for pair in family] for family in families]
    covered = [holds(pair.interval, 0.0) for family in families for pair in family if pair.sd]
    return {
        "false winner, uncorrected": percent(np.mean([min(ps) <= ERROR_RATE for ps in p_values])),
        "false winner": percent(np.mean([min(adjust_holm(ps)) <= ERROR_RATE for ps in p_values])),
        "intervals cover": percent(np.mean(covered)),
    }


def holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def measure_equivalence(num_studies: int) -> list[Row]:
    """Judge one arm that differs by exactly the margin from 7 equal ones: "equivalent" to it is always false."""
    rows = []
    for n in (3, 5, 10, 20):
        rng, found_false, found_true = np.random.default_rng(n), 0, 0
        for _ in range(num_studies):
            scores = rng.standard_normal((NUM_ARMS, n)) / 2**0.5
            scores[0] += 1.0
            decisions = decide_family(judge_all(scores, margin=1.0))
            words = {pair: d.verdict for pair, d in zip(combinations(range(NUM_ARMS), 2), decisions, strict=True)}
            found_false += any(word == "equivalent" for (a, _), word in words.items() if a == 0)
            found_true += sum(word == "equivalent" for (a, _), word in words.items() if a > 0)
        rows.append(
            {
                "replicates": n,
                "margin, sd of the difference": 1,
                "any false equivalent": percent(found_false / num_studies),
                "true equivalents found": percent(found_true / num_studies / 21),
            }
        )
    return rows


# --- Images -------------------------------------------------------------------------------------------------------


def measure_wilson(num_studies: int) -> list[Row]:
    """Count how often Wilson's interval, and the plain normal one, contain the true accuracy."""
    rows = []
    for n in (100, 1_000, 10_000):
        for accuracy in (0.7, 0.98, 0.998):
            hits = np.random.default_rng(n).binomial(n, accuracy, num_studies)
            wilson = [holds(wilson_interval(int(k), n), accuracy) for k in hits]
            half_width = 1.96 * np.sqrt(hits / n * (1 - hits / n) / n)
            rows.append(
                {
                    "images": n,
                    "true accuracy": percent(accuracy),
                    "Wilson covers": percent(np.mean(wilson)),
                    "p +- 1.96 sd covers": percent(np.mean(np.abs(hits / n - accuracy) <= half_width)),
                }
            )
    return rows


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "8 equal arms": measure_null,
    "equivalence": measure_equivalence,
    "one accuracy": measure_wilson,
}

if __name__ == "__main__":
    main()
