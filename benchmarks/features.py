"""The time saved by computing a frozen body's features once: the same heads on cached features, and with the body.

    python benchmarks/features.py --weights vgg16.safetensors
    python benchmarks/features.py --network torchvision:resnet18 --data cifar10 --subset 0.1 --data-dir DIR

Both studies train the same four heads (no, 64 or 256 hidden units; dropout) on a dataset or part of it, from the same
weights, seeds and splits. In the first the body is frozen for good: bakeoff computes its features once, and all heads
train as one cohort. In the second the body is frozen for exactly as many epochs as there are: it is run on every batch
of every epoch, for every head. Each study starts with an empty cache of features. The rounds alternate; the times are
those of whole runs, start-up and final test included. Accuracies are set side by side: they must agree but for
rounding."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine

from bakeoff.api import Study, run
from bakeoff.data.locate import CACHE_VARIABLE, cache_folder

HERE = Path(__file__).resolve().parent
HEADS: dict[str, dict[str, Any]] = {
    "linear": {},
    "64 units": {"network.units": [64]},
    "256 units": {"network.units": [256]},
    "256 units, dropout": {"network.units": [256], "network.dropout": 0.5},
}


def main() -> None:
    """Run both studies in turn, print the table, save the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="torchvision:vgg16", help="the body (default %(default)s)")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a file of weights (default %(default)s)")
    parser.add_argument("--data", default="digits", help="the data set (default %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="where to look for images first")
    parser.add_argument("--subset", type=float, help="share of the training images (default: all)")
    parser.add_argument("--size", type=int, default=32, help="side the images are resized to (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of every head (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/features-MACHINE.json)")
    options = parser.parse_args()
    rounds = [measure_round(options, number) for number in range(options.rounds)]
    seconds = {name: statistics.median(each[name]["seconds"] for each in rounds) for name in ("cached", "running")}
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "torch", "torchvision", "numpy")},
        "options": {name: str(value) for name, value in vars(options).items()},
        "rounds": rounds,
        "median_seconds": seconds,
        "ratio": seconds["running"] / seconds["cached"],
        "largest_difference_of_accuracy": max(compare(each) for each in rounds),
    }
    path = options.output or HERE / "results" / f"features-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print_table(rounds[-1], seconds, path)


def measure_round(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Run both studies once, with this round's seed; odd rounds start with the other one."""
    order = ["cached", "running"] if number % 2 == 0 else ["running", "cached"]
    return {name: measure(make_study(options, name, number), options.data_dir) for name in order}


def make_study(options: argparse.Namespace, name: str, seed: int) -> Study:
    """Make the study of four heads on a body that is always frozen, or frozen in all of its epochs."""
    published = options.weights == "imagenet"
    weights = "imagenet" if published else {"file": options.weights}
    normalization = [{"name": "normalize", "mean": "imagenet", "sd": "imagenet"}] if published else []
    return Study(
        question="Which head suits this body best?",
        name=name,
        data={"name": options.data, "subset": options.subset, "validation": 0.2},
        recipe={
            "network": {"name": options.network},
            "transfer": {"weights": weights, "freeze": "always" if name == "cached" else options.epochs},
            "augmentation": [{"name": "resize", "size": options.size}, *normalization],
            "batch_size": 64,
            "epochs": options.epochs,
        },
        arms=[HEADS],
        replicates=1,
        seed=seed,
        numeric="float32",
    )


def measure(study: Study, data_dir: Path | None) -> dict[str, Any]:
    """Run one study in an empty workspace, without cached features; return its seconds and accuracies."""
    with tempfile.TemporaryDirectory() as workspace, empty_cache():
        started = time.perf_counter()
        result = run(study, workspace=workspace, data_dir=data_dir)
        seconds = time.perf_counter() - started
    arms = {arm["arm"]: arm["test"]["accuracy"]["mean"] for arm in result.document["arms"]}
    return {"seconds": seconds, "test_accuracy": arms, "load": os.getloadavg()[0]}


@contextmanager
def empty_cache() -> Iterator[None]:
    """Use a cache with the user's decoded images, but no features."""
    own = cache_folder()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("decoded", "downloads", "weights"):
            (own / name).mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).symlink_to(own / name, target_is_directory=True)
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            os.environ[CACHE_VARIABLE] = str(own)


def compare(round_: dict[str, Any]) -> float:
    """Return the largest difference between the two studies' accuracies of one head."""
    first, second = (round_[name]["test_accuracy"] for name in ("cached", "running"))
    return max(abs(first[arm] - second[arm]) for arm in first)


def print_table(last: dict[str, Any], seconds: dict[str, float], path: Path) -> None:
    """Print the accuracies of the last round and the median times."""
    print(f"{'head':<20} {'cached':>8} {'running':>8}   test accuracy, last round")
    for arm in HEADS:
        print(f"{arm:<20} {last['cached']['test_accuracy'][arm]:>8.4f} {last['running']['test_accuracy'][arm]:>8.4f}")
    print(f"{'median seconds':<20} {seconds['cached']:>8.1f} {seconds['running']:>8.1f}")
    print(f"cached features are {seconds['running'] / seconds['cached']:.1f}x as fast; {path}")


if __name__ == "__main__":
    main()
