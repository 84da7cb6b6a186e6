"""The overhead of searches: a thousand candidates without training, scored by a closed form of their settings.

    python benchmarks/proposers.py
    python benchmarks/proposers.py --candidates 250 1000 --searches tpe --rounds 1

Every search runs in a new process and is measured twice. First the proposer alone: proposing groups and receiving
their scores. Then the study: the real driver and ledger, with an executor that answers each cohort at once, and the
same study again, whose search is rebuilt from the ledger. Times are processor times.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine
from overhead import NoWork, answer

from bakeoff.catalog.recipe import Recipe
from bakeoff.driver.context import RunContext
from bakeoff.driver.executors.base import Report
from bakeoff.driver.observer import BaseObserver
from bakeoff.driver.run import run_plan
from bakeoff.messages import CohortTask, EpochDone, Task, TrialDone
from bakeoff.search.proposal import Proposer, Score
from bakeoff.search.proposers import Setting, make_evolution, make_optuna
from bakeoff.study.candidates import make_recipe
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study
from bakeoff.study.search import OptunaSearch

HERE = Path(__file__).resolve().parent
SEARCHES = ("random", "grid", "cmaes", "tpe", "evolution")
RECIPE = {
    "network": {"name": "mlp", "units": [16], "dropout": 0.1},
    "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.5},
    "epochs": 1,
}
SPACE = {
    "optimizer.learning_rate": {"low": 0.0001, "high": 1.0, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.99},
    "network.dropout": {"low": 0.0, "high": 0.6},
}


def describe_search(name: str, num_candidates: int, group: int) -> dict[str, Any]:
    """Return the settings of a search in a study file."""
    if name == "evolution":
        genome = {"convolutions": 0, "dense": {"low": 1, "high": 3}, "epochs": 1}
        return {"name": name, "population": group, "generations": num_candidates, "genome": genome}
    settings = {"name": "optuna", "sampler": name, "trials": num_candidates, "group": group}
    if name != "grid":
        return {**settings, "space": SPACE}
    per_field = math.ceil(num_candidates ** (1 / len(SPACE)))
    values = [round((number + 1) / (per_field + 1), 4) for number in range(per_field)]
    return {**settings, "space": {path: [value * 0.6 for value in values] for path in SPACE}}


def score(recipe: Recipe) -> float:
    """Return a closed form with one maximum: the accuracy of a recipe."""
    content = recipe.model_dump(mode="json")
    rate, momentum = content["optimizer"]["learning_rate"], content["optimizer"].get("momentum", 0.9)
    layers = json.dumps(content["network"], sort_keys=True)
    distance = (math.log10(rate) + 2) ** 2 / 4 + (momentum - 0.9) ** 2 + len(layers) / 10_000
    return 1 / (1 + distance)


class Table(NoWork):
    """An executor that answers each cohort at once, with the closed form's scores."""

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Answer the next tasks."""
        taken = [self._tasks.popleft() for _ in range(len(self._tasks))]
        return [report for task in taken for report in look_up(task)]


def look_up(task: Task) -> list[Report]:
    """Return what a worker would report, with the closed form's accuracy."""
    scores = {member.trial_id: score(member.recipe) for member in task.members} if isinstance(task, CohortTask) else {}
    reports = answer(task)
    for report in reports:
        if isinstance(report, EpochDone):
            assert isinstance(report.validation, dict), "as `answer` makes them"
            report.validation["accuracy"] = scores[report.trial_id]
        elif isinstance(report, TrialDone):
            assert isinstance(report.metrics["validation"], dict), "as `answer` makes them"
            report.metrics["validation"]["accuracy"] = scores[report.trial_id]
    return reports


def make_study(name: str, num_candidates: int, group: int) -> Study:
    """Return a study with one search."""
    search = describe_search(name, num_candidates, group)
    return Study(
        question="What does a search cost?",
        name="proposers",
        recipe=RECIPE,
        search=search,
        replicates=2,
        numeric="float32",
    )


def make_proposer(search: OptunaSearch | EvolutionSearch) -> Proposer:
    """Return the search's proposer for images of 8 x 8 pixels."""
    setting = Setting(image_shape_HWC=(8, 8, 1), seed=1, directions=("maximize",))
    return make_optuna(search, setting) if isinstance(search, OptunaSearch) else make_evolution(search, setting)


