"""Verdicts from races, which look after every replicate: simulated studies with a known truth.

    python benchmarks/rigor_racing.py --studies 2000

Scores are drawn from known distributions and raced by the strategy for real studies. Replicates count as trained once
the strategy has requested them, so all figures include those requested ahead of the last look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import DRAWS, ERROR_RATE, NUM_ARMS, holds, percent, run_tables

from bakeoff.search.racing import Racing
from bakeoff.search.strategy import TrialOutcome
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.sequential import SequentialDesign, compare_by_looks
from bakeoff.study.plan import PlannedTrial, expand
from bakeoff.study.schema import Study

Row = dict[str, Any]

FIXED = 34
"""Replicates that show a difference of 0.5 sd with 80% power: paired t test, two-sided, 5%."""

DESIGN = SequentialDesign(at_least=3, at_most=44)
"""The race that is compared with them."""

WAYS = {"plain": None, "race's looks": DESIGN, "equal looks": DESIGN.flatten()}
"""How pairs are judged after a race: as if the number of replicates had been fixed, or with a design's looks."""

LONGEST_STUDIES = 400
"""Maximum number of simulated studies for rows without a guarantee."""


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


# --- A race -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raced:
    """A finished race.

    Attributes:
        trained: replicates trained, per arm.
        found: whether any arm was dropped as worse than another.
    """

    trained: tuple[int, ...]
    found: bool


@lru_cache
def plan_race(num_arms: int, at_most: int) -> tuple[PlannedTrial, ...]:
    """Return the trials of a study that can be raced."""
    arms = [{"batch_size": list(range(1, num_arms + 1))}]
    return expand(Study(question="Which?", recipe={"network": "mlp"}, arms=arms, replicates=at_most)).trials


def run_race(scores_AN: NDArray[np.float64], at_least: int, margin: float | None = None) -> Raced:
    """Race arms on scores [arms, at_most]."""
    num_arms, at_most = scores_AN.shape
    trials = plan_race(num_arms, at_most)
    rows = {trial.arm: row for row, trial in enumerate(trials[:num_arms])}
    racing = Racing(trials, at_least=at_least, margin=margin)
    trained = [0] * num_arms
    while asked := racing.ask():
        for trial in asked:
            row = rows[trial.arm]
            trained[row] += 1
            racing.tell(
                TrialOutcome(trial=trial, state="done", validation={"accuracy": float(scores_AN[row, trial.replicate])})
            )
    (standing,) = racing.standings.values()
    return Raced(tuple(trained), any(left.reason.startswith("worse") for left in standing.exits.values()))


def judge(scores_AN: NDArray[np.float64], raced: Raced, design: SequentialDesign | None) -> list[PairComparison]:
    """Compare all pairs on the trained replicates: with a design's looks, or as if their number had been fixed."""
    found = []
    for a, b in combinations(range(len(scores_AN)), 2):
        n = min(raced.trained[a], raced.trained[b])
        if design is None:
            found.append(compare_pair(scores_AN[a, :n], scores_AN[b, :n]))
        else:
            found.append(compare_by_looks(scores_AN[a, :n], scores_AN[b, :n], design=design))
    return found


def finds(comparisons: Sequence[PairComparison]) -> bool:
    """Return whether Holm's procedure finds any difference."""
    return min(adjust_holm([1.0 if pair.p is None else pair.p for pair in comparisons])) <= ERROR_RATE


# --- Tables -------------------------------------------------------------------------------------------------------


def measure_null(num_studies: int) -> list[Row]:
    """Race 8 equal arms: every "better" or "worse" is false, and every interval should contain 0."""
    cases = [("normal", 3, 20, num_studies)]
    cases += [(name, 3, 20, min(num_studies, LONGEST_STUDIES)) for name in DRAWS if name != "normal"]
    cases.append(("normal", 5, 40, min(num_studies, LONGEST_STUDIES)))
    return [measure_null_case(*case) for case in cases]


def measure_null_case(name: str, at_least: int, at_most: int, num_studies: int) -> Row:
    rng, design = np.random.default_rng(at_most), SequentialDesign(at_least=at_least, at_most=at_most)
    found, found_flat, peeked = 0, 0, 0
    covered: list[bool] = []
    covered_flat: list[bool] = []
    shares: list[float] = []
    for _ in range(num_studies):
        scores_AN = DRAWS[name](rng, at_most)
        raced = run_race(scores_AN, at_least)
        comparisons, flat = judge(scores_AN, raced, design), judge(scores_AN, raced, design.flatten())
        found += raced.found or finds(comparisons)
        found_flat += finds(flat)
        peeked += peeks(scores_AN, at_least)
        covered += [holds(comparison.interval, 0.0) for comparison in comparisons if comparison.sd]
        covered_flat += [holds(comparison.interval, 0.0) for comparison in flat if comparison.sd]
        shares.append(sum(raced.trained) / (NUM_ARMS * at_most))
    return {
        "scores": name,
        "replicates": f"{at_least} to {at_most}",
        "studies": num_studies,
        "false winner, plain tests at every look": percent(peeked / num_studies),
        "false winner": percent(found / num_studies),
        "intervals cover": percent(np.mean(covered)),
        "false winner, equal looks": percent(found_flat / num_studies),
        "intervals cover, equal looks": percent(np.mean(covered_flat)),
        "runs, of all": percent(np.mean(shares)),
    }


