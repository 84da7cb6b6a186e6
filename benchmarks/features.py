"""The time that computing a frozen body's features in advance saves, against a loop in plain PyTorch.

    python benchmarks/features.py --data-dir DIR                      # ResNet-18 at 64 pixels, CIFAR-10
    python benchmarks/features.py --draws 4 --epochs 40 --data-dir DIR  # augmented

Both train the same linear heads (learning rates) for the same epochs on the same number of images, in float32, on a
body with random weights, which cost as much as published ones. The loop is what one writes by hand, tuned: for every
head, the frozen body in evaluation mode under `torch.no_grad`, channels-last, images decoded and resized in memory
before, one process per core (several heads train at once). bakeoff runs a whole study: start-up, features of training
and test images, heads, final test, with a worker per core and an empty workspace. The rounds alternate.

Processor seconds of all processes stand beside wall time, and no ratio is printed of a run that others slowed down."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders.common import count_cores
from load import LARGEST_LOAD, Meter, is_spoilt
from machine import describe_machine, name_machine
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.api import Study, run
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, open_test, open_training
from bakeoff.engine.fused.vision import import_torchvision

HERE = Path(__file__).resolve().parent
BATCH = 64
VALIDATION = 0.2


def main() -> None:
    """Run both in turn, print the medians, save the samples."""
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "body.safetensors"
        save_file(make_body().state_dict(), weights)
        open_training(DataSource(name=options.data, subset=options.subset), options.data_dir)  # decoded before
        tasks: dict[str, Callable[[], object]] = {
            "bakeoff": lambda: run_study(options, weights),
            "loop": lambda: run_loop(options),
        }
        rounds = [
            {name: measure(tasks[name]) for name in (list(tasks) if number % 2 == 0 else reversed(tasks))}
            for number in range(options.rounds)
        ]
    medians = {
        name: {clock: statistics.median(each[name][clock] for each in rounds) for clock in LARGEST_LOAD}
        for name in tasks
    }
    samples = [sample for each in rounds for sample in each.values()]
    ratios = {
        clock: None if is_spoilt(samples, clock) else medians["loop"][clock] / medians["bakeoff"][clock]
        for clock in LARGEST_LOAD
    }
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "torch", "torchvision", "numpy")},
        "options": {name: str(value) for name, value in vars(options).items()},
        "rounds": rounds,
        "medians": medians,
        "ratios": ratios,
    }
    path = options.output or HERE / "results" / f"features-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    for name, seconds in medians.items():
        print(f"{name:<8} {seconds['seconds']:>8.1f} s wall {seconds['processor_seconds']:>8.1f} s of processor time")
    said = [f"{'spoilt by load' if ratio is None else f'{ratio:.1f}x'} {clock}" for clock, ratio in ratios.items()]
    print(f"loop / bakeoff: {', '.join(said)}; {path}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="the data set (default %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="where to look for images first")
    parser.add_argument("--subset", type=float, default=0.1, help="share of the training images (default %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="side the images are resized to (default %(default)s)")
    parser.add_argument("--arms", type=int, default=4, help="heads, by learning rate (default %(default)s)")
    parser.add_argument("--replicates", type=int, default=1, help="replicates (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of every head (default %(default)s)")
    parser.add_argument("--draws", type=int, help="flip images, and use so many versions of each in turn")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/features-MACHINE.json)")
    return parser.parse_args()


def list_rates(options: argparse.Namespace) -> list[float]:
    """Return the learning rates, one per arm."""
    return [round(float(rate), 6) for rate in np.geomspace(0.0003, 0.03, options.arms)]


def make_body() -> nn.Module:
    """Return a ResNet-18 with random weights."""
    torch.manual_seed(1)
    body: nn.Module = import_torchvision().models.resnet18()
    return body


def measure(task: Callable[[], object]) -> dict[str, Any]:
    """Return the seconds and processor seconds of a task, and what others used of the machine."""
    with Meter() as meter:
        task()
    return meter.read()


def run_study(options: argparse.Namespace, weights: Path) -> None:
    """Run the study in an empty workspace."""
    transfer: dict[str, Any] = {"weights": {"file": str(weights)}, "freeze": "always"}
    augmentation: list[Any] = [{"name": "resize", "size": options.size}]
    if options.draws:
        transfer["feature_draws"] = options.draws
        augmentation.insert(0, "horizontal_flip")
    study = Study(
        question="Which learning rate suits the head?",
        data={"name": options.data, "subset": options.subset, "validation": VALIDATION},
        recipe={
            "network": "torchvision:resnet18",
            "transfer": transfer,
            "augmentation": augmentation,
            "batch_size": BATCH,
            "epochs": options.epochs,
        },
        arms=[{"optimizer.learning_rate": list_rates(options)}],
        replicates=options.replicates,
        numeric="float32",
    )
    with tempfile.TemporaryDirectory() as workspace:
        result = run(study, workspace=workspace, data_dir=options.data_dir)
        if result.state != "done":
            raise SystemExit(f"the study did not end: {result.state}")


def run_loop(options: argparse.Namespace) -> None:
    """Train every head through the frozen body, with a process per core."""
    jobs = [(options, rate) for rate in list_rates(options) for _ in range(options.replicates)]
    with multiprocessing.get_context("spawn").Pool(min(count_cores(), len(jobs))) as pool:
        pool.starmap(train_head, jobs, chunksize=1)
        pool.close()
        pool.join()


def train_head(options: argparse.Namespace, rate: float) -> float:
    """Train one head on one core, test it at the end; return its test accuracy."""
    torch.set_num_threads(1)
    source = open_training(DataSource(name=options.data, subset=options.subset), options.data_dir)
    images, labels = enlarge(source, options.size)
    num_validation = round(VALIDATION * len(labels))
    body = make_body().eval().to(memory_format=torch.channels_last)
    body.fc = nn.Identity()
    head = nn.Linear(512, len(source.class_names))
    optimizer = torch.optim.Adam(head.parameters(), lr=rate)
    for _ in range(options.epochs):
        for chosen in (num_validation + torch.randperm(len(labels) - num_validation)).split(BATCH):
            with torch.no_grad():
                features = body(flip(images[chosen]) if options.draws else images[chosen])
            optimizer.zero_grad()
            F.cross_entropy(head(features), labels[chosen]).backward()
            optimizer.step()
        score(body, head, images[:num_validation], labels[:num_validation])
    return score(body, head, *enlarge(open_test(DataSource(name=options.data), options.data_dir), options.size))


def enlarge(stored: Images, size: int) -> tuple[Tensor, Tensor]:
    """Return all images, resized, and their labels."""
    pixels = torch.from_numpy(np.array(stored.pixels)).permute(0, 3, 1, 2).float() / 255
    images = F.interpolate(pixels, size, mode="bilinear").contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(np.array(stored.labels))


def score(body: nn.Module, head: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of a head."""
    with torch.no_grad():
        found = torch.cat([head(body(part)).argmax(1) for part in images.split(128)])
    return float((found == labels).float().mean())


def flip(images: Tensor) -> Tensor:
    """Mirror a random half of the images."""
    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


if __name__ == "__main__":
    main()
