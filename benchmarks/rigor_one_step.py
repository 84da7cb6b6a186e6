"""One step after the first finding, races and "equivalent" with borrowed variances: many simulated studies in batches.

    python benchmarks/rigor_one_step.py --studies 4000

`tests/stats/test_rigor_screening.py` checks that a batch comes to what the code that judges a real study says. Draws
are seeded. With 9 arms and more, half as many studies. Suffixes: S studies, K arms, R replicates, P pairs, L looks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, Row, percent, run_tables
from rigor_screening import judge_alone, measure_borrowed
from runs_to_verdict import race
from scipy import special

import bakeoff.stats.race
from bakeoff.stats.borrowed import OwnVariances, choose_slope, estimate_variances
from bakeoff.stats.family import adjust_by_one_step, count_left
from bakeoff.stats.sequential import SequentialDesign

Scores = NDArray[np.float64]

FAR = 1000.0
WILD = ((1.0, 1.0), (3.0, 1.0), (5.0, 1.0), (10.0, 1.0), (3.0, 3.0), (5.0, 5.0), (10.0, 10.0))
"""Standard deviations of the first two arms."""

RISES = (0.0, 0.5, 1.5)
"""Exponents of the levels of a race's looks; see `bakeoff.stats.sequential.RISE_BORROWED`."""


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def weigh_pairs(num_arms: int) -> Scores:
    """Return the weights of the arms in every pair, [P, K]."""
    pairs = list(combinations(range(num_arms), 2))
    weights_PK = np.zeros((len(pairs), num_arms))
    for row, (a, b) in enumerate(pairs):
        weights_PK[row, a], weights_PK[row, b] = 1, -1
    return weights_PK


