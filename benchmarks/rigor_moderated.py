"""Do variances that arms lend each other decide more, and no more than is true? Simulated studies with a known truth.

    python benchmarks/rigor_moderated.py --studies 2000

"Paired" judges every pair by its own differences and Holm's correction; "moderated" by `bakeoff.stats.borrowed` and
Bonferroni's, with one step in a block of all pairs. All arms are equal but for the rows on power. What only needs
normal scores and all pairs of a block is simulated in batches by rigor_one_step.py. Draws are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, percent, run_tables
from rigor_scope import POPULATIONS
from scipy.stats import beta

from bakeoff.stats.borrowed import MIN_PAIRS, Lender, choose_slope, lend_variances
from bakeoff.stats.family import adjust_bonferroni, adjust_by_one_step, adjust_holm, count_left
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.variance import measure_spread

Row = dict[str, Any]
Scores = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Scores]

LEAD = 4.0
SIZES = tuple((k, n) for n in (3, 5, 10) for k in (2, 4, 9, 20))


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def _scale(*factors: float) -> Draw:
    """Return a draw whose first arms have these standard deviations, the others 1."""

    def draw(rng: np.random.Generator, k: int, n: int) -> Scores:
        scores = rng.standard_normal((k, n))
        scores[: len(factors)] *= np.array(factors)[:k, None]
        return scores

    return draw


def _half(factor: float) -> Draw:
    return lambda rng, k, n: _scale(*[factor] * (k // 2))(rng, k, n)


def _grade(rng: np.random.Generator, k: int, n: int) -> Scores:
    return rng.standard_normal((k, n)) * np.geomspace(1, 10, k)[:, None]


def _collapse(rng: np.random.Generator, k: int, n: int) -> Scores:
    return rng.standard_normal((k, n)) - 20 * (rng.random((k, n)) < 0.02)


def _count(rng: np.random.Generator, k: int, n: int) -> Scores:
    return rng.binomial(200, 0.9, (k, n)) / 200


def _tie(rng: np.random.Generator, k: int, n: int) -> Scores:
    return np.asarray(np.round(0.7 * rng.standard_normal((k, n))))


def _share_replicates(rng: np.random.Generator, k: int, n: int) -> Scores:
    return np.asarray(rng.standard_normal((k, n)) + 3 * rng.standard_normal(n))


def _group(rng: np.random.Generator, k: int, n: int) -> Scores:
    scores = rng.standard_normal((k, n))
    scores[: (k + 1) // 2] += rng.standard_normal(n)
    return scores


DRAWS: dict[str, Draw] = {
    "equal sd": _scale(),
    "one arm 3 x sd": _scale(3),
    "one arm 5 x sd": _scale(5),
    "one arm 10 x sd": _scale(10),
    "one arm 20 x sd": _scale(20),
    "half the arms 3 x sd": _half(3),
    "half the arms 10 x sd": _half(10),
    "sd from 1 to 10": _grade,
    "one arm a tenth of the sd": _scale(0.1),
    "t with 3 degrees of freedom": lambda rng, k, n: rng.standard_t(3, (k, n)),
    "skewed (exponential)": lambda rng, k, n: -rng.exponential(size=(k, n)),
    "collapse by 20 sd in 2%": _collapse,
    "accuracies on 200 images": _count,
    "rounded to 1.4 sd": _tie,
    "replicates good or bad for all": _share_replicates,
    "replicates good or bad for half": _group,
}


def judge(scores_KR: Scores, pairs: Sequence[tuple[int, int]], num_blocks: int = 1) -> tuple[list[float], list[float]]:
    """Return the p values of one block's pairs: by their own differences, and by all arms' variances."""
    k, n = scores_KR.shape
    runs = range(n)
    lender = Lender(
        {arm: dict(enumerate(row)) for arm, row in enumerate(scores_KR)}, slope=choose_slope(k, len(pairs), num_blocks)
    )
    own, borrowed = [], []
    for a, b in pairs:
        pair = compare_pair(scores_KR[a], scores_KR[b])
        error = lender.find_error([a], [b], list(runs))
        own.append(1.0 if pair.p is None else pair.p)
        borrowed.append(own[-1] if error is None or pair.difference is None else 2 * error.tail(abs(pair.difference)))
    return own, borrowed


def adjust_both(scores_KR: Scores, pairs: Sequence[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Return adjusted p values of one block as a family: Holm's by own differences, and by one step where all lend."""
    own, borrowed = judge(scores_KR, pairs)
    k = len(scores_KR)
    lent = lend_variances(scores_KR, slope=choose_slope(k, len(pairs)))
    if lent is None or len(pairs) < max(MIN_PAIRS, k * (k - 1) // 2):
        return adjust_holm(own), adjust_bonferroni(borrowed) if lent is not None else adjust_holm(borrowed)
    means_K = scores_KR.mean(axis=1)
    guards = [lent.judge([a], [b]).guard for a, b in pairs]
    guarded = [
        1.0 if guard is None else 2 * guard.tail(abs(float(means_K[a] - means_K[b])))
        for guard, (a, b) in zip(guards, pairs, strict=True)
    ]
    return adjust_holm(own), adjust_by_one_step(borrowed, guarded, count_left(k))


def bound(count: int, total: int) -> str:
    """Return a share with the upper end of its 95% interval (Clopper and Pearson)."""
    upper = 1.0 if count == total else float(beta.ppf(0.975, count + 1, total - count))
    return f"{percent(count / total)} (to {percent(upper)})"


def measure_errors(num_studies: int) -> list[Row]:
    """Count studies of equal arms in which any pair is called better or worse; all pairs."""
    rows = []
    for name, draw in DRAWS.items():
        for k, n in SIZES:
            pairs = list(combinations(range(k), 2))
            rng, false = np.random.default_rng([k, n]), np.zeros(2, dtype=int)
            num = num_studies if k < 20 else num_studies // 2
            for _ in range(num):
                adjusted = adjust_both(draw(rng, k, n), pairs)
                false += [min(p) <= ERROR_RATE for p in adjusted]
            rows.append({"scores": name, "arms": k, "replicates": n, **_count_both(false, num), "studies": num})
    return rows


def _count_both(found: NDArray[np.int_], num: int) -> Row:
    return {"paired": bound(int(found[0]), num), "moderated": bound(int(found[1]), num)}


WAYS = ("paired", "moderated")


def measure_power_beside(num_studies: int) -> list[Row]:
    """Count how often two of the arms are told apart, where the others are as noisy as they, or wilder."""
    rows = []
    for lead, n in ((LEAD, 3), (2.5, 5), (1.5, 10)):
        for k in (4, 9):
            for name, factors in (
                ("one of 5 x sd", [5.0]),
                ("one of 20 x sd", [20.0]),
                ("half of 10 x sd", [10.0] * (k // 2)),
            ):
                pairs = list(combinations(range(k), 2))
                rng, found = np.random.default_rng([k, n]), np.zeros(2, dtype=int)
                for _ in range(num_studies):
                    scores = _scale(*factors)(rng, k, n)
                    scores[k - 1] += lead
                    adjusted = adjust_both(scores, pairs)
                    found += [each[-1] <= ERROR_RATE for each in adjusted]
                shares = {way: percent(x / num_studies) for way, x in zip(WAYS, found, strict=True)}
                rows.append({"lead, sd of one score": lead, "replicates": n, "arms": k, "others": name, **shares})
    return rows


def measure_families(num_studies: int) -> list[Row]:
    """Count false winners in families other than all pairs of one block: against a baseline, and of several blocks."""
    rows = []
    cases = {"equal sd": (), "one arm 5 x sd": (5,), "one arm 10 x sd": (10,)}
    for family, sizes in (("all pairs in 5 blocks", (3, 4, 9)), ("against the first", (4, 9, 20))):
        for k in sizes:
            for name, factors in cases.items():
                num_blocks = 5 if "blocks" in family else 1
                pairs = list(combinations(range(k), 2)) if num_blocks > 1 else [(0, b) for b in range(1, k)]
                rng, false = np.random.default_rng([k, num_blocks]), np.zeros(2, dtype=int)
                for _ in range(num_studies):
                    blocks = [judge(_scale(*factors)(rng, k, 3), pairs, num_blocks) for _ in range(num_blocks)]
                    own, borrowed = ([p for block in blocks for p in block[way]] for way in (0, 1))
                    false += [min(adjust_holm(own)) <= ERROR_RATE, min(adjust_bonferroni(borrowed)) <= 0.05]
                rows.append({"family": family, "arms": k, "scores": name, **_count_both(false, num_studies)})
    return rows


def measure_images(num_studies: int) -> list[Row]:
    """Count false winners, and pairs found, for new seeds and new images: 4 arms, 3 replicates."""
    rows, k = [], 4
    pairs = list(combinations(range(k), 2))
    for population in POPULATIONS:
        for num_images, lead in ((359, 0.0), (2_000, 0.0), (2_000, 0.6)):
            rng, found = np.random.default_rng(num_images), np.zeros(2, dtype=int)
            num = num_studies // 4
            for answers in population.draw(rng, (num, k, 3, num_images), lead):
                own, borrowed, guarded = _judge_images(answers, pairs)
                adjusted = adjust_holm(own), adjust_by_one_step(borrowed, guarded, count_left(k))
                if lead:
                    found += [sum(p <= ERROR_RATE for p in each[: k - 1]) for each in adjusted]
                else:
                    found += [min(each) <= ERROR_RATE for each in adjusted]
            total = num * (k - 1) if lead else num
            counted = {"paired": bound(int(found[0]), total), "moderated": bound(int(found[1]), total)}
            rows.append(
                {"models": population.name, "images": num_images, "lead, logits": lead, **counted, "studies": num}
            )
    return rows


def _judge_images(
    answers_KRN: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]
) -> tuple[list[float], list[float], list[float]]:
    """Return p values: by own differences, by all arms' variances, and those that guard the latter."""
    scores_KR = answers_KRN.mean(axis=2)
    lender = Lender({a: dict(enumerate(row)) for a, row in enumerate(scores_KR)}, slope=choose_slope(4, len(pairs)))
    own, borrowed, guarded = [], [], []
    for a, b in pairs:
        spread = measure_spread(answers_KRN[a], answers_KRN[b], unit=1.0, scope="images")
        error = lender.find_error([a], [b], range(scores_KR.shape[1]))
        alone, lent = (compare_pair(scores_KR[a], scores_KR[b], spread=spread, error=each) for each in (None, error))
        for found, p in ((own, alone.p), (borrowed, lent.p), (guarded, lent.p_guarded)):
            found.append(1.0 if p is None else p)
    return own, borrowed, guarded


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "borrowed variance, equal arms": measure_errors,
    "borrowed variance, power beside wild arms": measure_power_beside,
    "borrowed variance, other families": measure_families,
    "borrowed variance, new images": measure_images,
}

if __name__ == "__main__":
    main()
