"""The complete weight-initializer study with LeNet, from start to verdict: bakeoff against a Keras program.

    python benchmarks/time_to_verdict.py --data-dir DIR --keras-python PATH --dataset mnist [--subset 0.2]

Nine initializers, five replicates, Adam at 0.001, batches of 32, early stopping on the validation loss with a patience
of eight: one block of the shipped study `weight-init`. bakeoff's clock is that of its command, `bakeoff run`, in a
fresh workspace with a fresh cache: start-up, decoding, probe, training, final test, report. The Keras program
(contenders/keras_study.py) trains one trial after another; it is timed on `--keras-replicates` of the five, and its
training time is extrapolated, as the output says. Then the accuracies are compared: whether a Keras trial is within
bakeoff's prediction interval for one more trial of its arm (mean and sd of its replicates, t distribution), and the
mean difference over the arms with a 95% interval. Processor time stands beside wall time, and how much of the machine
others used meanwhile: a ratio of wall times is printed only if that was at most 5%.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contenders.common import ARMS, count_cores
from load import LARGEST_LOAD, Meter, is_spoilt
from machine import describe_machine, name_machine
from scipy.stats import t as student_t

from bakeoff.data.locate import CACHE_VARIABLE
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.workspace import Folders

HERE = Path(__file__).resolve().parent
CONFIDENCE = 0.95


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where the images lie; else BAKEOFF_DATA or cache")
    parser.add_argument("--dataset", default="mnist", choices=("mnist", "cifar10"), help="default %(default)s")
    parser.add_argument("--subset", type=float, help="fraction of the training images, for both (default: all)")
    parser.add_argument("--keras-python", help="an interpreter that has tensorflow; without it bakeoff runs alone")
    parser.add_argument("--replicates", type=int, default=5, help="of the question (default %(default)s)")
    parser.add_argument("--keras-replicates", type=int, default=1, help="that Keras trains (default %(default)s)")
    parser.add_argument("--keras-arms", nargs="+", default=list(ARMS), choices=ARMS, help="that Keras trains")
    parser.add_argument(
        "--keras-processes", type=int, default=1, help="Keras programs that share the arms (default %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the images, two epochs, two Keras trials")
    parser.add_argument("--output", type=Path, help="the JSON file (default: in benchmarks/results/)")
    options = parser.parse_args()
    options.epochs = 200
    if options.quick:
        options.epochs, options.subset, options.replicates, options.keras_arms = 2, 0.05, 3, list(ARMS[:2])
    return options


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    result: dict[str, Any] = {"machine": describe_machine(), "replicates": options.replicates, "quick": options.quick}
    result |= {"dataset": options.dataset, "subset": options.subset}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = store_images(options, folder)
        result["bakeoff"] = run_bakeoff(options, folder)
        say(f"bakeoff: {result['bakeoff']['seconds']:,.0f} s")
        path = options.output or HERE / "results" / f"time-to-verdict-{options.dataset}-{name_machine()}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(result, path)
        if options.keras_python:
            result["keras"] = run_keras(options, job)
            result["agreement"] = compare(result["bakeoff"]["accuracies"], result["keras"]["trials"])
    print_result(result)
    save(result, path)
    say(f"saved to {path}")


def save(result: Mapping[str, Any], path: Path) -> None:
    """Save the measurements so far, because the Keras program takes long."""
    path.write_text(json.dumps(result, indent=1) + "\n")


def store_images(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Store the images as arrays for the Keras program; return the arrays' paths by name."""
    # In a cache of their own: bakeoff's run decodes them anew.
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    train = open_training(DataSource(name=options.dataset, subset=options.subset), options.data_dir)
    test = open_test(options.dataset, options.data_dir)
    arrays = {"pixels": train.pixels, "labels": train.labels, "test_pixels": test.pixels, "test_labels": test.labels}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: str(folder / f"{name}.npy") for name in arrays}


