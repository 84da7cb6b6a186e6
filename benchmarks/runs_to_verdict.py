"""How many runs does a settled answer take? Fixed numbers of replicates and races, by both methods, and mean +- sd.

    python benchmarks/runs_to_verdict.py --studies 300 [--tables DIR]

Simulated questions: the first arm leads all others, which are equal, by some residual standard deviations. A fixed
design's number is the smallest with which 80% of studies name the leader better than every other arm: what someone who
knew the truth would choose. A race stops by itself. "mean +- sd" runs 5 replicates and names the arm with the best mean
if its bar overlaps with no other. Time is runs times the seconds of a run.

With --tables, also real questions: CSV files of `bakeoff report STUDY --format csv --table trials`, one or more blocks
of many replicates each. Three of them are drawn again and again, and the winners named are held against the difference
over all replicates; without it the file keeps what it has of them. Results go to
benchmarks/results/runs_to_verdict.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from rigor_moderated import adjust_both, bound
from rigor_pairs import ERROR_RATE, percent
from rigor_racing import plan_race

from bakeoff.search.racing import Racing
from bakeoff.search.strategy import TrialOutcome

RESULTS = Path(__file__).resolve().parent / "results" / "runs_to_verdict.json"
FIXED = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60)
MOST, USUAL, POWER = 40, 5, 0.8
Row = dict[str, Any]
Scores = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Scores]


def name_winners(scores_KR: Scores, way: int) -> list[tuple[int, int]]:
    """Return the pairs (better, worse) that are settled: by their own differences (0), or by all variances (1)."""
    k = len(scores_KR)
    pairs = list(combinations(range(k), 2))
    adjusted = adjust_both(scores_KR, pairs)[way]
    means_K = scores_KR.mean(axis=1)
    named = [pair for pair, p in zip(pairs, adjusted, strict=True) if p <= ERROR_RATE]
    return [(a, b) if means_K[a] > means_K[b] else (b, a) for a, b in named]


def is_answered(named: Sequence[tuple[int, int]], k: int) -> bool:
    """Return whether the first arm is named better than every other."""
    return len({worse for better, worse in named if better == 0}) == k - 1


def race(scores_KR: Scores, *, borrows: bool) -> tuple[int, bool, bool]:
    """Race; return the runs trained, whether only the first arm is left, and whether it was shown to be worse."""
    k, at_most = scores_KR.shape
    trials = plan_race(k, at_most)
    rows = {trial.arm: row for row, trial in enumerate(trials[:k])}
    racing, runs = Racing(trials, at_least=3, borrows=borrows), 0
    while asked := racing.ask():
        for trial in asked:
            runs += 1
            score = float(scores_KR[rows[trial.arm], trial.replicate])
            racing.tell(TrialOutcome(trial=trial, state="done", validation={"accuracy": score}))
    (standing,) = racing.standings.values()
    lost = {rows[arm] for arm, left in standing.exits.items() if left.reason.startswith("worse")}
    return runs, lost == set(range(1, k)), 0 in lost


def names_by_bars(scores_KR: Scores) -> int | None:
    """Return the arm with the best mean if its bar of one sd overlaps with no other; else None."""
    means_K, sds_K = scores_KR.mean(axis=1), scores_KR.std(axis=1, ddof=1)
    best = int(means_K.argmax())
    others = [arm for arm in range(len(means_K)) if arm != best]
    clear = all(means_K[best] - sds_K[best] > means_K[arm] + sds_K[arm] for arm in others)
    return best if clear else None


def measure_question(draw: Draw, k: int, num_studies: int, has_leader: bool) -> list[Row]:
    """Return for every way the runs it takes, how often it answers, and how often it names a false winner."""
    rows = []
    for way, name in enumerate(("paired t, fixed", "moderated, fixed")):
        rows.append({"way": name, **_measure_fixed(draw, k, num_studies, way, has_leader)})
    for borrows, name in ((False, "paired t, race"), (True, "moderated, race")):
        rng, runs, right, wrong = np.random.default_rng(k), [], 0, 0
        for _ in range(num_studies):
            trained, answered, lost = race(draw(rng)[:, :MOST], borrows=borrows)
            runs.append(trained)
            right += answered
            wrong += lost
        row = {"runs, median": int(np.median(runs)), "runs, 90%": int(np.quantile(runs, 0.9))}
        rows.append({"way": name, **row, "answered": percent(right / num_studies), "false": bound(wrong, num_studies)})
    rng, named = np.random.default_rng(k), [names_by_bars(draw(rng)[:, :USUAL]) for _ in range(num_studies)]
    false = sum(each is not None and not (has_leader and each == 0) for each in named)
    answered = sum(each == 0 and has_leader for each in named)
    row = {"runs, median": USUAL * k, "runs, 90%": USUAL * k}
    rows.append(
        {"way": "mean +- sd", **row, "answered": percent(answered / num_studies), "false": bound(false, num_studies)}
    )
    return rows


def _measure_fixed(draw: Draw, k: int, num_studies: int, way: int, has_leader: bool) -> Row:
    for n in FIXED if has_leader else FIXED[:1]:
        rng, right, wrong = np.random.default_rng([k, n]), 0, 0
        for _ in range(num_studies):
            named = name_winners(draw(rng)[:, :n], way)
            right += is_answered(named, k)
            wrong += any(worse == 0 for _, worse in named) if has_leader else bool(named)
        if right >= POWER * num_studies or n == FIXED[-1] or not has_leader:
            break
    answered, false = percent(right / num_studies), bound(wrong, num_studies)
    return {"runs, median": n * k, "runs, 90%": n * k, "answered": answered, "false": false}


def measure_simulated(num_studies: int) -> list[Row]:
    """Measure questions of 4 and 9 arms, by the lead of the best."""
    rows = []
    for k in (4, 9):
        for lead in (4.0, 2.0, 1.0):

            def draw(rng: np.random.Generator, k: int = k, lead: float = lead) -> Scores:
                scores = rng.standard_normal((k, FIXED[-1]))
                scores[0] += lead
                return scores

            found = measure_question(draw, k, num_studies, has_leader=True)
            rows += [{"arms": k, "lead, sd": lead, **row, "studies": num_studies} for row in found]
    return rows


def read_tables(folder: Path) -> dict[str, Scores]:
    """Return [arms, replicates] of test accuracies, best arm first, for every block of every CSV file of a folder."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        blocks: dict[str, dict[str, dict[int, float]]] = {}
        for row in csv.DictReader(path.open(encoding="utf-8")):
            if row["state"] == "done":
                arms = blocks.setdefault(row["block"], {})
                arms.setdefault(row["arm"], {})[int(row["replicate"])] = float(row["test_accuracy_share"])
        for block, arms in blocks.items():
            common = sorted(set.intersection(*(set(scores) for scores in arms.values())))
            table = np.array([[scores[replicate] for replicate in common] for scores in arms.values()])
            found[f"{path.stem}: {block}"] = table[np.argsort(-table.mean(axis=1))]
    return found


