"""The size and certainty of a winner's lead, and the replicates an open pair still needs, with and without correction.

    python benchmarks/rigor_effects.py --studies 1000

Differences are drawn from known distributions, and judged by the code that judges a real study. Draws are seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from rigor_pairs import ERROR_RATE, Row, holds, percent, run_tables
from rigor_scope import POPULATIONS, compare, find_truth
from scipy.special import ndtr

from bakeoff.stats.effects import borrow_errors, correct_winner, measure_superiority
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.needed import count_needed
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.power import replicates_to_detect


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def measure_needed(num_studies: int) -> list[Row]:
    """Measure how often the range of replicates that an open pair needs contains the number truly needed."""
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
    """Measure intervals of P(a > b), and the exaggeration of winners' leads before and after the correction."""
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


def measure_family_leads(num_studies: int) -> list[Row]:
    """Measure the exaggeration of leads among many arms, corrected with their own t only, and with all pairs.

    One arm leads. All arms have the same spread; or another arm, whose pairs are not counted, has a tenfold spread; or
    predictions are judged image by image, in scope images.
    """
    rows = []
    truths = {lead: find_truth(POPULATIONS[1], LOGITS * lead) for lead in (1.0, 2.0)}
    for name, num_arms in (("alike", 3), ("alike", 8), ("one tenfold", 8), (POPULATIONS[1].name, 4)):
        for n in (3, 5, 10):
            for lead in (1.0, 2.0):
                truth = truths[lead] if name == POPULATIONS[1].name else lead * math.sqrt(2)
                rng, leads = np.random.default_rng([num_arms, n]), []
                for _ in range(num_studies):
                    pairs = draw_family(rng, name, num_arms, n, lead)
                    leads += [np.array(each) / truth for each in find_leads(pairs, num_arms)]
                plain, alone, together = np.mean(leads, axis=0)
                rows.append(
                    {
                        "arms": num_arms,
                        "spread": name,
                        "replicates": n,
                        "true lead": lead,
                        "winners": len(leads),
                        "exaggerated, plain": f"{plain:.2f}",
                        "corrected, before": f"{alone:.2f}",
                        "corrected": f"{together:.2f}",
                    }
                )
    return rows


LOGITS = 0.3
"""A lead of 1 in logits of the predictions."""


def draw_family(rng: np.random.Generator, name: str, num_arms: int, n: int, lead: float) -> list[PairComparison]:
    """Draw all pairs of a family whose first arm leads by `lead` sd of the difference, or as many LOGITS."""
    pairs = list(combinations(range(num_arms), 2))
    if name == POPULATIONS[1].name:
        arms_ARN = POPULATIONS[1].draw(rng, (1, num_arms, n, 359), LOGITS * lead)[0]
        return [compare(arms_ARN[a], arms_ARN[b]) for a, b in pairs]
    scores_AR = rng.standard_normal((num_arms, n))
    scores_AR[0] += lead * math.sqrt(2)
    scores_AR[-1] *= 10 if name == "one tenfold" else 1
    return [compare_pair(scores_AR[a], scores_AR[b]) for a, b in pairs]


def find_leads(pairs: Sequence[PairComparison], num_arms: int) -> list[tuple[float, float, float]]:
    """Return the significant leads of the first arm over all but the last: plain, corrected alone and together."""
    adjusted = adjust_holm([1.0 if pair.p is None else pair.p for pair in pairs])
    found = []
    for pair, p, error in list(zip(pairs, adjusted, borrow_errors(pairs), strict=True))[: num_arms - 2]:
        if p <= ERROR_RATE and pair.difference is not None and pair.difference > 0:
            level = min(ERROR_RATE, ERROR_RATE * (pair.p or 0.0) / p) if p else ERROR_RATE
            alone, together = (correct_winner(pair, level, each) or 0.0 for each in (None, error))
            found.append((pair.difference, alone, together))
    return found


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "replicates needed": measure_needed,
    "effects": measure_effects,
    "effects in families": measure_family_leads,
}

if __name__ == "__main__":
    main()