def peeks(scores_AN: NDArray[np.float64], at_least: int) -> bool:
    """Return whether Holm on plain t tests finds a difference at any look."""
    from scipy.special import stdtr

    pairs = np.array(list(combinations(range(len(scores_AN)), 2)))
    d_PN = scores_AN[pairs[:, 0]] - scores_AN[pairs[:, 1]]
    for n in range(at_least, scores_AN.shape[1] + 1):
        errors_P = np.maximum(d_PN[:, :n].std(axis=1, ddof=1), 1e-9) / math.sqrt(n)
        p_P = 2 * stdtr(n - 1, -np.abs(d_PN[:, :n].mean(axis=1)) / errors_P)
        if p_P.min() * len(pairs) <= ERROR_RATE:
            return True
    return False


def measure_power(num_studies: int) -> list[Row]:
    """Race two arms with a known difference, in standard deviations of the paired difference, against FIXED."""
    rows: list[Row] = []
    shares: list[float] = []
    for difference in (0.0, 0.5, 1.0, 2.0):
        rng = np.random.default_rng(round(100 * difference) + 1)
        fixed, found, runs = 0, 0, []
        held = dict.fromkeys(WAYS, 0)
        for _ in range(num_studies):
            scores_AN = draw_pair(rng, difference)
            raced = run_race(scores_AN, DESIGN.at_least)
            fixed += finds([compare_pair(scores_AN[0, :FIXED], scores_AN[1, :FIXED])])
            found += raced.found or finds(judge(scores_AN, raced, DESIGN))
            for way, design in WAYS.items():
                held[way] += holds(judge(scores_AN, raced, design)[0].interval, difference)
            runs.append(raced.trained[0])
        shares.append(float(np.mean(runs)) / FIXED)
        rows.append(
            {
                "true difference, sd": difference,
                f"found, {FIXED} replicates": percent(fixed / num_studies),
                "found, racing": percent(found / num_studies),
                "replicates, racing": f"{np.mean(runs):.1f}",
                "90% of races within": f"{np.quantile(runs, 0.9):.0f}",
                f"runs, of {FIXED}": percent(shares[-1]),
                **{f"intervals cover, {way}": percent(count / num_studies) for way, count in held.items()},
            }
        )
    average = dict.fromkeys(rows[0], "") | {
        "true difference, sd": "mean",
        f"runs, of {FIXED}": percent(np.mean(shares)),
    }
    return [*rows, average]


def draw_pair(rng: np.random.Generator, difference: float) -> NDArray[np.float64]:
    """Draw scores of two arms whose paired differences have mean `difference` and sd 1."""
    scores_AN = rng.standard_normal((2, DESIGN.at_most)) / math.sqrt(2) + rng.standard_normal(DESIGN.at_most)
    scores_AN[0] += difference
    return scores_AN


@dataclass(frozen=True)
class Splits:
    """The distribution of the two splits' paired differences, in standard deviations of the validation split's.

    Attributes:
        correlation: between the splits, of one replicate's differences.
        test_sd: sd of the test split's differences. If the splits differ only by image noise and the test split has far
            more images, it is equal to the correlation.
        validation, test: true differences of the first arm from the others.
    """

    num_arms: int
    correlation: float
    test_sd: float
    validation: float
    test: float


SPLITS = (
    Splits(2, 0.5, 1.0, 0.0, 0.0),
    Splits(2, 0.9, 1.0, 0.0, 0.0),
    Splits(2, 1.0, 1.0, 0.0, 0.0),
    Splits(4, 0.9, 1.0, 0.0, 0.0),
    Splits(2, 0.5, 1.0, 0.4, 0.0),
    Splits(2, 0.9, 1.0, 0.4, 0.0),
    Splits(2, 0.5, 0.5, 0.5, 0.5),
    Splits(2, 0.7, 0.7, 0.5, 0.5),
    Splits(2, 0.9, 0.9, 0.5, 0.5),
    Splits(2, 0.5, 1.0, 0.5, 0.5),
    Splits(2, 0.7, 0.7, 1.0, 1.0),
    Splits(2, 0.9, 0.9, 1.0, 1.0),
    Splits(2, 0.5, 1.0, 1.0, 1.0),
)


