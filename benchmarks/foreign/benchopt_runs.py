"""benchopt: a benchmark of two solvers, run five times each; its table of results in Parquet.

The solvers write down the score that they saw themselves, so it needs no reading of benchopt's own file.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import benchopt
from digits_task import ARMS, SEEDS, Scores, get_folder

OBJECTIVE = """
from benchopt import BaseObjective

class Objective(BaseObjective):
    name = "Digits"
    min_benchopt_version = "1.6"
    sampling_strategy = "run_once"
    def set_data(self, task): self.task = task
    def get_objective(self): return dict(task=self.task, seed=self.get_seed(use_repetition=True) % 1000)
    def evaluate_result(self, score, loss): return dict(value=loss, test_accuracy=score)
    def get_one_result(self): return dict(score=0.1, loss=3.0)
"""
DATASET = """
from benchopt import BaseDataset

class Dataset(BaseDataset):
    name = "digits"
    def get_data(self): return dict(task="digits")
"""
SOLVER = """
import sys
from pathlib import Path
from benchopt import BaseSolver
sys.path.insert(0, {here!r})
from digits_task import train

class Solver(BaseSolver):
    name = {arm!r}
    sampling_strategy = "run_once"
    def set_objective(self, task, seed): self.seed = seed
    def run(self, _):
        *_, last = train({arm!r}, self.seed)
        self.score, self.loss = last["val_accuracy"], last["val_loss"]
        with open({seen!r}, "a") as file:
            file.write(f"{arm} {{self.score!r}}\\n")
    def get_result(self): return dict(score=self.score, loss=self.loss)
"""

folder = get_folder("benchopt")
benchmark = folder.parent / "benchopt-benchmark"
seen = benchmark / "seen.txt"
files = {"objective.py": OBJECTIVE, "datasets/digits.py": DATASET}
for arm in ARMS:
    here = str(Path(__file__).parent)
    files[f"solvers/{arm}.py"] = SOLVER.format(arm=arm, here=here, seen=str(seen))
for name, text in files.items():
    path = benchmark / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
command = [sys.executable, "-m", "benchopt", "run", str(benchmark), "-r", str(len(SEEDS)), "--no-plot", "--no-cache"]
subprocess.run([*command, "-j", "1", "--no-display"], check=True)
for result in (benchmark / "outputs").glob("*.parquet"):
    shutil.copy(result, folder)

scores = Scores("benchopt", "objective_test_accuracy")
counts = dict.fromkeys(ARMS, 0)
for line in seen.read_text().splitlines():
    arm, score = line.split()
    scores.add(arm, counts[arm], float(score))
    counts[arm] += 1
scores.write()
print("benchopt", benchopt.__version__)