def borrow(scores_SKR: Scores) -> Scores:
    """Return p values [S, P] of all pairs by borrowed variances, not corrected."""
    k = scores_SKR.shape[1]
    return measure_borrowed(scores_SKR, weigh_pairs(k), choose_slope(k, k * (k - 1) // 2))


def guard(scores_SKR: Scores) -> Scores:
    """Return p values [S, P] by the variances of the two arms alone."""
    _, k, r = scores_SKR.shape
    d, weights_PK = r - 1.0, weigh_pairs(k)
    own = OwnVariances(squares_K=estimate_variances(scores_SKR), degrees_K=np.full(k, d), counts_K=np.ones(k))
    squares_SK = own.raise_smallest().squares_K
    arms_SP, differences_SPR = squares_SK @ (weights_PK**2).T, weights_PK @ scores_SKR
    ratio_SP = arms_SP**2 / (squares_SK**2 @ (weights_PK**4).T)
    degrees_SP = np.minimum(d * np.maximum(1.0, ratio_SP) ** 0.25, d * (k - 1))
    variance_SP = np.maximum(arms_SP, differences_SPR.var(axis=2, ddof=1))
    return np.asarray(2 * special.stdtr(degrees_SP, -np.abs(differences_SPR.mean(axis=2)) / np.sqrt(variance_SP / r)))


def step_once(scores_SKR: Scores) -> Scores:
    """Return adjusted p values [S, P] of all pairs."""
    p_SP, guarded_SP, left = borrow(scores_SKR), guard(scores_SKR), count_left(scores_SKR.shape[1])
    both = zip(p_SP.tolist(), guarded_SP.tolist(), strict=True)
    return np.array([adjust_by_one_step(p, guarded, left) for p, guarded in both])


def _draw(k: int, n: int, num_studies: int) -> Scores:
    return np.random.default_rng([k, n]).standard_normal((num_studies if k < 9 else num_studies // 2, k, n))


def measure_power(num_studies: int) -> list[Row]:
    """Count the pairs of an arm that leads all others which are called better; two arms lend each other nothing."""
    rows = []
    for lead, n in ((4.0, 3), (2.5, 5), (1.5, 10)):
        for k in (2, 3, 4, 6, 9, 20):
            scores_SKR = _draw(k, n, num_studies)
            scores_SKR[:, 0] += lead
            ways = dict.fromkeys(("paired", "moderated, no step", "moderated"), judge_alone(scores_SKR, weigh_pairs(k)))
            if k > 2:
                ways["moderated, no step"] = borrow(scores_SKR) * (k * (k - 1) // 2)
                ways["moderated"] = step_once(scores_SKR)
            found = {way: percent(np.mean(p_SP[:, : k - 1] <= ERROR_RATE)) for way, p_SP in ways.items()}
            row = {"lead, sd of one score": lead, "replicates": n, "arms": k, **found}
            rows.append({**row, "studies": len(scores_SKR)})
    return rows


def measure_intervals(num_studies: int) -> list[Row]:
    """Count the 95% intervals of a pair, not corrected, that miss its difference; the first arm may be wilder."""
    rows = []
    for n, k in ((3, 3), (3, 4), (3, 9), (5, 4), (5, 9), (10, 9)):
        row: Row = {"replicates": n, "arms": k}
        for factor in (1.0, 2.0, 3.0, 5.0):
            scores_SKR = _draw(k, n, num_studies)
            scores_SKR[:, 0] *= factor
            row[f"{factor:g} x sd"] = percent(np.mean(borrow(scores_SKR)[:, 0] <= ERROR_RATE))
        rows.append({**row, "studies": len(scores_SKR)})
    return rows


def measure_some_equal(num_studies: int) -> list[Row]:
    """Count false winners among arms that are equal, where all others are far from them and from each other."""
    rows = []
    for n in (3, 5, 10):
        for k, num_equal in ((3, 2), (4, 2), (4, 3), (9, 2), (9, 3), (9, 8)):
            row: Row = {"replicates": n, "arms": k, "of them equal": num_equal}
            inside_P = [max(pair) < num_equal for pair in combinations(range(k), 2)]
            for first, second in WILD:
                scores_SKR = _draw(k, n, num_studies)
                scores_SKR[:, :2] *= np.array([first, second])[:, None]
                scores_SKR[:, num_equal:] += FAR * np.arange(1, k - num_equal + 1)[:, None]
                false_S = (step_once(scores_SKR)[:, inside_P] <= ERROR_RATE).any(axis=1)
                row[f"{first:g} and {second:g} x sd"] = percent(false_S.mean())
            rows.append({**row, "studies": len(scores_SKR)})
    return rows


def measure_equivalent(num_studies: int) -> list[Row]:
    """Count studies in which an arm that differs from equal others by the margin is called equivalent to any."""
    rows = []
    for n in (3, 5, 10):
        for k in (3, 4, 9):
            row: Row = {"replicates": n, "arms": k}
            for factor, margin in ((1.0, 6.0), (3.0, 6.0), (5.0, 20.0), (10.0, 40.0)):
                scores_SKR = _draw(k, n, num_studies)
                scores_SKR[:, 0] = factor * scores_SKR[:, 0] + margin
                means_SK = scores_SKR.mean(axis=2)
                room_SK = margin - np.abs(means_SK[:, [0]] - means_SK[:, 1:])
                row[f"{factor:g} x sd"] = percent((_equate(scores_SKR, room_SK) <= ERROR_RATE).any(axis=1).mean())
            rows.append({**row, "studies": len(scores_SKR)})
    return rows


def _equate(scores_SKR: Scores, room_SK: Scores) -> Scores:
    """Return corrected p values of "differs by the margin", of the first arm and every other.

    Variances do not depend on means: every pair in turn is moved to where its difference is its room.
    """
    k = scores_SKR.shape[1]
    found = []
    for other in range(1, k):
        moved_SKR = scores_SKR - scores_SKR.mean(axis=2, keepdims=True)
        moved_SKR[:, 0] += np.abs(room_SK[:, [other - 1]])
        tail_S = borrow(moved_SKR)[:, other - 1] / 2
        found.append(np.where(room_SK[:, other - 1] > 0, tail_S, 1 - tail_S) * (k * (k - 1) // 2))
    return np.array(found).T


def measure_races(num_studies: int) -> list[Row]:
    """Count false findings at any look at equal arms of which none leaves, 3 to 20 replicates."""
    rows, looks = [], range(3, 21)
    for k in (3, 4, 9):
        for factor in (1.0, 3.0, 10.0):
            scores_SKR = _draw(k, looks[-1], num_studies)
            scores_SKR[:, 0] *= factor
            p_LSP = np.array([borrow(scores_SKR[:, :, :n]) for n in looks])
            row: Row = {"arms": k, "one arm": f"{factor:g} x sd"}
            for rise in RISES:
                design = SequentialDesign(at_least=looks[0], at_most=looks[-1], rise=rise)
                level_L = design.level(np.array(looks), ERROR_RATE / p_LSP.shape[2])
                row[f"rise {rise:g}"] = percent((p_LSP <= level_L[:, None, None]).any(axis=(0, 2)).mean())
            rows.append({**row, "studies": len(scores_SKR)})
    return rows


def measure_runs(num_studies: int) -> list[Row]:
    """Race the first arm, which leads equal others, with 3 to 40 replicates: the runs, and how often it is alone."""
    rows = []
    for k in (4, 9):
        num = num_studies if k < 9 else num_studies // 4
        for lead in (4.0, 2.0, 1.0):
            row: Row = {"arms": k, "lead, sd": lead}
            lead_K1 = lead * (np.arange(k) == 0)[:, None]
            for rise in RISES:
                rng = np.random.default_rng([k, 40])
                with patch.object(bakeoff.stats.race, "RISE_BORROWED", rise):
                    raced = [race(rng.standard_normal((k, 40)) + lead_K1, borrows=True) for _ in range(num)]
                runs, answered, _ = zip(*raced, strict=True)
                row[f"rise {rise:g}"] = f"{np.median(runs):.0f} ({100 * np.mean(answered):.0f}%)"
            rows.append({**row, "studies": num})
    return rows


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "borrowed variance, power": measure_power,
    "borrowed variance, some equal arms": measure_some_equal,
    "borrowed variance, intervals": measure_intervals,
    "borrowed variance, false equivalent": measure_equivalent,
    "borrowed variance, races": measure_races,
    "borrowed variance, runs of races": measure_runs,
}

if __name__ == "__main__":
    main()