def run_bakeoff(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the study with its command; return the seconds, and the test accuracies by arm."""
    workspace = folder / "runs"
    changes = {
        "blocks.0": f"[{options.dataset}]",
        "blocks.1": "[lenet]",
        "replicates": options.replicates,
        "recipe.epochs": options.epochs,
        **({"data.subset": options.subset} if options.subset else {}),
    }
    command = [sys.executable, "-m", "bakeoff", "run", "weight-init", "--workspace", str(workspace)]
    command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    for field, value in changes.items():
        command += ["--set", f"{field}={value}"]
    environment = {**os.environ, CACHE_VARIABLE: str(folder / "fresh-cache")}
    with Meter() as meter:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\nbakeoff failed with exit status {done.returncode}")
    with open_reading(Folders(workspace)) as connection:
        trials = read_study(connection, find_study(connection, "weight-init")).results
    accuracies: dict[str, list[float]] = {arm: [] for arm in ARMS}
    epochs: dict[str, list[int]] = {arm: [] for arm in ARMS}
    for trial in trials:
        accuracies[trial.arm].append(trial.metrics["test"]["accuracy"])
        epochs[trial.arm].append(trial.epochs_trained)
    return {
        **meter.read(),
        "accuracies": accuracies,
        "epochs": epochs,
        "table": done.stdout,
    }


def run_keras(options: argparse.Namespace, job: Mapping[str, str]) -> dict[str, Any]:
    """Train the arms with the Keras program; return its trials, and its extrapolated time for the whole study."""
    processes = min(options.keras_processes, len(options.keras_arms))
    given = {
        **job,
        "network": "lenet",
        "limit": None,
        "epochs": options.epochs,
        "patience": 8,
        "seeds": list(range(options.keras_replicates)),
        "threads": max(1, count_cores() // processes) if processes > 1 else None,
    }
    meter = Meter()
    meter.start()
    children = [
        subprocess.Popen(
            [options.keras_python, "-m", "contenders.keras_study", json.dumps({**given, "arms": arms})],
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arms in (options.keras_arms[number::processes] for number in range(processes))
    ]
    printed = [child.communicate()[0] for child in children]
    meter.stop()
    if any(child.returncode for child in children):
        raise SystemExit("the Keras program failed")
    trials = [json.loads(line) for lines in printed for line in lines.splitlines()]
    whole = len(ARMS) * options.replicates
    # Wall-clock seconds are extrapolated, whatever runs at once; start-up counts once.
    inside = sum(trial["seconds"] for trial in trials) / processes
    return {
        "trials": trials,
        "processes": processes,
        **meter.read(),
        "trained": len(trials),
        "seconds_of_all": max(0.0, meter.seconds - inside) + inside * whole / len(trials),
        "processor_seconds_of_all": meter.processor_seconds * whole / len(trials),
    }


def compare(accuracies: Mapping[str, Sequence[float]], trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare Keras's test accuracies with bakeoff's."""
    arms: dict[str, dict[str, Any]] = {}
    for arm in dict.fromkeys(trial["arm"] for trial in trials):
        ours, theirs = accuracies[arm], [one["metrics"]["test"]["accuracy"] for one in trials if one["arm"] == arm]
        quantile = float(student_t.ppf((1 + CONFIDENCE) / 2, len(ours) - 1))
        reach = quantile * statistics.stdev(ours) * (1 / len(ours) + 1 / len(theirs)) ** 0.5
        difference = statistics.mean(theirs) - statistics.mean(ours)
        arms[arm] = {
            "bakeoff": statistics.mean(ours),
            "keras": statistics.mean(theirs),
            "reach": reach,
            "within": abs(difference) <= reach,
        }
    differences = [one["keras"] - one["bakeoff"] for one in arms.values()]
    mean, interval = statistics.mean(differences), None
    if len(differences) > 1:
        half = float(student_t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * statistics.stdev(differences)
        interval = [mean - half / len(differences) ** 0.5, mean + half / len(differences) ** 0.5]
    return {"arms": arms, "mean_difference": mean, "interval": interval}


def print_result(result: Mapping[str, Any]) -> None:
    """Print times and accuracies."""
    ours = result["bakeoff"]
    num_epochs = sum(map(sum, ours["epochs"].values()))
    trials = f"{len(ARMS)} arms, {result['replicates']} replicates, {num_epochs} epochs"
    print(f"bakeoff, {trials}: {ours['seconds']:,.0f} s")
    if "keras" not in result:
        return
    keras, agreement = result["keras"], result["agreement"]
    whole = len(ARMS) * result["replicates"]
    epochs = sum(trial["epochs"] for trial in keras["trials"])
    print(
        f"Keras: {keras['seconds']:,.0f} s for {keras['trained']} trials of {epochs} epochs together, "
        f"{keras['processes']} at a time;"
    )
    for name in LARGEST_LOAD:
        loaded = is_spoilt((ours, keras), name)
        times = "no ratio, for the machine was busy" if loaded else f"{keras[f'{name}_of_all'] / ours[name]:.1f} times"
        print(
            f"{name.replace('_', ' ')}, multiplied to all {whole}: {keras[f'{name}_of_all']:,.0f}, bakeoff's "
            f"{ours[name]:,.0f}: {times}"
        )
    print(f"\n{'test accuracy %':<18}{'bakeoff':>9}{'Keras':>9}{'interval':>18}")
    for arm, one in sorted(agreement["arms"].items(), key=lambda item: -item[1]["bakeoff"]):
        low, high = 100 * (one["bakeoff"] - one["reach"]), 100 * (one["bakeoff"] + one["reach"])
        note = "" if one["within"] else "  outside"
        print(f"{arm:<18}{100 * one['bakeoff']:>9.2f}{100 * one['keras']:>9.2f}{f'{low:.2f} to {high:.2f}':>18}{note}")
    spread = ""  # one arm has none
    if agreement["interval"] is not None:
        low, high = (100 * end for end in agreement["interval"])
        spread = f", {low:+.2f} to {high:+.2f}"
    print(f"Keras less bakeoff, mean over arms: {100 * agreement['mean_difference']:+.2f} points{spread}")


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
