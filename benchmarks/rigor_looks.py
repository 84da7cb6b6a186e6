"""Repeated looks and many blocks: false verdicts between equal arms, with and without correction.

    python benchmarks/rigor_looks.py --studies 2000

p values are those of the paired t test, and on new images those over seeds and images; the alpha spent per look and
Holm's correction come from the code that judges real studies. "Unpaid" is the result if each look were treated as the
first one. Draws are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from rigor_batches import measure_batch
from rigor_pairs import ERROR_RATE, Draw, Row, draw_accuracies, draw_normal, percent, run_tables
from rigor_scope import POPULATIONS, list_batches
from scipy import special

from bakeoff.stats.across import summarise_blocks
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.looks import share_of_look
from bakeoff.stats.results import TrialResult
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.stats.variance import Spread

Scores = NDArray[np.float64]
Plan = Callable[[Scores], list[tuple[tuple[int, ...], int]]]
"""Scores [arms, replicates] -> the successive looks: arms and number of replicates."""

Test = Callable[[tuple[int, int], int, float], bool]
"""Whether a pair of arms differs significantly at a level, with this many replicates."""

NUM_ARMS = 4


def extend(*sizes: int) -> Plan:
    """Look at all arms after each of these numbers of replicates."""
    return lambda scores_AR: [(tuple(range(len(scores_AR))), size) for size in sizes]


def drop(first: int, then: int) -> Plan:
    """Look at all arms, then only at the best and the worst of them, under another name."""

    def plan(scores_AR: Scores) -> list[tuple[tuple[int, ...], int]]:
        best, *_, worst = np.argsort(-scores_AR[:, :first].mean(axis=1)).tolist()
        return [(tuple(range(len(scores_AR))), first), ((best, worst), then)]

    return plan


PLANS: dict[str, Plan] = {
    "5 replicates, once": extend(5),
    "5, 10, 20, until something is found": extend(5, 10, 20),
    "3, 5, 10, 20, until something is found": extend(3, 5, 10, 20),
    "3, 4, ..., 20, until something is found": extend(*range(3, 21)),
    "5, then best and worst alone": drop(5, 5),
    "5, then best and worst alone to 10": drop(5, 10),
}


def finds(scores_AR: Scores, plan: Plan, passes: Test, *, is_paid: bool) -> bool:
    """Return whether any look finds a winner: with Holm, whether any pair passes the strictest step."""
    seen: set[int] = set()
    sizes: list[int] = []
    for arms, size in plan(scores_AR):
        seen |= set(arms)
        sizes += [size] if size not in sizes else []
        pairs = list(combinations(sorted(arms), 2))
        num_pairs, share = len(pairs), 1.0
        if is_paid:
            num_pairs, share = len(seen) * (len(seen) - 1) // 2, share_of_look(len(sizes))
        if any(passes(pair, size, share * ERROR_RATE / num_pairs) for pair in pairs):
            return True
    return False


def make_t_test(scores_AR: Scores, sizes: Sequence[int]) -> Test:
    """Test pairs with the paired t test."""
    pairs = list(combinations(range(len(scores_AR)), 2))
    differences_PR = np.stack([scores_AR[a] - scores_AR[b] for a, b in pairs])
    p_values = {size: dict(zip(pairs, test_pairs(differences_PR[:, :size]), strict=True)) for size in sizes}
    return lambda pair, size, level: bool(p_values[size][pair] <= level)


def test_pairs(differences_PR: Scores) -> Scores:
    """Return the two-sided p values of the paired t test, [P]; 1 if all differences are equal."""
    size = differences_PR.shape[1]
    spread_P = differences_PR.std(axis=1, ddof=1)
    t_P = np.abs(differences_PR.mean(axis=1)) * np.sqrt(size) / np.where(spread_P > 0, spread_P, np.inf)
    return np.asarray(2 * special.stdtr(size - 1, -t_P))


def measure_looks(num_studies: int) -> list[Row]:
    """Measure false winners among equal arms, and true ones if one arm is better by 1.5 sd of the difference."""
    better_A1 = np.array([[1.5 * np.sqrt(2)], *([0.0],) * (NUM_ARMS - 1)])
    cases: list[tuple[str, Draw, Scores]] = [
        ("false, normal", draw_normal, 0 * better_A1),
        ("false, accuracies", draw_accuracies, 0 * better_A1),
        ("found, d = 1.5", draw_normal, better_A1),
    ]
    rows = []
    for name, plan in PLANS.items():
        row: Row = {"looks": name}
        for kind, draw, gap_A1 in cases:
            rng = np.random.default_rng(1)
            studies = [draw(rng, 20)[:NUM_ARMS] + gap_A1 for _ in range(num_studies)]
            tests = [make_t_test(scores_AR, range(3, 21)) for scores_AR in studies]
            for label, is_paid in (("unpaid", False), ("paid", True)):
                found = np.mean(
                    [finds(each, plan, by_t, is_paid=is_paid) for each, by_t in zip(studies, tests, strict=True)]
                )
                row[f"{kind}, {label}"] = percent(float(found))
        rows.append(row)
    return rows


SIZES = (3, 5, 10, 20)


def measure_looks_on_images(num_studies: int) -> list[Row]:
    """Measure false winners on new images among equal arms: the images are the same at all looks."""
    plans = {name: plan for name, plan in PLANS.items() if "..." not in name}
    rows = []
    for population in POPULATIONS:
        rng, found = np.random.default_rng(1), {name: np.zeros(3) for name in plans}
        for size in list_batches(num_studies):
            arms_ASRN = population.draw(rng, (size, NUM_ARMS, 20, 359)).astype(np.float32).swapaxes(0, 1)
            scores_SAR = arms_ASRN.mean(axis=3, dtype=np.float64).swapaxes(0, 1)
            spreads = {
                (pair, r): measure_batch(arms_ASRN[pair[0], :, :r] - arms_ASRN[pair[1], :, :r])
                for pair in combinations(range(NUM_ARMS), 2)
                for r in SIZES
            }
            for study, scores_AR in enumerate(scores_SAR):
                by_image = partial(differ_by_image, {key: batch[study] for key, batch in spreads.items()})
                ways = ((make_t_test(scores_AR, SIZES), False), (by_image, False), (by_image, True))
                for name, plan in plans.items():
                    found[name] += [finds(scores_AR, plan, passes, is_paid=is_paid) for passes, is_paid in ways]
        for name, counts in found.items():
            before, unpaid, paid = (percent(count / num_studies) for count in counts)
            shares = {"false, t test, unpaid": before, "false, unpaid": unpaid, "false, paid": paid}
            rows.append({"population": population.name, "looks": name, **shares})
    return rows


def differ_by_image(
    spreads: Mapping[tuple[tuple[int, int], int], Spread], pair: tuple[int, int], size: int, level: float
) -> bool:
    """Test a pair over seeds and images."""
    spread = spreads[pair, size]
    return abs(spread.difference) >= spread.half_width(level / 2, "images")


def measure_blocks(num_studies: int) -> list[Row]:
    """Measure studies of 3 equal arms and 5 replicates with any false winner in some block."""
    rows = []
    for num_blocks in (1, 5, 20):
        rng = np.random.default_rng(3)
        found = {"block": 0, "study": 0}
        for _ in range(num_studies):
            scores_B3R = np.stack([draw_normal(rng, 5)[:3] for _ in range(num_blocks)])
            p_BP = np.stack(
                [test_pairs(scores_B3R[:, a] - scores_B3R[:, b]) for a, b in combinations(range(3), 2)],
                axis=1,
            )
            found["block"] += min(min(adjust_holm(list(p_P))) for p_P in p_BP) <= ERROR_RATE
            found["study"] += min(adjust_holm(list(p_BP.ravel()))) <= ERROR_RATE
        shares = {f"decide.family: {name}": percent(number / num_studies) for name, number in found.items()}
        rows.append({"blocks": num_blocks, **shares})
    return rows


def measure_shared_data(num_studies: int) -> list[Row]:
    """Measure false winners over blocks that share datasets, each of which favours some arm with every network."""
    rows = []
    for num_sets, num_networks in ((6, 1), (6, 4), (8, 3), (2, 6)):
        rng = np.random.default_rng(4)
        blocks = [f"{data}-{network}" for data in range(num_sets) for network in range(num_networks)]
        sources = {block: block.partition("-")[0] for block in blocks}
        found = {"blocks taken for independent": 0, "averaged within data sets": 0}
        for _ in range(num_studies):
            favours_SA = rng.normal(0, 0.01, (num_sets, 2))
            scores = {(b, a): favours_SA[int(sources[b]), a] + rng.normal(0, 0.003) for b in blocks for a in (0, 1)}
            results = [_make_result(block, str(arm), 0.9 + score) for (block, arm), score in scores.items()]
            summary = summarise(results, StudyDesign(blocks=blocks, arms=["0", "1"]), Rules(scope="seeds"))
            for label, known in zip(found, (None, sources), strict=True):
                across = summarise_blocks(summary, known)
                found[label] += across is not None and any(pair.verdict != "inconclusive" for pair in across.pairs)
        shares = {label: percent(number / num_studies) for label, number in found.items()}
        rows.append({"data sets": num_sets, "networks": num_networks, **shares})
    return rows


def _make_result(block: str, arm: str, score: float) -> TrialResult:
    return TrialResult(
        trial_id=f"{block}-{arm}",
        block=block,
        arm=arm,
        replicate=0,
        state="done",
        metrics={"test": {"accuracy": score}},
        epochs_trained=1,
        best_epoch=1,
        seconds=1.0,
    )


TABLES: dict[str, Callable[[int], list[Row]]] = {
    "Looking again": measure_looks,
    "Looking again, new images": measure_looks_on_images,
    "Many blocks": measure_blocks,
    "Blocks that share data sets": measure_shared_data,
}


if __name__ == "__main__":
    run_tables(__doc__ or "", TABLES)