def measure_real(name: str, scores_KR: Scores, num_studies: int) -> list[Row]:
    """Draw 3 of all replicates again and again: how many pairs are named, and how many the right way."""
    k, total = scores_KR.shape
    truth = {(a, b) for a, b in combinations(range(k), 2) if scores_KR[a].mean() > scores_KR[b].mean()}
    settled = {pair for way in (0, 1) for pair in name_winners(scores_KR, way)}
    rows = []
    for way, label in enumerate(("paired", "moderated")):
        rng, named, right, expected = np.random.default_rng(total), 0, 0, 0
        for _ in range(num_studies):
            drawn = name_winners(scores_KR[:, rng.choice(total, 3, replace=False)], way)
            named += len(drawn)
            right += sum(pair in truth for pair in drawn)
            expected += sum(pair in settled for pair in drawn)
        rows.append(
            {
                "table": name,
                "arms": k,
                "replicates": total,
                "pairs settled by all": len(settled),
                "method": label,
                "pairs named by 3, mean": round(named / num_studies, 2),
                "the right way": percent(right / named) if named else "-",
                "of settled pairs": percent(expected / num_studies / len(settled)) if settled else "-",
                "studies": num_studies,
            }
        )
    return rows


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n\n| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="simulated studies per row (default %(default)s)")
    parser.add_argument("--tables", type=Path, help="folder of CSV files of trials")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found["simulated"] = measure_simulated(options.studies)
    print_rows("Simulated questions", found["simulated"])
    if options.tables:
        tables = read_tables(options.tables)
        found["real"] = [row for name, each in tables.items() for row in measure_real(name, each, options.studies)]
        print_rows("Real tables of scores", found["real"])
    found["versions"] = {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