def measure_splits(num_studies: int) -> list[Row]:
    """Race on one split and report on another: how much bias of the stopping rule leaks through their correlation."""
    rows = []
    for number, case in enumerate(SPLITS):
        rng, raced_found = np.random.default_rng(number), 0
        found, held = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0)
        for _ in range(num_studies):
            validation_AN, test_AN = draw_splits(rng, case)
            raced = run_race(validation_AN, DESIGN.at_least)
            raced_found += raced.found
            for way, design in WAYS.items():
                comparisons = judge(test_AN, raced, design)
                found[way] += finds(comparisons)
                held[way] += holds(comparisons[0].interval, case.test)
        rows.append(
            {
                "arms": case.num_arms,
                "correlation": case.correlation,
                "test sd": case.test_sd,
                "true difference, validation": case.validation,
                "test": case.test,
                "found by the race": percent(raced_found / num_studies),
                **{f"found on test, {way}": percent(count / num_studies) for way, count in found.items()},
                **{f"intervals cover, {way}": percent(count / num_studies) for way, count in held.items()},
            }
        )
    return rows


def draw_splits(rng: np.random.Generator, case: Splits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw both splits' scores [arms, at_most]."""
    noise_AN, fresh_AN = rng.standard_normal((2, case.num_arms, DESIGN.at_most)) / math.sqrt(2)
    test_AN = case.test_sd * (case.correlation * noise_AN + math.sqrt(1 - case.correlation**2) * fresh_AN)
    test_AN[0] += case.test
    noise_AN[0] += case.validation
    return noise_AN, test_AN


def measure_shapes(num_studies: int) -> list[Row]:
    """Race two equal arms whose paired differences are not normal."""
    rows = []
    for name, draw in SHAPES.items():
        rng, fixed, found, held = np.random.default_rng(5), 0, 0, 0
        for _ in range(num_studies):
            scores_AN = np.stack([draw(rng), np.zeros(DESIGN.at_most)])
            raced = run_race(scores_AN, DESIGN.at_least)
            comparisons = judge(scores_AN, raced, DESIGN)
            fixed += finds([compare_pair(scores_AN[0, :FIXED], scores_AN[1, :FIXED])])
            found += raced.found or finds(comparisons)
            held += holds(comparisons[0].interval, 0.0)
        rows.append(
            {
                "differences": name,
                f"false winner, {FIXED} replicates": percent(fixed / num_studies),
                "false winner, racing": percent(found / num_studies),
                "intervals cover": percent(held / num_studies),
            }
        )
    return rows


SHAPES: Mapping[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "normal": lambda rng: rng.standard_normal(DESIGN.at_most),
    "t with 3 degrees of freedom": lambda rng: rng.standard_t(3, DESIGN.at_most),
    "uniform": lambda rng: rng.uniform(-1, 1, DESIGN.at_most),
    "rounded to whole sd": lambda rng: np.round(rng.standard_normal(DESIGN.at_most)),
    "one image or none": lambda rng: rng.choice([-1.0, 0.0, 1.0], DESIGN.at_most, p=[0.2, 0.6, 0.2]),
    "skewed: exponential": lambda rng: rng.exponential(1, DESIGN.at_most) - 1,
}


def measure_equivalence(num_studies: int) -> list[Row]:
    """Race two arms whose difference is the margin, half of it, or none: "equivalent" at the margin is false."""
    rows = []
    for margin in (0.5, 1.0):
        for share in (1.0, 0.5, 0.0):
            rng, found, runs = np.random.default_rng(7), 0, []
            for _ in range(num_studies):
                scores_AN = draw_pair(rng, share * margin)
                n = run_race(scores_AN, DESIGN.at_least, margin).trained[0]
                pair = compare_by_looks(scores_AN[0, :n], scores_AN[1, :n], design=DESIGN, margin=margin)
                found += pair.p_equivalence is not None and pair.p_equivalence <= ERROR_RATE
                runs.append(n)
            rows.append(
                {
                    "margin, sd": margin,
                    "true difference, sd": share * margin,
                    "called equivalent": percent(found / num_studies),
                    "replicates": f"{np.mean(runs):.1f}",
                }
            )
    return rows


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "racing 8 equal arms": measure_null,
    "racing against a fixed number": measure_power,
    "raced on validation, reported on test": measure_splits,
    "racing, not normal": measure_shapes,
    "racing to equivalence": measure_equivalence,
}

if __name__ == "__main__":
    main()