def run_proposer(proposer: Proposer, score_changes: Callable[[Mapping[str, Any]], float], most: int) -> list[float]:
    """Propose and judge `most` candidates or a few more; return the processor seconds of each proposal."""
    seconds: list[float] = []
    while len(seconds) < most:
        started = time.process_time()
        group = proposer.propose()
        spent = time.process_time() - started
        if not group:
            break
        scores = [Score(number=each.number, values=(score_changes(each.changes),)) for each in group]
        started = time.process_time()
        for one in scores:
            proposer.judge(one)
        spent += time.process_time() - started
        seconds += [spent / len(group)] * len(group)
    return seconds


def measure(name: str, num_candidates: int, group: int) -> dict[str, Any]:
    """Measure one search: the proposer, the study, the study again."""
    study = make_study(name, num_candidates, group)
    plan = expand(study)
    search = next(block.search for block in plan.blocks)
    assert isinstance(search, OptunaSearch | EvolutionSearch), "one of the searches listed above"
    make_proposer(search).propose()  # imports
    default = plan.trials[0].recipe
    seconds = run_proposer(make_proposer(search), lambda changes: score(make_recipe(default, changes)), num_candidates)
    with tempfile.TemporaryDirectory() as folder:
        limited = make_study(name, -(-num_candidates // group), group) if name == "evolution" else study
        first, again = (time_run(limited, Path(folder)) for _ in range(2))
    tenth = max(1, len(seconds) // 10)
    return {
        "search": name,
        "candidates": len(seconds),
        "group": group,
        "proposer_seconds": sum(seconds),
        "first_tenth_seconds_per_proposal": statistics.mean(seconds[:tenth]),
        "last_tenth_seconds_per_proposal": statistics.mean(seconds[-tenth:]),
        "study_seconds": first,
        "again_seconds": again,
        "load": os.getloadavg()[0],
    }


def time_run(study: Study, workspace: Path) -> float:
    """Run a study without training; return its processor seconds."""
    started = time.process_time()
    run_plan(expand(study), RunContext(workspace=workspace, executor=Table(), observer=BaseObserver()))
    return time.process_time() - started


def measure_apart(name: str, num_candidates: int, group: int) -> dict[str, Any]:
    """Measure one search in its own process."""
    command = [sys.executable, __file__, "--one", name, "--candidates", str(num_candidates), "--group", str(group)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def print_table(samples: Sequence[Mapping[str, Any]]) -> None:
    """Print the medians of every search and size."""
    print(
        f"{'search':<10}{'candidates':>11}{'ms first':>10}{'ms last':>9}{'proposer s':>12}{'study s':>9}{'again s':>9}"
    )
    for key in dict.fromkeys((each["search"], each["candidates"]) for each in samples):
        own = [each for each in samples if (each["search"], each["candidates"]) == key]
        medians = {
            name: statistics.median(each[name] for each in own)
            for name in own[0]
            if name.endswith(("seconds", "proposal"))
        }
        print(
            f"{key[0]:<10}{key[1]:>11,}{1e3 * medians['first_tenth_seconds_per_proposal']:>10.2f}"
            f"{1e3 * medians['last_tenth_seconds_per_proposal']:>9.2f}{medians['proposer_seconds']:>12.2f}"
            f"{medians['study_seconds']:>9.1f}{medians['again_seconds']:>9.1f}"
        )


def main() -> None:
    """Measure all searches in turn, print the table, save the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="+", default=[250, 500, 1_000], help="sizes of the searches")
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=SEARCHES)
    parser.add_argument("--group", type=int, default=10, help="candidates proposed together (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: in benchmarks/results/)")
    parser.add_argument("--one", choices=SEARCHES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.candidates[0], options.group)))
        return
    samples = [
        measure_apart(name, size, options.group)
        for _ in range(options.rounds)
        for size in options.candidates
        for name in options.searches
    ]
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "pydantic", "numpy", "optuna")},
        "options": {"candidates": options.candidates, "group": options.group, "rounds": options.rounds},
        "samples": samples,
    }
    path = options.output or HERE / "results" / f"proposers-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print_table(samples)
    print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
