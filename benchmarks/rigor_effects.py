"""How large is a winner's lead, how sure is it, how many more replicates does an open pair need? Before and after.

    python benchmarks/rigor_effects.py --studies 1000

Differences are drawn from known distributions, and judged by the code that judges a real study. Draws are seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from rigor_pairs import ERROR_RATE, Row, holds, percent, run_tables
from scipy.special import ndtr

from bakeoff.analysis.effects import correct_winner, measure_superiority
from bakeoff.analysis.needed import count_needed
from bakeoff.analysis.pairs import compare_pair
from bakeoff.analysis.power import replicates_to_detect


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def measure_needed(num_studies: int) -> list[Row]:
    """Ask open pairs how many more replicates they need: how often does the range hold the number truly needed?"""
    rows = []
    for effect in (0.0, 0.3, 0.5, 1.0):
        for n in (3, 5, 10):
            rng, held, promised = np.random.default_rng(n), [], []
            total = replicates_to_detect(effect, alpha=ERROR_RATE) if effect else None
            for _ in range(num_studies):
                needed = count_needed(compare_pair(rng.normal(effect, 1, n), np.zeros(n)), level=ERROR_RATE)
                if needed is not None:
                    more = math.inf if total is None else max(1, total - n)
                    most = math.inf if needed.most is None else needed.most
                    held.append((needed.least or 101) <= more and more <= most)
                    promised.append(needed.most is not None)
            rows.append(
                {
                    "true difference, sd": effect,
                    "replicates": n,
                    "truly needed": "none is enough" if total is None else str(max(0, total - n)),
                    "range holds it": percent(np.mean(held)),
                    "range has an end": percent(np.mean(promised)),
                }
            )
    return rows


def measure_effects(num_studies: int) -> list[Row]:
    """Measure intervals of P(a > b), and how far winners are exaggerated before and after the correction."""
    rows = []
    for effect in (0.2, 0.5, 1.0, 2.0):
        for n in (3, 5, 10):
            rng, held, plain, corrected = np.random.default_rng(n), [], [], []
            for _ in range(num_studies):
                pair = compare_pair(rng.normal(effect, 1, n), np.zeros(n))
                found = measure_superiority(pair)
                held.append(found is not None and holds(found.interval, float(ndtr(effect))))
                if pair.p is not None and pair.p <= ERROR_RATE:
                    plain.append(abs(pair.difference or 0.0))
                    corrected.append(abs(correct_winner(pair, ERROR_RATE) or 0.0))
            rows.append(
                {
                    "true difference, sd": effect,
                    "replicates": n,
                    "P(a > b)": percent(ndtr(effect)),
                    "interval covers": percent(np.mean(held)),
                    "winners": percent(len(plain) / num_studies),
                    "exaggerated, plain": f"{np.mean(plain) / effect:.2f}",
                    "corrected": f"{np.mean(corrected) / effect:.2f}",
                }
            )
    return rows


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "replicates needed": measure_needed,
    "effects": measure_effects,
}

if __name__ == "__main__":
    main()
